//! The queue before the passwords: each check takes a core for a while, so a few are done at a time, and the turns are
//! shared between the addresses they come from, and between the names within an address.
//!
//! Users who have logged in before from the same address go before others, who get every fourth turn at least. The
//! queue is short, so that a wait is; when it is full, the oldest of the largest crowd is asked to come back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// A digest of an address or of a log-in name.
pub type Key = [u8; 32];

/// Turns of the known, one after another, before a stranger gets one.
const KNOWN_IN_A_ROW: u32 = 3;

/// The queue is full, and this one had to give way.
#[derive(Debug, thiserror::Error)]
#[error("too many log-ins at once")]
pub struct QueueFull;

/// Who wants to log in.
#[derive(Debug, Clone, Copy)]
pub struct Applicant {
    /// Where from.
    pub address: Key,
    /// As whom.
    pub login: Key,
    /// Whether that name has logged in from there before.
    pub known: bool,
}

struct Waiting {
    number: u64,
    who: Applicant,
    /// In which round its address, and its name, would be served.
    rounds: (u64, u64),
    turn: oneshot::Sender<Turn>,
}

#[derive(Default)]
struct State {
    next: u64,
    busy: usize,
    known_in_a_row: u32,
    waiting: Vec<Waiting>,
    /// The round of the log-in that was served last, for addresses and for names.
    now: (u64, u64),
    addresses: HashMap<Key, u64>,
    logins: HashMap<Key, u64>,
}

struct Inner {
    workers: usize,
    waiting_max: usize,
    state: Mutex<State>,
}

/// The queue.
#[derive(Clone)]
pub struct LogInQueue(Arc<Inner>);

/// A turn. It ends when this is dropped.
pub struct Turn(Arc<Inner>);

impl LogInQueue {
    /// Serves `workers` at the same time, while up to `waiting_max` wait.
    #[must_use]
    pub fn new(workers: usize, waiting_max: usize) -> Self {
        let (workers, waiting_max) = (workers.max(1), waiting_max.max(1));
        Self(Arc::new(Inner { workers, waiting_max, state: Mutex::default() }))
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// When too many others wait.
    pub async fn turn(&self, who: Applicant) -> Result<Turn, QueueFull> {
        let (turn, mine) = oneshot::channel();
        {
            let mut state = self.0.lock();
            if state.waiting.len() >= self.0.waiting_max {
                // Those who went away make room first.
                state.waiting.retain(|waiting| !waiting.turn.is_closed());
            }
            state.join(who, turn);
            if state.waiting.len() > self.0.waiting_max {
                state.drop_one();
            }
        }
        Inner::serve(&self.0);
        mine.await.map_err(|_| QueueFull)
    }
}

impl State {
    fn join(&mut self, who: Applicant, turn: oneshot::Sender<Turn>) {
        let rounds = (
            later(&mut self.addresses, who.address, self.now.0),
            later(&mut self.logins, who.login, self.now.1),
        );
        self.waiting.push(Waiting { number: self.next, who, rounds, turn });
        self.next += 1;
    }

    /// Sends away the oldest of the name that waits most often at the address that waits most often.
    fn drop_one(&mut self) {
        let strangers = self.waiting.iter().any(|waiting| !waiting.who.known);
        let candidates = || self.waiting.iter().filter(|waiting| !(strangers && waiting.who.known));
        let most = |key: fn(&Applicant) -> Key, at: Option<Key>| {
            let mut counts: HashMap<Key, usize> = HashMap::new();
            for it in candidates().filter(|it| at.is_none_or(|at| it.who.address == at)) {
                *counts.entry(key(&it.who)).or_default() += 1;
            }
            counts.into_iter().max_by_key(|(key, count)| (*count, *key))
        };
        let Some((address, _)) = most(|who| who.address, None) else { return };
        let login = match most(|who| who.login, Some(address)) {
            Some((login, count)) if count > 1 => Some(login),
            _ => None,
        };
        let oldest = candidates()
            .filter(|it| {
                it.who.address == address && login.is_none_or(|login| it.who.login == login)
            })
            .map(|it| it.number)
            .min();
        self.waiting.retain(|waiting| Some(waiting.number) != oldest);
    }

    /// The next to be served.
    fn next(&mut self) -> Option<Waiting> {
        let turn_of_strangers = self.known_in_a_row >= KNOWN_IN_A_ROW;
        let waiting = self.waiting.iter().enumerate();
        let (at, _) = waiting.min_by_key(|(_, waiting)| {
            let behind = waiting.who.known == turn_of_strangers;
            (behind, self.first_round(waiting.who.address), waiting.rounds.1, waiting.number)
        })?;
        let mut next = self.waiting.remove(at);
        // The round of its address is used up by each log-in served, whichever of its names that is.
        let address = next.who.address;
        if let Some(first) = self
            .waiting
            .iter_mut()
            .filter(|other| other.who.address == address && other.rounds.0 < next.rounds.0)
            .min_by_key(|other| other.rounds.0)
        {
            std::mem::swap(&mut first.rounds.0, &mut next.rounds.0);
        }
        self.now = (self.now.0.max(next.rounds.0), self.now.1.max(next.rounds.1));
        self.known_in_a_row = if next.who.known { self.known_in_a_row + 1 } else { 0 };
        let now = self.now;
        self.addresses.retain(|_, round| *round > now.0);
        self.logins.retain(|_, round| *round > now.1);
        Some(next)
    }

