//! A short day at two processes, which comes by every failpoint: what is asked, in which order, of which process.

use std::time::{Duration, Instant};

use commands::failpoints::{self, Fault};
use commands::{Clock, Keys, Ledger, LedgerConfig};
use sqlx::PgPool;
use uuid::Uuid;

use crate::journal::{Acknowledged, Writer};
use crate::task::{Ended, ORIGIN, Slot, Task, book, disclose, list, register, rename, reschedule};

/// How often one command is asked for before it counts as never answered.
const TRIES_MAX: u32 = 50;

/// How long what happens in the background may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A definite answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done(Acknowledged),
    Refused(String),
}

/// A command, and which of the two processes is asked.
struct Step {
    ledger: usize,
    command: u64,
    task: Task,
}

/// Two processes on one log.
pub(crate) struct World {
    pool: PgPool,
    keys: Keys,
    ledgers: Vec<Ledger>,
    pub(crate) journal: Option<Writer>,
}

/// A transaction is given up before a delay ends, and every second event makes a snapshot.
fn config() -> LedgerConfig {
    LedgerConfig {
        transaction_max: Duration::from_millis(300),
        snapshot_every: 2,
        ..LedgerConfig::new(ORIGIN)
    }
}

fn id(kind: u128, round: u64, n: u64) -> Uuid {
    Uuid::from_u128((kind << 120) | (0x8 << 76) | (0x8 << 60) | u128::from(round << 16 | n))
}

/// The id of a command of a round.
pub(crate) fn command_id(round: u64, n: u64) -> Uuid {
    id(1, round, n)
}

fn steps(round: u64, point: &str) -> Vec<Step> {
    let [first, second, third] = [1, 2, 3].map(|n| id(2, round, n));
    let visits = [1, 2, 3].map(|n| id(3, round, n));
    let slot = |quarter| Slot { practitioner: id(4, round, 0), day: 1, quarter };
    let mrn = |n| format!("{round}-{n}");
    let mut asked = vec![
        (0, register(first, &mrn(1))),
        (1, register(second, &mrn(2))),
        // The other one has appended: its leaves have to be read.
        (0, register(third, &mrn(3))),
        (0, list(slot(0).practitioner)),
        // And the data key it made.
        (0, book(visits[0], first, &slot(0))),
        (0, book(visits[1], second, &slot(2))),
        (0, reschedule(visits[0], &slot(4))),
        // Taken: refused under the lock, and looked up in case it had been done before.
        (1, book(visits[2], second, &slot(5))),
        // Assumed to begin here, refused, and looked for in the log.
        (0, rename(second, "Musterfrau")),
        (0, rename(first, "Beispiel")),
        (1, disclose(&[first, third])),
    ];
    if point.starts_with("landing") {
        // Who is alone for a while commits one batch while it looks for the next.
        asked.iter_mut().take(3).for_each(|(ledger, _)| *ledger = 0);
    }
    if point.starts_with("append-at-once") {
        // Nobody else appends: what brings neither keys nor claims goes by itself.
        asked.iter_mut().for_each(|(ledger, _)| *ledger = 0);
    }
    if point.starts_with("load.snapshot") {
        // Longer than what is read of a stream at first, and not in the memory of the one who is asked last.
        let names = [(0, "Erste"), (0, "Zweite"), (1, "Dritte")];
        asked.extend(names.map(|(ledger, name)| (ledger, rename(first, name))));
    }
    if point.starts_with("catch-up") {
        // Who has once seen another append reads what it appends from then on.
        asked.extend([0, 1, 0, 1].map(|ledger| (ledger, disclose(&[first]))));
    }
    if point.starts_with("write.tiles") {
        asked.push((0, disclose(&[first; 256])));
    }
    let steps = asked.into_iter().zip(0..);
    let mut steps: Vec<Step> =
        steps.map(|((ledger, task), command)| Step { ledger, command, task }).collect();
    // The first command again, at the other process.
    steps.push(Step { ledger: 1, command: 0, task: register(first, &mrn(1)) });
    steps
}

impl World {
    pub(crate) async fn open(pool: PgPool, keys: Keys) -> World {
        let mut world = World { pool, keys, ledgers: Vec::new(), journal: None };
        for _ in 0..2 {
            let ledger = world.start().await;
            world.ledgers.push(ledger);
        }
        world
    }

    async fn start(&self) -> Ledger {
        let (pool, keys) = (self.pool.clone(), self.keys.clone());
        Ledger::open(pool, keys, Clock::system(), config()).await.expect("the log opens")
    }

    /// Asks for everything of a round, with a fault at one failpoint, until every answer is definite.
    pub(crate) async fn round(
        &mut self,
        round: u64,
        point: &str,
        fault: Option<Fault>,
    ) -> Vec<Answer> {
        let before = struck(point);
        if let Some(fault) = fault {
            // What is only done for a new connection is done after one has broken.
            if point.starts_with("connect") || point.starts_with("recompute") {
                failpoints::arm("begin-locked.before", Fault::Error);
            }
            // Who has seen nobody else append does not lock first.
            if ["begin.", "landing", "append-at-once"].iter().any(|way| point.starts_with(way)) {
                self.ledgers[0] = self.start().await;
            }
            failpoints::arm(point, fault);
        }
        let mut answers = Vec::new();
        for step in steps(round, point) {
            let answer = self.answer(round, &step).await;
            answers.push(answer);
        }
        let begun = Instant::now();
        while fault.is_some() && struck(point) == before {
            assert!(begun.elapsed() < PATIENCE, "nobody came by the failpoint {point}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        failpoints::disarm_all();
        answers
    }

    async fn answer(&mut self, round: u64, step: &Step) -> Answer {
        for attempt in 0..TRIES_MAX {
            let (ledger, task) = (self.ledgers[step.ledger].clone(), step.task.clone());
            let command_id = command_id(round, step.command);
            // A task of its own, as a request has one: a panic ends the attempt and not the test.
            let ended = tokio::spawn(async move { task.attempt(&ledger, command_id).await }).await;
            match ended {
                Ok(Ended::Done(receipt)) => {
                    self.write(|journal| journal.done(step.command, &receipt));
                    return Answer::Done(Acknowledged::of(&receipt));
                }
                Ok(Ended::Refused(code)) => {
                    self.write(|journal| journal.refused(step.command, code));
                    return Answer::Refused(code.to_owned());
                }
                Ok(Ended::Broken(what)) => panic!("{what}"),
                Ok(Ended::Unknown) | Err(_) => {}
            }
            if !self.ledgers[step.ledger].is_open() {
                self.ledgers[step.ledger] = self.start().await;
            }
            tokio::time::sleep(Duration::from_millis(u64::from(attempt) * 5)).await;
        }
        panic!("command {} of round {round} was never answered", step.command)
    }

    fn write(&mut self, line: impl FnOnce(&mut Writer) -> std::io::Result<()>) {
        if let Some(journal) = &mut self.journal {
            line(journal).expect("the journal can be written");
        }
    }
}

fn struck(point: &str) -> u64 {
    failpoints::struck().get(point).copied().unwrap_or(0)
}
