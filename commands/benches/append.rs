//! The append path beside its peers, in one run on one machine: `make bench`.
//!
//! Each round measures every contender in turn, so that a machine that drifts drifts for all of them; the
//! figures are medians over the rounds. What is compared:
//!
//! * **ledger**: `Ledger::execute` on patients, 64 in flight: sealed, signed, sequenced, Merkle-proved;
//! * **postgres-es**: the stock framework with the same aggregate and the same commands, 64 in flight;
//! * **single-row inserts**: rows of the width of ours from 64 connections, nothing read, nothing signed;
//! * **batched inserts**: 64 rows of that width a transaction, one connection: the limit of group commit.
//!
//! Postgres runs with `fsync` and `synchronous_commit` on, which is checked and printed.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use commands::{Actor, Clock, Context, Keys, Ledger, LedgerConfig, PurposeOfUse, database};
use domain::account::Role;
use domain::patient::{EditContacts, Patient, PatientCommand, RegisterPatient};
use domain::value::{ContactParts, ContactPoint, ContactSystem, HumanNameParts, Identifier, Line};
use domain::value::{IdentifierParts, SystemUri};
use domain::{AccountId, Now};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Commands in flight.
const IN_FLIGHT: usize = 64;

/// Commands a contender does in one measurement, and how often all are measured.
struct Effort {
    commands: usize,
    rounds: usize,
    paced: Duration,
}

/// One contender's measurements.
#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    latencies_ms: Vec<f64>,
}

impl Figures {
    fn take(&mut self, rate: f64, latencies_ms: Vec<f64>) {
        self.rates.push(rate);
        self.latencies_ms.extend(latencies_ms);
    }

    fn rate(&self) -> f64 {
        quantile(self.rates.clone(), 0.5)
    }

    fn latency_ms(&self, quantile_wanted: f64) -> f64 {
        quantile(self.latencies_ms.clone(), quantile_wanted)
    }
}

fn quantile(mut values: Vec<f64>, wanted: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = ((last as f64) * wanted).round() as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}

fn main() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let effort = if quick {
        Effort { commands: 512, rounds: 1, paced: Duration::from_secs(1) }
    } else {
        Effort { commands: 12_800, rounds: 5, paced: Duration::from_secs(10) }
    };
    let url = std::env::var("DATABASE_URL").context("set DATABASE_URL, or run `make bench`")?;
    let stores = Stores::make(&url).await?;
    let mut ledger = Figures::default();
    let mut stock = Figures::default();
    let mut single = Figures::default();
    let mut batched = Figures::default();
    for round in 1..=effort.rounds {
        println!("round {round} of {}", effort.rounds);
        measure(&mut ledger, effort.commands, |clients| stores.ledger_clients(clients)).await?;
        measure(&mut stock, effort.commands, |clients| stores.stock_clients(clients)).await?;
        let row = stores.row_like_ours().await?;
        measure(&mut single, effort.commands, |clients| stores.single_clients(clients, &row))
            .await?;
        let (rate, latencies) = stores.batches(effort.commands, &row).await?;
        batched.take(rate, latencies);
    }
    let paced = stores.paced(1_000, effort.paced).await?;
    let (events, sound) = stores.verify().await?;
    ensure!(sound, "the log does not verify");
    report(&[&ledger, &stock, &single, &batched], &paced, events, &stores)
}

/// What a client does, again and again.
type Client =
    Box<dyn FnMut() -> std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>> + Send>;

