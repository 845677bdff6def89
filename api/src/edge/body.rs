//! A request's body, which must come at a least pace.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::line::{self, Line};
use super::pace::Pace;

/// The body stood still, or trickled.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly")]
pub struct TooSlow;

/// Why a body cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error(transparent)]
    TooSlow(#[from] TooSlow),
    #[error("the connection failed")]
    Connection(#[source] hyper::Error),
}

/// Whether a body could not be read because it came too slowly.
#[must_use]
pub fn is_too_slow(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<TooSlow>() || matches!(error.downcast_ref(), Some(BodyError::TooSlow(_))) {
            return true;
        }
        next = error.source();
    }
    false
}

/// The body as it comes from the connection.
pub(super) struct PacedBody {
    body: Incoming,
    pace: Pace,
    sleep: Option<Pin<Box<Sleep>>>,
    line: Arc<Line>,
}

impl PacedBody {
    pub(super) fn new(body: Incoming, pace: Pace, line: Arc<Line>) -> Self {
        line.arriving(!body.is_end_stream());
        Self { body, pace, sleep: None, line }
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            this.pace.moved(line::now(), data.map_or(0, Bytes::len));
            if this.body.is_end_stream() || !matches!(frame, Some(Ok(_))) {
                this.line.arriving(false);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Connection)));
        }
        this.pace.waits(line::now());
        let Some(deadline) = this.pace.deadline() else { return Poll::Pending };
        let deadline = tokio::time::Instant::from_std(deadline);
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        ready!(sleep.as_mut().poll(context));
        this.line.arriving(false);
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for PacedBody {
    fn drop(&mut self) {
        self.line.arriving(false);
    }
}
