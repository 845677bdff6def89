//! Captures of other programs, as files and folders.
//!
//! Each importer takes the bytes it needs and gives a [`Frame`] or a [`Surface`](crate::capture::Surface); [`import`] finds
//! out what a file or folder is, and reads it. Only the keys, columns and elements that are needed
//! are read, and a frame has no place for others, so a position or a device's name in these files
//! goes no further than this module. `docs/captures.md` lists the kinds with their units and axes.

mod error;
mod files;
mod kind;
mod obj;
mod pair;
mod record3d;
mod scanner_app;
mod sizes;
mod stray;
mod true_depth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::error::ImportError;
pub use self::kind::Kind;
pub use self::obj::obj;
pub use self::pair::{Pair, pair};
pub use self::record3d::{Record3dFrame, record3d};
pub use self::scanner_app::{ScannerAppFrame, scanner_app};
pub use self::stray::{StrayFrame, stray};
pub use self::true_depth::true_depth;
use crate::capture::{Capture, Frame, Intrinsics};
use crate::error::CaptureError;
use crate::{bundle, ply};

const PICTURES: [&str; 3] = ["jpg", "jpeg", "png"];

/// What the user says beside the path.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Which frame of a folder with several.
    pub frame: Option<u32>,
    /// The camera, where the capture does not say it.
    pub intrinsics: Option<Intrinsics>,
}

/// An imported capture.
#[derive(Debug)]
pub struct Imported {
    /// What it was.
    pub kind: Kind,
    /// The frame's number, where it came from several.
    pub frame: Option<u32>,
    /// What it holds.
    pub capture: Capture,
}

/// Reads a file or folder of any kind.
///
/// # Errors
/// It is of no kind that is read, needs an option, has one too many, or is refused for its content.
pub fn import(path: &Path, options: Options) -> Result<Imported, ImportError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if path.is_dir() {
        return import_folder(path, options);
    }
    // A file that describes its folder stands for it.
    let parent = path.parent().unwrap_or(Path::new(""));
    if let Some(number) = name.strip_prefix("frame_").and_then(|it| it.strip_suffix(".json")) {
        let frame = options.frame.or(number.parse().ok());
        return import_folder(parent, Options { frame, ..options });
    }
    if matches!(name, "metadata.json" | "camera_matrix.csv") {
        return import_folder(parent, options);
    }
    let mut bytes = files::read(path)?;
    let mut name = name;
    if bytes.starts_with(&[0x1F, 0x8B]) {
        bytes = files::gunzip(&bytes)?;
        name = name.strip_suffix(".gz").unwrap_or(name);
    }
    let (kind, capture) = import_file(name, &bytes)?;
    if options.frame.is_some() {
        let reason = "a single file holds one capture";
        return Err(ImportError::Option { option: "--frame", reason });
    }
    refuse_intrinsics(options)?;
    Ok(Imported { kind, frame: None, capture })
}

fn import_file(name: &str, bytes: &[u8]) -> Result<(Kind, Capture), ImportError> {
    let is_tar = bytes.get(257..262) == Some(b"ustar");
    if is_tar || name.ends_with(".tar") {
        Ok((Kind::Bundle, bundle::read(bytes)?.into()))
    } else if ply::recording::is_recording(bytes) {
        Ok((Kind::TrueDepth, true_depth(bytes)?.into()))
    } else if bytes.starts_with(b"ply") || name.ends_with(".ply") {
        Ok((Kind::Ply, ply::read(bytes)?.into()))
    } else if name.ends_with(".obj") {
        Ok((Kind::Obj, obj(bytes)?.into()))
    } else {
        Err(ImportError::Unknown)
    }
}

fn import_folder(folder: &Path, options: Options) -> Result<Imported, ImportError> {
    let names = files::names(folder)?;
    let has = |name: &str| names.iter().any(|it| it == name);
    let imported =
        |kind, number, frame| Imported { kind, frame: number, capture: Capture::from(frame) };
    if has("camera_matrix.csv") {
        refuse_intrinsics(options)?;
        let (number, frame) = stray_folder(folder, options.frame)?;
        return Ok(imported(Kind::StrayScanner, Some(number), frame));
    }
    if has("metadata.json") && has("rgb") {
        refuse_intrinsics(options)?;
        let (number, frame) = record3d_folder(folder, options.frame)?;
        return Ok(imported(Kind::Record3d, Some(number), frame));
    }
    let documents = files::numbered(folder, "frame_", &["json"])?;
    if !documents.is_empty() {
        refuse_intrinsics(options)?;
        let (number, document) = chosen(&documents, options.frame)?;
        return Ok(imported(Kind::ScannerApp, Some(number), scanner_app_folder(document)?));
    }
    let frame = pair_folder(folder, &names, options)?;
    Ok(imported(Kind::Pair, None, frame))
}

