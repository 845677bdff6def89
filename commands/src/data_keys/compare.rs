//! How the table of data keys differs from what the signed log tells of keys.

use std::collections::{HashMap, HashSet};

use audit::postgres::{DataKeyError, LogReader, ReadError, StoredKey, column};
use audit::seal::SubjectKind;
use domain::ERASURE;
use serde::Serialize;
use sqlx::{Executor as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::keys::Keys;
use crate::streams::log_policy;

/// How many findings are reported one by one; the others are counted.
const FINDINGS_MAX: usize = 1_000;

/// How a data key differs from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyDifference {
    /// The log holds sealed events of a subject, and there is no row of its key.
    Missing,
    /// The row is empty, and the log does not erase the subject.
    Emptied,
    /// The log erases the subject, and its key is there.
    NotDestroyed,
    /// The row has another key than the signed statements name.
    OtherKey,
    /// The row says another kind of subject than the log.
    OtherKind,
    /// The wrap is not bound to its subject: it is of version 1, and has not been proved otherwise.
    Unbound,
    /// The wrap does not open for this subject.
    Unopened,
    /// The row has a wrap and the time at which it was destroyed, or neither.
    Contradictory,
    /// A row of a subject of which the log holds nothing that is sealed, or a second one of a subject.
    Foreign,
    /// The log itself names two keys for one subject.
    NamedTwice,
}

