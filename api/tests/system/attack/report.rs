//! What came of all attacks, as it happens and together.

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::judge::Outcome;

pub(crate) struct Tally {
    seed: u64,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    made: usize,
    not_taken: usize,
    refused: usize,
    stopped: usize,
    noticed: usize,
    named: usize,
    harmless: Vec<(String, &'static str)>,
    /// Attacks that hid something from a list until it was noticed.
    lacking: Vec<String>,
    /// Attacks that were believed, not noticed, or not named, each with how to repeat it.
    wrong: Vec<String>,
}

impl Tally {
    pub(crate) fn new(seed: u64, full: bool) -> Tally {
        let tally = Tally { seed, counts: Mutex::default() };
        tally.say(&format!("ATTACK_SEED={seed}, {}", if full { "in full" } else { "a sample" }));
        tally
    }

    /// Straight to standard error, where the test harness does not swallow it.
    pub(crate) fn say(&self, line: &str) {
        let _gone = writeln!(std::io::stderr(), "attack: {line}");
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("nobody panicked")
    }

    /// A login was not let.
    pub(crate) fn refused(&self) {
        self.lock().refused += 1;
    }

    /// Something else went wrong.
    pub(crate) fn wrong(&self, line: String) {
        self.say(&format!("WRONG {line}"));
        self.lock().wrong.push(line);
    }

    pub(crate) fn note(
        &self,
        name: &str,
        harmless: Option<&'static str>,
        outcome: &Outcome,
        took: Duration,
    ) {
        let mut counts = self.lock();
        if !outcome.made {
            counts.not_taken += 1;
            drop(counts);
            // What was thought of must happen; of what is made of the catalog, much means nothing to the database.
            match name.starts_with("plot ") {
                true => self.wrong(format!("ATTACK_ONLY='{name}': not tried: {}", outcome.said)),
                false => self.say(&format!("not taken by the database: {name} ({})", outcome.said)),
            }
            return;
        }
        counts.made += 1;
        if counts.made.is_multiple_of(50) {
            self.say(&format!("{} attacks made", counts.made));
        }
        counts.stopped += usize::from(outcome.stopped > 0);
        counts.noticed += usize::from(outcome.noticed);
        counts.named += usize::from(outcome.named);
        let mut wrong = outcome.believed.clone();
        if !outcome.lacking.is_empty() {
            counts.lacking.push(format!("{name}: {}", outcome.lacking.join(", ")));
        }
        match harmless {
            Some(reason) if !outcome.named && outcome.believed.is_empty() => {
                counts.harmless.push((name.to_owned(), reason));
            }
            Some(_) => {}
            None if !outcome.noticed => wrong.push("not noticed".to_owned()),
            None if !outcome.named => wrong.push("not named at its place".to_owned()),
            None => {}
        }
        if std::env::var_os("ATTACK_TIMES").is_some() {
            self.say(&format!("{name}: {}", outcome.times));
        }
        if !wrong.is_empty() {
            let seed = self.seed;
            let line = format!(
                "ATTACK_SEED={seed} ATTACK_ONLY='{name}': {} ({})",
                wrong.join("; "),
                outcome.said
            );
            self.say(&format!("WRONG {line}"));
            counts.wrong.push(line);
        } else if took > Duration::from_secs(20) {
            self.say(&format!("{name} took {took:.0?}"));
        }
    }

    /// Prints it, and fails where anything was believed, unnoticed or unnamed.
    pub(crate) fn verdict(&self, took: Duration) {
        let counts = self.lock();
        let believed = counts.wrong.iter().filter(|line| line.contains(" instead of ")).count();
        self.say(&format!(
            "{} attacks in {took:.0?}: {believed} believed, {} noticed, {} named, {} without meaning; {} stopped something; \
             {} hid something from a list; {} not taken by a store, {} refused to a login",
            counts.made,
            counts.noticed,
            counts.named,
            counts.harmless.len(),
            counts.stopped,
            counts.lacking.len(),
            counts.not_taken,
            counts.refused
        ));
        // Not believed, and not stopped either: said apart, so that nobody takes it for nothing.
        for line in &counts.lacking {
            self.say(&format!("hidden from a list until it was noticed: {line}"));
        }
        for (name, reason) in &counts.harmless {
            self.say(&format!("without meaning: {name}: {reason}"));
        }
        for line in &counts.wrong {
            self.say(&format!("WRONG {line}"));
        }
        assert!(counts.wrong.is_empty(), "{} attacks went wrong, see above", counts.wrong.len());
    }
}
