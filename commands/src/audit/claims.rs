//! What is taken, against a replay of the log.

use audit::postgres::DatabaseError;
use sqlx::PgPool;

use super::compared::{Comparison, altered};
use crate::claims::{ClaimFinding, ClaimsError, ClaimsReport, Difference, compare as replay};
use crate::keys::Keys;

impl From<ClaimsReport> for Comparison {
    fn from(report: ClaimsReport) -> Comparison {
        let mut comparison = Comparison::begun("claims");
        comparison.count(report.claims);
        for ClaimFinding { difference, kind, stream_type, stream_id, position } in report.findings {
            let (what, object) = match difference {
                Difference::Digest => ("the stored digest is not that of the rows", kind.clone()),
                _ => (claim_difference(difference), format!("{stream_type}/{stream_id}")),
            };
            comparison.push(position, difference.as_str(), object, format!("{kind}: {what}"));
        }
        comparison.more += report.more;
        comparison
    }
}

fn claim_difference(difference: Difference) -> &'static str {
    match difference {
        Difference::Missing => "the log grants it, and no row says so",
        Difference::Foreign => "a row grants it, and the log does not",
        Difference::Changed => "the row has another holder or another time than the log",
        Difference::Digest => "a digest is not that of the rows",
        Difference::GrantedTwice => "the log grants it to two at once",
    }
}

pub(super) async fn compare(
    pool: &PgPool,
    keys: &Keys,
    origin: &str,
    sound: bool,
) -> Result<Comparison, ClaimsError> {
    let error = match replay(pool, keys, origin).await {
        Ok(report) => return Ok(report.into()),
        Err(ClaimsError::Database(error)) => return altered("claims", error).map_err(Into::into),
        Err(error @ (ClaimsError::Log(DatabaseError::Sqlx(_)) | ClaimsError::Keys(_))) => {
            return Err(error);
        }
        Err(error) => error,
    };
    let mut comparison = Comparison::none("claims", error.to_string());
    let position = match &error {
        ClaimsError::Damaged { position, .. }
        | ClaimsError::Unopened { position }
        | ClaimsError::DataKey { position, .. } => Some(*position),
        _ => None,
    };
    // Where the log is damaged, that is the finding, and this only follows from it.
    if sound {
        comparison.push(position, "unreadable", "the log", error.to_string());
    }
    Ok(comparison)
}
