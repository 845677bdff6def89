//! The list of what a replay of the log is compared with: for the audit of a database, and for the worker that compares all the time.

use audit::postgres::ReadError;
use sqlx::PgPool;

use super::claims;
use super::compared::{Comparison, altered};
use super::error::AuditError;
use crate::keys::Keys;
use crate::{data_keys, recorded};

/// Rows that the log decides, and that need the ledger's keys to be compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// What is taken.
    Claims,
    /// What is on record of commands.
    Commands,
    /// The keys of subjects.
    DataKeys,
}

impl Replayed {
    /// All of them.
    pub const ALL: [Replayed; 3] = [Replayed::Claims, Replayed::Commands, Replayed::DataKeys];

    /// What they are called, in the plural.
    pub fn what(self) -> &'static str {
        match self {
            Replayed::Claims => "claims",
            Replayed::Commands => "rows of commands",
            Replayed::DataKeys => "data keys",
        }
    }

    /// Compares them, as the pool's sessions see them. `sound`: whether the log itself is, without which no replay counts.
    pub(super) async fn compare(
        self,
        pool: &PgPool,
        keys: &Keys,
        origin: &str,
        sound: bool,
    ) -> Result<Comparison, AuditError> {
        let compared = match self {
            Replayed::Claims => return Ok(claims::compare(pool, keys, origin, sound).await?),
            Replayed::Commands => recorded::compare(pool, keys, origin).await.map(Into::into),
            Replayed::DataKeys => data_keys::compare(pool, keys, origin).await.map(Into::into),
        };
        match compared {
            Ok(comparison) => Ok(comparison),
            Err(ReadError::Sqlx(error)) => Ok(altered(self.what(), error)?),
            Err(error) => {
                let mut comparison = Comparison::none(self.what(), error.to_string());
                // Where the log is damaged, that is the finding, and this only follows from it.
                if sound {
                    let position = error.damage().map(|damage| damage.position);
                    comparison.push(position, "unreadable", "the log", error.to_string());
                }
                Ok(comparison)
            }
        }
    }
}
