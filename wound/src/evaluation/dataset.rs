//! Pictures with masks in two folders, and the fixed split of them.

use std::path::{Path, PathBuf};

use image::{GrayImage, RgbImage};
use sha2::{Digest, Sha256};

/// The side of the split that a picture is on, by the hash of its file's stem: the same on every
/// machine and for ever, whichever other pictures are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// The network learns from these, about 85 %.
    Training,
    /// The network never learns from these; they choose thresholds and judge it.
    HeldOut,
}

impl Split {
    /// The side for a stem.
    #[must_use]
    pub fn of(stem: &str) -> Self {
        let hash = Sha256::digest(format!("wound-split-1:{stem}").as_bytes());
        let number = u16::from_be_bytes([hash[0], hash[1]]);
        if number % 100 < 15 { Self::HeldOut } else { Self::Training }
    }
}

/// Why pictures or masks could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A folder cannot be listed.
    #[error("the folder {} cannot be listed", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is no picture.
    #[error("the file {} cannot be read as a picture", path.display())]
    Picture {
        /// Which.
        path: PathBuf,
        /// What the decoder said.
        #[source]
        source: image::ImageError,
    },
    /// A picture and its mask differ in size.
    #[error("the mask {} is {mask:?} pixels, its picture {picture:?}", path.display())]
    Size {
        /// The mask.
        path: PathBuf,
        /// Its size.
        mask: (u32, u32),
        /// The picture's size.
        picture: (u32, u32),
    },
}

/// A picture and where its wound is (255) and is not (0).
#[derive(Debug, Clone)]
pub(crate) struct Example {
    pub(crate) image: RgbImage,
    pub(crate) mask: GrayImage,
}

/// Whether a byte of a mask says wound.
pub(crate) fn is_wound(byte: u8) -> bool {
    byte > 127
}

/// A picture's file and its mask's.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) stem: String,
    image: PathBuf,
    mask: PathBuf,
}

impl Pair {
    /// Reads both.
    pub(crate) fn load(&self) -> Result<Example, DatasetError> {
        let open = |path: &PathBuf| {
            image::open(path).map_err(|source| DatasetError::Picture { path: path.clone(), source })
        };
        let image = open(&self.image)?.to_rgb8();
        let mask = open(&self.mask)?.to_luma8();
        if mask.dimensions() != image.dimensions() {
            return Err(DatasetError::Size {
                path: self.mask.clone(),
                mask: mask.dimensions(),
                picture: image.dimensions(),
            });
        }
        Ok(Example { image, mask })
    }
}

/// The files of a folder by stem, sorted; only pictures.
fn pictures(folder: &Path) -> Result<Vec<(String, PathBuf)>, DatasetError> {
    let fail = |source| DatasetError::Folder { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        if !matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png")) {
            continue;
        }
        if let Some(stem) = path.file_stem().and_then(|s| s.to_str()) {
            files.push((stem.to_owned(), path.clone()));
        }
    }
    files.sort();
    Ok(files)
}

/// Pictures that have a mask of the same stem, sorted by stem.
pub(crate) fn pairs(images: &Path, masks: &Path) -> Result<Vec<Pair>, DatasetError> {
    let mut masks: std::collections::HashMap<_, _> = pictures(masks)?.into_iter().collect();
    Ok(pictures(images)?
        .into_iter()
        .filter_map(|(stem, image)| masks.remove(&stem).map(|mask| Pair { stem, image, mask }))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_is_fixed() {
        let held_out: Vec<_> = (0..1000)
            .map(|n| format!("{n:04}"))
            .filter(|stem| Split::of(stem) == Split::HeldOut)
            .collect();
        assert!((120..180).contains(&held_out.len()), "{}", held_out.len());
        assert_eq!(held_out[..5], ["0021", "0023", "0030", "0042", "0047"]);
    }

    #[test]
    fn files_are_paired_by_stem_and_sizes_compared() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let (images, masks) = (folder.path().join("images"), folder.path().join("masks"));
        for path in [&images, &masks] {
            std::fs::create_dir(path).expect("a folder in it");
        }
        let save = |path: PathBuf, side| RgbImage::new(side, side).save(path).expect("a picture");
        save(images.join("a.png"), 4);
        save(masks.join("a.png"), 4);
        save(images.join("b.jpg"), 4);
        save(masks.join("b.png"), 5);
        save(images.join("alone.png"), 4);
        std::fs::write(images.join("notes.txt"), "no picture").expect("a file");
        let pairs = pairs(&images, &masks).expect("both folders are there");
        assert_eq!(pairs.iter().map(|p| p.stem.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(pairs[0].load().is_ok());
        assert!(matches!(pairs[1].load(), Err(DatasetError::Size { .. })));
        assert!(matches!(
            super::pairs(&images.join("none"), &masks),
            Err(DatasetError::Folder { .. })
        ));
    }
}
