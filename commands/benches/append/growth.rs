//! What becomes of the figures as the log, a stream or the number of writers grows.

use std::collections::BTreeMap;
use std::time::Instant;

use domain::Patient;
use uuid::Uuid;

use crate::IN_FLIGHT;
use crate::measure::{Figures, measure, quantile};
use crate::stores::{Stores, context, edit, ledger_clients, open, register};

/// Commands in flight while the log is filled.
const FILLING: usize = 512;

/// How often a load or an opening is timed.
const TIMES: usize = 7;

/// Long streams: the time of a load that finds nothing in memory, and of a command that needs no load.
pub(crate) async fn history(
    stores: &Stores,
    lengths: &[u64],
    summary: &mut BTreeMap<String, f64>,
) -> anyhow::Result<()> {
    let id = stores.ledger.new_id();
    stores.ledger.execute::<Patient>(id, register(id)?, &context()).await?;
    let mut length = 1;
    for wanted in lengths {
        while length < *wanted {
            length += 1;
            stores.ledger.execute::<Patient>(id, edit(length)?, &context()).await?;
        }
        let mut warm = Vec::new();
        let mut cold = Vec::new();
        for _ in 0..TIMES {
            length += 1;
            let asked = Instant::now();
            stores.ledger.execute::<Patient>(id, edit(length)?, &context()).await?;
            warm.push(asked.elapsed().as_secs_f64() * 1e3);
            // A process that has just started has nothing in memory.
            let fresh = open(&stores.log, &stores.keys).await?;
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
pub(crate) async fn two_writers(stores: &Stores, commands: usize) -> anyhow::Result<f64> {
    let other = open(&stores.log, &stores.keys).await?;
    let mut clients = ledger_clients(&stores.ledger, IN_FLIGHT / 2).await?;
    clients.extend(ledger_clients(&other, IN_FLIGHT / 2).await?);
    let mut figures = Figures::default();
    measure(&mut figures, commands, clients).await?;
    other.close().await;
    Ok(figures.rate())
}

/// Fills the log up to this many events.
pub(crate) async fn fill(stores: &Stores, events: u64) -> anyhow::Result<()> {
    let mut told = Instant::now();
    loop {
        let left = events.saturating_sub(stores.ledger.size());
        if left == 0 {
            return Ok(());
        }
        let clients = stores.ledger_clients(FILLING).await?;
        let part = usize::try_from(left)?.min(50_000);
        measure(&mut Figures::default(), part, clients).await?;
        if told.elapsed().as_secs() >= 10 {
            println!("  {} of {events} events", stores.ledger.size());
            told = Instant::now();
        }
    }
}

/// How long a ledger takes to open this log, in milliseconds.
pub(crate) async fn restart(stores: &Stores) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let begin = Instant::now();
        let opened = open(&stores.log, &stores.keys).await?;
        // Open is when the first command is done.
        let id = Uuid::now_v7();
        opened.execute::<Patient>(id, register(id)?, &context()).await?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        opened.close().await;
    }
    Ok(quantile(times, 0.5))
}
