//! What each witness has seen of the log, for auditors.

use audit::checkpoint::Checkpoint;
use audit::postgres::head;
use sqlx::PgPool;

use super::client::{CosignResponse, TRIES, Witnesses};

/// What a witness has seen of the log, asked by an auditor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitnessView {
    /// It has cosigned this checkpoint of the log, which it found to continue what it had seen.
    Cosigned(String),
    /// It has cosigned a larger size than the log has.
    Larger(u64),
    /// It has cosigned a history, of this size at least, that the log is no continuation of.
    Other(u64),
    /// It could not be asked, or not of this log.
    Nothing(String),
}

impl Witnesses {
    /// Asks each of them, by its name, handing in the newest checkpoint: there is no other way to ask a witness, and it
    /// takes none that does not continue what it knows. Nothing is written to the log.
    pub async fn ask_all(&self, pool: &PgPool) -> Vec<(String, WitnessView)> {
        let mut told = Vec::new();
        for witness in self.list() {
            let said = self.ask_one(witness, pool).await;
            let said = said.unwrap_or_else(|error| WitnessView::Nothing(audit::chain(&error)));
            told.push((witness.name().to_owned(), said));
        }
        told
    }

    async fn ask_one(
        &self,
        witness: &super::Witness,
        pool: &PgPool,
    ) -> Result<WitnessView, super::client::AskError> {
        let mut larger = 0;
        for _ in 0..TRIES {
            let Some(head) = head(&mut *pool.acquire().await?).await? else {
                return Ok(WitnessView::Nothing("there is no log yet".to_owned()));
            };
            // The log may have grown since: only what is larger than it is now tells.
            if larger > head.size {
                return Ok(WitnessView::Larger(larger));
            }
            let Ok(note) = String::from_utf8(head.checkpoint) else {
                return Ok(WitnessView::Nothing(
                    "the log's newest checkpoint is not text".to_owned(),
                ));
            };
            Checkpoint::peek(&note)?;
            match self.submit(witness, pool, &note).await? {
                CosignResponse::Cosigned(_) => return Ok(WitnessView::Cosigned(note)),
                CosignResponse::Larger(size) => larger = size,
                CosignResponse::Other(size) => return Ok(WitnessView::Other(size)),
            }
        }
        Ok(WitnessView::Nothing("it and the log kept moving on".to_owned()))
    }
}
