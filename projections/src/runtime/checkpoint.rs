//! Where each projector stands, kept beside the documents it writes: dropping that database
//! forgets both, and the projector begins again from zero.

use std::time::Duration;

use bson::doc;
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::{Collection, Database};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The collection of all checkpoints.
pub const COLLECTION: &str = "projector_checkpoints";

/// How long to sleep between two looks while waiting for a position.
const WAIT_STEP: Duration = Duration::from_millis(10);
const WAIT_STEP_MAX: Duration = Duration::from_millis(80);

/// One projector's checkpoint, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointDocument {
    /// The projector's id, `name:version`.
    #[serde(rename = "_id")]
    pub id: String,
    /// The next position to be read: everything before it is in the documents.
    pub position: u64,
}

/// The checkpoints of one database.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    collection: Collection<CheckpointDocument>,
}

impl Checkpoints {
    /// The checkpoints beside the documents in `database`.
    pub fn new(database: &Database) -> Checkpoints {
        Checkpoints { collection: database.collection(COLLECTION) }
    }

    /// The next position that the projector will read; `None` if it never ran.
    pub async fn load(&self, projector: &str) -> Result<Option<u64>, Error> {
        Ok(self.collection.find_one(doc! { "_id": projector }).await?.map(|found| found.position))
    }

    /// Begins at zero, unless there is a checkpoint by now; answers where the projector stands.
    pub async fn begin(&self, projector: &str) -> Result<u64, Error> {
        if let Some(position) = self.load(projector).await? {
            return Ok(position);
        }
        let document = CheckpointDocument { id: projector.to_owned(), position: 0 };
        match self.collection.insert_one(document).await {
            Ok(_) => Ok(0),
            Err(error) if is_duplicate_key(&error) => {
                Ok(self.load(projector).await?.unwrap_or_default())
            }
            Err(error) => Err(error),
        }
    }

    /// Moves the checkpoint, if it still stands where the projector believes it to be. `false`: it was
    /// removed (a rebuild was asked for), or somebody else moved it.
    pub async fn advance(&self, projector: &str, from: u64, to: u64) -> Result<bool, Error> {
        let moved = self
            .collection
            .update_one(
                doc! { "_id": projector, "position": stored(from)? },
                doc! { "$set": { "position": stored(to)? } },
            )
            .await?;
        Ok(moved.matched_count == 1)
    }

    /// Forgets where the projector stands: it will begin again from zero.
    pub async fn remove(&self, projector: &str) -> Result<(), Error> {
        self.collection.delete_one(doc! { "_id": projector }).await?;
        Ok(())
    }

    /// Waits until the event at `position` has been projected. Answers where the projector stands, which is
    /// no further than `position` if the time ran out.
    pub async fn wait_for(
        &self,
        projector: &str,
        position: u64,
        timeout: Duration,
    ) -> Result<u64, Error> {
        let deadline = Instant::now() + timeout;
        let mut step = WAIT_STEP;
        loop {
            let next = self.load(projector).await?.unwrap_or_default();
            if next > position || Instant::now() >= deadline {
                return Ok(next);
            }
            tokio::time::sleep_until((Instant::now() + step).min(deadline)).await;
            step = (step * 2).min(WAIT_STEP_MAX);
        }
    }
}

/// BSON has signed integers only.
fn stored(position: u64) -> Result<i64, Error> {
    i64::try_from(position).map_err(Error::custom)
}

/// Whether the error says that the id is taken.
fn is_duplicate_key(error: &Error) -> bool {
    matches!(*error.kind, ErrorKind::Write(WriteFailure::WriteError(ref failure)) if failure.code == 11000)
}
