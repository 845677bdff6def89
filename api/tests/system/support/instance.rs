//! A ledger of one's own: a Postgres database, a Mongo database, a Redis prefix, keys and captures in a
//! temporary folder. Everything is removed at the end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use audit::note::NoteVerifier;
use audit::postgres::{DataKeys, LogReader, verify_database};
use audit::verify::{Options, Report, Trust};
use commands::database::{self, Login};
use commands::{Actor, Clock, Context, Keys, Ledger, LedgerConfig, PurposeOfUse, log_policy};
use domain::{Practitioner, PractitionerCommand};
use projections::event::EventLog;
use projections::tags::Tags;
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use sqlx::{ConnectOptions as _, PgPool};
use tempfile::TempDir;
use uuid::Uuid;

use super::stores;

pub(crate) const ORIGIN: &str = "ledger.example.org/system-test";

pub(crate) struct Instance {
    folder: TempDir,
    name: String,
    pub(crate) maintenance: String,
    /// The owner's, as `ledger migrate` has it.
    pub(crate) url: String,
    /// Those of the product, in the order of [`Login::ALL`].
    logins: Vec<String>,
    pub(crate) mongodb_uri: String,
    pub(crate) redis_url: String,
    /// Every row and every right: the product's logins may not even read what these tests look at.
    pub(crate) pool: PgPool,
    pub(crate) keys: Keys,
}

/// How a command of the binary ended.
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The one JSON object that `--json` prints.
    pub(crate) fn json(&self) -> Value {
        let read = serde_json::from_str(self.stdout.trim());
        read.unwrap_or_else(|_| panic!("no JSON: {} {}", self.stdout, self.stderr))
    }

    pub(crate) fn succeeded(self) -> Ran {
        assert_eq!(self.status, 0, "{} {}", self.stdout, self.stderr);
        self
    }
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("these tests need {name}: run `make test`"))
}

/// The same server, another database.
pub(crate) fn with_database(url: &str, name: &str) -> String {
    let mut url = reqwest::Url::parse(url).expect("DATABASE_URL is a URL");
    url.set_path(name);
    url.into()
}

