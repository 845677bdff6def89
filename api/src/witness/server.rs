//! A small witness: `POST /add-checkpoint`, one file for each log, written before it answers.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::checkpoint::Checkpoint;
use audit::note::{Cosigner, NoteError, NoteVerifier};
use audit::witness::{AddCheckpoint, MAX_REQUEST, Refusal};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use commands::Clock;
use commands::checkpoints::write_durably;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

/// The file with the seed of the cosigning key.
const KEY: &str = "cosigner.key";
const LOCK: &str = "lock";

/// Why a witness does not start.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder.
    #[error("cannot use {}", .path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Two witnesses of one state could cosign two histories.
    #[error("another witness runs on this state: {}", .0.display())]
    InUse(PathBuf),
    /// A file is damaged.
    #[error("{} is damaged: a witness that has lost its state must be given a new key", .0.display())]
    Damaged(PathBuf),
    /// The name cannot name a key.
    #[error("the witness's name cannot name a key")]
    Name(#[from] NoteError),
}

/// One log that is witnessed.
struct Log {
    keys: Vec<NoteVerifier>,
    file: PathBuf,
    latest: Option<Checkpoint>,
}

/// What a witness remembers, and the key it signs with.
pub struct WitnessState {
    cosigner: Cosigner,
    logs: BTreeMap<String, Log>,
    clock: Clock,
    // Held while the process lives.
    _lock: File,
}

impl WitnessState {
    /// Opens the state in a folder, for the logs with these keys. A new folder gets a new key.
    ///
    /// # Errors
    /// When the folder cannot be used, is damaged, or is in use.
    pub fn open(
        folder: &Path,
        name: &str,
        keys: Vec<NoteVerifier>,
        clock: Clock,
    ) -> Result<Self, StateError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { path, source }
        };
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let path = folder.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(failed(&path))?;
        lock.try_lock().map_err(|_| StateError::InUse(folder.to_owned()))?;
        let cosigner = Cosigner::new(name, &seed(&folder.join(KEY))?)?;
        let mut logs: BTreeMap<String, Log> = BTreeMap::new();
        for key in keys {
            let origin = key.name().to_owned();
            if let Some(log) = logs.get_mut(&origin) {
                log.keys.push(key);
                continue;
            }
            let digest = hex::encode(&Sha256::digest(origin.as_bytes())[..16]);
            let file = folder.join(format!("{digest}.checkpoint"));
            let latest = match fs::read_to_string(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(failed(&file)(error)),
                Ok(note) => {
                    let read = Checkpoint::peek(&note).ok();
                    let read = read.filter(|checkpoint| checkpoint.origin == origin);
                    Some(read.ok_or_else(|| StateError::Damaged(file.clone()))?)
                }
            };
            logs.insert(origin, Log { keys: vec![key], file, latest });
        }
        Ok(Self { cosigner, logs, clock, _lock: lock })
    }

    /// The key that verifies this witness's cosignatures.
    #[must_use]
    pub fn verifier(&self) -> &NoteVerifier {
        self.cosigner.verifier()
    }

    /// Decides on a request. What is cosigned is on the disk before this returns.
    async fn add(&mut self, request: &AddCheckpoint) -> Result<String, Failure> {
        let origin = request.origin()?;
        let log = self.logs.get_mut(&origin).ok_or(Refusal::UnknownLog)?;
        let checkpoint = request.consider(&log.keys, log.latest.as_ref())?;
        if log.latest.as_ref() != Some(&checkpoint) {
            let (file, note) = (log.file.clone(), request.note.clone());
            let written =
                tokio::task::spawn_blocking(move || write_durably(&file, note.as_bytes()));
            written.await.map_err(io::Error::other).and_then(|done| done).map_err(Failure::Disk)?;
        }
        let text = checkpoint.to_text();
        log.latest = Some(checkpoint);
        let seconds = u64::try_from(self.clock.now().as_second()).unwrap_or(0);
        Ok(self.cosigner.line(&text, seconds))
    }
}

/// Why a request is not answered with a cosignature.
enum Failure {
    Refused(Refusal),
    Disk(io::Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The seed in the file, or a new one. Others must not read it.
fn seed(path: &Path) -> Result<[u8; 32], StateError> {
    let failed = |source| StateError::Io { path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Ok(text) => {
            let bytes = hex::decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
            bytes.ok_or_else(|| StateError::Damaged(path.to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed)
                .map_err(|error| failed(io::Error::other(error.to_string())))?;
            let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
            let mut file = file.map_err(failed)?;
            file.write_all(hex::encode(seed).as_bytes()).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            Ok(seed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The witness's HTTP interface.
pub fn router(state: WitnessState) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(Arc::new(Mutex::new(state)))
}

async fn add_checkpoint(State(state): State<Arc<Mutex<WitnessState>>>, body: Bytes) -> Response {
    let request = std::str::from_utf8(&body)
        .map_err(|_| Refusal::Malformed("not UTF-8"))
        .and_then(AddCheckpoint::parse);
    let answer = match request {
        // One request at a time: checking and remembering must not come apart. In a task of its own, so that a
        // client that hangs up does not leave the disk and the memory different.
        Ok(request) => {
            let task = tokio::spawn(async move { state.lock().await.add(&request).await });
            task.await.unwrap_or_else(|error| Err(Failure::Disk(io::Error::other(error))))
        }
        Err(refusal) => Err(refusal.into()),
    };
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    const SIZE: HeaderValue = HeaderValue::from_static("text/x.tlog.size");
    match answer {
        Ok(line) => ([(header::CONTENT_TYPE, TEXT)], line).into_response(),
        Err(Failure::Refused(refusal)) => {
            tracing::warn!(%refusal, "not cosigned");
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            match refusal {
                Refusal::OtherSize { size } => {
                    (status, [(header::CONTENT_TYPE, SIZE)], format!("{size}\n")).into_response()
                }
                refusal => {
                    let text = format!("{refusal}\n");
                    (status, [(header::CONTENT_TYPE, TEXT)], text).into_response()
                }
            }
        }
        Err(Failure::Disk(error)) => {
            tracing::error!(%error, "the state cannot be written: nothing is cosigned");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
