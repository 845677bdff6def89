//! Why there is no verdict on a database.

use audit::postgres::{DatabaseError, ReadError};

use crate::claims::ClaimsError;

/// Why the audit could not look.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log could not be read.
    #[error("the log could not be read")]
    Log(#[from] DatabaseError),
    /// The log could not be read, and the tables are not those that were made for it.
    #[error("the log could not be read, and the database is not as it was made ({first})")]
    Altered {
        /// The first thing that is not.
        first: String,
        /// Why the log could not be read.
        #[source]
        source: DatabaseError,
    },
    /// The database failed.
    #[error("the database failed while it was audited")]
    Database(#[from] sqlx::Error),
    /// The log was not what a comparison needs.
    #[error("the log could not be compared with")]
    Read(#[from] ReadError),
    /// The claims could not be made from the log for a reason that is no damage.
    #[error("the claims could not be compared")]
    Claims(#[from] ClaimsError),
}
