//! The append path beside its peers, in one run on one machine: `make bench`.
//!
//! Each round measures every contender in turn, so that a machine that drifts drifts for all of them; the
//! figures are medians over the rounds. What is compared:
//!
//! * **ledger**: `Ledger::execute` on patients, 64 in flight: sealed, signed, sequenced, Merkle-proved;
//! * **append path**: what was sealed before, appended in batches of 64: sequenced, Merkle-proved;
//! * **postgres-es**: the stock framework with the same aggregate and the same commands, 64 in flight;
//! * **Emmett**: appends of its PostgreSQL event store at a known version, nothing read, 64 in flight;
//! * **single-row inserts**: rows of the width of ours from 64 connections, nothing read, nothing signed;
//! * **batched inserts**: 64 such rows a transaction, of as many streams, one connection: the limit of group commit.
//!
//! Before them comes a steady pace, by turns with single-row inserts at the same, and after them long streams, two writers, and a log of 1,000,000
//! events by turns with one of 10,000.
//! Postgres runs with `fsync` and `synchronous_commit` on, which is checked and printed. `--quick` does a
//! little of everything, to show that it runs; `--no-million` leaves out the large log; `--contenders` only compares,
//! `--append` only the append path with batched inserts, `--pace` only the steady pace, and `--ledger` measures the ledger
//! alone, whole commands and long streams, for a profiler: these four write no summary.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod emmett;
mod growth;
mod measure;
mod reading;
mod stores;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use emmett::Emmett;
use measure::{Figures, measure, paced, quantile};
use stores::{BATCH, Stores};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Commands in flight.
pub(crate) const IN_FLIGHT: usize = 64;

/// Clients of the append path alone, so many that its batches are full.
pub(crate) const SEALED_IN_FLIGHT: usize = 4 * BATCH;

/// Commands a second at the steady pace, and how many may wait at once.
const PACE: u32 = 1_000;
const PACED_CLIENTS: usize = 256;
const PACED_ROUNDS: usize = 4;

/// How much is done.
struct Effort {
    commands: usize,
    rounds: usize,
    paced: Duration,
    lengths: &'static [u64],
    sizes: [u64; 2],
}

fn main() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

fn asked(flag: &str) -> bool {
    std::env::args().any(|argument| argument == flag)
}

async fn run() -> anyhow::Result<()> {
    let effort = if asked("--quick") {
        Effort {
            commands: 512,
            rounds: 1,
            paced: Duration::from_millis(500),
            lengths: &[10, 200],
            sizes: [2_000, 4_000],
        }
    } else {
        Effort {
            commands: 12_800,
            rounds: 5,
            paced: Duration::from_secs(5),
            lengths: &[10, 100, 1_000, 10_000],
            sizes: [10_000, if asked("--no-million") { 100_000 } else { 1_000_000 }],
        }
    };
    let url = std::env::var("DATABASE_URL").context("set DATABASE_URL, or run `make bench`")?;
    let stores = Stores::make(&url).await?;
    let mut summary = BTreeMap::new();
    if asked("--contenders") || asked("--append") || asked("--pace") || asked("--ledger") {
        growth::fill(&stores.log, 1_000).await?;
        if asked("--ledger") {
            return alone(&stores, &effort, &mut summary).await;
        }
        if asked("--pace") {
            return steady(&stores, &effort, &mut summary).await;
        }
        let effort = if asked("--append") {
            Effort { commands: 8 * effort.commands, rounds: 2, ..effort }
        } else {
            effort
        };
        contenders(&stores, &effort, &mut summary).await?;
        return Ok(());
    }
    growth::fill(&stores.log, effort.sizes[0]).await?;
    // First, on a server that rests: for minutes after the contest it still cleans up behind the contenders.
    steady(&stores, &effort, &mut summary).await?;
    contenders(&stores, &effort, &mut summary).await?;
    growth::history(&stores.log, effort.lengths, &mut summary).await?;
    reading::verified(
        &stores.log,
        effort.lengths.iter().copied().max().unwrap_or(1).min(1_000),
        &mut summary,
    )
    .await?;
    let two = growth::two_writers(&stores.log, effort.commands).await?;
    println!("two writers on one log: {two:.0} commands a second");
    summary.insert("two_writers_per_s".to_owned(), two);
    growth::sizes(&stores, effort.rounds, effort.sizes, &mut summary).await?;
    let (events, sound) = stores.log.verify().await?;
    ensure!(sound, "the log does not verify");
    println!("the log verifies: {events} events");
    summary.insert("events_verified".to_owned(), events as f64);
    write(summary)
}

