//! What can be told of a row by itself: statement against columns, payload, leaf hash, and whether its kind of
//! stream is sealed. Whether it belongs where it stands takes a signature or the tree.

use super::damage::Damage;
use super::{LogRow, signed};
use crate::jws;
use crate::merkle::Hash;
use crate::statement::{Digest, ENCRYPTION_NONE, Statement};
use crate::system;
use crate::verify::{FindingKind, with_source};

/// What the kinds of streams are, given by the caller, who knows what they mean.
#[derive(Clone, Debug, Default)]
pub struct LogPolicy {
    /// Types of streams whose payloads are always sealed.
    pub sealed: Vec<&'static str>,
    /// Types of streams whose payloads always stand in the clear, beside the log's own.
    pub clear: Vec<&'static str>,
    /// Types of streams that are not counted one by one, because each has a single event.
    pub uncounted: Vec<&'static str>,
    /// Types of streams that begin a subject of their own, under its id.
    pub subjects: Vec<&'static str>,
    /// The stream type and event type that say that the subject with the stream's id is erased.
    pub erasure: Option<(&'static str, &'static str)>,
}

impl LogPolicy {
    /// Whether streams of a type are sealed; `None` for a type that is not known.
    fn is_sealed(&self, stream_type: &str) -> Option<bool> {
        if self.sealed.contains(&stream_type) {
            return Some(true);
        }
        let clear = stream_type == system::STREAM_TYPE || self.clear.contains(&stream_type);
        clear.then_some(false)
    }

    /// The number of a type of streams that are counted.
    pub(super) fn counted(&self, stream_type: &str) -> Option<u8> {
        if self.uncounted.contains(&stream_type) {
            return None;
        }
        let own = std::iter::once(&system::STREAM_TYPE);
        let mut types = own.chain(&self.sealed).chain(&self.clear);
        types.position(|known| *known == stream_type).and_then(|at| u8::try_from(at).ok())
    }

    /// Whether a row of the log says that a subject is erased, as SQL; `subject` is SQL too.
    #[cfg(feature = "seal")]
    pub(super) fn says_erased(&self, subject: &str) -> String {
        let Some((stream_type, event_type)) = self.erasure else { return "false".to_owned() };
        let of_types = of_types(stream_type, event_type);
        format!("EXISTS (SELECT FROM events e WHERE {of_types} AND e.aggregate_id = {subject})")
    }

    /// Whether an event says that its stream's subject is erased.
    pub(super) fn is_erasure(&self, stream_type: &str, event_type: &str) -> bool {
        self.erasure == Some((stream_type, event_type))
    }
}

/// What is asked of the types of an event, as SQL. They are constants of the program; a quote in one is doubled all the same.
pub(super) fn of_types(stream_type: &'static str, event_type: &'static str) -> String {
    let text = |constant: &str| constant.replace('\'', "''");
    format!("aggregate_type = '{}' AND event_type = '{}'", text(stream_type), text(event_type))
}

/// A row that agrees with its own statement.
pub(super) struct Examined {
    pub(super) statement: Statement,
    pub(super) leaf: Hash,
    pub(super) signature: [u8; 64],
}

/// Which of a row a reader has fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    /// Everything.
    Whole,
    /// All but the payload.
    WithoutPayload,
}

/// Checks everything that a row tells by itself.
pub(super) fn examine(
    row: &LogRow,
    origin: &str,
    policy: &LogPolicy,
    fetched: Fetched,
) -> Result<Examined, Damage> {
    let damage = |kind, detail: String| Damage::new(row.position, kind, detail);
    let statement = Statement::parse(&row.statement)
        .map_err(|error| damage(FindingKind::Statement, with_source(&error)))?;
    if statement.origin != origin {
        let detail = format!("the statement belongs to the log {}", statement.origin);
        return Err(damage(FindingKind::Origin, detail));
    }
    if let Some((column, _)) = columns(row, &statement).into_iter().find(|(_, agrees)| !agrees) {
        let detail = format!("the column {column} says something else than the statement");
        return Err(damage(FindingKind::Column, detail));
    }
    let signature =
        row.signature.as_slice().try_into().map_err(|_| {
            damage(FindingKind::Signature, "the signature has not 64 bytes".to_owned())
        })?;
    let leaf = jws::leaf(&row.header, &row.statement, &signature);
    if row.leaf_hash != leaf.0 {
        let detail = "the entry is not the one whose leaf hash was kept".to_owned();
        return Err(damage(FindingKind::LeafHash, detail));
    }
    let said = &statement.payload;
    let sealed = said.encryption != ENCRYPTION_NONE;
    let should = policy.is_sealed(&statement.stream_type).unwrap_or(sealed);
    if sealed != statement.subject.is_some() || sealed != should {
        let detail = "a payload is sealed exactly if it is about somebody".to_owned();
        return Err(damage(FindingKind::Payload, detail));
    }
    if fetched == Fetched::Whole
        && (Digest::of(&row.payload) != said.sha256 || row.payload.len() as u64 != said.size)
    {
        let detail = "the payload is not the one that was signed".to_owned();
        return Err(damage(FindingKind::Payload, detail));
    }
    Ok(Examined { statement, leaf, signature })
}

/// Every column that repeats something of the statement, and whether it agrees.
pub(super) fn columns(row: &LogRow, statement: &Statement) -> [(&'static str, bool); 9] {
    [
        ("event_id", row.event_id == statement.event_id),
        ("aggregate_type", row.aggregate_type == statement.stream_type),
        ("aggregate_id", row.aggregate_id == statement.stream_id),
        ("sequence", row.sequence == signed(statement.sequence)),
        ("event_type", row.event_type == statement.event_type),
        ("event_version", row.event_version == statement.event_version),
        ("subject", row.subject == statement.subject),
        ("command_id", row.command_id == statement.command_id),
        ("recorded_at", row.recorded_at == Some(statement.recorded_at)),
    ]
}

#[cfg(test)]
mod tests {
    use super::LogPolicy;
    use crate::system;

    #[test]
    fn a_type_of_streams_is_sealed_or_clear_or_not_known() {
        let policy =
            LogPolicy { sealed: vec!["patient"], clear: vec!["custody"], ..LogPolicy::default() };
        for (stream_type, sealed) in [
            ("patient", Some(true)),
            ("custody", Some(false)),
            (system::STREAM_TYPE, Some(false)),
            ("other", None),
        ] {
            assert_eq!(policy.is_sealed(stream_type), sealed, "{stream_type}");
        }
    }
}
