//! What the caller of a command holds in hand afterwards: made at the append, or again from the log.

use audit::merkle::verify_inclusion;
use audit::postgres::{DatabaseError, LogReader, inclusion};
use audit::statement::Statement;
use sqlx::PgPool;
use uuid::Uuid;

pub use audit::proof::{Receipt, ReceiptEvent};

use crate::error::CommandError;
use crate::failpoints::failpoint;
use crate::log::{Appended, CommandKey, Recorded, signed, unsigned};

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

/// The same receipt again, from the log and its stored tiles: of proved events alone, with proofs that hold.
pub(crate) async fn replay(
    pool: &PgPool,
    reader: &LogReader,
    key: CommandKey,
    recorded: Recorded,
) -> Result<Receipt, CommandError> {
    failpoint!("replay.before");
    let mut connection = pool.acquire().await?;
    let (checkpoint, note) = reader.checkpoint_of(&mut connection, recorded.log_size).await?;
    let mut receipt = Receipt {
        command_id: key.id,
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
            if (statement.command_id, statement.actor.id) != (key.id, key.actor) {
                return Err(damaged("a command claims events of another one"));
            }
            let proof = inclusion(&mut connection, position, checkpoint.size).await;
            let proof = proof.map_err(proof_error)?;
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

/// The receipt of a command whose row is missing or is not believed: the log knows it, beginning at `first`.
pub(crate) async fn from_the_log(
    pool: &PgPool,
    reader: &LogReader,
    key: CommandKey,
    first: u64,
) -> Result<Receipt, CommandError> {
    let mut connection = pool.acquire().await?;
    let mut end = first;
    loop {
        let events = reader.verify_range(&mut connection, end, u64::MAX).await?;
        let is_own = |statement: &Statement| {
            (statement.command_id, statement.actor.id) == (key.id, key.actor)
        };
        let own = events.iter().take_while(|event| is_own(event.statement())).count();
        end += own as u64;
        if own < events.len() || events.is_empty() {
            break;
        }
    }
    if end == first {
        return Err(damaged("a command's events are not where they were seen"));
    }
    // One checkpoint per append: the first one that covers the command's events.
    let size: Option<i64> =
        sqlx::query_scalar("SELECT min(size) FROM checkpoints WHERE size >= $1")
            .bind(signed(end))
            .fetch_one(&mut *connection)
            .await?;
    drop(connection);
    let log_size = unsigned(size.ok_or_else(|| damaged("a command's checkpoint is missing"))?);
    let recorded = Recorded { request_mac: [0; 32], first, count: end - first, log_size };
    replay(pool, reader, key, recorded).await
}

fn damaged(what: &'static str) -> CommandError {
    CommandError::Damaged(what.into())
}

fn proof_error(error: DatabaseError) -> CommandError {
    match error {
        DatabaseError::Sqlx(error) => error.into(),
        other => CommandError::Damaged(Box::new(other)),
    }
}
