//! A process that writes to a log and keeps a journal of what it was told, made to be killed at any time.
//!
//! Its standard input is the line to whoever started it: `stop` asks it to finish what it began and to end; when
//! the line breaks, it ends at once.

#[path = "../journal.rs"]
mod journal;
#[path = "../random.rs"]
mod random;
#[path = "../scenario.rs"]
mod scenario;
#[path = "../task.rs"]
mod task;
#[path = "../work.rs"]
mod work;

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::exit;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use commands::failpoints::{self, Fault, POINTS};
use commands::{Clock, Keys, Ledger, LedgerConfig, OpenError, database};

use journal::{Journal, Writer};
use random::Random;
use scenario::World;
use task::{Ended, ORIGIN};
use work::Work;

/// Commands under way at a time.
const IN_FLIGHT: u64 = 16;

/// What has no end otherwise: how often one command is asked for again, and how often a log is opened.
const TRIES_MAX: u32 = 10_000;

/// The exit status after what must not happen, and after the end of the sequencer.
const BROKEN: i32 = 3;
const SEQUENCER_ENDED: i32 = 4;

fn setting<T: FromStr>(name: &str) -> T {
    let text = std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    text.parse().unwrap_or_else(|_| panic!("{name} is malformed"))
}

struct Shared {
    work: Work,
    before: Journal,
    journal: Mutex<Writer>,
    next: AtomicU64,
    stop: AtomicBool,
    struck: Mutex<BTreeMap<&'static str, u64>>,
}

impl Shared {
    fn write(&self, line: impl FnOnce(&mut Writer) -> std::io::Result<()>) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        line(&mut journal).expect("the journal can be written");
    }

    fn broken(&self, what: &str) -> ! {
        self.write(|journal| journal.broken(what));
        exit(BROKEN)
    }

    /// The next command that has no answer. Once asked to stop, only those that were begun.
    fn take(&self) -> Option<u64> {
        loop {
            let n = self.next.fetch_add(1, Ordering::SeqCst);
            if self.before.is_answered(n) {
                continue;
            }
            if !self.stop.load(Ordering::SeqCst) || self.before.begun.contains(&n) {
                return Some(n);
            }
            if self.before.begun.last().is_none_or(|last| n > *last) {
                return None;
            }
        }
    }

    /// Writes down which faults have struck since the last time.
    fn note_faults(&self) {
        let now = failpoints::struck();
        let mut noted = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
        for (point, count) in now {
            let more = count - noted.get(point).copied().unwrap_or(0);
            if more > 0 {
                noted.insert(point, count);
                self.write(|journal| journal.struck(point, more));
            }
        }
    }
}

/// Asks until there is an answer; whether it was done.
async fn ask(shared: &Shared, ledger: &Ledger, n: u64) -> bool {
    for attempt in 0..TRIES_MAX {
        let (task, id, own) = (shared.work.task(n), shared.work.command_id(n), ledger.clone());
        // A task of its own, as a request has one: a panic ends the attempt and not the writer.
        let ended = tokio::spawn(async move { task.attempt(&own, id).await }).await;
        match ended {
            Ok(Ended::Done(receipt)) => {
                shared.write(|journal| journal.done(n, &receipt));
                return true;
            }
            Ok(Ended::Refused(code)) => {
                shared.write(|journal| journal.refused(n, code));
                return false;
            }
            Ok(Ended::Broken(what)) => shared.broken(&what),
            Ok(Ended::Unknown) | Err(_) => {}
        }
        if !ledger.is_open() {
            exit(SEQUENCER_ENDED);
        }
        tokio::time::sleep(Duration::from_millis(u64::from(attempt.min(20)) * 5)).await;
    }
    shared.broken("a command was never answered")
}

