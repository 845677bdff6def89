//! What becomes of the figures as the log, a stream or the number of writers grows.

use std::collections::BTreeMap;
use std::time::Instant;

use domain::Patient;
use uuid::Uuid;

use crate::IN_FLIGHT;
use crate::measure::{Figures, measure, quantile};
use crate::stores::{Log, Stores, context, edit, ledger_clients, register};

/// Commands in flight while the log is filled.
const FILLING: usize = 512;

/// How often a load or an opening is timed.
const TIMES: usize = 7;

/// Long streams: the time of a load that finds nothing in memory, and of a command that needs no load.
pub(crate) async fn history(
    log: &Log,
    lengths: &[u64],
    summary: &mut BTreeMap<String, f64>,
) -> anyhow::Result<()> {
    let id = log.ledger.new_id();
    log.ledger.execute::<Patient>(id, register(id)?, &context()).await?;
    let mut length = 1;
    for wanted in lengths {
        while length < *wanted {
            length += 1;
            log.ledger.execute::<Patient>(id, edit(length)?, &context()).await?;
        }
        let mut warm = Vec::new();
        let mut cold = Vec::new();
        for _ in 0..TIMES {
            length += 1;
            let asked = Instant::now();
            log.ledger.execute::<Patient>(id, edit(length)?, &context()).await?;
            warm.push(asked.elapsed().as_secs_f64() * 1e3);
            // A process that has just started has nothing in memory.
            let fresh = log.open().await?;
            let asked = Instant::now();
            fresh.load::<Patient>(id).await?;
            cold.push(asked.elapsed().as_secs_f64() * 1e3);
            fresh.close().await;
        }
        let (warm, cold) = (quantile(warm, 0.5), quantile(cold, 0.5));
        println!(
            "a stream of {wanted:>6} events: warm command {warm:.2} ms, cold load {cold:.2} ms"
        );
        summary.insert(format!("warm_command_ms_at_{wanted}_events"), warm);
        summary.insert(format!("cold_load_ms_at_{wanted}_events"), cold);
    }
    Ok(())
}

/// Two writers on one log, each with half of the clients.
pub(crate) async fn two_writers(log: &Log, commands: usize) -> anyhow::Result<f64> {
    let other = log.open().await?;
    let mut clients = ledger_clients(&log.ledger, IN_FLIGHT / 2).await?;
    clients.extend(ledger_clients(&other, IN_FLIGHT / 2).await?);
    let mut figures = Figures::default();
    measure(&mut figures, commands, clients).await?;
    other.close().await;
    Ok(figures.rate())
}

/// Fills the log up to this many events.
pub(crate) async fn fill(log: &Log, events: u64) -> anyhow::Result<()> {
    let mut told = Instant::now();
    loop {
        let left = events.saturating_sub(log.ledger.size());
        if left == 0 {
            return Ok(());
        }
        let clients = log.clients(FILLING).await?;
        let part = usize::try_from(left)?.min(50_000);
        measure(&mut Figures::default(), part, clients).await?;
        if told.elapsed().as_secs() >= 10 {
            println!("  {} of {events} events", log.ledger.size());
            told = Instant::now();
        }
    }
}

/// How long a ledger takes to open this log, in milliseconds.
pub(crate) async fn restart(log: &Log) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let begin = Instant::now();
        let opened = log.open().await?;
        // Open is when the first command is done.
        let id = Uuid::now_v7();
        opened.execute::<Patient>(id, register(id)?, &context()).await?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        opened.close().await;
    }
    Ok(quantile(times, 0.5))
}

/// What the ledger does with a log of some size.
#[derive(Default)]
struct AtSize {
    figures: Figures,
    restart_ms: f64,
}

/// A large log beside a small one, by turns. The small one grows meanwhile, to four times its size at most.
pub(crate) async fn sizes(
    stores: &Stores,
    rounds: usize,
    [small, large]: [u64; 2],
    summary: &mut BTreeMap<String, f64>,
) -> anyhow::Result<()> {
    let logs = [(&stores.small, small), (&stores.log, large)];
    for (log, size) in logs {
        println!("filling a log to {size} events");
        fill(log, size).await?;
    }
    let mut found = [AtSize::default(), AtSize::default()];
    let rounds = 2 * rounds;
    let commands = 3 * usize::try_from(small)? / (rounds + 1);
    // A round more than is counted: what was filled just now is in better order than what was filled before.
    for round in 0..=rounds {
        for ((log, _), at) in logs.iter().zip(&mut found) {
            let mut figures = Figures::default();
            measure(&mut figures, commands, log.clients(IN_FLIGHT).await?).await?;
            if round > 0 {
                at.figures.add(figures);
            }
        }
    }
    for ((log, size), at) in logs.iter().zip(&mut found) {
        at.restart_ms = restart(log).await?;
        println!(
            "at {size} events: {:.0} commands a second, p50 {:.2} ms, p99 {:.2} ms; \
             from start to the first receipt {:.1} ms",
            at.figures.rate(),
            at.figures.latency_ms(0.5),
            at.figures.latency_ms(0.99),
            at.restart_ms,
        );
    }
    let [small, large] = found;
    for (name, figure) in [
        ("commands_per_s_at_10k", small.figures.rate()),
        ("commands_per_s_at_1m", large.figures.rate()),
        ("throughput_1m_vs_10k", large.figures.rate() / small.figures.rate()),
        ("ack_p50_ms_at_10k", small.figures.latency_ms(0.5)),
        ("ack_p50_ms_at_1m", large.figures.latency_ms(0.5)),
        ("ack_p50_1m_vs_10k", large.figures.latency_ms(0.5) / small.figures.latency_ms(0.5)),
        ("ack_p99_ms_at_10k", small.figures.latency_ms(0.99)),
        ("ack_p99_ms_at_1m", large.figures.latency_ms(0.99)),
        ("restart_ms_at_10k", small.restart_ms),
        ("restart_ms_at_1m", large.restart_ms),
        ("events_at_1m", stores.log.ledger.size() as f64),
    ] {
        summary.insert(name.to_owned(), figure);
    }
    Ok(())
}
