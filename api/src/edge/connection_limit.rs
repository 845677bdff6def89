//! All connections of a listener: how many there may be, in total and from one address, and which one gives way when
//! another one comes. A newcomer is turned away only where everybody else is being served.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::line::{KeepPriority, Line};

/// How many are closed at once for one newcomer, where they have brought nothing: looking through all of them for
/// each newcomer would cost more than the newcomer.
const AT_ONCE: usize = 32;

struct Member {
    /// None behind a trusted proxy, which speaks for many.
    address: Option<IpAddr>,
    line: Arc<Line>,
    leave: CancellationToken,
}

#[derive(Default)]
struct Members {
    next: u64,
    all: HashMap<u64, Member>,
    by_address: HashMap<IpAddr, usize>,
}

/// The open connections of a listener, bounded in total and per address.
pub(super) struct ConnectionLimit {
    most: usize,
    most_of_one: usize,
    members: Mutex<Members>,
}

/// Permit for one connection, released when it is dropped.
pub(super) struct ConnectionPermit {
    limit: Arc<ConnectionLimit>,
    id: u64,
    /// Cancelled when the connection has to give way.
    pub(super) leave: CancellationToken,
}

impl ConnectionLimit {
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        let most = most.max(1);
        Self { most, most_of_one: most_of_one.clamp(1, most), members: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from `address`; none if all are taken by connections that are being served.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        line: Arc<Line>,
    ) -> Option<ConnectionPermit> {
        let mut members = self.lock();
        let of_one = address.and_then(|address| members.by_address.get(&address).copied());
        if of_one.is_some_and(|count| count >= self.most_of_one) && !members.make_room(address) {
            return None;
        }
        if members.all.len() >= self.most && !members.make_room(None) {
            return None;
        }
        let id = members.next;
        members.next += 1;
        let leave = CancellationToken::new();
        members.all.insert(id, Member { address, line, leave: leave.clone() });
        if let Some(address) = address {
            *members.by_address.entry(address).or_default() += 1;
        }
        metrics::gauge!("ledger_connections").increment(1.0);
        Some(ConnectionPermit { limit: Arc::clone(self), id, leave })
    }
}

impl Members {
    /// Has those least worth keeping leave, of one address or of all.
    fn make_room(&mut self, address: Option<IpAddr>) -> bool {
        let ours =
            self.all.iter().filter(|(_, member)| address.is_none() || member.address == address);
        let mut candidates: Vec<(KeepPriority, u64)> =
            ours.filter_map(|(id, member)| Some((member.line.keep_priority()?, *id))).collect();
        candidates.sort_unstable();
        let more = candidates.iter().skip(1).take_while(|(worth, _)| worth.is_nothing());
        let leaving = (1 + more.count()).min(AT_ONCE).min((candidates.len() / 4).max(1));
        let leaving = leaving.min(candidates.len());
        for (_, id) in &candidates[..leaving] {
            metrics::counter!("ledger_connections_cut_total", "why" => "crowded-out").increment(1);
            if let Some(member) = self.remove(*id) {
                member.leave.cancel();
            }
        }
        leaving > 0
    }

    fn remove(&mut self, id: u64) -> Option<Member> {
        let member = self.all.remove(&id)?;
        metrics::gauge!("ledger_connections").decrement(1.0);
        if let Some(address) = member.address
            && let Some(count) = self.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        Some(member)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limit.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::super::line::tests::line;
    use super::*;

    fn from(last: u8) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_that_brought_nothing_gives_way_to_a_newcomer() {
        let limit = Arc::new(ConnectionLimit::new(6, 4));
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(limit.enter(from(1), line()).expect("room"));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let newcomer = limit.enter(from(1), line()).expect("room is made");
        assert!(places[0].leave.is_cancelled(), "the oldest");
        assert!(places[1..].iter().all(|place| !place.leave.is_cancelled()));
        assert!(!newcomer.leave.is_cancelled());
        // Another address has its own share, and the total its bound.
        let others = [limit.enter(from(2), line()), limit.enter(from(3), line())];
        assert!(others.iter().all(Option::is_some));
        let last = limit.enter(from(4), line()).expect("room is made");
        assert!(places[1].leave.is_cancelled(), "the oldest of all");
        assert_eq!(limit.lock().all.len(), 6);
        drop((places, newcomer, others, last));
        assert!(limit.lock().all.is_empty() && limit.lock().by_address.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_who_is_being_served_gives_way() {
        let limit = Arc::new(ConnectionLimit::new(2, 2));
        let served = [line(), line()];
        let places = served.clone().map(|line| {
            line.asked();
            limit.enter(from(1), line).expect("room")
        });
        assert!(limit.enter(from(1), line()).is_none());
        assert!(limit.enter(from(2), line()).is_none());
        served[1].answered();
        let newcomer = limit.enter(from(2), line()).expect("the idle one gives way");
        assert!(!places[0].leave.is_cancelled() && places[1].leave.is_cancelled());
        assert!(!newcomer.leave.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn behind_a_trusted_proxy_only_the_total_counts() {
        let limit = Arc::new(ConnectionLimit::new(3, 1));
        let places = [(); 3].map(|()| limit.enter(None, line()).expect("room"));
        assert!(places.iter().all(|place| !place.leave.is_cancelled()));
    }
}
