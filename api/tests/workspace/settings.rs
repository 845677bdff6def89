//! The settings: `docs/settings.md` names every environment variable that the program reads, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{names, root};

const DOCUMENT: &str = "docs/settings.md";

/// From this heading on, the document lists what scripts and tests read, and the program does not.
const NOT_OF_THE_PROGRAM: &str = "## Scripts, Compose and tests";

/// Variables that a library reads for us: what its use looks like, and the variable.
const READ_BY_LIBRARIES: [(&str, &str); 3] = [
    ("EnvFilter::try_from_default_env", "RUST_LOG"),
    ("opentelemetry_otlp", "OTEL_EXPORTER_OTLP_HEADERS"),
    ("mimalloc::MiMalloc", "MIMALLOC_PURGE_DELAY"),
];

/// Files beside the sources of crates that read variables.
const SCRIPTS: [&str; 6] =
    ["scripts", ".ci", "Makefile", "Dockerfile", "compose.yml", "docs/examples"];

fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The text of every file below a path that may be a file, a folder or missing, line after line.
fn texts(path: &Path, into: &mut Vec<String>) {
    if path.is_file() {
        into.push(text(path));
    } else if path.is_dir() {
        for entry in fs::read_dir(path).expect("the folder can be read") {
            texts(&entry.expect("the entry can be read").path(), into);
        }
    }
}

/// The sources in one folder of every crate: `src`, or `tests`.
fn sources(folder: &str) -> Vec<String> {
    let within = |path: &&PathBuf| {
        let path = path.strip_prefix(root()).expect("a source lies in the workspace");
        path.components().nth(1).is_some_and(|part| part.as_os_str() == folder)
    };
    super::sources().iter().filter(within).map(|path| text(path)).collect()
}

/// Whether it is written as the names of variables are.
fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// The variables that a source reads: what is given to clap or to `std::env`, and whatever is called `LEDGER_…`.
fn read_by(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let parts: Vec<&str> = line.split('"').collect();
        // Between the first quotation mark and the second, the third and the fourth, and so on.
        for pair in parts.windows(2).step_by(2) {
            let (before, literal) = (pair[0].trim_end(), pair[1]);
            let is_read =
                ["env =", "env::var(", "env::var_os("].iter().any(|so| before.ends_with(so));
            if is_name(literal) && (is_read || literal.starts_with("LEDGER_")) {
                names.insert(literal.to_owned());
            }
        }
    }
    let by_libraries = READ_BY_LIBRARIES.iter().filter(|(usage, _)| source.contains(usage));
    names.extend(by_libraries.map(|(_, name)| (*name).to_owned()));
    names
}

/// The names in the first column of the document's tables.
fn listed(document: &str) -> BTreeSet<String> {
    let rows = document.lines().filter_map(|line| line.strip_prefix('|'));
    let cells = rows.filter_map(|row| row.split('|').next());
    cells.flat_map(|cell| cell.split('`')).filter(|name| is_name(name)).map(str::to_owned).collect()
}

#[test]
fn every_setting_is_documented_and_every_documented_setting_is_read() {
    let document = text(&root().join(DOCUMENT));
    let (program, others) =
        document.split_once(NOT_OF_THE_PROGRAM).expect("the document has both parts");
    let (program, others) = (listed(program), listed(others));

    let sources_of_crates = sources("src");
    let read: BTreeSet<String> = sources_of_crates.iter().flat_map(|text| read_by(text)).collect();
    assert!(read.len() > 50 && program.len() > 50, "too little was found: {read:?}, {program:?}");

    let mut rest = sources("tests");
    rest.extend(sources("benches"));
    for path in SCRIPTS {
        texts(&root().join(path), &mut rest);
    }
    let rest: Vec<String> = rest.into_iter().chain(sources_of_crates).collect();
    let is_read_somewhere = |name: &String| rest.iter().any(|text| names(text, name));

    let all = &program | &others;
    let wrong = [
        ("read by the program and not listed", read.difference(&all).cloned().collect()),
        ("listed and not read by the program", program.difference(&read).cloned().collect()),
        ("listed twice", program.intersection(&others).cloned().collect()),
        (
            "listed and read by nothing",
            others.into_iter().filter(|name| !is_read_somewhere(name)).collect::<Vec<_>>(),
        ),
    ];
    for (what, found) in wrong {
        assert!(found.is_empty(), "{DOCUMENT}: {what}: {}", found.join(", "));
    }
}
