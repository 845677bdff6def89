//! The contenders and their databases, on one server.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use commands::database::{self, Login};
use commands::{Actor, Clock, Context, Keys, Ledger, LedgerConfig, Loaded, PurposeOfUse};
use domain::account::Role;
use domain::patient::{EditContacts, Patient, PatientCommand, RegisterPatient};
use domain::value::{ContactParts, ContactPoint, ContactSystem, HumanNameParts, Identifier, Line};
use domain::value::{IdentifierParts, SystemUri};
use domain::{AccountId, Now};
use jiff::SignedDuration;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool};
use uuid::Uuid;

use crate::measure::Client;

/// Rows of a batched insert, and commands in a batch of the append path that is compared with it.
pub(crate) const BATCH: usize = 64;

/// A log with the ledger that writes it.
pub(crate) struct Log {
    pub(crate) ledger: Ledger,
    pool: PgPool,
    keys: Keys,
}

impl Log {
    async fn make(url: &str) -> anyhow::Result<Log> {
        let (pool, keys) = (connect(url).await?, Keys::ephemeral());
        let ledger = open(&pool, &keys).await?;
        Ok(Log { ledger, pool, keys })
    }

    /// Opens the log once more, as a process of its own would.
    pub(crate) async fn open(&self) -> anyhow::Result<Ledger> {
        open(&self.pool, &self.keys).await
    }

    /// As [`Log::open`], and no state is kept.
    pub(crate) async fn open_without_snapshots(&self) -> anyhow::Result<Ledger> {
        let config = LedgerConfig { snapshot_every: u64::MAX, ..LedgerConfig::new(ORIGIN) };
        let (pool, keys) = (self.pool.clone(), self.keys.clone());
        Ok(Ledger::open(pool, keys, Clock::system(), config).await?)
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) async fn clients(&self, count: usize) -> anyhow::Result<Vec<Client>> {
        ledger_clients(&self.ledger, count).await
    }

    pub(crate) async fn verify(&self) -> anyhow::Result<(u64, bool)> {
        let trust = audit::verify::Trust::parse(&self.ledger.verifier_key())?;
        let options = audit::verify::Options::default();
        let report =
            audit::postgres::verify_database(&self.pool, &trust, options, None, |_| {}).await?;
        Ok((report.events, report.is_sound()))
    }
}

/// A migrated log, by the login of a server.
async fn connect(owner: &str) -> anyhow::Result<PgPool> {
    database::migrate(owner, None).await?;
    let login = database::trial(&owner.parse()?, Login::Serve).await?;
    Ok(database::connect_with(login).await?)
}

/// The databases of the contenders.
pub(crate) struct Stores {
    pub(crate) log: Log,
    /// A second log, which stays small.
    pub(crate) small: Log,
    pub(crate) emmett_url: String,
    /// A ledger whose batches are as large as the batched inserts it is compared with.
    sealed: Ledger,
    sealed_log: PgPool,
    stock: PgPool,
    bare: PgPool,
    pub(crate) settings: String,
}

