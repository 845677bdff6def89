//! `make bench`, second half: what it costs that a rebuild believes only proved events.
//!
//! The read path of a projector alone, from PostgreSQL to opened events, without MongoDB: once as it is, with every range
//! hashed into the tree and compared with a signed checkpoint; once without any of that, rows as they are stored, parsed and
//! opened. By turns, over the same log, with the same keys in memory. `--quick` does a little of it.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use audit::postgres::{DataKeys, LogReader};
use audit::seal::{EventIdentity, open_payload};
use audit::statement::Statement;
use commands::database::{self, Login};
use commands::{Actor, Clock, Context, Keys, Ledger, LedgerConfig, PurposeOfUse, log_policy};
use domain::account::Role;
use domain::{AccountId, Event, Patient};
use projections::event::EventLog;
use serde_json::json;
use sqlx::{Executor as _, PgPool};
use tokio::task::JoinSet;

/// The log's name.
const ORIGIN: &str = "bench.example/rebuild";
/// The log's database, made for this run and dropped after it.
const DATABASE: &str = "ledger_bench_rebuild";
/// Commands in flight while the log is made.
const IN_FLIGHT: usize = 64;
/// Events a projector takes at once.
const BATCH: u64 = 500;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The log, and what reads it.
struct Bench {
    pool: PgPool,
    keys: Keys,
    size: u64,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (patients, rounds) = if quick { (200, 1) } else { (5_000, 5) };
    let server = std::env::var("DATABASE_URL")?;
    let maintenance = PgPool::connect(&server).await?;
    maintenance
        .execute(format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)").as_str())
        .await?;
    maintenance.execute(format!("CREATE DATABASE {DATABASE}").as_str()).await?;
    let url = match server.rsplit_once('/') {
        Some((server, _)) => format!("{server}/{DATABASE}"),
        None => return Err("DATABASE_URL names no database".into()),
    };
    let bench = Bench::make(&url, patients).await?;
    let (mut verified, mut unverified) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        verified += bench.verified().await?;
        unverified += bench.unverified().await?;
    }
    bench.pool.close().await;
    maintenance.execute(format!("DROP DATABASE {DATABASE} WITH (FORCE)").as_str()).await?;
    let read = (bench.size * rounds) as f64;
    let (proved, plain) = (read / verified.as_secs_f64(), read / unverified.as_secs_f64());
    println!(
        "a rebuild reads {proved:.0} proved events a second, {plain:.0} unproved ({:.3}); {} events",
        proved / plain,
        bench.size
    );
    write(&[
        ("rebuild_verified_per_s", proved),
        ("rebuild_unverified_per_s", plain),
        ("rebuild_verified_vs_unverified", proved / plain),
    ])
}

impl Bench {
    /// A log of patients, each registered and edited once.
    async fn make(url: &str, patients: u64) -> Outcome<Bench> {
        database::migrate(url, None).await?;
        let login = database::trial(&url.parse()?, Login::Serve).await?;
        let (pool, keys) = (database::connect_with(login).await?, Keys::ephemeral());
        let config = LedgerConfig::new(ORIGIN);
        let ledger = Ledger::open(pool.clone(), keys.clone(), Clock::system(), config).await?;
        let mut tasks = JoinSet::new();
        for number in 0..patients {
            if tasks.len() >= IN_FLIGHT
                && let Some(done) = tasks.join_next().await
            {
                done??;
            }
            tasks.spawn(patient(ledger.clone(), number));
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        let size = ledger.size();
        ledger.close().await;
        Ok(Bench { pool, keys, size })
    }

    fn data_keys(&self) -> DataKeys {
        let reader = LogReader::new(ORIGIN, log_policy());
        DataKeys::new(self.pool.clone(), self.keys.key_wrap(), reader)
    }

    /// As a projector that begins at zero reads the log.
    async fn verified(&self) -> Outcome<Duration> {
        let reader = LogReader::new(ORIGIN, log_policy());
        let log = EventLog::new(self.pool.clone(), self.data_keys(), reader);
        let begun = Instant::now();
        let mut next = 0;
        while next < self.size {
            let batch = log.read(next..self.size.min(next + BATCH), &["patient"]).await?;
            next = batch.last().ok_or("the log ends too early")?.position + 1;
        }
        Ok(begun.elapsed())
    }

    /// The same rows, believed as they are.
    async fn unverified(&self) -> Outcome<Duration> {
        let keys = self.data_keys();
        let begun = Instant::now();
        let mut next = 0;
        while next < self.size {
            let mut connection = self.pool.acquire().await?;
            let rows = audit::postgres::rows(&mut connection, next, self.size).await?;
            drop(connection);
            for row in &rows {
                let statement = Statement::parse(&row.statement)?;
                let said = &statement.payload;
                if let (Some(key), Some(commitment)) = (keys.of(&statement).await?, said.commitment)
                {
                    let identity = EventIdentity::of(&statement);
                    let plain = open_payload(&key.key, &identity, &row.payload, &commitment.0)?;
                    let Statement { stream_type, event_type, event_version, .. } = &statement;
                    Event::from_stored(stream_type, event_type, event_version, &plain)?;
                }
            }
            next = rows.last().ok_or("the log ends too early")?.position + 1;
        }
        Ok(begun.elapsed())
    }
}

async fn patient(ledger: Ledger, number: u64) -> Outcome<()> {
    let id = ledger.new_id();
    let actor = Actor::user(AccountId::from_uuid(ledger.new_id()), [Role::FrontDesk]);
    let register = json!({ "register": {
        "name": { "family": format!("Bench-{number}"), "given": ["Anna"] },
        "gender": "female",
        "birth_date": "1950-02-28",
        "identifiers": [{ "system": "http://clinic.example/mrn", "value": number.to_string() }],
    }});
    let edit = json!({ "edit-contacts": {
        "contacts": [{ "system": "phone", "value": format!("+49 30 {number}") }],
        "addresses": [],
        "reason": "moved",
    }});
    for command in [register, edit] {
        let context = Context::new(actor.clone(), PurposeOfUse::ALL[0]);
        ledger.execute::<Patient>(id, serde_json::from_value(command)?, &context).await?;
    }
    Ok(())
}

/// Adds figures to the summary that the benchmark of the append path has written, or begins one.
fn write(figures: &[(&str, f64)]) -> Outcome<()> {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let path = std::path::Path::new(&target).join("bench/summary.json");
    let mut summary: BTreeMap<String, serde_json::Value> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => BTreeMap::new(),
    };
    for (name, value) in figures {
        summary.insert((*name).to_owned(), json!(value));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, serde_json::to_string_pretty(&summary)? + "\n")?;
    Ok(())
}
