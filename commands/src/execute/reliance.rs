//! How the streams stand that a decision relies on: a booking on its practitioner, a room on its site.
//!
//! What is remembered of them may be behind the log. So the version goes along to the sequencer, which appends nothing that
//! relies on a stream that has moved meanwhile, and a refusal is never made of memory alone.

use std::pin::Pin;

use domain::{Refusal, Reliance, Standing, Stream, StreamVisitor, visit};
use uuid::Uuid;

use super::prepare::refusal_error;
use crate::error::CommandError;
use crate::ledger::{Ledger, Loaded};
use crate::log::Expected;

type Loading<'a> = Pin<Box<dyn Future<Output = Result<StreamStanding, CommandError>> + Send + 'a>>;

/// How a stream stands as of a version.
#[derive(Clone, Copy)]
struct StreamStanding {
    standing: Standing,
    version: u64,
}

impl StreamStanding {
    fn of<A: Stream>(loaded: &Loaded<A>) -> StreamStanding {
        let version = loaded.version;
        let standing = if version == 0 { Standing::Unknown } else { loaded.aggregate.standing() };
        StreamStanding { standing, version }
    }
}

/// Looks into memory.
struct Remembered<'a> {
    ledger: &'a Ledger,
    id: Uuid,
}

impl StreamVisitor for Remembered<'_> {
    type Output = Option<StreamStanding>;

    fn visit<A: Stream + 'static>(self) -> Option<StreamStanding> {
        self.ledger.cached::<A>(self.id).as_ref().map(StreamStanding::of)
    }
}

/// Looks into the log.
struct Stored<'a> {
    ledger: &'a Ledger,
    id: Uuid,
}

impl<'a> StreamVisitor for Stored<'a> {
    type Output = Loading<'a>;

    fn visit<A: Stream + 'static>(self) -> Loading<'a> {
        let Stored { ledger, id } = self;
        Box::pin(async move { Ok(StreamStanding::of(&ledger.load_from_log::<A>(id).await?)) })
    }
}

impl Ledger {
    /// The stream that a decision relies on, and the version as of which it may; or why it may not.
    pub(super) async fn relied_on<E>(&self, on: &Reliance<E>) -> Result<Expected, CommandError>
    where
        E: Refusal + std::error::Error,
    {
        let &Reliance { stream_type, id, refusal } = on;
        let remembered = visit(stream_type, Remembered { ledger: self, id }).flatten();
        let stands = match remembered.filter(|stands| refusal(stands.standing).is_none()) {
            Some(stands) => stands,
            None => match visit(stream_type, Stored { ledger: self, id }) {
                Some(stored) => stored.await?,
                None => StreamStanding { standing: Standing::Unknown, version: 0 },
            },
        };
        match refusal(stands.standing) {
            Some(error) => Err(refusal_error(error)),
            None => Ok(Expected { stream_type, stream_id: id, version: stands.version }),
        }
    }
}