impl KeyDifference {
    /// As in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyDifference::Missing => "missing",
            KeyDifference::Emptied => "emptied",
            KeyDifference::NotDestroyed => "not-destroyed",
            KeyDifference::OtherKey => "other-key",
            KeyDifference::OtherKind => "other-kind",
            KeyDifference::Unbound => "unbound",
            KeyDifference::Unopened => "unopened",
            KeyDifference::Contradictory => "contradictory",
            KeyDifference::Foreign => "foreign",
            KeyDifference::NamedTwice => "named-twice",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct KeyFinding {
    /// The first sealed event of the subject; none of a foreign row.
    pub position: Option<u64>,
    /// What differs.
    pub difference: KeyDifference,
    /// Whose key it is.
    pub subject: Uuid,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeysReport {
    /// The size of the log, as of which it was compared.
    pub size: u64,
    /// How many subjects the log has.
    pub subjects: u64,
    /// What differs, by position; at most 1,000.
    pub findings: Vec<KeyFinding>,
    /// How many more there are.
    pub more: u64,
}

impl KeysReport {
    /// Whether each subject of the log has its key, each erased subject has none, and there is no other.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }

    /// Logs and counts each finding. Positions and ids name no person.
    pub fn log(&self) {
        for KeyFinding { position, difference, subject } in &self.findings {
            let what = difference.as_str();
            metrics::counter!("ledger_data_keys_damaged_total", "kind" => what).increment(1);
            tracing::error!(
                position,
                difference = what,
                subject.id = %subject,
                "a data key is not as the log tells it"
            );
        }
        if self.more > 0 {
            tracing::error!(more = self.more, "and more data keys are not as the log tells them");
        }
    }

    fn push(&mut self, position: Option<u64>, difference: KeyDifference, subject: Uuid) {
        if self.findings.len() >= FINDINGS_MAX {
            self.more += 1;
            return;
        }
        self.findings.push(KeyFinding { position, difference, subject });
    }
}

/// What the log says of a subject.
struct SubjectInLog {
    first: u64,
    key_id: Uuid,
    kind: SubjectKind,
    is_named_twice: bool,
}

/// What the log says of all of them.
#[derive(Default)]
struct Log {
    subjects: HashMap<Uuid, SubjectInLog>,
    erased: HashSet<Uuid>,
}

impl Log {
    async fn read(
        reader: &LogReader,
        connection: &mut PgConnection,
        size: u64,
    ) -> Result<Log, ReadError> {
        let mut log = Log::default();
        let mut next = 0;
        while next < size {
            let events = reader.verify_range(connection, next, size).await?;
            let Some(last) = events.last() else { break };
            next = last.position() + 1;
            for event in &events {
                let statement = event.statement();
                if (statement.stream_type.as_str(), statement.event_type.as_str()) == ERASURE {
                    log.erased.insert(statement.stream_id);
                }
                let (Some(subject), Some(key_id)) = (statement.subject, statement.payload.key_id)
                else {
                    continue;
                };
                let told = log.subjects.entry(subject).or_insert_with(|| SubjectInLog {
                    first: event.position(),
                    key_id,
                    kind: SubjectKind::of_stream(&statement.stream_type),
                    is_named_twice: false,
                });
                told.is_named_twice |= told.key_id != key_id;
            }
        }
        Ok(log)
    }
}

/// Compares the data keys with the signed log, in one snapshot of the database. Changes nothing.
///
/// # Errors
/// When the database fails, or the log is not what its keys signed.
pub async fn compare(pool: &PgPool, keys: &Keys, origin: &str) -> Result<KeysReport, ReadError> {
    let reader = LogReader::new(origin, log_policy());
    let mut connection = pool.acquire().await?;
    let mut snapshot = sqlx::Connection::begin(&mut *connection).await?;
    snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let size = reader.head(&mut snapshot).await?.size;
    let log = Log::read(&reader, &mut snapshot, size).await?;
    let mut report = KeysReport { size, ..KeysReport::default() };
    compare_rows(&mut snapshot, &log, (keys, origin), &mut report).await?;
    snapshot.rollback().await?;
    Ok(report)
}

async fn compare_rows(
    connection: &mut PgConnection,
    log: &Log,
    (keys, origin): (&Keys, &str),
    report: &mut KeysReport,
) -> Result<(), ReadError> {
    use KeyDifference::{
        Contradictory, Emptied, Foreign, Missing, NamedTwice, NotDestroyed, OtherKey, OtherKind,
        Unbound, Unopened,
    };
    let mut met: HashSet<Uuid> = HashSet::with_capacity(log.subjects.len());
    let all = format!(
        "DECLARE all_keys CURSOR FOR SELECT {}, k.destroyed_at IS NULL FROM keyring.data_keys k",
        StoredKey::COLUMNS
    );
    connection.execute(all.as_str()).await?;
    loop {
        let page = sqlx::query("FETCH 1000 FROM all_keys").persistent(false);
        let rows = page.fetch_all(&mut *connection).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            let stored = StoredKey::read(row);
            let subject = stored.subject.unwrap_or_else(Uuid::max);
            let Some(told) = log.subjects.get(&subject).filter(|_| met.insert(subject)) else {
                report.push(None, Foreign, subject);
                continue;
            };
            let first = Some(told.first);
            let is_there = stored.wrapped().is_some();
            if is_there != column(row, 6).unwrap_or(true) {
                report.push(first, Contradictory, subject);
            }
            let is_in_its_place = if stored.key_id != Some(told.key_id) {
                report.push(first, OtherKey, subject);
                false
            } else if stored.kind() != Some(told.kind) {
                report.push(first, OtherKind, subject);
                false
            } else {
                true
            };
            match (is_there, log.erased.contains(&subject)) {
                (false, true) => {}
                (false, false) => report.push(first, Emptied, subject),
                (true, true) => report.push(first, NotDestroyed, subject),
                (true, false) if !is_in_its_place => {}
                (true, false) => match stored.open(keys, origin) {
                    Ok(_) => {}
                    Err(DataKeyError::Unbound { .. }) => report.push(first, Unbound, subject),
                    Err(_) => report.push(first, Unopened, subject),
                },
            }
        }
    }
    report.subjects = log.subjects.len() as u64;
    let mut subjects: Vec<(&Uuid, &SubjectInLog)> = log.subjects.iter().collect();
    subjects.sort_by_key(|(_, told)| told.first);
    for (subject, told) in subjects {
        if told.is_named_twice {
            report.push(Some(told.first), NamedTwice, *subject);
        }
        if !met.contains(subject) {
            report.push(Some(told.first), Missing, *subject);
        }
    }
    report.findings.sort();
    Ok(())
}