async fn contenders(
    stores: &Stores,
    effort: &Effort,
    summary: &mut BTreeMap<String, f64>,
) -> anyhow::Result<()> {
    let [mut ledger, mut sealed, mut stock, mut peer, mut single, mut batched]: [Figures; 6] =
        std::array::from_fn(|_| Figures::default());
    let row = stores.row_like_ours().await?;
    let width = row.header.len() + row.statement.len() + row.payload.len();
    let mut emmett = Emmett::start(&stores.emmett_url, IN_FLIGHT, width)?;
    let (commands, clients) = (effort.commands, IN_FLIGHT);
    for round in 1..=effort.rounds {
        println!("round {round} of {}", effort.rounds);
        if !asked("--append") {
            measure(&mut ledger, commands, stores.log.clients(clients).await?).await?;
            measure(&mut stock, commands / 4, stores.stock_clients(clients).await?).await?;
            if let Some(emmett) = &mut emmett {
                emmett.measure(&mut peer, commands / 4).await?;
            }
            measure(&mut single, commands, stores.single_clients(clients, &row).await?).await?;
        }
        let each = 2 * commands.div_ceil(SEALED_IN_FLIGHT);
        let before = stores.sealed_clients(SEALED_IN_FLIGHT, each).await?;
        measure(&mut sealed, commands, before).await?;
        let (rate, latencies) = stores.batches(commands, &row).await?;
        batched.take(rate, latencies);
    }
    if asked("--append") {
        println!(
            "append path {:.0}, batched inserts {:.0}: {:.3}",
            sealed.rate(),
            batched.rate(),
            sealed.rate() / batched.rate()
        );
        return Ok(());
    }
    let ours = ledger.rate();
    println!("\n{}, {IN_FLIGHT} in flight, rows of {width} bytes", stores.settings);
    println!("{:<30}{:>12}{:>12}{:>12}{:>10}", "", "per second", "p50 ms", "p99 ms", "ledger ×");
    let mut contenders = vec![
        ("ledger", "ledger (sealed, proved)", &ledger),
        ("append", "append path alone", &sealed),
        ("postgres_es", "stock postgres-es", &stock),
        ("raw_single_row", "single-row inserts", &single),
        ("raw_batch", "batched inserts, 64 rows", &batched),
    ];
    if emmett.is_some() {
        contenders.insert(3, ("emmett", "Emmett, appends only", &peer));
    }
    for (name, title, figures) in &contenders {
        let (rate, p50, p99) = (figures.rate(), figures.latency_ms(0.5), figures.latency_ms(0.99));
        println!("{title:<30}{rate:>12.0}{p50:>12.2}{p99:>12.2}{:>10.2}", ours / rate);
        for (figure, value) in [("per_s", rate), ("p50_ms", p50), ("p99_ms", p99)] {
            summary.insert(format!("{name}_{figure}"), value);
        }
        summary.insert(format!("commands_vs_{name}"), ours / rate);
    }
    println!("the append path's batches had {:.0} events", stores.batch_size().await?);
    summary.insert("append_vs_raw_batch".to_owned(), sealed.rate() / batched.rate());
    Ok(())
}

/// Nothing but the ledger: so that what a profiler sees is its own.
async fn alone(
    stores: &Stores,
    effort: &Effort,
    summary: &mut BTreeMap<String, f64>,
) -> anyhow::Result<()> {
    for round in 1..=effort.rounds {
        let mut ledger = Figures::default();
        measure(&mut ledger, effort.commands, stores.log.clients(IN_FLIGHT).await?).await?;
        println!("round {round}: {:.0} commands a second", ledger.rate());
    }
    let two = growth::two_writers(&stores.log, effort.commands).await?;
    println!("two writers on one log: {two:.0} commands a second");
    growth::history(&stores.log, &[10, 100, 1_000], summary).await?;
    println!("from start to the first receipt {:.1} ms", growth::restart(&stores.log).await?);
    Ok(())
}

/// A steady pace, by turns with single-row inserts at the same: what the disk does to one it does to the other.
async fn steady(
    stores: &Stores,
    effort: &Effort,
    summary: &mut BTreeMap<String, f64>,
) -> anyhow::Result<()> {
    let row = stores.row_like_ours().await?;
    let (mut ledger, mut single) = (Vec::new(), Vec::new());
    // Else the disk would still be busy with what filled the log.
    stores.checkpoint().await?;
    for _ in 0..PACED_ROUNDS {
        let clients = stores.log.clients(PACED_CLIENTS).await?;
        ledger.extend(paced(clients, PACE, effort.paced).await?);
        let clients = stores.single_clients(PACED_CLIENTS, &row).await?;
        single.extend(paced(clients, PACE, effort.paced).await?);
    }
    for (name, title, latencies) in
        [("ack", "ledger", ledger), ("raw_single_row_ack", "single-row inserts", single)]
    {
        let [p50, p99] = [0.5, 0.99].map(|wanted| quantile(latencies.clone(), wanted));
        println!("at {PACE} a second, {title}: p50 {p50:.2} ms, p99 {p99:.2} ms");
        summary.insert(format!("{name}_p50_ms_at_{PACE}"), p50);
        summary.insert(format!("{name}_p99_ms_at_{PACE}"), p99);
    }
    Ok(())
}

fn write(summary: BTreeMap<String, f64>) -> anyhow::Result<()> {
    let rounded: BTreeMap<String, f64> = summary
        .into_iter()
        .map(|(name, figure)| (name, (figure * 1_000.0).round() / 1_000.0))
        .collect();
    let folder = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let folder = std::path::Path::new(&folder).join("bench");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("summary.json");
    std::fs::write(&file, serde_json::to_string_pretty(&rounded)? + "\n")?;
    println!("written to {}", file.display());
    Ok(())
}
