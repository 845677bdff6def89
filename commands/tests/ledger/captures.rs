//! Captures: sealed with the patient's key, named by a scan, swept when nobody names them.

use audit::jws::parse_compact;
use audit::statement::Statement;
use commands::{BlobError, Blobs, Clock, Keys, Ledger, LedgerConfig};
use domain::{Custody, WoundEpisode};
use jiff::{SignedDuration, Timestamp};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::clinic::{Clinic, ORIGIN, context, erase, officer, open_wound, scan};

#[sqlx::test(migrations = "../migrations")]
async fn a_capture_is_kept_while_a_scan_names_it(_: PgPoolOptions, options: PgConnectOptions) {
    let now = Timestamp::now();
    let (clock, hands) = Clock::manual(now);
    let clinic = Clinic::open_with(options, Keys::ephemeral(), clock).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blobs = Blobs::new(folder.path().to_str().expect("a UTF-8 path")).expect("a store");
    let patient = clinic.register("A-1").await;
    let key = clinic.ledger.data_key(patient).await.expect("a key");
    let kept = blobs.put(&key, Uuid::now_v7(), b"a wound").await.expect("stored");
    let orphan = blobs
        .put(&key, Uuid::now_v7(), b"a capture whose command never came")
        .await
        .expect("stored");

    let wound = clinic.ledger.new_id();
    let execute = |command| {
        let (ledger, context) = (&clinic.ledger, context());
        async move { ledger.execute::<WoundEpisode>(wound, command, &context).await }
    };
    execute(open_wound(patient)).await.expect("opened");
    let receipt = execute(scan(&kept, now)).await.expect("recorded");
    let parts = parse_compact(&receipt.events[0].jws).expect("a JWS");
    let statement = Statement::parse(&parts.statement).expect("a statement");
    assert_eq!(statement.media.len(), 1);
    assert_eq!(statement.media[0].sha256.0, kept.sha256);
    assert_eq!(statement.media[0].size, kept.size);
    assert_eq!(statement.subject, Some(patient));

    hands.set(now + SignedDuration::from_hours(3));
    let sweep =
        |remove| clinic.ledger.sweep_captures(&blobs, SignedDuration::from_hours(2), remove);
    assert_eq!(sweep(false).await.expect("counted"), 1);
    assert_eq!(sweep(true).await.expect("swept"), 1, "counting removes nothing");
    assert_eq!(sweep(true).await.expect("swept"), 0);
    blobs.get(&key, &kept).await.expect("a named capture stays");
    let gone = blobs.get(&key, &orphan).await;
    assert!(matches!(gone, Err(BlobError::NotFound { .. })));

    hands.set(Timestamp::now());
    clinic.ledger.execute::<Custody>(patient, erase(), &officer()).await.expect("erased");
    hands.set(now + SignedDuration::from_hours(3));
    assert_eq!(sweep(true).await.expect("swept"), 1, "what an erased patient left");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_capture_that_another_process_has_just_recorded_is_kept(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let now = Timestamp::now();
    let clinic = Clinic::open(options).await;
    // It sweeps as of three hours later, and records nothing.
    let (clock, hands) = Clock::manual(now);
    let config = LedgerConfig::new(ORIGIN);
    let sweeping = Ledger::open(clinic.pool.clone(), clinic.keys.clone(), clock, config);
    let sweeping = sweeping.await.expect("a second process opens the ledger");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blobs = Blobs::new(folder.path().to_str().expect("a UTF-8 path")).expect("a store");
    let patient = clinic.register("A-1").await;
    let key = clinic.ledger.data_key(patient).await.expect("a key");
    let kept = blobs.put(&key, Uuid::now_v7(), b"a wound").await.expect("stored");
    hands.set(now + SignedDuration::from_hours(3));
    let sweep = || sweeping.sweep_captures(&blobs, SignedDuration::from_hours(2), true);
    // The second process has read the log to its end before the wound is there.
    sweeping.sweep_captures(&blobs, SignedDuration::from_hours(2), false).await.expect("counted");

    let wound = clinic.ledger.new_id();
    for command in [open_wound(patient), scan(&kept, now)] {
        let done = clinic.ledger.execute::<WoundEpisode>(wound, command, &context()).await;
        done.expect("recorded");
    }
    assert_eq!(sweep().await.expect("swept"), 0, "a scan of another process names it");
    blobs.get(&key, &kept).await.expect("it is still there");
}