async fn client(shared: Arc<Shared>, ledger: Ledger, number: u64) {
    let work = shared.work;
    let mut random = Random::new(
        work.seed
            ^ (number << 40)
            ^ (u64::from(work.writer) << 48)
            ^ shared.before.begun.len() as u64,
    );
    while let Some(n) = shared.take() {
        shared.write(|journal| journal.begun(n));
        let done = ask(&shared, &ledger, n).await;
        let stopping = shared.stop.load(Ordering::SeqCst);
        // Now and then once more: what was done is answered alike, also long afterwards.
        if done && !stopping && random.within(0..16) == 0 {
            ask(&shared, &ledger, n).await;
        }
        let earlier = random.within(0..n.max(1) + 1);
        if !stopping
            && random.within(0..16) == 0
            && shared.before.acknowledged.contains_key(&earlier)
        {
            ask(&shared, &ledger, earlier).await;
        }
        if !stopping && random.within(0..32) == 0 {
            let point = POINTS[random.within(0..POINTS.len() as u64) as usize];
            failpoints::arm(point, fault(&mut random));
        }
        shared.note_faults();
    }
}

fn fault(random: &mut Random) -> Fault {
    match random.within(0..24) {
        0 => Fault::Abort,
        1 => Fault::Panic,
        2..=9 => Fault::Delay(Duration::from_millis(random.within(1..200))),
        _ => Fault::Error,
    }
}

fn keys() -> Keys {
    Keys::load(setting::<PathBuf>("LEDGER_FAULT_KEYS")).expect("the keys are there")
}

/// Opens the log as soon as its database lets it.
async fn open(url: &str, config: &LedgerConfig) -> Result<Ledger, String> {
    let keys = keys();
    let mut last = String::new();
    for _ in 0..TRIES_MAX {
        match database::connect(url).await {
            Ok(pool) => {
                match Ledger::open(pool, keys.clone(), Clock::system(), config.clone()).await {
                    Ok(ledger) => return Ok(ledger),
                    Err(OpenError::Database(error)) => last = format!("{error:?}"),
                    Err(error) => return Err(format!("{error:?}")),
                }
            }
            Err(error) => last = format!("{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(last)
}

/// Listens to whoever started this process.
fn obey(stop: impl Fn() + Send + 'static) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.is_ok_and(|line| line == "stop") {
                stop();
            }
        }
        exit(0);
    });
}

async fn torture(url: &str) {
    let path: PathBuf = setting("LEDGER_FAULT_JOURNAL");
    let before = Journal::read(&path);
    let journal = Writer::open(&path).expect("the journal opens");
    let shared = Arc::new(Shared {
        work: Work { seed: setting("LEDGER_FAULT_SEED"), writer: setting("LEDGER_FAULT_WRITER") },
        before,
        journal: Mutex::new(journal),
        next: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        struck: Mutex::default(),
    });
    let told = shared.clone();
    obey(move || {
        failpoints::disarm_all();
        told.stop.store(true, Ordering::SeqCst);
    });
    let config = LedgerConfig {
        transaction_max: Duration::from_secs(5),
        snapshot_every: 16,
        ..LedgerConfig::new(ORIGIN)
    };
    let ledger = match open(url, &config).await {
        Ok(ledger) => ledger,
        Err(error) => shared.broken(&error),
    };
    let clients: Vec<_> = (0..IN_FLIGHT)
        .map(|number| tokio::spawn(client(shared.clone(), ledger.clone(), number)))
        .collect();
    for client in clients {
        if client.await.is_err() {
            shared.broken("a client panicked");
        }
    }
    ledger.close().await;
}

/// One round of the scenario, with a failpoint at which this process ends.
async fn scenario(url: &str) {
    obey(|| {});
    let pool = database::connect(url).await.expect("the database answers");
    let mut world = World::open(pool, keys()).await;
    let journal = Writer::open(&setting::<PathBuf>("LEDGER_FAULT_JOURNAL")).expect("it opens");
    world.journal = Some(journal);
    let point: String = setting("LEDGER_FAULT_POINT");
    world.round(setting("LEDGER_FAULT_ROUND"), &point, Some(Fault::Abort)).await;
}

#[tokio::main]
async fn main() {
    let url: String = setting("LEDGER_FAULT_URL");
    if std::env::var_os("LEDGER_FAULT_POINT").is_some() {
        scenario(&url).await;
    } else {
        torture(&url).await;
    }
    exit(0);
}
