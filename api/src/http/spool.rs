//! A large body on its way in: on the disk and never readable there.
//!
//! Each spool is a file of mode 0600 whose name is removed before anything is written, and holds nothing but chunks
//! sealed under a key of its own that exists in memory only. So a crash leaves no file, and an attacker who copies the disk
//! meanwhile has random bytes. What fits into one chunk never reaches the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// Bytes of a chunk before it is sealed.
pub(super) const CHUNK: usize = 256 * 1024;
/// What sealing adds.
const TAG: usize = 16;

/// A body as far as it has come.
pub(super) struct Spool {
    folder: PathBuf,
    disk: Option<(File, LessSafeKey)>,
    chunks: u64,
    /// What has not been sealed yet; less than a chunk.
    rest: Zeroizing<Vec<u8>>,
}

impl Spool {
    /// An empty one, which will lie in `folder` if it grows.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), disk: None, chunks: 0, rest: Zeroizing::default() }
    }

    /// How much of `bytes` can be taken before [`Self::seal`] has to be called.
    pub(super) fn room(&self) -> usize {
        CHUNK - self.rest.len()
    }

    /// Takes bytes, as many as there is room for.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if self.rest.capacity() == 0 {
            // At once, so that growing leaves no copies behind.
            self.rest.reserve_exact(CHUNK + TAG);
        }
        let taken = bytes.len().min(self.room());
        self.rest.extend_from_slice(&bytes[..taken]);
    }

    /// Seals a full chunk and writes it. Blocks.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        if self.disk.is_none() {
            // Of mode 0600, and without its name before anything is written.
            let file = tempfile::NamedTempFile::new_in(&self.folder)?.into_file();
            let mut key = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *key).map_err(|error| io::Error::other(error.to_string()))?;
            self.disk = Some((file, sealing_key(&key)?));
        }
        let Some((file, key)) = &self.disk else { return Err(io::Error::other("no file")) };
        key.seal_in_place_append_tag(nonce(self.chunks), Aad::empty(), &mut *self.rest)
            .map_err(|_| io::Error::other("a chunk could not be sealed"))?;
        file.write_all_at(&self.rest, self.chunks * (CHUNK + TAG) as u64)?;
        self.chunks += 1;
        self.rest.clear();
        Ok(())
    }

    /// The whole body. Blocks.
    pub(super) fn read(self) -> io::Result<Vec<u8>> {
        let chunks = usize::try_from(self.chunks).map_err(io::Error::other)?;
        let mut body = Vec::with_capacity(chunks * CHUNK + self.rest.len());
        if let Some((file, key)) = &self.disk {
            let mut sealed = Zeroizing::new(vec![0; CHUNK + TAG]);
            for chunk in 0..self.chunks {
                file.read_exact_at(&mut sealed, chunk * (CHUNK + TAG) as u64)?;
                let opened = key.open_in_place(nonce(chunk), Aad::empty(), &mut sealed);
                let opened = opened.map_err(|_| io::Error::other("the spool was changed"))?;
                body.extend_from_slice(opened);
            }
        }
        body.extend_from_slice(&self.rest);
        Ok(body)
    }
}

fn sealing_key(key: &[u8; 32]) -> io::Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| io::Error::other("no sealing key"))?;
    Ok(LessSafeKey::new(key))
}

/// The chunk's number: no key seals two chunks of one number.
fn nonce(chunk: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&chunk.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn spooled(folder: &Path, body: &[u8]) -> Spool {
        let mut spool = Spool::new(folder);
        let mut left = body;
        while !left.is_empty() {
            let taken = left.len().min(spool.room()).min(100_000);
            spool.take(&left[..taken]);
            left = &left[taken..];
            if spool.room() == 0 {
                spool.seal().expect("sealed");
            }
        }
        spool
    }

    #[test]
    fn what_goes_in_comes_out() {
        let folder = tempfile::tempdir().expect("a folder");
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
            let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let spool = spooled(folder.path(), &body);
            assert_eq!(spool.disk.is_some(), size >= CHUNK);
            assert!(spool.read().expect("read") == body, "{size} bytes");
        }
    }

    #[test]
    fn nothing_readable_is_on_the_disk_and_no_name_leads_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let needle = b"Anna Mueller, born 1952-11-19; ";
        let body = needle.repeat(2 * CHUNK / needle.len() + 1);
        let spool = spooled(folder.path(), &body);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
        let (file, _) = spool.disk.as_ref().expect("it is on the disk");
        let metadata = file.metadata().expect("metadata");
        assert_eq!((metadata.mode() & 0o777, metadata.nlink()), (0o600, 0));
        let mut bytes = vec![0; usize::try_from(metadata.len()).expect("a size")];
        file.read_exact_at(&mut bytes, 0).expect("the bytes");
        assert!(bytes.len() > CHUNK);
        assert!(!bytes.windows(8).any(|window| window == &needle[..8]));
    }

    #[test]
    fn a_changed_spool_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = spooled(folder.path(), &vec![7; 2 * CHUNK]);
        let (file, _) = spool.disk.as_ref().expect("it is on the disk");
        file.write_all_at(b"x", 100).expect("written");
        assert!(spool.read().is_err());
    }
}
