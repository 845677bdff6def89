//! What it costs to prove a long stream when it is loaded, beside loading it unproved.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use audit::postgres::{LogHealth, LogReader};
use audit::seal::{EventIdentity, open_payload};
use audit::statement::{Digest, Statement};
use commands::log_policy;
use cqrs_es::Aggregate as _;
use domain::Patient;
use domain::patient::PatientEvent;
use sqlx::PgPool;
use uuid::Uuid;

use crate::measure::quantile;
use crate::stores::{Log, ORIGIN, context, edit, register};

/// How often each way is timed, by turns.
const TIMES: usize = 15;

/// The longest wait for the watch to have read the log.
const WATCH_MAX: Duration = Duration::from_secs(60);

/// A stream of this many events without a snapshot: loaded by the ledger, by signatures alone, and unproved.
pub(crate) async fn verified(
    log: &Log,
    length: u64,
    summary: &mut BTreeMap<String, f64>,
) -> anyhow::Result<()> {
    let ledger = log.open_without_snapshots().await?;
    let mut health = ledger.watch().subscribe();
    let read = health.wait_for(|health| matches!(health, LogHealth::Sound { .. }));
    tokio::time::timeout(WATCH_MAX, read).await.context("the watch has not read the log")??;
    let id = ledger.new_id();
    ledger.execute::<Patient>(id, register(id)?, &context()).await?;
    for turn in 1..length {
        ledger.execute::<Patient>(id, edit(turn)?, &context()).await?;
    }
    let key = ledger.data_key(id).await?;
    let [mut verified, mut signed, mut unverified] = [const { Vec::new() }; 3];
    for _ in 0..TIMES {
        let begun = Instant::now();
        let loaded = ledger.load::<Patient>(id).await?.context("it is there")?;
        verified.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(loaded.version == length, "the whole stream was loaded");

        let reader = LogReader::new(ORIGIN, log_policy());
        let begun = Instant::now();
        let mut connection = log.pool().acquire().await?;
        let events = reader.stream(&mut connection, ("patient", id), 0, i64::MAX).await?;
        signed.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(events.len() as u64 == length, "the whole stream was read");
        drop(connection);

        let begun = Instant::now();
        let state = unproved(log.pool(), id, &key.key).await?;
        unverified.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(
            serde_json::to_value(state)? == serde_json::to_value(loaded.aggregate)?,
            "both ways give the same state"
        );
    }
    ledger.close().await;
    let [verified, signed, unverified] =
        [verified, signed, unverified].map(|times| quantile(times, 0.5));
    println!(
        "a stream of {length} events without a snapshot: {verified:.2} ms proved, {unverified:.2} ms unproved; \
         {signed:.2} ms for its signatures alone"
    );
    summary.insert("load_verified_ms".to_owned(), verified);
    summary.insert("load_unverified_ms".to_owned(), unverified);
    summary.insert("read_by_signature_ms".to_owned(), signed);
    summary.insert("load_verified_vs_unverified".to_owned(), unverified / verified);
    Ok(())
}

/// As the ledger loaded before it proved what it read. Only here.
async fn unproved(pool: &PgPool, id: Uuid, key: &audit::seal::DataKey) -> anyhow::Result<Patient> {
    let rows: Vec<(i64, Vec<u8>, Vec<u8>)> = sqlx::query_as(
        "SELECT sequence, statement, payload FROM events
          WHERE aggregate_type = 'patient' AND aggregate_id = $1 ORDER BY sequence",
    )
    .bind(id)
    .fetch_all(pool)
    .await?;
    let mut state = Patient::default();
    for (sequence, statement, payload) in rows {
        let statement = Statement::parse(&statement)?;
        ensure!(statement.sequence == u64::try_from(sequence)?, "in order");
        ensure!(statement.payload.sha256 == Digest::of(&payload), "as signed");
        let commitment = statement.payload.commitment.context("sealed")?;
        let identity = EventIdentity::of(&statement);
        let opened = open_payload(key, &identity, &payload, &commitment.0)?;
        let value: serde_json::Value = serde_json::from_slice(&opened)?;
        state.apply(serde_json::from_value::<PatientEvent>(value)?);
    }
    Ok(state)
}
