//! What must hold after anything: dense positions and sequences, a sound log, claims that follow from it, and every
//! acknowledgement kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use audit::checkpoint::Checkpoint;
use audit::postgres::{DataKeys, LogReader, LogRow, PAGE, rows, verify_database};
use audit::seal::{EventIdentity, open_payload};
use audit::statement::Statement;
use audit::verify::{Options, Report, Trust};
use commands::{Keys, log_policy};
use domain::{
    Access, Account, Appointment, Claim, ClaimChange, Custody, Disclosure, Event, Location,
    ModelRegistry, Patient, Practitioner, Stream, WoundEpisode,
};
use jiff::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgPool, Row as _};
use uuid::Uuid;

use crate::journal::{Acknowledged, Journal};
use crate::task::ORIGIN;
use crate::work::Work;

/// The signals a process ends by.
pub(crate) mod signals {
    pub(crate) const ABORT: i32 = 6;
    pub(crate) const KILL: i32 = 9;
}

/// The address of a database, for another process.
pub(crate) fn url(options: &PgConnectOptions) -> String {
    options.to_url_lossy().to_string()
}

/// Positions from 0 and sequences from 1, without gaps; no command twice.
pub(crate) async fn assert_dense(pool: &PgPool) {
    let count = async |sql: &str| -> i64 {
        sqlx::query_scalar(sql).fetch_one(pool).await.expect("the log can be read")
    };
    let gaps = "SELECT coalesce(max(position) + 1, 0) - count(*) FROM events";
    assert_eq!(count(gaps).await, 0, "positions have gaps");
    let torn = "SELECT count(*) FROM (SELECT 1 FROM events GROUP BY aggregate_type, aggregate_id
                 HAVING count(*) <> max(sequence) OR min(sequence) <> 1) s";
    assert_eq!(count(torn).await, 0, "sequences have gaps");
    let twice = "SELECT count(*) FROM (SELECT command_id FROM events GROUP BY command_id
                  HAVING count(*) <> max(position) - min(position) + 1) c";
    assert_eq!(count(twice).await, 0, "a command's events are apart: it was done twice");
    let head = "SELECT (SELECT size FROM ledger_head) - count(*) FROM events";
    assert_eq!(count(head).await, 0, "the head is not the end");
}

/// What an auditor finds, who has seen these tree heads before.
pub(crate) async fn assert_sound(pool: &PgPool, keys: &Keys, pinned: Vec<Checkpoint>) -> Report {
    let trust = Trust::any_of(ORIGIN, keys.verifiers(ORIGIN).expect("verifier keys"));
    let reader = LogReader::new(ORIGIN, log_policy());
    let data_keys = DataKeys::new(pool.clone(), keys.key_wrap(), reader);
    let options = Options { pinned, ..Options::default() };
    let report = verify_database(pool, &trust, options, Some(&data_keys), |_| ()).await;
    let report = report.expect("the database can be read");
    assert!(report.is_sound(), "{:?}", report.findings);
    report
}

/// A claim on somebody's time: what, which, from, until, for which stream.
type Busy = (String, Uuid, Timestamp, Timestamp, Uuid);