/// Runs 64 clients until together they have done `commands`.
async fn measure<F, W>(figures: &mut Figures, commands: usize, clients: F) -> anyhow::Result<()>
where
    F: FnOnce(usize) -> W,
    W: Future<Output = anyhow::Result<Vec<Client>>>,
{
    let clients = clients(IN_FLIGHT).await?;
    let left = Arc::new(AtomicU64::new(commands as u64));
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let left = Arc::clone(&left);
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok()
            {
                let asked = Instant::now();
                client().await?;
                latencies.push(asked.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::with_capacity(commands);
    while let Some(done) = tasks.join_next().await {
        latencies.extend(done??);
    }
    figures.take(commands as f64 / begin.elapsed().as_secs_f64(), latencies);
    Ok(())
}

/// The databases of the contenders, on one server.
struct Stores {
    ledger: Ledger,
    log: PgPool,
    stock: PgPool,
    bare: PgPool,
    settings: String,
}

/// The bytes of one of our rows.
struct Row {
    header: Vec<u8>,
    statement: Vec<u8>,
    payload: Vec<u8>,
}

impl Stores {
    async fn make(url: &str) -> anyhow::Result<Stores> {
        let admin = PgPool::connect(url).await?;
        let setting = |name: &'static str| {
            let admin = admin.clone();
            async move {
                sqlx::query_scalar::<_, String>("SELECT current_setting($1)")
                    .bind(name)
                    .fetch_one(&admin)
                    .await
            }
        };
        let (fsync, synchronous) = (setting("fsync").await?, setting("synchronous_commit").await?);
        ensure!(fsync == "on" && synchronous == "on", "fsync and synchronous_commit must be on");
        let settings = format!(
            "PostgreSQL {}, fsync={fsync}, synchronous_commit={synchronous}",
            setting("server_version").await?
        );
        let mut urls = Vec::new();
        for name in ["log", "stock", "bare"] {
            let database = format!("bench_{name}_{}", std::process::id());
            admin.execute(format!("CREATE DATABASE {database}").as_str()).await?;
            let (front, query) = url.split_once('?').map_or((url, None), |(a, b)| (a, Some(b)));
            let front = front.rsplit_once('/').map_or(front, |(front, _)| front);
            let query = query.map_or_else(String::new, |query| format!("?{query}"));
            urls.push(format!("{front}/{database}{query}"));
        }
        let wide = || PgPoolOptions::new().max_connections(IN_FLIGHT as u32);
        database::migrate(&urls[0]).await?;
        let log = database::connect(&urls[0]).await?;
        let config = LedgerConfig::new("bench.example/ledger");
        let ledger = Ledger::open(log.clone(), Keys::ephemeral(), Clock::system(), config).await?;
        let stock = wide().connect(&urls[1]).await?;
        stock.execute(STOCK_TABLE).await?;
        database::migrate(&urls[2]).await?;
        let bare = wide().connect(&urls[2]).await?;
        bare.execute("CREATE SEQUENCE bare_position MINVALUE 0 CACHE 1").await?;
        Ok(Stores { ledger, log, stock, bare, settings })
    }

    async fn ledger_clients(&self, count: usize) -> anyhow::Result<Vec<Client>> {
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..count {
            let (ledger, id) = (self.ledger.clone(), self.ledger.new_id());
            let context = context();
            ledger.execute::<Patient>(id, register(id)?, &context).await?;
            let mut turn = 0;
            clients.push(Box::new(move || {
                turn += 1;
                let (ledger, command) = (ledger.clone(), edit(turn));
                Box::pin(async move {
                    ledger.execute::<Patient>(id, command?, &crate::context()).await?;
                    Ok(())
                })
            }));
        }
        Ok(clients)
    }

    async fn stock_clients(&self, count: usize) -> anyhow::Result<Vec<Client>> {
        let now = Now(jiff::Timestamp::now());
        let framework =
            Arc::new(postgres_es::postgres_cqrs::<Patient>(self.stock.clone(), vec![], now));
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..count {
            let (framework, id) = (Arc::clone(&framework), Uuid::now_v7());
            let failed = |error| anyhow::anyhow!("postgres-es: {error}");
            framework.execute(&id.to_string(), register(id)?).await.map_err(failed)?;
            let mut turn = 0;
            clients.push(Box::new(move || {
                turn += 1;
                let (framework, command) = (Arc::clone(&framework), edit(turn));
                Box::pin(async move {
                    framework.execute(&id.to_string(), command?).await.map_err(failed)?;
                    Ok(())
                })
            }));
        }
        Ok(clients)
    }

    /// The last row that the ledger appended.
    async fn row_like_ours(&self) -> anyhow::Result<Row> {
        let query = "SELECT header, statement, payload FROM events ORDER BY position DESC LIMIT 1";
        let (header, statement, payload) = sqlx::query_as(query).fetch_one(&self.log).await?;
        Ok(Row { header, statement, payload })
    }

    async fn single_clients(&self, count: usize, row: &Row) -> anyhow::Result<Vec<Client>> {
        let mut clients: Vec<Client> = Vec::new();
        let row = Arc::new(Row {
            header: row.header.clone(),
            statement: row.statement.clone(),
            payload: row.payload.clone(),
        });
        for _ in 0..count {
            let (pool, row) = (self.bare.clone(), Arc::clone(&row));
            clients.push(Box::new(move || {
                let (pool, row) = (pool.clone(), Arc::clone(&row));
                Box::pin(async move { insert(&pool, &row, 1).await })
            }));
        }
        Ok(clients)
    }

    /// Batches of 64 rows, one after the other: rows a second, and how long each batch took.
    async fn batches(&self, rows: usize, row: &Row) -> anyhow::Result<(f64, Vec<f64>)> {
        let mut latencies = Vec::new();
        let begin = Instant::now();
        for _ in 0..rows.div_ceil(IN_FLIGHT) {
            let asked = Instant::now();
            insert(&self.bare, row, IN_FLIGHT).await?;
            latencies.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        Ok((rows as f64 / begin.elapsed().as_secs_f64(), latencies))
    }

    /// Commands at a steady rate for a while: how long each took, in milliseconds.
    async fn paced(&self, per_second: u32, lasting: Duration) -> anyhow::Result<Vec<f64>> {
        let mut clients = self.ledger_clients(256).await?;
        let mut tasks = JoinSet::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second);
        let begin = Instant::now();
        let mut latencies = Vec::new();
        while begin.elapsed() < lasting {
            tick.tick().await;
            let mut client = match clients.pop() {
                Some(client) => client,
                None => {
                    let (client, latency) =
                        tasks.join_next().await.context("no client left")???;
                    latencies.push(latency);
                    client
                }
            };
            let asked = Instant::now();
            tasks.spawn(async move {
                client().await?;
                anyhow::Ok((client, asked.elapsed().as_secs_f64() * 1e3))
            });
        }
        while let Some(done) = tasks.join_next().await {
            latencies.push(done??.1);
        }
        Ok(latencies)
    }

    async fn verify(&self) -> anyhow::Result<(u64, bool)> {
        let trust = audit::verify::Trust::parse(&self.ledger.verifier_key())?;
        let options = audit::verify::Options::default();
        let report =
            audit::postgres::verify_database(&self.log, &trust, options, None, |_| {}).await?;
        Ok((report.events, report.is_sound()))
    }
}

/// As postgres-es asks for it.
const STOCK_TABLE: &str = "CREATE TABLE events (
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    sequence bigint CHECK (sequence >= 0) NOT NULL,
    event_type text NOT NULL,
    event_version text NOT NULL,
    payload json NOT NULL,
    metadata json NOT NULL,
    timestamp timestamptz DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence))";

