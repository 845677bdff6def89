//! What the caller of a command holds in hand afterwards: made at the append, or again from the log.

use audit::jws;
use audit::postgres::{DatabaseError, inclusion};
use audit::statement::Statement;
use sqlx::{PgPool, Row};
use uuid::Uuid;

pub use audit::proof::{Receipt, ReceiptEvent};

use crate::error::CommandError;
use crate::failpoints::failpoint;
use crate::sequencer::{Appended, Recorded, signed, unsigned};

/// The receipt of a command just appended.
pub(crate) fn of(command_id: Uuid, appended: Appended) -> Receipt {
    let Appended { append, checkpoint } = appended;
    let (stream_type, stream_id, version) = append.events.last().map_or_else(
        || (String::new(), Uuid::nil(), 0),
        |last| (last.stream_type.to_owned(), last.stream_id, last.sequence),
    );
    let events: Vec<ReceiptEvent> = append
        .events
        .into_iter()
        .zip(append.proofs)
        .zip(append.first..)
        .map(|((event, proof), position)| ReceiptEvent {
            position,
            event_id: event.event_id,
            event_type: event.event_type,
            jws: event.jws,
            proof,
        })
        .collect();
    Receipt {
        command_id,
        stream_type,
        stream_id,
        version,
        position: events.last().map(|event| event.position),
        events,
        checkpoint: checkpoint.to_string(),
        replayed: false,
    }
}

/// What the log remembers of a command.
pub(crate) async fn recorded(
    pool: &PgPool,
    command_id: Uuid,
) -> Result<Option<Recorded>, CommandError> {
    failpoint!("repeated.before");
    let row = sqlx::query(
        "SELECT request_mac, first_position, event_count, log_size FROM commands WHERE command_id = $1",
    )
    .bind(command_id)
    .fetch_optional(pool)
    .await?;
    failpoint!("repeated.after");
    let Some(row) = row else { return Ok(None) };
    let mac: &[u8] = row.try_get(0)?;
    let count: i32 = row.try_get(2)?;
    Ok(Some(Recorded {
        request_mac: mac.try_into().map_err(|_| damaged("a request MAC is malformed"))?,
        first: unsigned(row.try_get(1)?),
        count: unsigned(i64::from(count)),
        log_size: unsigned(row.try_get(3)?),
    }))
}

/// The same receipt again, from the log and its stored tiles.
pub(crate) async fn replay(
    pool: &PgPool,
    command_id: Uuid,
    recorded: Recorded,
) -> Result<Receipt, CommandError> {
    failpoint!("replay.before");
    let mut connection = pool.acquire().await?;
    let checkpoint: Vec<u8> = sqlx::query("SELECT note FROM checkpoints WHERE size = $1")
        .bind(signed(recorded.log_size))
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    let checkpoint =
        String::from_utf8(checkpoint).map_err(|_| damaged("a checkpoint is not text"))?;
    let rows = sqlx::query(
        "SELECT position, event_id, event_type, aggregate_type, aggregate_id, sequence,
                header, statement, signature
           FROM events WHERE position >= $1 AND position < $2 ORDER BY position",
    )
    .bind(signed(recorded.first))
    .bind(signed(recorded.first + recorded.count))
    .fetch_all(&mut *connection)
    .await?;
    let mut receipt = Receipt {
        command_id,
        stream_type: String::new(),
        stream_id: Uuid::nil(),
        version: 0,
        position: None,
        events: Vec::with_capacity(rows.len()),
        checkpoint,
        replayed: true,
    };
    for row in &rows {
        let position = unsigned(row.try_get(0)?);
        let signature: &[u8] = row.try_get(8)?;
        let signature = signature.try_into().map_err(|_| damaged("a signature is not 64 bytes"))?;
        receipt.stream_type = row.try_get(3)?;
        receipt.stream_id = row.try_get(4)?;
        receipt.version = unsigned(row.try_get(5)?);
        receipt.position = Some(position);
        receipt.events.push(ReceiptEvent {
            position,
            event_id: row.try_get(1)?,
            event_type: row.try_get(2)?,
            jws: jws::compact(row.try_get(6)?, row.try_get(7)?, signature),
            proof: inclusion(&mut connection, position, recorded.log_size)
                .await
                .map_err(unreadable)?,
        });
    }
    failpoint!("replay.after");
    Ok(receipt)
}

/// Who did what a receipt is for, as it was signed.
pub(crate) fn actor(receipt: &Receipt) -> Option<Uuid> {
    let first = receipt.events.first()?;
    let parts = jws::parse_compact(&first.jws).ok()?;
    Some(Statement::parse(&parts.statement).ok()?.actor.id)
}

fn damaged(what: &'static str) -> CommandError {
    CommandError::Damaged(what.into())
}

fn unreadable(error: DatabaseError) -> CommandError {
    match error {
        DatabaseError::Sqlx(error) => error.into(),
        other => CommandError::Damaged(Box::new(other)),
    }
}
