//! One or two processes write, and at moments of chance one is killed, Postgres is restarted or the disk is full.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use commands::database::{self, Login};
use commands::{Clock, Keys, Ledger, LedgerConfig};

use crate::cluster::Cluster;
use crate::evidence::{self, signals};
use crate::journal::Journal;
use crate::random::Random;
use crate::task::ORIGIN;
use crate::work::Work;

/// How long nobody may be told anything.
const STALL: Duration = Duration::from_secs(120);

/// How a writer says that its sequencer ended, after a fault that is a panic.
const SEQUENCER_ENDED: i32 = 4;

fn setting<T: FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What was done to them.
#[derive(Debug, Default)]
struct Havoc {
    kills: u64,
    restarts: u64,
    full_disks: u64,
    aborts: u64,
    panics: u64,
}

/// One process, started again whenever it ends.
struct Writer {
    work: Work,
    journal: PathBuf,
    read: u64,
    acknowledged: u64,
    child: Child,
}

struct Torture {
    cluster: Cluster,
    /// How the writers log in.
    url: String,
    keys: PathBuf,
    writers: Vec<Writer>,
    havoc: Havoc,
    random: Random,
}

impl Torture {
    fn spawn(url: &str, keys: &PathBuf, work: Work, journal: &PathBuf) -> Child {
        let log = journal.with_extension("log");
        let log = File::options().create(true).append(true).open(log).expect("a log file");
        Command::new(env!("CARGO_BIN_EXE_fault-writer"))
            .env("LEDGER_FAULT_URL", url)
            .env("LEDGER_FAULT_KEYS", keys)
            .env("LEDGER_FAULT_JOURNAL", journal)
            .env("LEDGER_FAULT_SEED", work.seed.to_string())
            .env("LEDGER_FAULT_WRITER", work.writer.to_string())
            .stdin(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the writer starts")
    }

    fn begin(cluster: Cluster, url: String, seed: u64, writers: u8) -> Torture {
        let keys = cluster.folder().join("keys");
        Keys::generate(&keys).expect("new keys");
        let writers = (0..writers)
            .map(|writer| {
                let work = Work { seed, writer };
                let journal = cluster.folder().join(format!("writer-{writer}.journal"));
                let child = Torture::spawn(&url, &keys, work, &journal);
                Writer { work, journal, read: 0, acknowledged: 0, child }
            })
            .collect();
        let random = Random::new(seed);
        Torture { cluster, url, keys, writers, havoc: Havoc::default(), random }
    }

    /// How many commands have been acknowledged, those that were repeated counted again.
    fn acknowledged(&mut self) -> u64 {
        for writer in &mut self.writers {
            let Ok(mut file) = File::open(&writer.journal) else { continue };
            file.seek(SeekFrom::Start(writer.read)).expect("the journal can be read");
            let mut text = String::new();
            file.read_to_string(&mut text).expect("the journal can be read");
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            writer.read += whole as u64;
            let done = text[..whole]
                .lines()
                .filter(|line| line.starts_with("done ") && line.ends_with(" first ."));
            writer.acknowledged += done.count() as u64;
        }
        self.writers.iter().map(|writer| writer.acknowledged).sum()
    }

    fn last_words(&self) -> String {
        let mut words = self.cluster.last_words();
        for writer in &self.writers {
            let log = std::fs::read_to_string(writer.journal.with_extension("log"));
            let log = log.unwrap_or_default();
            words.push_str(&log[log.len().saturating_sub(2_000)..]);
            words.push_str(&format!("{:?}", Journal::read(&writer.journal).broken));
        }
        words
    }

    /// A writer that ended did so because of a fault, and begins again.
    fn restart_the_dead(&mut self) {
        for index in 0..self.writers.len() {
            let ended = self.writers[index].child.try_wait().expect("a child can be waited for");
            let Some(status) = ended else { continue };
            self.account_for(status);
            let Writer { work, journal, .. } = &self.writers[index];
            self.writers[index].child = Torture::spawn(&self.url, &self.keys, *work, journal);
        }
    }

    fn account_for(&mut self, status: ExitStatus) {
        match (status.signal(), status.code()) {
            (Some(signals::KILL), _) => self.havoc.kills += 1,
            (Some(signals::ABORT), _) => self.havoc.aborts += 1,
            (_, Some(SEQUENCER_ENDED)) => self.havoc.panics += 1,
            _ => panic!("a writer ended with {status}: {}", self.last_words()),
        }
    }

    fn kill(&mut self, index: usize) {
        let writer = &mut self.writers[index];
        writer.child.kill().expect("a child can be killed");
        let status = writer.child.wait().expect("a child can be waited for");
        self.account_for(status);
        let Writer { work, journal, .. } = &self.writers[index];
        self.writers[index].child = Torture::spawn(&self.url, &self.keys, *work, journal);
    }

    fn any(&mut self) -> usize {
        self.random.within(0..self.writers.len() as u64) as usize
    }

    /// Something goes wrong.
    fn strike(&mut self, what: u64) {
        match what {
            // A kill at the end of a run of cheap ones, so that there are many.
            0 | 1 | 6.. => {
                let index = self.any();
                self.kill(index);
            }
            2 => {
                for index in 0..self.writers.len() {
                    self.kill(index);
                }
            }
            3 | 4 => {
                let mode = if what == 3 { "immediate" } else { "fast" };
                self.cluster.restart(mode);
                self.havoc.restarts += 1;
            }
            _ => {
                self.cluster.fill();
                std::thread::sleep(Duration::from_millis(self.random.within(100..800)));
                // Whether the server gives up depends on how far its last file was written.
                if self.havoc.full_disks == 0 || self.random.within(0..2) == 0 {
                    self.cluster.press();
                }
                if self.random.within(0..2) == 0 {
                    let index = self.any();
                    self.kill(index);
                    std::thread::sleep(Duration::from_millis(self.random.within(0..300)));
                }
                self.cluster.free();
                self.havoc.full_disks += 1;
            }
        }
    }

    /// Until this many commands are acknowledged.
    fn run(&mut self, commands: u64) {
        let pause = (commands / 25).clamp(12, 400);
        let (mut round, mut next) = (0, pause);
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let acknowledged = self.acknowledged();
            if acknowledged >= commands {
                return;
            }
            if acknowledged > last {
                (last, since) = (acknowledged, Instant::now());
            }
            assert!(since.elapsed() < STALL, "nobody is told anything: {}", self.last_words());
            self.restart_the_dead();
            if acknowledged >= next {
                // Each kind once, then by chance.
                let what = if round < 6 { round } else { self.random.within(0..12) };
                self.strike(what);
                round += 1;
                next = self.acknowledged() + self.random.within(1..2 * pause);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets every writer finish what it began.
    fn finish(&mut self) {
        for index in 0..self.writers.len() {
            let begun = Instant::now();
            loop {
                let writer = &mut self.writers[index];
                if let Some(line) = &mut writer.child.stdin {
                    // It may have died just now.
                    let _gone = line.write_all(b"stop\n");
                }
                let status = wait(&mut writer.child);
                if status.code() == Some(0) {
                    break;
                }
                self.account_for(status);
                assert!(begun.elapsed() < STALL, "a writer does not end: {}", self.last_words());
                let Writer { work, journal, .. } = &self.writers[index];
                let child = Torture::spawn(&self.url, &self.keys, *work, journal);
                self.writers[index].child = child;
            }
        }
    }
}

/// Waits without closing the line to the child, which would end it at once.
fn wait(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        assert!(begun.elapsed() < STALL, "a writer does not finish");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Torture {
    fn drop(&mut self) {
        for writer in &mut self.writers {
            let _gone = writer.child.kill();
            let _gone = writer.child.wait();
        }
    }
}

async fn torture(writers: u8) {
    let Some(cluster) = Cluster::start() else { return };
    let begun = Instant::now();
    let (commands, seed) =
        (setting("LEDGER_FAULT_COMMANDS", 1_200), setting("LEDGER_FAULT_SEED", 20));
    say(&format!(
        "faults: seed {seed}, {writers} processes, {commands} commands, {:?}",
        cluster.disk
    ));
    database::migrate(&cluster.url(), None).await.expect("the tables are made");
    let owner = cluster.url().parse().expect("a URL");
    let login = database::trial(&owner, Login::Serve).await.expect("the rights are given");
    let url = evidence::url(&login);
    let torture = tokio::task::spawn_blocking(move || {
        let mut torture = Torture::begin(cluster, url, seed, writers);
        torture.run(commands);
        torture.finish();
        torture
    });
    let torture = torture.await.expect("the writers were tortured");
    let lasted = begun.elapsed().as_secs_f64();

    let pool = torture.cluster.pool().await;
    let keys = Keys::load(&torture.keys).expect("the keys");
    let journals: Vec<(Work, Journal)> = torture
        .writers
        .iter()
        .map(|writer| (writer.work, Journal::read(&writer.journal)))
        .collect();
    evidence::assert_dense(&pool).await;
    let heads = evidence::assert_kept(&pool, &journals).await;
    let seen = heads.len();
    let report = evidence::assert_sound(&pool, &keys, heads).await;
    evidence::assert_claims(&pool, &keys).await;
    let own = database::connect(&torture.url).await.expect("a pool");
    let ledger = Ledger::open(own, keys, Clock::system(), LedgerConfig::new(ORIGIN)).await;
    ledger.expect("the log opens").close().await;

    let sum =
        |of: fn(&Journal) -> u64| journals.iter().map(|(_, journal)| of(journal)).sum::<u64>();
    let acknowledged = sum(|journal| journal.acknowledged.len() as u64);
    let torn = sum(|journal| journal.torn);
    let Havoc { kills, restarts, full_disks, aborts, panics } = &torture.havoc;
    let (complaints, crashes) = (torture.cluster.complaints(), torture.cluster.panics());
    say(&format!(
        "faults: seed {seed}, {writers} processes: {acknowledged} acknowledged, {} refused, {} answered again; \
         {kills} kills, {restarts} restarts of Postgres, {full_disks} full disks ({complaints} complaints, {crashes} crashes of Postgres), \
         {} faults at {} failpoints, {aborts} aborts, {panics} ends of the sequencer; {} events, {seen} tree heads; \
         {lasted:.0} s, checked in {:.0} s",
        sum(|journal| journal.refused.len() as u64),
        sum(|journal| journal.replayed),
        sum(|journal| journal.struck.values().sum()),
        journals
            .iter()
            .flat_map(|(_, journal)| journal.struck.keys())
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        report.events,
        begun.elapsed().as_secs_f64() - lasted,
    ));
    assert!(acknowledged >= commands, "{acknowledged}");
    assert!(*kills > 0 && *restarts > 1 && *full_disks > 0, "{:?}", torture.havoc);
    assert!(complaints > 0, "the disk was never full");
    assert!(torn <= kills + aborts + panics, "{torn} lines are torn");
}

/// Straight to standard error, where the test harness does not swallow it.
fn say(line: &str) {
    let _gone = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_under_every_fault() {
    torture(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_under_every_fault() {
    torture(2).await;
}
