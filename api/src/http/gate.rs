//! What requests are held against, and what is said where there is no room.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::Semaphore;

use super::problem::Problem;
use crate::config::Http;
use crate::edge::quota::{Full, Quota};

/// One account's part of the memory for bodies, and that of all who have none: a quarter.
const MEMORY_SHARE: u64 = 4;

/// What requests are held against.
#[derive(Clone)]
pub struct Gate {
    /// Requests with an access token.
    pub signed_in: Quota,
    /// Requests of anybody.
    pub public: Quota,
    /// Questions about health, and for figures.
    pub health: Quota,
    /// Bytes of bodies in memory.
    pub memory: Quota,
    /// Uploads on their way.
    pub uploads: Quota,
    /// Bytes of uploads on the disk.
    pub spool: Quota,
    /// Uploads that are decoded, and pictures that are drawn.
    pub decoding: Arc<Semaphore>,
    /// Reads that wait for a position.
    pub waits: Arc<Semaphore>,
}

impl Gate {
    /// The gate as it is set.
    #[must_use]
    pub fn new(http: &Http) -> Self {
        let count = |number: usize| number as u64;
        let mib = |number: u64| number.saturating_mul(1024 * 1024);
        let uploads = count(http.max_arriving_uploads);
        Self {
            signed_in: Quota::new(count(http.max_requests), count(http.max_requests_per_account)),
            public: Quota::new(count(http.max_public_requests), u64::MAX),
            health: Quota::new(count(http.max_health_requests), u64::MAX),
            memory: Quota::new(mib(http.body_mib), mib(http.body_mib) / MEMORY_SHARE),
            uploads: Quota::new(uploads, uploads.div_ceil(2)),
            spool: Quota::new(mib(http.spool_mib), mib(http.spool_mib) / 2),
            decoding: Arc::new(Semaphore::new(http.max_uploads.max(1))),
            waits: Arc::new(Semaphore::new(http.max_position_waits)),
        }
    }
}

/// Counts what was turned away.
pub(super) fn rejected(why: &'static str) {
    metrics::counter!("ledger_http_rejected_total", "why" => why).increment(1);
}

/// 503 where all is used up, 429 where it is the caller's own share.
pub(super) fn full(reason: Full, of: &'static str) -> Problem {
    rejected(of);
    match reason {
        Full::All => Problem::overloaded(),
        Full::Share => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-requests",
            "Too many requests at once",
            "this account has as much under way as one may; nothing was done, send it again when some of it has ended",
        )
        .retry_after(Duration::from_secs(1)),
    }
}