/// The frame that was asked for, or the only one.
fn chosen(
    frames: &BTreeMap<u32, PathBuf>,
    asked: Option<u32>,
) -> Result<(u32, &Path), ImportError> {
    let count = frames.len();
    if let Some(number) = asked {
        let path = frames.get(&number).ok_or(ImportError::NoSuchFrame { number, count })?;
        return Ok((number, path));
    }
    match (frames.first_key_value(), frames.last_key_value()) {
        (Some((first, path)), Some((last, _))) if first == last => Ok((*first, path)),
        (Some((first, _)), Some((last, _))) => {
            Err(ImportError::WhichFrame { count, first: *first, last: *last })
        }
        _ => Err(ImportError::Unknown),
    }
}

fn stray_folder(folder: &Path, asked: Option<u32>) -> Result<(u32, Frame), ImportError> {
    let depths = files::numbered(&folder.join("depth"), "", &["png"])?;
    if depths.is_empty() {
        let expected = "depth/NNNNNN.png";
        return Err(ImportError::NoDepth { kind: Kind::StrayScanner, expected });
    }
    let (number, depth) = chosen(&depths, asked)?;
    let pictures = files::numbered(&folder.join("rgb"), "", &PICTURES)?;
    let Some(picture) = pictures.get(&number) else {
        return Err(ImportError::Video { number });
    };
    let confidences = files::numbered(&folder.join("confidence"), "", &["png"])?;
    let confidence = confidences.get(&number).map(|path| files::read(path)).transpose()?;
    let frame = stray(&StrayFrame {
        image: &files::read(picture)?,
        depth: &files::read(depth)?,
        confidence: confidence.as_deref(),
        camera_matrix: &files::read(&folder.join("camera_matrix.csv"))?,
        odometry: files::read_if_there(&folder.join("odometry.csv"))?.as_deref(),
        number,
    })?;
    Ok((number, frame))
}

fn record3d_folder(folder: &Path, asked: Option<u32>) -> Result<(u32, Frame), ImportError> {
    let depths = files::numbered(&folder.join("depth"), "", &["exr"])?;
    if depths.is_empty() {
        let expected = "depth/N.exr";
        return Err(ImportError::NoDepth { kind: Kind::Record3d, expected });
    }
    let (number, depth) = chosen(&depths, asked)?;
    let pictures = files::numbered(&folder.join("rgb"), "", &PICTURES)?;
    let picture = pictures.get(&number).ok_or(CaptureError::Missing { entry: "rgb/N.jpg" })?;
    let frame = record3d(&Record3dFrame {
        image: &files::read(picture)?,
        depth: &files::read(depth)?,
        document: &files::read(&folder.join("metadata.json"))?,
        number: number as usize,
    })?;
    Ok((number, frame))
}

fn scanner_app_folder(document: &Path) -> Result<Frame, ImportError> {
    let stem = document.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let number = stem.strip_prefix("frame_").unwrap_or_default();
    let beside =
        |prefix: &str, ending: &str| document.with_file_name(format!("{prefix}_{number}.{ending}"));
    let part = |entry: &'static str, path: PathBuf| {
        files::read_if_there(&path)?.ok_or(ImportError::Capture(CaptureError::Missing { entry }))
    };
    Ok(scanner_app(&ScannerAppFrame {
        image: &part("frame_N.jpg", beside("frame", "jpg"))?,
        document: &files::read(document)?,
        depth: &part("depth_N.png", beside("depth", "png"))?,
        confidence: files::read_if_there(&beside("conf", "png"))?.as_deref(),
    })?)
}

/// One picture, one PNG with "depth" in its name, at most one with "conf".
fn pair_folder(folder: &Path, names: &[String], options: Options) -> Result<Frame, ImportError> {
    let (mut pictures, mut depths, mut confidences) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        let lower = name.to_ascii_lowercase();
        let Some((stem, ending)) = lower.rsplit_once('.') else { continue };
        if ending == "png" && stem.contains("depth") {
            depths.push(folder.join(name));
        } else if ending == "png" && stem.contains("conf") {
            confidences.push(folder.join(name));
        } else if PICTURES.contains(&ending) {
            pictures.push(folder.join(name));
        }
    }
    let ([picture], [depth]) = (pictures.as_slice(), depths.as_slice()) else {
        return Err(ImportError::Unknown);
    };
    if options.frame.is_some() {
        let reason = "the folder holds one picture";
        return Err(ImportError::Option { option: "--frame", reason });
    }
    let confidence = match confidences.as_slice() {
        [] => None,
        [path] => Some(files::read(path)?),
        _ => return Err(ImportError::Unknown),
    };
    Ok(pair(&Pair {
        image: &files::read(picture)?,
        depth: &files::read(depth)?,
        confidence: confidence.as_deref(),
        intrinsics: options.intrinsics,
    })?)
}

fn refuse_intrinsics(options: Options) -> Result<(), ImportError> {
    if options.intrinsics.is_none() {
        return Ok(());
    }
    let reason = "the capture says itself which camera took it";
    Err(ImportError::Option { option: "--intrinsics", reason })
}
