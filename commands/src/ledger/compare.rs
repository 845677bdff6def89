//! What lies beside the log, compared with it: claims, commands, data keys. Changes nothing.

use audit::postgres::ReadError;

use super::Ledger;
use crate::audit::{AuditError, Comparison, Replayed};
use crate::claims::{ClaimsError, ClaimsReport};
use crate::recorded::CommandsReport;
use crate::{claims, data_keys, recorded};

impl Ledger {
    /// Compares what is on record of commands with the signed log, and counts what differs.
    async fn compare_commands(&self) -> Result<CommandsReport, ReadError> {
        let report = recorded::compare(&self.inner.pool, &self.inner.keys, self.origin()).await?;
        metrics::counter!("ledger_commands_compared_total").increment(report.commands);
        report.log();
        Ok(report)
    }

    /// Compares the stored claims with those that the signed log makes, and counts what differs.
    async fn compare_claims(&self) -> Result<ClaimsReport, ClaimsError> {
        let report = claims::compare(&self.inner.pool, &self.inner.keys, self.origin()).await?;
        metrics::counter!("ledger_claims_compared_total").increment(report.claims);
        report.log();
        Ok(report)
    }

    /// Compares one part of what lies beside the log with it; counts and logs what differs. Changes nothing.
    ///
    /// # Errors
    /// When the database fails, or the log is not what its keys signed.
    pub async fn compare(&self, part: Replayed) -> Result<Comparison, AuditError> {
        Ok(match part {
            Replayed::Claims => self.compare_claims().await?.into(),
            Replayed::Commands => self.compare_commands().await?.into(),
            Replayed::DataKeys => {
                let (pool, keys) = (&self.inner.pool, &self.inner.keys);
                let report = data_keys::compare(pool, keys, self.origin()).await?;
                metrics::counter!("ledger_data_keys_compared_total").increment(report.subjects);
                report.log();
                report.into()
            }
        })
    }
}