/// The bytes of one of our rows.
pub(crate) struct Row {
    pub(crate) header: Vec<u8>,
    pub(crate) statement: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Stores {
    pub(crate) async fn make(url: &str) -> anyhow::Result<Stores> {
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
        for name in ["log", "stock", "bare", "sealed", "small", "emmett"] {
            let database = format!("bench_{name}_{}", std::process::id());
            admin.execute(format!("CREATE DATABASE {database}").as_str()).await?;
            let (front, query) = url.split_once('?').map_or((url, None), |(a, b)| (a, Some(b)));
            let front = front.rsplit_once('/').map_or(front, |(front, _)| front);
            let query = query.map_or_else(String::new, |query| format!("?{query}"));
            urls.push(format!("{front}/{database}{query}"));
        }
        let wide = || PgPoolOptions::new().max_connections(crate::IN_FLIGHT as u32);
        let log = Log::make(&urls[0]).await?;
        let small = Log::make(&urls[4]).await?;
        let config = LedgerConfig {
            batch_commands_max: BATCH,
            // What is sealed long before it is appended is not sealed again.
            clock_tolerance: SignedDuration::from_hours(1),
            ..LedgerConfig::new(ORIGIN)
        };
        let pool = connect(&urls[3]).await?;
        let sealed_log = pool.clone();
        let sealed = Ledger::open(pool, Keys::ephemeral(), Clock::system(), config).await?;
        let stock = wide().connect(&urls[1]).await?;
        stock.execute(STOCK_TABLE).await?;
        database::migrate(&urls[2], None).await?;
        let bare = wide().connect(&urls[2]).await?;
        bare.execute("CREATE SEQUENCE bare_position MINVALUE 0 CACHE 1").await?;
        let emmett_url = urls.pop().context("six databases")?;
        Ok(Stores { log, small, emmett_url, sealed, sealed_log, stock, bare, settings })
    }

    /// Has the server write out what it has in memory.
    pub(crate) async fn checkpoint(&self) -> anyhow::Result<()> {
        self.bare.execute("CHECKPOINT").await?;
        Ok(())
    }

    pub(crate) async fn stock_clients(&self, count: usize) -> anyhow::Result<Vec<Client>> {
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
    pub(crate) async fn row_like_ours(&self) -> anyhow::Result<Row> {
        let query = "SELECT header, statement, payload FROM events ORDER BY position DESC LIMIT 1";
        let (header, statement, payload) = sqlx::query_as(query).fetch_one(&self.log.pool).await?;
        Ok(Row { header, statement, payload })
    }

    pub(crate) async fn single_clients(
        &self,
        count: usize,
        row: &Row,
    ) -> anyhow::Result<Vec<Client>> {
        let mut clients: Vec<Client> = Vec::new();
        let row = Arc::new(Row {
            header: row.header.clone(),
            statement: row.statement.clone(),
            payload: row.payload.clone(),
        });
        for _ in 0..count {
            let (pool, row, id) = (self.bare.clone(), Arc::clone(&row), Uuid::now_v7());
            let mut turn = 0;
            clients.push(Box::new(move || {
                turn += 1;
                let (pool, row) = (pool.clone(), Arc::clone(&row));
                Box::pin(async move { insert(&pool, &row, &[id], turn).await })
            }));
        }
        Ok(clients)
    }

    /// Batches of 64 rows, one after the other, on as many streams as the append path has: rows a second,
    /// and how long each batch took.
    pub(crate) async fn batches(&self, rows: usize, row: &Row) -> anyhow::Result<(f64, Vec<f64>)> {
        let streams: Vec<Uuid> = (0..crate::SEALED_IN_FLIGHT).map(|_| Uuid::now_v7()).collect();
        let mut latencies = Vec::new();
        let begin = std::time::Instant::now();
        for batch in 0..rows.div_ceil(BATCH) {
            let turn = batch * BATCH / streams.len();
            let from = batch * BATCH % streams.len();
            let asked = std::time::Instant::now();
            insert(&self.bare, row, &streams[from..from + BATCH], turn as i64 + 1).await?;
            latencies.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        Ok((rows as f64 / begin.elapsed().as_secs_f64(), latencies))
    }

    /// Clients who append what was sealed before; `each` commands every one of them.
    pub(crate) async fn sealed_clients(
        &self,
        count: usize,
        each: usize,
    ) -> anyhow::Result<Vec<Client>> {
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..count {
            let (ledger, id) = (self.sealed.clone(), self.sealed.new_id());
            ledger.execute::<Patient>(id, register(id)?, &context()).await?;
            let mut loaded: Loaded<Patient> = ledger.load(id).await?.context("registered")?;
            let mut commands = Vec::with_capacity(each);
            for turn in 1..=each as u64 {
                let sealed = ledger.seal::<Patient>(id, edit(turn)?, loaded, &context()).await?;
                loaded = sealed.then.clone();
                commands.push(sealed);
            }
            commands.reverse();
            clients.push(Box::new(move || {
                let (ledger, sealed) = (ledger.clone(), commands.pop());
                Box::pin(async move {
                    ledger.append_sealed(sealed.context("no command is left")?).await?;
                    Ok(())
                })
            }));
        }
        Ok(clients)
    }

    /// How many events a batch of the append path had, on average.
    pub(crate) async fn batch_size(&self) -> anyhow::Result<f64> {
        let query =
            "SELECT (SELECT count(*) FROM events)::float8 / (SELECT count(*) FROM checkpoints)";
        Ok(sqlx::query_scalar(query).fetch_one(&self.sealed_log).await?)
    }
}

/// The origin of the ledgers measured.
pub(crate) const ORIGIN: &str = "bench.example/ledger";

async fn open(pool: &PgPool, keys: &Keys) -> anyhow::Result<Ledger> {
    let config = LedgerConfig::new(ORIGIN);
    Ok(Ledger::open(pool.clone(), keys.clone(), Clock::system(), config).await?)
}

/// Clients who edit a patient each.
pub(crate) async fn ledger_clients(ledger: &Ledger, count: usize) -> anyhow::Result<Vec<Client>> {
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..count {
        let (ledger, id) = (ledger.clone(), ledger.new_id());
        ledger.execute::<Patient>(id, register(id)?, &context()).await?;
        let mut turn = 0;
        clients.push(Box::new(move || {
            turn += 1;
            let (ledger, command) = (ledger.clone(), edit(turn));
            Box::pin(async move {
                ledger.execute::<Patient>(id, command?, &context()).await?;
                Ok(())
            })
        }));
    }
    Ok(clients)
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

/// Inserts rows like ours: the next event of each of these streams.
async fn insert(pool: &PgPool, row: &Row, streams: &[Uuid], sequence: i64) -> anyhow::Result<()> {
    // Every row is sent whole, as rows that differ have to be.
    let count = streams.len();
    let ids: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
    sqlx::query(
        "INSERT INTO events SELECT nextval('bare_position'), id, 'patient', stream, $3, 'PatientContactsEdited',
             '1', stream, id, now(), header, statement, signature, payload, leaf, tag
         FROM UNNEST($1::uuid[], $2::uuid[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[], $8::bytea[],
                     $9::bytea[])
              AS row(id, stream, header, statement, signature, payload, leaf, tag)",
    )
    .bind(&ids)
    .bind(streams)
    .bind(sequence)
    .bind(vec![row.header.as_slice(); count])
    .bind(vec![row.statement.as_slice(); count])
    .bind(vec![[0xab; 64].as_slice(); count])
    .bind(vec![row.payload.as_slice(); count])
    .bind(vec![[0xcd; 32].as_slice(); count])
    .bind(vec![[0xef; 32].as_slice(); count])
    .execute(pool)
    .await?;
    Ok(())
}

pub(crate) fn context() -> Context {
    let clerk = AccountId::from_uuid(Uuid::from_u128(7));
    Context::new(Actor::user(clerk, [Role::FrontDesk]), PurposeOfUse::Treat)
}

pub(crate) fn register(id: Uuid) -> anyhow::Result<PatientCommand> {
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
pub(crate) fn edit(turn: u64) -> anyhow::Result<PatientCommand> {
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
