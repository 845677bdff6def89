//! Servers whose clocks are wrong, beside one whose clock is right and that is busy: no command of the right one is
//! refused, and the wrong ones say what is wrong with them. The clocks are those of the real binary, turned by
//! libfaketime.
//!
//! `make clock` does it in full: a quarter of an hour, a day and a year, ahead and behind. As a test it is a quarter of
//! an hour.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::clinic::{PASSWORD, patient};
use crate::support::{Client, Clinic, Process, free_port, until};

/// How wrong the clocks are, as libfaketime takes it, unless `LEDGER_CLOCKS` says otherwise; and the least seconds that
/// are.
const CLOCKS: &str = "+15m -15m";
/// How long the wrong server is asked, each time.
const SECONDS: u64 = 4;
/// How many work at the right server.
const STAFF: usize = 4;

/// libfaketime for programs of several threads. `scripts/test.sh` installs it.
fn library() -> PathBuf {
    let triples = std::fs::read_dir("/usr/lib").expect("a folder of libraries");
    let found = triples
        .filter_map(Result::ok)
        .map(|triple| triple.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file());
    found.expect("these tests need libfaketime (Debian: faketime): run `make test`")
}

/// A server whose clock is wrong by this much.
fn wrong(clinic: &Clinic, by: &str, port: u16) -> Process {
    let library = library();
    let library = library.to_str().expect("UTF-8");
    let settings = [
        ("LD_PRELOAD", library),
        ("FAKETIME", by),
        // Only the time of day is wrong. The clock that timers go by cannot be set on any machine.
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    Process::serve_with(&clinic.instance, port, &settings)
}

/// Registers patients at the right server until it is told to stop; whatever is not done is counted, with what was
/// said.
async fn work(
    staff: Client,
    name: usize,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut refused = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let command = patient("Mustermann", "Erika", "1964-08-12", &format!("{name}-{n}"));
        match staff.post_once("/v1/patients", &command).await {
            Some((201, _)) => {
                done.fetch_add(1, Ordering::Relaxed);
            }
            other => refused.push(format!("{other:?}")),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_wrong_clock_stops_nobody() {
    let clinic = Clinic::start().await;
    let clocks = std::env::var("LEDGER_CLOCKS").unwrap_or_else(|_| CLOCKS.to_owned());
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut staff = JoinSet::new();
    for name in 0..STAFF {
        staff.spawn(work(clinic.staff.reconnected(), name, stop.clone(), done.clone()));
    }
    for by in clocks.split_whitespace() {
        let code = if by.starts_with('-') { "clock-behind" } else { "clock-ahead" };
        let port = free_port();
        let mut server = wrong(&clinic, by, port);
        let anonymous = Client::anonymous(port);
        until("the server with the wrong clock answers", Duration::from_secs(60), || async {
            anonymous.get_once("/health/live").await.is_some()
        })
        .await;
        let (status, said) = anonymous.get_once("/health/ready").await.expect("an answer");
        assert_eq!(status, 503, "{by}: {said}");
        assert_eq!(said["checks"]["clock"], code, "{by}: {said}");
        assert_eq!((&said["commands"], &said["reads"]), (&json!(code), &json!(code)), "{by}");
        // By a token of its own, whose times are as wrong.
        let credentials = json!({ "login": "staff", "password": PASSWORD });
        let (status, session) =
            anonymous.post_once("/v1/sessions", &credentials).await.expect("an answer");
        assert_eq!(status, 200, "{by}: {session}");
        let stray = anonymous.with_token(session["access_token"].as_str().expect("a token"));
        let (before, asked) = (done.load(Ordering::Relaxed), std::time::Instant::now());
        let mut refusals = 0;
        while asked.elapsed() < Duration::from_secs(SECONDS) {
            let command = patient("Falsch", "Zeit", "1964-08-12", &format!("{by}-{refusals}"));
            let (status, said) =
                stray.post_once("/v1/patients", &command).await.expect("an answer");
            assert_eq!((status, &said["code"]), (503, &json!(code)), "{by}: {said}");
            let detail = said["detail"].as_str().expect("text");
            assert!(detail.contains("nothing was done") && detail.contains("clock"), "{detail}");
            refusals += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(refusals > 10, "{by}: {refusals}");
        assert!(done.load(Ordering::Relaxed) > before + 10, "{by}: the right server was not busy");
        assert!(clinic.staff.ready().await, "{by}: the right server is ready");
        server.kill();
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(refused) = staff.join_next().await {
        let refused = refused.expect("the work ends");
        assert!(refused.is_empty(), "{} refused, such as {}", refused.len(), refused[0]);
    }
    let late = "SELECT count(*) FROM events WHERE recorded_at > now() + interval '10 seconds'
                                               OR recorded_at < now() - interval '1 hour'";
    assert_eq!(clinic.instance.count(late).await, 0, "no event has a wrong time");
    clinic.instance.assert_sound().await;
}