impl Instance {
    /// Databases and keys, and nothing in them but the tables.
    pub(crate) async fn new() -> Instance {
        let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let maintenance = setting("DATABASE_URL");
        let name = format!("system_test_{}", Uuid::now_v7().simple());
        execute(&maintenance, &format!("CREATE DATABASE {name}")).await;
        let url = with_database(&maintenance, &name);
        database::migrate(&url, None).await.expect("the tables are made");
        let owner = url.parse().expect("a Postgres URL");
        let mut logins = Vec::new();
        for login in Login::ALL {
            let login = database::trial(&owner, login).await.expect("the rights are given");
            logins.push(login.to_url_lossy().to_string());
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keys = Keys::generate(folder.path().join("keys")).expect("new keys");
        std::fs::create_dir(folder.path().join("logs")).expect("a folder for logs");
        let pool = PgPoolOptions::new().max_connections(4).connect(&url).await.expect("a pool");
        let (mongodb_uri, redis_url) = (setting("MONGODB_URI"), setting("REDIS_URL"));
        Instance { folder, name, maintenance, url, logins, mongodb_uri, redis_url, pool, keys }
    }

    /// The name of the Mongo database, and what begins every key in Redis.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of what the processes say.
    pub(crate) fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// The last line a process has said.
    pub(crate) fn last_words(&self, process: &str) -> String {
        let log = std::fs::read_to_string(self.logs().join(format!("{process}.log")));
        let last = log.unwrap_or_default().lines().last().unwrap_or("nothing").to_owned();
        last.chars().take(500).collect()
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.path("blobs")
    }

    /// The files of captures. The weights of models, which lie beside them, are about nobody.
    pub(crate) fn captures(&self) -> Vec<PathBuf> {
        let weights = self.blobs().join("models");
        below(&self.blobs()).into_iter().filter(|file| !file.starts_with(&weights)).collect()
    }

    /// The URL of one of the product's logins.
    pub(crate) fn login(&self, login: Login) -> &str {
        &self.logins[login as usize]
    }

    /// Opens the log in this process.
    pub(crate) async fn ledger(&self) -> Ledger {
        let pool = database::connect(self.login(Login::Serve)).await.expect("the server's pool");
        let config = LedgerConfig::new(ORIGIN);
        Ledger::open(pool, self.keys.clone(), Clock::system(), config).await.expect("the log opens")
    }

    /// Has practitioners in the directory, with whom is booked, through a process of its own.
    pub(crate) async fn list(&self, practitioners: impl IntoIterator<Item = Uuid>) {
        let ledger = self.ledger().await;
        list(&ledger, practitioners).await;
        ledger.close().await;
    }

    /// The binary, with this instance's settings and no others.
    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        // `make drain` has the optimised one.
        let given = std::env::var_os("LEDGER_BINARY");
        let binary = given.unwrap_or_else(|| env!("CARGO_BIN_EXE_ledger").into());
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let is_setting = ["LEDGER_", "OTEL_"].iter().any(|of| text.starts_with(of));
            if is_setting || text == "RUST_LOG" {
                command.env_remove(&name);
            }
        }
        command
            .args(arguments)
            .env("LEDGER_OWNER_DATABASE_URL", &self.url)
            .env("DATABASE_URL", self.login(Login::Serve))
            .env("LEDGER_WORKER_DATABASE_URL", self.login(Login::Worker))
            .env("LEDGER_AUDITOR_DATABASE_URL", self.login(Login::Auditor))
            .env("MONGODB_URI", &self.mongodb_uri)
            .env("MONGODB_DATABASE", &self.name)
            .env("REDIS_URL", &self.redis_url)
            .env("REDIS_PREFIX", &self.name)
            .env("LEDGER_ORIGIN", ORIGIN)
            .env("LEDGER_KEYS_DIR", self.path("keys"))
            .env("LEDGER_BLOBS", self.blobs())
            // As `make run` and the image set it.
            .env("MIMALLOC_PURGE_DELAY", "100")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub(crate) async fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        self.finish(self.command(arguments)).await
    }

    pub(crate) async fn finish(&self, mut command: Command) -> Ran {
        let ended = tokio::task::spawn_blocking(move || command.output().expect("the binary runs"));
        let output = ended.await.expect("waiting for the binary");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ran {
            status: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("a count")
    }

    pub(crate) async fn events(&self) -> i64 {
        self.count("SELECT count(*) FROM events").await
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::any_of(ORIGIN, self.keys.verifiers(ORIGIN).expect("verifier keys"))
    }

    pub(crate) fn verifier_key(&self) -> String {
        self.verifiers()[0].to_string()
    }

    pub(crate) fn verifiers(&self) -> Vec<NoteVerifier> {
        self.trust().keys().to_vec()
    }

    pub(crate) fn data_keys(&self) -> DataKeys {
        let reader = LogReader::new(ORIGIN, log_policy());
        DataKeys::new(self.pool.clone(), self.keys.key_wrap(), reader)
    }

    /// What authenticates the read models.
    pub(crate) fn tags(&self) -> Tags {
        Tags::new(self.keys.mac_key("read-model/v1"), ORIGIN)
    }

    /// The log, for readers.
    pub(crate) fn log(&self) -> EventLog {
        self.log_of(&self.pool)
    }

    /// The log in a copy of the database, for readers.
    pub(crate) fn log_of(&self, pool: &PgPool) -> EventLog {
        let reader = LogReader::new(ORIGIN, log_policy());
        let keys = DataKeys::new(pool.clone(), self.keys.key_wrap(), reader.clone());
        EventLog::new(pool.clone(), keys, reader)
    }

    /// What an auditor finds.
    pub(crate) async fn audit(&self) -> Report {
        let keys = self.data_keys();
        verify_database(&self.pool, &self.trust(), Options::default(), Some(&keys), |_| ())
            .await
            .expect("the database can be read")
    }

    pub(crate) async fn assert_sound(&self) -> Report {
        let report = self.audit().await;
        assert!(report.is_sound(), "{:?}", report.findings);
        report
    }
}

/// Registers practitioners.
pub(crate) async fn list(ledger: &Ledger, practitioners: impl IntoIterator<Item = Uuid>) {
    for id in practitioners {
        let context = Context::new(Actor::importer(), PurposeOfUse::Hoperat);
        let who = serde_json::json!({ "register": { "name": { "family": "Behandler" } } });
        let who: PractitionerCommand = serde_json::from_value(who).expect("a command");
        let done = ledger.execute::<Practitioner>(id, who, &context).await;
        done.expect("the practitioner is registered");
    }
}

pub(crate) async fn execute(url: &str, sql: &str) {
    let pool =
        PgPoolOptions::new().max_connections(1).connect(url).await.expect("Postgres answers");
    // A template that another test is copying from at the moment refuses: try again.
    let mut tries = 0;
    while let Err(error) = sqlx::query(sql).execute(&pool).await {
        tries += 1;
        assert!(tries < 50, "{error}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    pool.close().await;
}

impl Drop for Instance {
    /// Also after a failed test, so that a test server does not fill up.
    fn drop(&mut self) {
        let (name, maintenance) = (self.name.clone(), self.maintenance.clone());
        let (mongodb, redis) = (self.mongodb_uri.clone(), self.redis_url.clone());
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                execute(&maintenance, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                    .await;
                stores::drop_database(&mongodb, &name).await;
                stores::flush(&redis, &name).await;
            });
        });
        // A second panic would hide the first.
        let _ended = cleaner.join();
    }
}

/// Every file below a folder, in order.
pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}
