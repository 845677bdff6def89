//! What a connection is doing and since when, so that what takes too long is cut, and what is least worth keeping
//! gives way.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::pace::Pace;

/// The time, which tests may hold.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Where a connection stands in the course of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between two requests.
    Idle,
    /// The head of a request is coming.
    Head,
    /// A request is being answered.
    Answering,
}

/// How well the other side is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    /// Has sent nothing complete.
    Stranger,
    /// Has sent a request.
    Public,
    /// Has sent a request with a good access token.
    SignedIn,
}

/// Why a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The head of a request did not come in time.
    Header,
    /// There was no further request.
    Idle,
    /// The answer was not taken.
    Answer,
}

impl Cut {
    /// The word for it in the metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Idle => "idle",
            Self::Answer => "answer",
        }
    }
}

/// How long each may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) header: Duration,
    pub(super) idle: Duration,
}

/// Rank of a connection when there are too many: the lowest is closed first, and of those the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeepPriority {
    rank: u8,
    since: Instant,
}

impl KeepPriority {
    /// A connection that has brought nothing yet.
    pub(super) fn is_nothing(self) -> bool {
        self.rank <= 1
    }
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    known: Known,
    arriving: bool,
    answer: Pace,
}

/// The state of one connection, shared by its reader, its writer, the limit and the timeouts.
#[derive(Debug)]
pub struct Line {
    times: Times,
    state: Mutex<State>,
}

impl Line {
    pub(super) fn new(times: Times, answer: Pace) -> Arc<Self> {
        let state = State {
            // The first request should be under way.
            phase: Phase::Head,
            since: now(),
            known: Known::Stranger,
            arriving: false,
            answer,
        };
        Arc::new(Self { times, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        (state.phase, state.since) = (phase, now());
    }

    /// Bytes of a request have come.
    fn heard(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            (state.phase, state.since) = (Phase::Head, now());
        }
    }

    /// The head of a request is complete.
    pub(super) fn asked(&self) {
        self.enter(Phase::Answering);
        let mut state = self.lock();
        state.known = state.known.max(Known::Public);
    }

    /// The answer is on its way as a whole.
    pub(super) fn answered(&self) {
        self.enter(Phase::Idle);
    }

    /// The request came with a good access token.
    pub fn signed_in(&self) {
        self.lock().known = Known::SignedIn;
    }

    /// Whether a body is coming.
    pub(super) fn arriving(&self, arriving: bool) {
        self.lock().arriving = arriving;
    }

    /// Whether nothing is being answered, so that nothing is lost by closing it.
    pub(super) fn is_waiting(&self) -> bool {
        self.lock().phase != Phase::Answering
    }

    /// When something will have taken too long, and what.
    pub(super) fn deadline(&self) -> Option<(Instant, Cut)> {
        let state = self.lock();
        let own = match state.phase {
            Phase::Head => Some((state.since + self.times.header, Cut::Header)),
            Phase::Idle => Some((state.since + self.times.idle, Cut::Idle)),
            Phase::Answering => None,
        };
        let answer = state.answer.deadline().map(|deadline| (deadline, Cut::Answer));
        own.into_iter().chain(answer).min_by_key(|(deadline, _)| *deadline)
    }

    /// What the connection is worth; nothing where it must not be closed for another one.
    pub(super) fn keep_priority(&self) -> Option<KeepPriority> {
        let state = self.lock();
        let rank = match (state.phase, state.known) {
            (Phase::Head, Known::Stranger) => 0,
            (Phase::Answering, known) if state.arriving && known < Known::SignedIn => 1,
            (Phase::Answering, _) => return None,
            (Phase::Head | Phase::Idle, Known::Stranger | Known::Public) => 2,
            (Phase::Head | Phase::Idle, Known::SignedIn) => 3,
        };
        Some(KeepPriority { rank, since: state.since })
    }
}

/// The bytes of a connection, watched.
pub(super) struct Wire {
    stream: TcpStream,
    line: Arc<Line>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, line: Arc<Line>) -> Self {
        Self { stream, line }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.line.lock().answer.waits(now()),
            Poll::Ready(Ok(bytes)) => self.line.lock().answer.moved(now(), *bytes),
            Poll::Ready(Err(_)) => {}
        }
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() && buffer.filled().len() > before {
            self.line.heard();
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const TIMES: Times = Times { header: Duration::from_secs(10), idle: Duration::from_secs(60) };

    pub(in crate::edge) fn line() -> Arc<Line> {
        Line::new(TIMES, Pace::new(Duration::from_secs(10), 1024))
    }

    fn left(line: &Line) -> Option<(u64, Cut)> {
        let (deadline, cut) = line.deadline()?;
        Some((deadline.saturating_duration_since(now()).as_secs(), cut))
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_time_and_bytes_do_not_stretch_it() {
        let line = line();
        assert_eq!(left(&line), Some((10, Cut::Header)));
        tokio::time::advance(Duration::from_secs(4)).await;
        line.heard();
        assert_eq!(left(&line), Some((6, Cut::Header)), "a byte now and then buys nothing");
        line.asked();
        assert_eq!(left(&line), None);
        line.answered();
        assert_eq!(left(&line), Some((60, Cut::Idle)));
        tokio::time::advance(Duration::from_secs(30)).await;
        line.heard();
        assert_eq!(left(&line), Some((10, Cut::Header)));
        line.asked();
        line.lock().answer.waits(now());
        assert_eq!(left(&line), Some((10, Cut::Answer)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_shown_nothing_goes_first_and_who_is_served_stays() {
        let make = |steps: &[&str]| {
            let line = line();
            for step in steps {
                match *step {
                    "asked" => line.asked(),
                    "body" => line.arriving(true),
                    "token" => line.signed_in(),
                    _ => line.answered(),
                }
            }
            line
        };
        let rank = |line: Arc<Line>| line.keep_priority().map(|worth| worth.rank);
        assert_eq!(rank(make(&[])), Some(0), "half a head");
        assert_eq!(rank(make(&["asked", "body"])), Some(1), "a body of nobody's");
        assert_eq!(rank(make(&["asked", "answered"])), Some(2), "idle");
        assert_eq!(rank(make(&["asked", "token", "answered"])), Some(3), "idle, signed in");
        assert_eq!(rank(make(&["asked"])), None, "being answered");
        assert_eq!(rank(make(&["asked", "body", "token"])), None, "a capture");
    }
}