async fn insert(pool: &PgPool, row: &Row, count: usize) -> anyhow::Result<()> {
    let ids: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
    sqlx::query(
        "INSERT INTO events SELECT nextval('bare_position'), id, 'patient', id, 1, 'PatientContactsEdited',
             '1', id, id, now(), $2, $3, decode(repeat('ab', 64), 'hex'), $4, decode(repeat('cd', 32), 'hex')
         FROM UNNEST($1::uuid[]) AS id",
    )
    .bind(&ids)
    .bind(&row.header)
    .bind(&row.statement)
    .bind(&row.payload)
    .execute(pool)
    .await?;
    Ok(())
}

fn context() -> Context {
    let clerk = AccountId::from_uuid(Uuid::from_u128(7));
    Context::new(Actor::user(clerk, [Role::FrontDesk]), PurposeOfUse::Treat)
}

fn register(id: Uuid) -> anyhow::Result<PatientCommand> {
    let identifier = IdentifierParts {
        system: SystemUri::new("urn:example:bench")?,
        value: Line::new(&id.to_string())?,
        identifier_use: None,
        kind: None,
        issuer: None,
    };
    let name = HumanNameParts {
        family: Some(Line::new("Benchmark")?),
        given: vec![Line::new("Patient")?],
        ..HumanNameParts::default()
    };
    Ok(PatientCommand::Register(RegisterPatient {
        name: Some(name.try_into()?),
        identifiers: vec![Identifier::try_from(identifier)?],
        ..RegisterPatient::default()
    }))
}

