//! Taking bodies in: as they come, within their limits, before anything else is held for the request.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use commands::actor::Actor;
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;

use super::body::{media_type, unsupported};
use super::describe::{BODY_PROBLEMS, Draft, Reads};
use super::gate::{full, rejected};
use super::problem::Problem;
use super::spool::Spool;
use crate::edge::is_too_slow;
use crate::edge::quota::{Holder, Quota, Taken};
use crate::state::AppState;

/// What a body is first given room for.
const FIRST_ROOM: usize = 1024;

/// Whether the request has come as a whole, so that what takes too long is known to be the work or the sender.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrived(Arc<AtomicBool>);

impl Arrived {
    /// The body is there.
    pub(super) fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub(super) fn is_marked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Who sends the request, as the guard found.
pub(super) fn holder(request: &Request) -> Holder {
    let actor = request.extensions().get::<Actor>();
    actor.map_or(Holder::Public, |actor| Holder::Account(actor.id.as_uuid()))
}

/// A body read into memory, and the share of the memory that it takes.
pub(super) struct InMemory {
    pub(super) bytes: Vec<u8>,
    pub(super) memory: Taken,
}

/// Reads a body of at most `limit` bytes into memory, of which no more is taken than has come.
pub(super) async fn read(
    mut body: Body,
    limit: usize,
    memory: &Quota,
    holder: Holder,
) -> Result<InMemory, Problem> {
    use http_body::Body as _;
    declared(body.size_hint().lower(), limit)?;
    let mut memory = memory.take(holder, 0).map_err(|reason| full(reason, "memory"))?;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        let size = bytes.len() + data.len();
        if size > limit {
            return Err(too_large(limit));
        }
        if size > bytes.capacity() {
            let room = size.next_power_of_two().clamp(FIRST_ROOM, limit.max(FIRST_ROOM));
            let more = (room - bytes.capacity()) as u64;
            memory.grow(more).map_err(|reason| full(reason, "memory"))?;
            bytes.reserve_exact(room - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(InMemory { bytes, memory })
}

/// What a large body is.
pub(super) trait Upload: Send + 'static {
    /// Of one of these media types.
    const MEDIA_TYPES: &'static [&'static str];
    /// The most bytes.
    const BYTES_MAX: usize;
    /// What it is.
    const DESCRIPTION: &'static str;
}

/// A large body that has not been read yet, so that what is wrong with its headers is said before.
pub(super) struct Uploaded<U> {
    /// What it says it is.
    pub(super) media_type: &'static str,
    body: Body,
    holder: Holder,
    arrived: Arrived,
    state: AppState,
    kind: PhantomData<U>,
}

impl<U: Upload> Reads for Uploaded<U> {
    fn describe(draft: &mut Draft<'_>) {
        let size = U::BYTES_MAX / (1024 * 1024);
        let description = format!("{}, at most {size} MiB", U::DESCRIPTION);
        draft.upload(U::MEDIA_TYPES, description);
        draft.refuses(&BODY_PROBLEMS);
    }
}

/// A large body, and the right to work on it.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    /// Few may be worked on at the same time: decoding takes far more memory than the bytes do.
    pub(super) permit: OwnedSemaphorePermit,
}

impl<U: Upload> FromRequest<AppState> for Uploaded<U> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let said = media_type(request.headers());
        let known = U::MEDIA_TYPES.iter().find(|known| said.as_deref() == Some(known));
        let media_type = known.copied().ok_or_else(|| unsupported(U::MEDIA_TYPES))?;
        let holder = holder(&request);
        let arrived = request.extensions().get::<Arrived>().cloned().unwrap_or_default();
        let (body, state) = (request.into_body(), state.clone());
        Ok(Self { media_type, body, holder, arrived, state, kind: PhantomData })
    }
}

impl<U: Upload> Uploaded<U> {
    /// Takes the body in, onto the disk if it is large, and then waits for a permit to work on it.
    pub(super) async fn receive(mut self) -> Result<Received, Problem> {
        let limit = U::BYTES_MAX;
        use http_body::Body as _;
        declared(self.body.size_hint().lower(), limit)?;
        let gate = &self.state.gate;
        let _place = gate.uploads.take(self.holder, 1).map_err(|reason| full(reason, "uploads"))?;
        let mut room = gate.spool.take(self.holder, 0).map_err(|reason| full(reason, "spool"))?;
        let mut spool = Spool::new(&self.state.http.spool);
        let mut size = 0;
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| broken(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            size += data.len();
            if size > limit {
                return Err(too_large(limit));
            }
            room.grow(data.len() as u64).map_err(|reason| full(reason, "spool"))?;
            let mut data = &data[..];
            while !data.is_empty() {
                let now = data.len().min(spool.room());
                spool.take(&data[..now]);
                data = &data[now..];
                if spool.room() == 0 {
                    spool = blocking(move || spool.seal().map(|()| spool)).await?;
                }
            }
        }
        self.arrived.mark();
        let permit = gate.decoding.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Problem::overloaded())?;
        let bytes = blocking(move || spool.read()).await?.into();
        Ok(Received { bytes, permit })
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(std::io::Error::other).and_then(|done| done).map_err(|error| {
        tracing::error!(error = %audit::chain(&error), "an upload could not be spooled");
        rejected("spool");
        Problem::unavailable(
            "the upload could not be kept until it was complete; nothing was recorded",
        )
    })
}

/// Refuses at once what says that it is too large.
fn declared(bytes: u64, limit: usize) -> Result<(), Problem> {
    if bytes > limit as u64 { Err(too_large(limit)) } else { Ok(()) }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body-too-large",
        "The body is too large",
        format!("the body has more than the {limit} bytes this operation takes"),
    )
}

fn broken(error: &axum::Error) -> Problem {
    if is_too_slow(error) {
        rejected("body-too-slow");
        return too_slow();
    }
    Problem::bad_request("body-unreadable", "the body ended early or could not be read")
}

/// 408: the sender takes too long.
pub(super) fn too_slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "body-too-slow",
        "The body came too slowly",
        "nothing was done; send the request again, over a better connection",
    )
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn dripping(pieces: usize) -> Body {
        let pieces = (0..pieces).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[7; 100])));
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn memory_is_taken_as_it_comes_and_given_back() {
        let memory = Quota::new(4096, 4096);
        let first = read(dripping(20), 3000, &memory, Holder::Public).await;
        let first = first.unwrap_or_else(|problem| panic!("{}", problem.detail));
        assert_eq!(first.bytes.len(), 2000);
        let second = read(dripping(25), 3000, &memory, Holder::Public).await;
        let second = second.err().expect("the budget is used up");
        assert_eq!((second.status, second.code.as_ref()), (503, "overloaded"));
        drop(first);
        assert!(read(dripping(25), 3000, &memory, Holder::Public).await.is_ok());
    }

    #[tokio::test]
    async fn a_limit_holds_whether_it_is_declared_or_not() {
        let memory = Quota::new(1 << 20, 1 << 20);
        for body in [dripping(31), Body::from(vec![7; 3001])] {
            let problem = read(body, 3000, &memory, Holder::Public).await.err().expect("too large");
            assert_eq!((problem.status, problem.code.as_ref()), (413, "body-too-large"));
        }
        assert!(read(Body::from(vec![7; 3000]), 3000, &memory, Holder::Public).await.is_ok());
    }
}
