//! Exports, mutated: whatever somebody does to one without the log's keys is noticed, and named where it is.
//!
//! Each mutation knows what it damaged: a position, a span, or the export as a whole. Both verifiers, the library and
//! `docs/examples/verify.py`, must notice it and name that position, or state a span that holds it. Where the tiles
//! were left alone the position must be exact.
//!
//! The short form is part of `make test`; `make mutations` runs the full one. The seed is printed, and
//! `LEDGER_MUTATIONS_SEED` gives another; `LEDGER_MUTATIONS=full` asks for the full form.

mod folder;
mod kinds;
mod layout;
mod log;
mod python;

use std::collections::BTreeMap;
use std::time::Duration;

use folder::{Folder, Said};
use kinds::{KINDS, Kind, Mutant, Random, Truth};
use log::Log;
use python::Python;

/// How many mutations of a log of some size, and how many of them Python checks too (one in so many).
struct Round {
    size: u64,
    mutations: usize,
    python_one_in: usize,
}

const SHORT: [Round; 2] = [
    Round { size: 300, mutations: 200, python_one_in: 4 },
    Round { size: 2_500, mutations: 24, python_one_in: 24 },
];
const FULL: [Round; 3] = [
    Round { size: 300, mutations: 1_820, python_one_in: 1 },
    Round { size: 2_500, mutations: 290, python_one_in: 8 },
    Round { size: 70_000, mutations: 40, python_one_in: 20 },
];
/// A prime that is no divisor of the number of kinds.
const STRIDE: usize = 53;
const SEED: u64 = 0x13_0040;

/// What came of one round.
#[derive(Default)]
struct Figures {
    exact: usize,
    spans: usize,
    whole: usize,
    sound: usize,
    python: usize,
    by_kind: BTreeMap<&'static str, usize>,
}

#[test]
#[expect(clippy::print_stderr, reason = "the seed and the figures are what the run is for")]
fn every_mutation_of_an_export_is_noticed_and_named() {
    let full = std::env::var("LEDGER_MUTATIONS").is_ok_and(|form| form == "full");
    let seed = std::env::var("LEDGER_MUTATIONS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(SEED);
    let rounds: &[Round] = if full { &FULL } else { &SHORT };
    assert!(KINDS.len() >= 60, "{} kinds", KINDS.len());
    let mut python = Python::start();
    let mut failures = Vec::new();
    let mut total = 0;
    eprintln!("{} kinds, seed {seed} (LEDGER_MUTATIONS_SEED)", KINDS.len());
    for round in rounds {
        let figures = run(round, seed, &mut python, &mut failures);
        total += round.mutations;
        eprintln!(
            "{} events: {} mutations of {} kinds; named exactly {}, by a span {}, as a whole {}; sound as they must be {}; \
             {} of them by verify.py too",
            round.size,
            round.mutations,
            figures.by_kind.len(),
            figures.exact,
            figures.spans,
            figures.whole,
            figures.sound,
            figures.python
        );
    }
    eprintln!("{total} mutations, {} not noticed or not named", failures.len());
    assert!(!full || total >= 2_000, "{total} mutations");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn run(round: &Round, seed: u64, python: &mut Python, failures: &mut Vec<String>) -> Figures {
    let log = Log::new(round.size);
    let folder = Folder::new(&log);
    let clean = folder.verify(&Mutant::untouched(&log));
    assert!(clean.is_sound(), "the log itself: {clean:?}");
    let kinds: Vec<&Kind> = KINDS.iter().filter(|kind| round.size >= kind.least).collect();
    assert!(!kinds.len().is_multiple_of(STRIDE), "some kinds would be left out");
    let mut figures = Figures::default();
    for number in 0..round.mutations {
        // Every kind in turn, so that none is left out by chance; a few of them are of all sorts.
        let kind = kinds[number * STRIDE % kinds.len()];
        let mut random = Random::new(seed ^ round.size.rotate_left(40) ^ number as u64);
        let mutant = (kind.mutate)(&log, &folder, &mut random);
        let applied = folder.apply(&mutant);
        let said = folder.verify(&mutant);
        let mut verdicts = vec![("the library", said.clone())];
        if number % round.python_one_in == 0 {
            figures.python += 1;
            verdicts.push(("verify.py", python.verify(folder.path(), &mutant)));
        }
        drop(applied);
        for (by, said) in &verdicts {
            if let Err(problem) = judge(&mutant.truth, said) {
                let name = kind.name;
                failures.push(format!("{} events, {number} ({name}), {by}: {problem}", round.size));
            }
        }
        if let [(_, one), (_, other)] = &verdicts[..]
            && one.place() != other.place()
        {
            let (name, size) = (kind.name, round.size);
            failures.push(format!(
                "{size} events, {number} ({name}): {one:?}, but verify.py {other:?}"
            ));
        }
        *figures.by_kind.entry(kind.name).or_default() += 1;
        match said {
            Said::Sound => figures.sound += 1,
            Said::Whole { .. } => figures.whole += 1,
            Said::Place { last: None, .. } => figures.exact += 1,
            Said::Place { .. } => figures.spans += 1,
        }
        if failures.len() > 20 {
            break;
        }
    }
    figures
}

/// Whether what was said is the truth.
fn judge(truth: &Truth, said: &Said) -> Result<(), String> {
    let right = match (truth, said) {
        (Truth::Sound, Said::Sound) | (Truth::Whole, Said::Whole { .. }) => true,
        (Truth::At(at), Said::Place { first, last: None, .. }) => at == first,
        (Truth::Within(at), Said::Place { first, last, .. }) => {
            at == first || (first <= at && last.is_some_and(|last| *at <= last))
        }
        (Truth::Span(from, to), Said::Place { first, last, .. }) => {
            from == first && *to == last.unwrap_or(*first)
        }
        _ => false,
    };
    if right { Ok(()) } else { Err(format!("the truth is {truth:?}, but it said {said:?}")) }
}

/// How long Python may take for one export before the test gives up.
const PATIENCE: Duration = Duration::from_secs(600);
