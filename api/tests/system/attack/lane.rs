//! A copy of the scene that nobody else works on: databases, kept checkpoint, servers. It is made anew for each attack, so
//! nothing of one attack is left for the next, and whoever starts on it starts cold.

use std::process::Command;
use std::time::{Duration, Instant};

use commands::database::Login;
use mongodb::Database;
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};

use super::scene::{Scene, serve};
use super::stock;
use crate::support::instance::{execute, with_database};
use crate::support::{Client, Process, free_port};

/// How long a server may take to answer at all.
const START: Duration = Duration::from_secs(60);

pub(crate) struct Lane<'a> {
    pub(crate) scene: &'a Scene,
    name: String,
    pub(crate) mongodb: Database,
    fresh: bool,
}

/// A server of a lane; nobody, if it refused to start.
pub(crate) struct Server {
    process: Option<Process>,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn refused(&self) -> bool {
        self.process.is_none()
    }
}

impl<'a> Lane<'a> {
    pub(crate) async fn new(scene: &'a Scene, number: usize) -> Lane<'a> {
        let name = format!("{}_{number}", scene.instance.name());
        let mongodb = stock::database(&scene.instance.mongodb_uri, &name).await;
        Lane { scene, name, mongodb, fresh: false }
    }

    fn url(&self, url: &str) -> String {
        with_database(url, &self.name)
    }

    /// Puts everything back to what it is in the scene.
    pub(crate) async fn reset(&mut self) {
        let instance = &self.scene.instance;
        let template = instance.name();
        let name = &self.name;
        let mut owner = PgConnection::connect(&instance.maintenance).await.expect("Postgres");
        for sql in [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{template}'"
            ),
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
            // The rights on a database are not copied with it.
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
            format!(
                "GRANT CONNECT ON DATABASE {name} TO ledger_serve, ledger_worker, ledger_auditor"
            ),
        ] {
            let mut tries = 0;
            // Another lane may be copying from the template at the moment.
            while let Err(error) = owner.execute(sql.as_str()).await {
                tries += 1;
                assert!(tries < 100, "{sql}: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        owner.close().await.expect("Postgres answers");
        let folder = instance.path(&format!("checkpoints-{name}"));
        let _absent = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        for (file, bytes) in &self.scene.checkpoints {
            std::fs::write(folder.join(file), bytes).expect("a checkpoint is kept");
        }
        self.restock().await;
        self.fresh = true;
    }

    /// Puts MongoDB and Redis back.
    pub(crate) async fn restock(&self) {
        stock::put_documents(&self.mongodb, &self.scene.documents).await;
        let url = &self.scene.instance.redis_url;
        stock::put_cached(url, &self.name, &self.scene.cached).await;
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.name
    }

    /// The binary, with the settings of this copy.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let instance = &self.scene.instance;
        let mut command = instance.command(arguments);
        let folder = instance.path(&format!("checkpoints-{}", self.name));
        command
            .env("LEDGER_OWNER_DATABASE_URL", self.url(&instance.url))
            .env("DATABASE_URL", self.url(instance.login(Login::Serve)))
            .env("LEDGER_WORKER_DATABASE_URL", self.url(instance.login(Login::Worker)))
            .env("LEDGER_AUDITOR_DATABASE_URL", self.url(instance.login(Login::Auditor)))
            .env("MONGODB_DATABASE", &self.name)
            .env("REDIS_PREFIX", &self.name)
            .env("LEDGER_CHECKPOINTS", folder)
            // The watch looks at all of the log again and again.
            .env("LEDGER_REREAD_SECONDS", "1")
            // What is asked twice is recorded twice, so that it can be compared.
            .env("LEDGER_LOOKS_ALIKE_SECONDS", "0");
        command
    }

    /// A server, once it answers or has refused to start.
    pub(crate) async fn serve(&self) -> Server {
        let command = self.command(&["serve"]);
        let (mut process, port) = serve(&self.scene.instance, command, &self.name);
        let client = Client::anonymous(port);
        let begin = Instant::now();
        loop {
            if client.get_live().await {
                return Server { process: Some(process), port };
            }
            if !process.is_running() {
                return Server { process: None, port };
            }
            assert!(begin.elapsed() < START, "the server neither answers nor ends");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A worker, and where it tells what it has counted.
    pub(crate) fn work(&self) -> Server {
        let port = free_port();
        let mut command = self.command(&["worker"]);
        command.env("LEDGER_METRICS_LISTEN", format!("127.0.0.1:{port}")).env("RUST_LOG", "warn");
        let log = format!("{}-worker", self.name);
        let process = Process::spawn(&self.scene.instance, command, &log);
        Server { process: Some(process), port }
    }

    /// Every right there is.
    pub(crate) async fn pool(&self) -> PgPool {
        let url = self.url(&self.scene.instance.url);
        let pool = PgPoolOptions::new().max_connections(2).connect(&url).await;
        pool.expect("a pool")
    }

    pub(crate) async fn login(&self, login: Login) -> PgConnection {
        let url = self.url(self.scene.instance.login(login));
        PgConnection::connect(&url).await.expect("the login connects")
    }

    /// What `ledger audit verify` says: its exit status, and all that it printed.
    pub(crate) async fn verify(&self) -> (i32, Value) {
        let command = self.command(&["--json", "audit", "verify"]);
        let ran = self.scene.instance.finish(command).await;
        let read = serde_json::from_str(ran.stdout.trim());
        (ran.status, read.unwrap_or_else(|_| Value::String(ran.stderr + &ran.stdout)))
    }

    /// Of the process's counters, those of damage, together.
    pub(crate) async fn counted(&self, port: u16) -> String {
        let text = Client::anonymous(port).figures().await;
        let told = ["damaged", "differs", "stray", "foreign", "forged"];
        let lines = text.lines().filter(|line| {
            !line.starts_with('#')
                && !line.ends_with(" 0")
                && told.iter().any(|word| line.contains(word))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Leaves nothing behind.
    pub(crate) async fn remove(self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        execute(&self.scene.instance.maintenance, &drop).await;
        let _gone = self.mongodb.drop().await;
        stock::put_cached(&self.scene.instance.redis_url, &self.name, &[]).await;
    }
}
