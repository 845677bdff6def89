//! What the caller of a command holds in hand afterwards: made at the append, or again from the log.

use audit::jws;
use audit::merkle::verify_inclusion;
use audit::postgres::{DatabaseError, LogReader, inclusion};
use audit::statement::Statement;
use sqlx::{PgPool, Row};
use uuid::Uuid;

pub use audit::proof::{Receipt, ReceiptEvent};

use crate::error::CommandError;
use crate::failpoints::failpoint;
use crate::sequencer::{Appended, Recorded, unsigned};

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

/// The same receipt again, from the log and its stored tiles: of proved events alone, with proofs that hold.
pub(crate) async fn replay(
    pool: &PgPool,
    reader: &LogReader,
    command_id: Uuid,
    recorded: Recorded,
) -> Result<Receipt, CommandError> {
    failpoint!("replay.before");
    let mut connection = pool.acquire().await?;
    let (checkpoint, note) = reader.checkpoint_of(&mut connection, recorded.log_size).await?;
    let mut receipt = Receipt {
        command_id,
        stream_type: String::new(),
        stream_id: Uuid::nil(),
        version: 0,
        position: None,
        events: Vec::new(),
        checkpoint: note,
        replayed: true,
    };
    let end = recorded.first.saturating_add(recorded.count);
    let mut next = recorded.first;
    while next < end {
        let events = reader.verify_range(&mut connection, next, end).await?;
        let last = events.last().ok_or_else(|| damaged("a command's events are missing"))?;
        next = last.position() + 1;
        for event in &events {
            let (position, statement) = (event.position(), event.statement());
            if statement.command_id != command_id {
                return Err(damaged("a command claims events of another one"));
            }
            let proof = inclusion(&mut connection, position, checkpoint.size).await;
            let proof = proof.map_err(unreadable)?;
            verify_inclusion(&event.leaf(), position, checkpoint.size, &proof, &checkpoint.root)
                .map_err(|error| CommandError::Damaged(Box::new(error)))?;
            receipt.stream_type.clone_from(&statement.stream_type);
            receipt.stream_id = statement.stream_id;
            receipt.version = statement.sequence;
            receipt.position = Some(position);
            receipt.events.push(ReceiptEvent {
                position,
                event_id: statement.event_id,
                event_type: statement.event_type.clone(),
                jws: event.compact(),
                proof,
            });
        }
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
