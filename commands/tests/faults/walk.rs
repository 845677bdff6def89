//! Every failpoint, one by one, with every fault: afterwards the log is sound, and every command is answered once and alike.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use commands::Keys;
use commands::database::{self, Login};
use commands::failpoints::{Fault, POINTS};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::Mutex;

use crate::evidence::{self, signals};
use crate::journal::Journal;
use crate::scenario::{Answer, World, command_id};

/// Failpoints are the process's: one walk at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

struct Clinic {
    pool: PgPool,
    owner: PgPool,
    /// The server's login, for other processes.
    url: String,
    keys: Keys,
}

impl Clinic {
    async fn new(options: PgConnectOptions, keys: Keys) -> Clinic {
        let login = database::trial(&options, Login::Serve).await.expect("the rights are given");
        let url = evidence::url(&login);
        let pool = database::connect_with(login).await.expect("a pool");
        let owner = PgPoolOptions::new().max_connections(4).connect_with(options);
        Clinic { pool, owner: owner.await.expect("the owner connects"), url, keys }
    }

    /// Every command of the round is in the log once and as answered, nothing refused is.
    async fn assert_answered(&self, round: u64, point: &str, answers: &[Answer]) {
        for (answer, n) in answers.iter().take(answers.len() - 1).zip(0..) {
            let rows: Vec<i64> =
                sqlx::query_scalar("SELECT position FROM events WHERE command_id = $1 ORDER BY 1")
                    .bind(command_id(round, n))
                    .fetch_all(&self.owner)
                    .await
                    .expect("the positions");
            let expected: Vec<i64> = match answer {
                Answer::Done(done) => (done.first as i64..).take(done.count as usize).collect(),
                Answer::Refused(_) => Vec::new(),
            };
            assert_eq!(rows, expected, "{point}: command {n}");
        }
        assert_eq!(answers.first(), answers.last(), "{point}: the first command again");
        evidence::assert_dense(&self.owner).await;
    }

    /// Nothing is ever taken back, so what one of the rounds did wrong shows at the end, with its position.
    async fn assert_sound(&self) {
        evidence::assert_sound(&self.owner, &self.keys, Vec::new()).await;
        evidence::assert_claims(&self.owner, &self.keys).await;
    }
}

async fn walk(options: PgConnectOptions, points: &[&str], fault: Fault) {
    let _alone = ALONE.lock().await;
    let clinic = Clinic::new(options, Keys::ephemeral()).await;
    let mut world = World::open(clinic.pool.clone(), clinic.keys.clone()).await;
    for (point, round) in points.iter().zip(0..) {
        let answers = world.round(round, point, Some(fault)).await;
        let again = world.round(round, point, None).await;
        assert_eq!(answers, again, "{point}");
        clinic.assert_answered(round, point, &answers).await;
    }
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_failure_at_any_failpoint(_: PgPoolOptions, options: PgConnectOptions) {
    walk(options, POINTS, Fault::Error).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_panic_at_any_failpoint(_: PgPoolOptions, options: PgConnectOptions) {
    walk(options, POINTS, Fault::Panic).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_wait_beyond_the_limit_at_any_failpoint_of_the_sequencer(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    // Only a transaction has this limit.
    let first = POINTS.iter().position(|point| *point == "connect.before").expect("it is there");
    walk(options, &POINTS[first..], Fault::Delay(Duration::from_millis(450))).await;
}

/// The process dies at the failpoint; another one is asked for the same and brings the day to its end.
#[sqlx::test(migrations = "../migrations")]
async fn a_death_at_any_failpoint(_: PgPoolOptions, options: PgConnectOptions) {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let keys = Keys::generate(folder.path().join("keys")).expect("new keys");
    let clinic = Clinic::new(options, keys).await;
    let mut world = World::open(clinic.pool.clone(), clinic.keys.clone()).await;
    for (point, round) in POINTS.iter().zip(0_u64..) {
        let path = folder.path().join(format!("{round}.journal"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_fault-writer"))
            .env("LEDGER_FAULT_URL", &clinic.url)
            .env("LEDGER_FAULT_KEYS", folder.path().join("keys"))
            .env("LEDGER_FAULT_JOURNAL", &path)
            .env("LEDGER_FAULT_POINT", point)
            .env("LEDGER_FAULT_ROUND", round.to_string())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the writer starts");
        let ended = tokio::task::spawn_blocking(move || {
            let line = child.stdin.take();
            let ended = child.wait();
            drop(line);
            ended
        });
        let ended = ended.await.expect("somebody waits").expect("the writer ends");
        assert_eq!(ended.signal(), Some(signals::ABORT), "{point}: {ended:?}");
        let told = Journal::read(&path);
        let answers = world.round(round, point, None).await;
        for (n, acknowledged) in &told.acknowledged {
            let now = &answers[*n as usize];
            for acknowledged in acknowledged {
                assert_eq!(now, &Answer::Done(acknowledged.clone()), "{point}: command {n}");
            }
        }
        clinic.assert_answered(round, point, &answers).await;
    }
    clinic.assert_sound().await;
}
