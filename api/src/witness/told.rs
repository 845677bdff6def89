//! What each witness has seen of the log, for whoever audits it.

use audit::checkpoint::Checkpoint;
use audit::postgres::head;
use sqlx::PgPool;

use super::client::{Said, TRIES, Witnesses};

/// What a witness told an auditor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
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
    pub async fn told(&self, pool: &PgPool) -> Vec<(String, Told)> {
        let mut told = Vec::new();
        for witness in self.list() {
            let said = self.tell(witness, pool).await;
            let said = said.unwrap_or_else(|error| Told::Nothing(audit::chain(&error)));
            told.push((witness.name().to_owned(), said));
        }
        told
    }

    async fn tell(
        &self,
        witness: &super::Witness,
        pool: &PgPool,
    ) -> Result<Told, super::client::AskError> {
        let mut larger = 0;
        for _ in 0..TRIES {
            let Some(head) = head(&mut *pool.acquire().await?).await? else {
                return Ok(Told::Nothing("there is no log yet".to_owned()));
            };
            // The log may have grown since: only what is larger than it is now tells.
            if larger > head.size {
                return Ok(Told::Larger(larger));
            }
            let Ok(note) = String::from_utf8(head.checkpoint) else {
                return Ok(Told::Nothing("the log's newest checkpoint is not text".to_owned()));
            };
            Checkpoint::peek(&note)?;
            match self.submit(witness, pool, &note).await? {
                Said::Cosigned(_) => return Ok(Told::Cosigned(note)),
                Said::Larger(size) => larger = size,
                Said::Other(size) => return Ok(Told::Other(size)),
            }
        }
        Ok(Told::Nothing("it and the log kept moving on".to_owned()))
    }
}
