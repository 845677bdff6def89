//! Taking the time of many clients at once.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

/// One contender's measurements.
#[derive(Default)]
pub(crate) struct Figures {
    rates: Vec<f64>,
    latencies_ms: Vec<f64>,
}

impl Figures {
    pub(crate) fn take(&mut self, rate: f64, latencies_ms: Vec<f64>) {
        self.rates.push(rate);
        self.latencies_ms.extend(latencies_ms);
    }

    pub(crate) fn add(&mut self, more: Figures) {
        self.rates.extend(more.rates);
        self.latencies_ms.extend(more.latencies_ms);
    }

    /// The median of the rounds, per second.
    pub(crate) fn rate(&self) -> f64 {
        quantile(self.rates.clone(), 0.5)
    }

    pub(crate) fn latency_ms(&self, wanted: f64) -> f64 {
        quantile(self.latencies_ms.clone(), wanted)
    }
}

pub(crate) fn quantile(mut values: Vec<f64>, wanted: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = ((last as f64) * wanted).round() as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}

/// What a client does, again and again.
pub(crate) type Client =
    Box<dyn FnMut() -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>> + Send>;

/// Runs the clients until together they have done `commands`.
pub(crate) async fn measure(
    figures: &mut Figures,
    commands: usize,
    clients: Vec<Client>,
) -> anyhow::Result<()> {
    let left = Arc::new(AtomicU64::new(commands as u64));
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let left = Arc::clone(&left);
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok()
            {
                let asked = Instant::now();
                client().await?;
                latencies.push(asked.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::with_capacity(commands);
    while let Some(done) = tasks.join_next().await {
        latencies.extend(done??);
    }
    figures.take(commands as f64 / begin.elapsed().as_secs_f64(), latencies);
    Ok(())
}

/// Commands at a steady rate for a while: how long each took, in milliseconds.
pub(crate) async fn paced(
    mut clients: Vec<Client>,
    per_second: u32,
    lasting: Duration,
) -> anyhow::Result<Vec<f64>> {
    let mut tasks = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second);
    let begin = Instant::now();
    let mut latencies = Vec::new();
    while begin.elapsed() < lasting {
        tick.tick().await;
        let mut client = match clients.pop() {
            Some(client) => client,
            None => {
                let (client, latency) = tasks.join_next().await.context("no client left")???;
                latencies.push(latency);
                client
            }
        };
        let asked = Instant::now();
        tasks.spawn(async move {
            client().await?;
            anyhow::Ok((client, asked.elapsed().as_secs_f64() * 1e3))
        });
    }
    while let Some(done) = tasks.join_next().await {
        latencies.push(done??.1);
    }
    Ok(latencies)
}
