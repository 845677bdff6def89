//! Emmett's PostgreSQL event store, in a process of its own: Node.js, as its users run it.

use std::process::Stdio;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::measure::Figures;

pub(crate) struct Emmett {
    _child: Child,
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

#[derive(Deserialize)]
struct Round {
    rate: f64,
    milliseconds: Vec<f64>,
}

impl Emmett {
    /// Starts the peer that `scripts/bench.sh` has installed; none where there is no Node.js.
    pub(crate) fn start(
        url: &str,
        in_flight: usize,
        body_bytes: usize,
    ) -> anyhow::Result<Option<Emmett>> {
        let Some(folder) = std::env::var_os("EMMETT_PEER") else { return Ok(None) };
        let mut child = Command::new("node")
            .arg("peer.mjs")
            .current_dir(folder)
            .env("DATABASE_URL", url)
            .env("IN_FLIGHT", in_flight.to_string())
            .env("BODY_BYTES", body_bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start Node.js")?;
        let ask = child.stdin.take().context("no standard input")?;
        let answers = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        Ok(Some(Emmett { _child: child, ask, answers }))
    }

    pub(crate) async fn measure(
        &mut self,
        figures: &mut Figures,
        appends: usize,
    ) -> anyhow::Result<()> {
        self.ask.write_all(format!("{appends}\n").as_bytes()).await?;
        let line = self.answers.next_line().await?.context("the peer has ended")?;
        let round: Round = serde_json::from_str(&line).context("the peer's answer")?;
        figures.take(round.rate, round.milliseconds);
        Ok(())
    }
}
