//! Measures phantoms inside their true outlines and inside the network's, and prints both tables:
//! `cargo run --release -p wound --features training --example trial -- [FROM [COUNT [NETWORK_COUNT]]]`.
#![expect(clippy::print_stdout, reason = "the table is what the program is for")]

use std::collections::BTreeMap;

use wound::network::{Segmenter, embedded_card};
use wound::phantom::PhantomSpec;
use wound::training::trial::{self, Case};

/// Below this a volume's error is not given as a share.
const VOLUME_FROM_MM3: f64 = 100.0;

fn print(name: &str, cases: &[Case]) {
    let found = cases.iter().filter(|case| case.figures.is_ok()).count();
    println!("{name}: {found} of {} measured", cases.len());
    let mut refused: BTreeMap<String, u32> = BTreeMap::new();
    for rejection in cases.iter().filter_map(|case| case.figures.as_ref().err()) {
        *refused.entry(rejection.reason().to_string()).or_default() += 1;
    }
    for (reason, count) in refused {
        println!("  {count} refused: {reason}");
    }
    println!("  measure    unit count   median  decile   worst  covered");
    for row in trial::table(cases, VOLUME_FROM_MM3) {
        println!(
            "  {:<10} {:<4} {:>5} {:>8.2} {:>7.2} {:>7.2} {:>6.1} %",
            row.measure, row.unit, row.count, row.median, row.worst_decile, row.worst, row.covered
        );
    }
    let contours: Vec<(f64, f64)> = cases.iter().filter_map(|case| case.contour).collect();
    if !contours.is_empty() {
        // The middle of the absolute values, as a normal error's deviation: one contour that took
        // another thing for the wound says nothing of the others.
        let middle = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let offset = 1.4826 * middle(contours.iter().map(|(mean, _)| mean.abs()).collect());
        let ragged = middle(contours.iter().map(|(_, ragged)| *ragged).collect());
        let mean = middle(contours.iter().map(|(mean, _)| *mean).collect());
        println!("  contour in cells: offset {offset:.2} (median {mean:+.2}), ragged {ragged:.2}");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers: Vec<u64> =
        std::env::args().skip(1).map(|argument| argument.parse()).collect::<Result<_, _>>()?;
    let number = |index: usize, default: u64| numbers.get(index).copied().unwrap_or(default);
    let (from, count, network_count) = (number(0, 0), number(1, 300), number(2, 60));
    let seeds = from..from + count;
    print("true outlines", &trial::with_true_outlines(seeds, PhantomSpec::random)?);
    if network_count > 0 {
        let network = Segmenter::embedded()?;
        let seeds = from..from + network_count;
        print("network", &trial::with_network(seeds, &network, embedded_card())?);
    }
    Ok(())
}
