//! `ledger migrate`: the tables, and the first event.

use clap::Args;

use super::Verdict;
use super::output::Output;
use super::setup::Log;

/// Brings the database's tables up to date and begins the log if it is empty. The login in `DATABASE_URL`
/// must own the tables; afterwards the application works under the role `ledger_app`.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    log: Log,
}

impl Migrate {
    pub(super) async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        commands::database::migrate(self.log.database_url()).await?;
        let ledger = self.log.open().await?;
        let checkpoint = ledger.checkpoint().await;
        ledger.close().await;
        let said =
            serde_json::json!({ "origin": self.log.identity.origin, "checkpoint": checkpoint });
        output.result(&said, |output| {
            let size = checkpoint.lines().nth(1).unwrap_or("?");
            let origin = &self.log.identity.origin;
            output
                .line(format!("The tables are up to date. The log {origin} holds {size} events."));
        })?;
        Ok(Verdict::InOrder)
    }
}
