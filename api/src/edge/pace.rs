//! How slowly bytes may move: a short stop is forgiven, a lasting trickle is not.

use std::time::{Duration, Instant};

/// A credit of waiting time, which waiting uses up and bytes earn, up to a bound. So neither an average over a long
/// transfer nor one byte now and then buys a standstill.
#[derive(Debug, Clone)]
pub struct Pace {
    credit_max: Duration,
    bytes_per_second: u64,
    credit: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    /// Bytes may stand still for `credit`, and must move at `bytes_per_second` in the long run.
    #[must_use]
    pub fn new(credit: Duration, bytes_per_second: u64) -> Self {
        let bytes_per_second = bytes_per_second.max(1);
        Self { credit_max: credit, bytes_per_second, credit, waiting_since: None }
    }

    /// Nothing moves at `now`. Time counts from the first of such calls on.
    pub fn waits(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// So many bytes have moved, or, with none, it is not the other side that is waited for.
    pub fn moved(&mut self, now: Instant, bytes: usize) {
        if let Some(since) = self.waiting_since.take() {
            self.credit = self.credit.saturating_sub(now.saturating_duration_since(since));
        }
        let earned_us = (bytes as u64).saturating_mul(1_000_000) / self.bytes_per_second;
        let credit = self.credit.saturating_add(Duration::from_micros(earned_us));
        self.credit = credit.min(self.credit_max);
    }

    /// When the credit ends, if it is being used.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting_since.map(|since| since + self.credit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    /// After how many seconds a sender of `bytes` each second is cut, within an hour.
    fn cut_after(bytes: usize) -> Option<u64> {
        let begin = Instant::now();
        let mut pace = Pace::new(GRACE, 1024);
        for second in 0..3600 {
            let now = begin + Duration::from_secs(second);
            pace.waits(now);
            let next = now + Duration::from_secs(1);
            if pace.deadline().is_some_and(|deadline| deadline < next) {
                return Some(second);
            }
            pace.moved(next, bytes);
        }
        None
    }

    #[test]
    fn a_trickle_is_cut_and_an_even_flow_is_not() {
        assert_eq!(cut_after(0), Some(10));
        assert_eq!(cut_after(1), Some(10));
        assert_eq!(cut_after(512), Some(19));
        assert_eq!(cut_after(1024), None);
    }

    #[test]
    fn what_came_fast_buys_no_standstill_at_the_end() {
        let begin = Instant::now();
        let mut pace = Pace::new(GRACE, 1024);
        pace.waits(begin);
        pace.moved(begin, 32 << 20);
        pace.waits(begin);
        assert_eq!(pace.deadline(), Some(begin + GRACE));
    }

    #[test]
    fn only_waiting_for_the_other_side_costs() {
        let begin = Instant::now();
        let mut pace = Pace::new(GRACE, 1024);
        pace.moved(begin, 1);
        assert_eq!(pace.deadline(), None);
        // After an hour of our own work:
        let later = begin + Duration::from_secs(3600);
        pace.waits(later);
        assert_eq!(pace.deadline(), Some(later + GRACE));
    }
}