    fn first_round(&self, address: Key) -> u64 {
        let own = self.waiting.iter().filter(|waiting| waiting.who.address == address);
        own.map(|waiting| waiting.rounds.0).min().unwrap_or(u64::MAX)
    }
}

/// The round after the last one a key has asked for, and after the present one.
fn later(rounds: &mut HashMap<Key, u64>, key: Key, now: u64) -> u64 {
    let round = rounds.entry(key).or_insert(0);
    *round = (*round).max(now) + 1;
    *round
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives out turns as long as there are some.
    fn serve(this: &Arc<Self>) {
        loop {
            let next = {
                let mut state = this.lock();
                if state.busy >= this.workers {
                    return;
                }
                let Some(next) = state.next() else { return };
                state.busy += 1;
                next
            };
            // Outside of the lock: a turn that no one takes ends here, and takes the lock.
            let _gone = next.turn.send(Turn(Arc::clone(this)));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().busy -= 1;
        Inner::serve(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::JoinSet;
    use tokio::time::Instant;

    use super::*;

    /// What a check takes on a slow core.
    const CHECK: Duration = Duration::from_millis(30);

    fn key(number: u16) -> Key {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&number.to_le_bytes());
        key
    }

    fn applicant(address: u16, login: u16, known: bool) -> Applicant {
        Applicant { address: key(address), login: key(login), known }
    }

    async fn log_in(queue: LogInQueue, who: Applicant) -> Result<Duration, QueueFull> {
        let begin = Instant::now();
        let turn = queue.turn(who).await?;
        let waited = begin.elapsed();
        tokio::time::sleep(CHECK).await;
        drop(turn);
        Ok(waited)
    }

    /// How long the last of these waits, behind the crowd before it; and how many of the crowd were sent away.
    async fn honest(crowd: Vec<Applicant>, honest: Applicant, waiting_max: usize) -> (u64, usize) {
        let queue = LogInQueue::new(1, waiting_max);
        let (mut tasks, crowd_size) = (JoinSet::new(), crowd.len());
        for who in crowd {
            tasks.spawn(log_in(queue.clone(), who));
        }
        // The runtime polls a part of them between two turns of this task.
        for _ in 0..crowd_size {
            tokio::task::yield_now().await;
        }
        let waited = log_in(queue, honest).await.expect("a turn");
        let outcomes = tasks.join_all().await;
        let crowded = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        (u64::try_from(waited.as_millis()).expect("short"), crowded)
    }

    #[tokio::test(start_paused = true)]
    async fn an_honest_one_among_300_waits_for_a_turn_or_two() {
        let two_turns = 2 * 30;
        let from_one = |at: u16| (0..300).map(move |login| applicant(at, 1000 + login, false));
        // One address with many names, before a user at another address.
        let (waited, _) = honest(from_one(1).collect(), applicant(2, 1, false), 400).await;
        assert!(waited <= two_turns, "{waited} ms");
        // Many addresses, one name, before a user with another name.
        let crowd = (0..300).map(|address| applicant(1000 + address, 7, false)).collect();
        let (waited, _) = honest(crowd, applicant(2, 1, false), 400).await;
        assert!(waited <= two_turns, "{waited} ms");
        // One address and one name, before another user behind the same address.
        let crowd = (0..300).map(|_| applicant(1, 7, false)).collect();
        let (waited, _) = honest(crowd, applicant(1, 1, false), 400).await;
        assert!(waited <= two_turns, "{waited} ms");
        // One address with many names, before a user at the same address who is known there.
        let (waited, _) = honest(from_one(1).collect(), applicant(1, 1, true), 400).await;
        assert!(waited <= two_turns, "{waited} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_sends_away_of_the_largest_crowd_and_keeps_the_wait_short() {
        let crowd: Vec<_> = (0..300).map(|login| applicant(1, 1000 + login, false)).collect();
        let (waited, crowded) = honest(crowd.clone(), applicant(1, 1, false), 32).await;
        assert!(waited <= 1000, "{waited} ms, behind the same address and unknown");
        assert!(crowded >= 260, "{crowded} were told to come back");
        let (waited, _) = honest(crowd, applicant(2, 1, false), 32).await;
        assert!(waited <= 60, "{waited} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn the_known_do_not_starve_strangers() {
        let crowd = (0..300).map(|login| applicant(1, 1000 + login, true)).collect();
        let (waited, _) = honest(crowd, applicant(1, 1, false), 400).await;
        assert!(waited <= 5 * 30, "{waited} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn who_went_away_takes_no_turn() {
        let queue = LogInQueue::new(1, 4);
        let turn = queue.turn(applicant(1, 1, false)).await.expect("free");
        let mut gone = JoinSet::new();
        for login in 0..4 {
            gone.spawn(log_in(queue.clone(), applicant(1, 10 + login, false)));
        }
        tokio::task::yield_now().await;
        gone.shutdown().await;
        let waits = tokio::spawn(log_in(queue.clone(), applicant(1, 2, false)));
        tokio::task::yield_now().await;
        drop(turn);
        let waited = waits.await.expect("the task").expect("a turn");
        assert_eq!(waited, Duration::ZERO);
        assert_eq!(queue.0.lock().waiting.len(), 0);
        assert_eq!(queue.0.lock().busy, 0);
    }
}
