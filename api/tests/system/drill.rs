//! The key-encryption key is replaced as docs/operations.md says, with the real binary, while patients are registered: no
//! command is refused, and every record is read after the old key is gone.
//!
//! `make drills` does it ten times in a row. As a test it is two.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::clinic::{PASSWORD, patient};
use crate::support::{Client, Clinic, Process, until};

/// How many rotations, unless `LEDGER_ROTATIONS` says otherwise.
const ROTATIONS: usize = 2;
/// How many register patients meanwhile.
const STAFF: usize = 3;
/// How long a rewrap may be refused because somebody has not taken notice.
const NOTICE: Duration = Duration::from_secs(60);

/// Registers patients until it is told to stop: the ids of those registered, and what was said where one was not.
async fn work(staff: Client, name: usize, stop: Arc<AtomicBool>) -> (Vec<String>, Vec<String>) {
    let (mut registered, mut refused) = (Vec::new(), Vec::new());
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let command = patient("Mustermann", "Erika", "1964-08-12", &format!("drill-{name}-{n}"));
        match staff.post_once("/v1/patients", &command).await {
            Some((201, body)) => registered.push(stream(&body)),
            other => refused.push(format!("{other:?}")),
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    (registered, refused)
}

fn stream(receipt: &Value) -> String {
    receipt["stream_id"].as_str().expect("the receipt names the patient").to_owned()
}

/// One rotation, to the letter.
async fn rotate(clinic: &Clinic) {
    let instance = &clinic.instance;
    instance.run(["keys", "add", "key-encryption"]).await.succeeded();
    let begin = Instant::now();
    loop {
        let ran = instance.run(["keys", "rewrap"]).await;
        if ran.status == 0 {
            assert!(ran.stdout.contains("done: the old key may be removed"), "{}", ran.stdout);
            break;
        }
        assert!(ran.stderr.contains("nothing was changed"), "{}{}", ran.stdout, ran.stderr);
        assert!(begin.elapsed() < NOTICE, "{}", ran.stderr);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let path = instance.path("keys").join("key-encryption.key");
    let text = std::fs::read_to_string(&path).expect("the key file");
    let newest = text.lines().next().expect("a line");
    std::fs::write(path, newest).expect("the old line is deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_as_documented_lose_no_record() {
    let mut clinic = Clinic::start().await;
    let rotations = std::env::var("LEDGER_ROTATIONS").ok();
    let rotations = rotations.map_or(ROTATIONS, |count| count.parse().expect("a number"));
    let stop = Arc::new(AtomicBool::new(false));
    let mut staff = JoinSet::new();
    for name in 0..STAFF {
        staff.spawn(work(clinic.staff.reconnected(), name, stop.clone()));
    }
    for _ in 0..rotations {
        rotate(&clinic).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut registered = Vec::new();
    for (done, refused) in staff.join_all().await {
        assert!(refused.is_empty(), "{refused:?}");
        registered.extend(done);
    }
    assert!(registered.len() > 10 * rotations, "{} registrations", registered.len());
    let epoch = clinic.instance.count("SELECT epoch FROM keyring.key_encryption").await;
    assert_eq!(usize::try_from(epoch).ok(), Some(rotations));
    let keks = "SELECT count(DISTINCT kek_id) FROM keyring.data_keys WHERE wrapped IS NOT NULL";
    assert_eq!(clinic.instance.count(keks).await, 1, "one key wraps all of them");

    // Nothing is in memory any more, and of the keys only the last is in the file.
    clinic.server.kill();
    clinic.worker.kill();
    clinic.server = Process::serve(&clinic.instance, clinic.port);
    clinic.worker = Process::worker(&clinic.instance);
    let anonymous = Client::anonymous(clinic.port);
    until("the server is ready again", Duration::from_secs(180), || anonymous.ready()).await;
    clinic.staff = Client::log_in(clinic.port, "staff", PASSWORD).await;
    clinic.caught_up().await;
    for id in &registered {
        let read = clinic.staff.get(&format!("/v1/patients/{id}")).await.done();
        assert!(read.body.to_string().contains("Mustermann"), "{}", read.body);
    }
    clinic.register("Mustermann", "Max", "drill-after").await;
    clinic.instance.run(["audit", "verify"]).await.succeeded();
    clinic.instance.assert_sound().await;
}