/// Every other edit gives another number, so that none is without effect.
fn edit(turn: u64) -> anyhow::Result<PatientCommand> {
    let contact = ContactParts {
        system: ContactSystem::Phone,
        value: Line::new(&format!("+1 555 {:07}", turn % 10_000_000))?,
        contact_use: None,
    };
    Ok(PatientCommand::EditContacts(EditContacts {
        contacts: vec![ContactPoint::try_from(contact)?],
        addresses: Vec::new(),
        reason: Line::new("a new telephone number")?,
    }))
}

fn report(
    [ledger, stock, single, batched]: &[&Figures; 4],
    paced: &[f64],
    events: u64,
    stores: &Stores,
) -> anyhow::Result<()> {
    let at = |wanted| quantile(paced.to_vec(), wanted);
    let mut summary: BTreeMap<&str, f64> = BTreeMap::new();
    let ours = ledger.rate();
    for (name, figure) in [
        ("commands_per_s", ours),
        ("postgres_es_commands_per_s", stock.rate()),
        ("raw_single_row_per_s", single.rate()),
        ("raw_batch_rows_per_s", batched.rate()),
        ("commands_vs_postgres_es", ours / stock.rate()),
        ("commands_vs_raw_single_row", ours / single.rate()),
        ("commands_vs_raw_batch", ours / batched.rate()),
        ("ack_p50_ms_at_64", ledger.latency_ms(0.5)),
        ("ack_p99_ms_at_64", ledger.latency_ms(0.99)),
        ("postgres_es_p50_ms_at_64", stock.latency_ms(0.5)),
        ("postgres_es_p99_ms_at_64", stock.latency_ms(0.99)),
        ("raw_single_row_p50_ms_at_64", single.latency_ms(0.5)),
        ("raw_single_row_p99_ms_at_64", single.latency_ms(0.99)),
        ("ack_p50_ms_at_1000", at(0.5)),
        ("ack_p99_ms_at_1000", at(0.99)),
        ("events_verified", events as f64),
    ] {
        summary.insert(name, (figure * 1_000.0).round() / 1_000.0);
    }
    println!("\n{}, {IN_FLIGHT} in flight", stores.settings);
    println!("{:<28}{:>12}{:>12}{:>12}{:>10}", "", "per second", "p50 ms", "p99 ms", "ledger ×");
    for (name, figures) in [
        ("ledger (sealed, proved)", ledger),
        ("stock postgres-es", stock),
        ("single-row inserts", single),
        ("batched inserts, 64 rows", batched),
    ] {
        println!(
            "{name:<28}{:>12.0}{:>12.2}{:>12.2}{:>10.2}",
            figures.rate(),
            figures.latency_ms(0.5),
            figures.latency_ms(0.99),
            ours / figures.rate(),
        );
    }
    println!("at 1,000 commands a second: p50 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.99));
    println!("the log verifies: {events} events");
    let folder = std::env::var("CARGO_TARGET_DIR")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../target").to_owned());
    let file = std::path::Path::new(&folder).join("bench");
    std::fs::create_dir_all(&file)?;
    let file = file.join("summary.json");
    std::fs::write(&file, serde_json::to_string_pretty(&summary)? + "\n")?;
    println!("written to {}", file.display());
    Ok(())
}