/// The claims as a replay of the log leaves them.
#[derive(Default)]
struct Claims {
    unique: BTreeMap<(&'static str, String), Uuid>,
    busy: BTreeMap<Uuid, Vec<Busy>>,
    /// Who is busy when, by start, to see an overlap at once.
    times: HashMap<(String, Uuid), BTreeMap<Timestamp, Timestamp>>,
}

impl Claims {
    fn apply(&mut self, stream: Uuid, change: ClaimChange) {
        match change {
            ClaimChange::Take(Claim::Unique { kind, key }) => {
                let holder = *self.unique.entry((kind, key)).or_insert(stream);
                assert_eq!(holder, stream, "two streams hold one {kind}");
            }
            ClaimChange::ReleaseUnique { kind, key } => {
                assert_eq!(self.unique.remove(&(kind, key)), Some(stream), "{kind}");
            }
            ClaimChange::Take(Claim::Busy { resource, from, until }) => {
                let kind = resource.kind.as_str().to_owned();
                let times = self.times.entry((kind.clone(), resource.id)).or_default();
                let overlaps = times.range(..until).next_back().is_some_and(|(_, end)| *end > from);
                assert!(!overlaps, "a {kind} is busy twice at a time");
                times.insert(from, until);
                self.busy.entry(stream).or_default().push((kind, resource.id, from, until, stream));
            }
            ClaimChange::ReleaseBusy => {
                for (kind, id, from, ..) in self.busy.remove(&stream).unwrap_or_default() {
                    self.times.entry((kind, id)).or_default().remove(&from);
                }
            }
        }
    }
}

fn changes(id: Uuid, event: &Event) -> Vec<ClaimChange> {
    match event {
        Event::Patient(event) => Patient::claims(id, event),
        Event::Appointment(event) => Appointment::claims(id, event),
        Event::Wound(event) => WoundEpisode::claims(id, event),
        Event::Account(event) => Account::claims(id, event),
        Event::Disclosure(event) => Disclosure::claims(id, event),
        Event::Custody(event) => Custody::claims(id, event),
        Event::Model(event) => ModelRegistry::claims(id, event),
        Event::Practitioner(event) => Practitioner::claims(id, event),
        Event::Location(event) => Location::claims(id, event),
        Event::Access(event) => Access::claims(id, event),
    }
}

async fn read(row: &LogRow, keys: &DataKeys) -> Event {
    let statement = Statement::parse(&row.statement).expect("a statement");
    let commitment = statement.payload.commitment.as_ref().expect("it is sealed");
    let key = keys.of(&statement).await.expect("the data key").expect("it is sealed");
    let identity = EventIdentity::of(&statement);
    let body = open_payload(&key.key, &identity, &row.payload, &commitment.0).expect("it opens");
    Event::from_stored(&row.aggregate_type, &row.event_type, &row.event_version, &body)
        .expect("an event")
}

/// The tables of claims hold what a replay of the log makes, and nothing else.
pub(crate) async fn assert_claims(pool: &PgPool, keys: &Keys) {
    let report =
        commands::claims::compare(pool, keys, ORIGIN).await.expect("the log can be replayed");
    assert!(report.is_sound(), "rows, buckets and seal: {:?}", report.findings);
    let reader = LogReader::new(ORIGIN, log_policy());
    let data_keys = DataKeys::new(pool.clone(), keys.key_wrap(), reader);
    let mut claims = Claims::default();
    let mut connection = pool.acquire().await.expect("a connection");
    let mut from = 1; // The genesis claims nothing.
    loop {
        let page = rows(&mut connection, from, u64::MAX).await.expect("the events");
        for row in &page {
            for change in changes(row.aggregate_id, &read(row, &data_keys).await) {
                claims.apply(row.aggregate_id, change);
            }
        }
        from += page.len() as u64;
        if (page.len() as i64) < PAGE {
            break;
        }
    }
    let mut expected: BTreeMap<(String, Uuid), i64> = BTreeMap::new();
    for ((kind, _), holder) in &claims.unique {
        *expected.entry(((*kind).to_owned(), *holder)).or_default() += 1;
    }
    // The keys themselves are hashed; how many of which kind a stream holds is not.
    let stored: Vec<(String, Uuid, i64)> =
        sqlx::query_as("SELECT kind, aggregate_id, count(*) FROM claims_unique GROUP BY 1, 2")
            .fetch_all(pool)
            .await
            .expect("the claims");
    let stored: BTreeMap<(String, Uuid), i64> =
        stored.into_iter().map(|(kind, holder, count)| ((kind, holder), count)).collect();
    assert_eq!(stored, expected, "what must be unique");
    let stored = sqlx::query(
        "SELECT resource_kind, resource_id, lower(during), upper(during), aggregate_id
           FROM claims_busy",
    )
    .fetch_all(pool)
    .await
    .expect("the claims");
    let time = |row: &sqlx::postgres::PgRow, column: usize| {
        row.get::<jiff_sqlx::Timestamp, _>(column).to_jiff()
    };
    let stored: BTreeSet<Busy> = stored
        .iter()
        .map(|row| (row.get(0), row.get(1), time(row, 2), time(row, 3), row.get(4)))
        .collect();
    let expected: BTreeSet<Busy> = claims.busy.into_values().flatten().collect();
    assert_eq!(stored, expected, "who is busy");
}

/// Every acknowledgement is kept, every command has one answer, and the log holds nothing nobody asked for.
/// Gives back the tree heads that were handed out.
pub(crate) async fn assert_kept(pool: &PgPool, journals: &[(Work, Journal)]) -> Vec<Checkpoint> {
    let rows = sqlx::query(
        "SELECT command_id, min(position), count(*), (array_agg(aggregate_id ORDER BY position DESC))[1],
                (array_agg(sequence ORDER BY position DESC))[1]
           FROM events WHERE position > 0 GROUP BY command_id",
    )
    .fetch_all(pool)
    .await
    .expect("the events");
    let logged: HashMap<Uuid, (i64, i64, Uuid, i64)> = rows
        .iter()
        .map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3), row.get(4))))
        .collect();
    let recorded: i64 = sqlx::query_scalar("SELECT count(*) FROM commands")
        .fetch_one(pool)
        .await
        .expect("the commands");
    let mut heads = BTreeMap::new();
    let mut acknowledged = 0;
    for (work, journal) in journals {
        assert!(journal.broken.is_empty(), "{:?}", journal.broken);
        for (n, answers) in &journal.acknowledged {
            acknowledged += 1;
            let Acknowledged { stream_id, version, first, count, .. } = &answers[0];
            let held = logged.get(&work.command_id(*n));
            let expected = (*first as i64, *count as i64, *stream_id, *version as i64);
            assert_eq!(held, Some(&expected), "command {n} of writer {}", work.writer);
            for answer in answers {
                assert_eq!(answer, &answers[0], "two answers to command {n}");
                let held = *heads.entry(answer.size).or_insert(answer.root);
                assert_eq!(held, answer.root, "two trees of {} leaves", answer.size);
            }
        }
        for n in journal.refused.keys() {
            let held = logged.contains_key(&work.command_id(*n));
            assert!(!held, "command {n} of writer {} was refused, and yet done", work.writer);
        }
        for n in &journal.begun {
            assert!(journal.is_answered(*n), "command {n} of writer {} has no answer", work.writer);
        }
    }
    assert_eq!(logged.len(), acknowledged, "the log holds what nobody was told of");
    assert_eq!(recorded, acknowledged as i64 + 1, "commands without events, or events without");
    heads
        .into_iter()
        .map(|(size, root)| Checkpoint { origin: ORIGIN.to_owned(), size, root })
        .collect()
}
