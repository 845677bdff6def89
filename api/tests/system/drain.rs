//! A worker before a long queue of scans: each is answered once, also across a `kill -9`, and its memory does not grow.
//!
//! `make drain` does it with 1,000 scans and the optimised binary; as a test there are a few.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::support::{Clinic, Process, phantom, until};

/// How many scans wait, unless `LEDGER_DRAIN_SCANS` says otherwise.
const SCANS: usize = 24;

/// Captures: each wound gets each of them once, as an episode takes no capture twice.
const CAPTURES: usize = 8;

/// What one process may hold in memory, and what it may gain between its first and its last scans.
const MEMORY_MIB_MAX: u64 = 300;
const GROWTH_MIB_MAX: u64 = 24;

/// From so many scans on growth is growth.
const STEADY_SCANS: usize = 100;

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_is_answered_once_and_in_steady_memory() {
    let scans = std::env::var("LEDGER_DRAIN_SCANS")
        .map_or(SCANS, |count| count.parse().expect("LEDGER_DRAIN_SCANS is a number"));
    let captures: Vec<Vec<u8>> = (0..CAPTURES as u64).map(phantom).collect();
    let mut clinic = Clinic::start().await;
    clinic.worker.kill();
    let mut wounds = Vec::new();
    for number in 0..scans.div_ceil(CAPTURES) {
        let patient = clinic.register("Queued", "Odile", &format!("Q-{number}")).await;
        wounds.push(clinic.wound(&patient).await);
    }
    for number in 0..scans {
        // Later captures of a wound follow earlier ones, and every wound is captured by turns.
        let (wound, capture) = (&wounds[number / CAPTURES], &captures[number % CAPTURES]);
        clinic.staff.capture(Uuid::now_v7(), &format!("{wound}/scans"), capture).await.done();
    }
    assert_eq!(clinic.answers().await, 0, "nobody works yet");

    let patience = Duration::from_secs(120 + 20 * scans as u64);
    // The first worker dies over a scan, a third into the queue.
    let mut first = Process::worker(&clinic.instance);
    until("a third is answered", patience, || async { clinic.answers().await >= scans / 3 }).await;
    first.kill();
    let left = scans - clinic.answers().await;
    let begin = Instant::now();
    let second = Process::worker(&clinic.instance);
    let mut held = Vec::new();
    until("the queue is empty", patience, || {
        held.push(Process::resident_mib(second.id()));
        async { clinic.answers().await == scans }
    })
    .await;
    let seconds = begin.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(clinic.answers().await, scans, "an answer too many");

    let head = u64::try_from(clinic.instance.events().await).expect("a size");
    let mut seen = 0;
    for wound in &wounds {
        seen += Clinic::answered_once(&clinic.answered(wound, head - 1, patience).await);
    }
    assert_eq!(seen, scans);
    clinic.instance.assert_sound().await;

    // The start does not count: until it has measured a few, a process has not taken what it needs.
    let steady = &held[held.len() / 4..];
    let (early, late) = steady.split_at(steady.len() / 2);
    let (early, late) = (median(early.to_vec()), median(late.to_vec()));
    let most = held.iter().max().copied().unwrap_or_default();
    let pause = median(pauses(&clinic).await);
    let told = format!(
        "drain: {left} scans in {seconds:.0} s after the kill, {pause} ms from answer to answer (median); \
         {early} MiB held in the first half, {late} in the second, {most} at most\n"
    );
    let _gone = std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes());
    // In a short queue the second half still takes what a process needs once.
    if left >= STEADY_SCANS {
        assert!(late <= early + GROWTH_MIB_MAX, "memory grows from {early} to {late} MiB");
    }
    assert!(most <= MEMORY_MIB_MAX, "{most} MiB at most");
}

/// Milliseconds between one answer and the next.
async fn pauses(clinic: &Clinic) -> Vec<u64> {
    let pauses = "SELECT (1000 * extract(epoch FROM recorded_at - lag(recorded_at) OVER (ORDER BY position)))::bigint
                    FROM events WHERE event_type IN ('MeasurementRecorded', 'ScanRejected')
                   ORDER BY position OFFSET 1";
    let pauses: Vec<i64> =
        sqlx::query_scalar(pauses).fetch_all(&clinic.instance.pool).await.expect("the answers");
    pauses.into_iter().filter_map(|pause| u64::try_from(pause).ok()).collect()
}
