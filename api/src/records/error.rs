//! Why nothing is shown.

use commands::{BlobError, CommandError};
use domain::ScanId;
use projections::read_models::ReadError;
use projections::worker::FetchError;

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// There is no such thing.
    #[error("no such {what}")]
    NotFound {
        /// What is missing.
        what: &'static str,
    },
    /// The caller names a position that the log does not have.
    #[error("the log has no event at the position that was named")]
    BeyondLog,
    /// The caller may not look, or the look cannot be recorded.
    #[error("the look cannot be recorded")]
    Ledger(#[from] CommandError),
    /// A read model gave no answer.
    #[error("the read model gave no answer")]
    Read(#[from] ReadError),
    /// The size of the log could not be read.
    #[error("the size of the log could not be read")]
    Log(#[source] sqlx::Error),
    /// A capture is missing or damaged.
    #[error("the stored capture of scan {scan} is missing or damaged")]
    CaptureDamaged {
        /// The scan.
        scan: ScanId,
    },
    /// The store of captures did not answer.
    #[error("the store of captures did not answer")]
    Captures(#[source] FetchError),
    /// A capture that was handed in could not be stored.
    #[error("the capture could not be stored")]
    NotStored(#[source] BlobError),
    /// What is to be recorded has no such form: an internal error.
    #[error("the look cannot be written down")]
    Form,
}
