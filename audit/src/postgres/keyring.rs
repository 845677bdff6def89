//! The keys of a stored log, from the log's own events.

use sqlx::{PgConnection, Row as _};

use super::{DatabaseError, unsigned};
use crate::jws;
use crate::keyring::Keyring;
use crate::statement::{Digest, Statement};
use crate::system;

/// The keyring as of some version of the log's own stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKeyring {
    /// Which key counts at which position.
    pub keyring: Keyring,
    /// How many events of the log's own it was made of.
    pub version: u64,
}

/// Reads the log's own events; each must be signed by a key that is active at its position. `None`
/// before the genesis.
pub async fn keyring(
    connection: &mut PgConnection,
    origin: &str,
) -> Result<Option<StoredKeyring>, DatabaseError> {
    let rows = sqlx::query(
        "SELECT coalesce(position, -1), coalesce(header, ''), coalesce(statement, ''), coalesce(signature, ''), coalesce(payload, '')
           FROM events
          WHERE aggregate_type = $1 AND aggregate_id = $2 ORDER BY sequence",
    )
    .bind(system::STREAM_TYPE)
    .bind(system::stream_id(origin))
    .fetch_all(connection)
    .await?;
    let malformed = |what| DatabaseError::Malformed { what };
    let mut stored: Option<StoredKeyring> = None;
    let mut before = None;
    for (row, sequence) in rows.iter().zip(1..) {
        let position = unsigned(row.try_get(0)?);
        // The genesis is the first event of the log, and the others follow it in their order.
        if before.map_or(position != 0, |before| position <= before) {
            return Err(malformed("order of the log's own events"));
        }
        before = Some(position);
        let (header, bytes): (&[u8], &[u8]) = (row.try_get(1)?, row.try_get(2)?);
        let signature: &[u8] = row.try_get(3)?;
        let payload: &[u8] = row.try_get(4)?;
        let signature = signature.try_into().map_err(|_| malformed("signature"))?;
        let statement = Statement::parse(bytes).map_err(|_| malformed("statement"))?;
        if statement.origin != origin
            || statement.stream_type != system::STREAM_TYPE
            || statement.stream_id != system::stream_id(origin)
            || statement.sequence != sequence
        {
            return Err(malformed("row of an event of the log's own"));
        }
        if Digest::of(payload) != statement.payload.sha256 {
            return Err(malformed("payload of an event of the log's own"));
        }
        let kid = jws::kid(header)?;
        match &mut stored {
            None => {
                let keyring = Keyring::genesis(&statement, payload)?;
                keyring.active(kid, position)?.verify(header, bytes, &signature)?;
                stored = Some(StoredKeyring { keyring, version: statement.sequence });
            }
            Some(stored) => {
                stored.keyring.active(kid, position)?.verify(header, bytes, &signature)?;
                stored.keyring.apply(position, &statement, payload)?;
                stored.version = statement.sequence;
            }
        }
    }
    Ok(stored)
}
