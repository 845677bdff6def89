//! Where each projector stands, kept beside the documents it writes: dropping that database
//! forgets both, and the projector begins again from zero.
//!
//! A checkpoint that says too much would leave events out for good. So each carries a tag over projector and position: what
//! does not verify is counted and stands for nothing.

use std::time::Duration;

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, doc};
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::{Collection, Database};
use tokio::time::Instant;
use tracing::error;

use crate::tags::{Tagged, Tags};

/// The collection of all checkpoints.
pub const COLLECTION: &str = "projector_checkpoints";

/// How long to sleep between two looks while waiting for a position.
const WAIT_STEP: Duration = Duration::from_millis(10);
const WAIT_STEP_MAX: Duration = Duration::from_millis(80);

/// Where the store says that a projector stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It never ran, or a rebuild was asked for.
    Nowhere,
    /// The next position to be read: everything before it is in the documents.
    At(u64),
    /// What is stored is not what a projector of this ledger has stored.
    Damaged,
}

/// The checkpoints of one database.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    collection: Collection<Document>,
    tags: Tags,
}

impl Checkpoints {
    /// The checkpoints beside the documents in `database`.
    pub fn new(database: &Database, tags: Tags) -> Checkpoints {
        Checkpoints { collection: database.collection(COLLECTION), tags }
    }

    /// Where the projector stands, by what is stored.
    pub async fn standing(&self, projector: &str) -> Result<Standing, Error> {
        let Some(found) = self.collection.find_one(doc! { "_id": projector }).await? else {
            return Ok(Standing::Nowhere);
        };
        Ok(match self.read(projector, &found) {
            Some(position) => Standing::At(position),
            None => Standing::Damaged,
        })
    }

    /// The next position that the projector will read; `None` if it never ran. One that does not verify is counted, and
    /// none.
    pub async fn load(&self, projector: &str) -> Result<Option<u64>, Error> {
        Ok(match self.standing(projector).await? {
            Standing::At(position) => Some(position),
            Standing::Nowhere => None,
            Standing::Damaged => {
                count_damaged(projector, "tag");
                None
            }
        })
    }

    /// Begins at zero, unless there is a checkpoint by now; answers where the projector stands. One that does not verify
    /// is counted, and begins at zero: what is applied again changes nothing.
    pub async fn begin(&self, projector: &str) -> Result<u64, Error> {
        match self.standing(projector).await? {
            Standing::At(position) => return Ok(position),
            Standing::Nowhere => {}
            Standing::Damaged => {
                count_damaged(projector, "tag");
                error!(
                    projector,
                    "the checkpoint of projector `{projector}` is not one that it has stored: the log is read again"
                );
                self.put(projector, 0).await?;
                return Ok(0);
            }
        }
        match self.collection.insert_one(self.stored(projector, 0)?).await {
            Ok(_) => Ok(0),
            Err(error) if is_duplicate_key(&error) => {
                Ok(self.load(projector).await?.unwrap_or_default())
            }
            Err(error) => Err(error),
        }
    }

    /// Moves the checkpoint, if it still stands where the projector believes it to be. `false`: it was
    /// removed (a rebuild was asked for), or another process moved it.
    pub async fn advance(&self, projector: &str, from: u64, to: u64) -> Result<bool, Error> {
        let moved = self
            .collection
            .replace_one(self.stored(projector, from)?, self.stored(projector, to)?)
            .await?;
        Ok(moved.matched_count == 1)
    }

    /// Puts the checkpoint where the projector knows to stand, whatever is stored.
    pub async fn put(&self, projector: &str, position: u64) -> Result<(), Error> {
        let stored = self.stored(projector, position)?;
        self.collection.replace_one(doc! { "_id": projector }, stored).upsert(true).await?;
        Ok(())
    }

    /// Forgets where the projector stands: it will begin again from zero.
    pub async fn remove(&self, projector: &str) -> Result<(), Error> {
        self.collection.delete_one(doc! { "_id": projector }).await?;
        Ok(())
    }

    /// A checkpoint as it is stored.
    fn stored(&self, projector: &str, position: u64) -> Result<Document, Error> {
        let parts: [&[u8]; 2] = [projector.as_bytes(), &position.to_be_bytes()];
        let tag = self.tags.tag(Tagged::Checkpoint, &parts).to_vec();
        // BSON has signed integers only.
        let position = i64::try_from(position).map_err(Error::custom)?;
        let tag = Binary { subtype: BinarySubtype::Generic, bytes: tag };
        Ok(doc! { "_id": projector, "position": position, "tag": tag })
    }

    /// The position of a stored checkpoint, if its tag holds.
    fn read(&self, projector: &str, found: &Document) -> Option<u64> {
        let position = u64::try_from(found.get_i64("position").ok()?).ok()?;
        let Some(Bson::Binary(tag)) = found.get("tag") else { return None };
        let parts: [&[u8]; 2] = [projector.as_bytes(), &position.to_be_bytes()];
        self.tags.verify(Tagged::Checkpoint, &parts, &tag.bytes).then_some(position)
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

/// Counts a checkpoint that is not what the projector has stored.
pub(super) fn count_damaged(projector: &str, why: &'static str) {
    let projector = projector.to_owned();
    metrics::counter!("projector_checkpoint_damaged_total", "projector" => projector, "why" => why)
        .increment(1);
}

/// Whether the error says that the id is taken.
fn is_duplicate_key(error: &Error) -> bool {
    matches!(*error.kind, ErrorKind::Write(WriteFailure::WriteError(ref failure)) if failure.code == 11000)
}
