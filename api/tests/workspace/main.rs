//! What holds for the workspace as a whole: which crate may know which, and what every source file looks like.

mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A file longer than this has more than one subject.
const FILE_LINES_MAX: usize = 700;

/// Each crate and those of the workspace it may know. `domain` and `audit` know nobody, not even each other.
const DIRECTION: [(&str, &[&str]); 6] = [
    ("domain", &[]),
    ("audit", &[]),
    ("wound", &["domain"]),
    ("commands", &["domain", "audit"]),
    ("projections", &["domain", "audit"]),
    ("api", &["domain", "audit", "wound", "commands", "projections"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

/// The packages of the workspace as `cargo metadata` tells them, by name.
fn packages() -> BTreeMap<String, Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    metadata["packages"]
        .as_array()
        .expect("packages is a list")
        .iter()
        .map(|package| {
            (package["name"].as_str().expect("a package has a name").to_owned(), package.clone())
        })
        .collect()
}

/// Every `.rs` file of the crates, generated folders excepted.
fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let mut files = Vec::new();
    for (name, _) in DIRECTION {
        for folder in ["src", "tests", "benches", "examples"] {
            let folder = root().join(name).join(folder);
            if folder.is_dir() {
                walk(&folder, &mut files);
            }
        }
    }
    files.sort();
    files
}

/// The files a rule does not hold for, one a line with the reason, relative to the workspace.
fn offenders(rule: impl Fn(&str) -> Option<String>) -> String {
    sources()
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).expect("a source file is UTF-8");
            let shown = path.strip_prefix(root()).unwrap_or(path).display().to_string();
            rule(&text).map(|reason| format!("{shown}: {reason}\n"))
        })
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let packages = packages();
    let members: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    assert_eq!(
        members,
        DIRECTION.iter().map(|(name, _)| *name).collect(),
        "the workspace has these crates and no other"
    );

    for (name, allowed) in DIRECTION {
        let known: BTreeSet<&str> = packages[name]["dependencies"]
            .as_array()
            .expect("dependencies is a list")
            .iter()
            // A dependency without a kind is one of the code itself; tests may look around.
            .filter(|dependency| dependency["kind"].is_null() || dependency["kind"] == "build")
            .map(|dependency| dependency["name"].as_str().expect("a dependency has a name"))
            .filter(|dependency| members.contains(dependency))
            .collect();
        for crate_known in known {
            assert!(allowed.contains(&crate_known), "{name} must not depend on {crate_known}");
        }
    }
}

/// The code in some folders of a crate, without comments.
fn code_of(name: &str, folders: &[&str]) -> String {
    let within = |path: &PathBuf| {
        folders.iter().any(|folder| path.starts_with(root().join(name).join(folder)))
    };
    let mut code = String::new();
    for path in sources().iter().filter(|path| within(path)) {
        let text = fs::read_to_string(path).expect("a source file is UTF-8");
        for line in text.lines() {
            code.push_str(line.split("//").next().unwrap_or_default());
            code.push('\n');
        }
    }
    code
}

/// Whether a name stands in the code as a word of its own.
fn names(code: &str, name: &str) -> bool {
    let is_part = |sign: char| sign.is_alphanumeric() || sign == '_';
    code.match_indices(name).any(|(at, _)| {
        !code[..at].ends_with(is_part) && !code[at + name.len()..].starts_with(is_part)
    })
}

#[test]
fn every_dependency_is_used() {
    let mut unused = String::new();
    for (name, package) in packages() {
        let shipped = code_of(&name, &["src"]);
        let tested = code_of(&name, &["src", "tests", "benches", "examples"]);
        for dependency in package["dependencies"].as_array().expect("dependencies is a list") {
            let known_as = dependency["rename"].as_str().or(dependency["name"].as_str());
            let known_as = known_as.expect("a dependency has a name").replace('-', "_");
            let code = if dependency["kind"].is_null() { &shipped } else { &tested };
            if !names(code, &known_as) {
                unused.push_str(&format!("{name} depends on {known_as}, which it does not use\n"));
            }
        }
    }
    assert!(unused.is_empty(), "{unused}");
}

#[test]
fn every_permission_is_asked_for() {
    let table = root().join("commands/src/policy/permission.rs");
    let table = fs::read_to_string(table).expect("the matrix is UTF-8");
    let rows = table.lines().filter_map(|line| line.trim().split_once(" = \""));
    let permissions: Vec<&str> = rows.map(|(name, _)| name).collect();
    assert!(permissions.len() > 10, "{permissions:?}");
    let code: String = ["commands", "api"].map(|name| code_of(name, &["src"])).concat();
    let asked = |name: &str| {
        // By its value, as a type, or in the table of what commands need.
        ["Permission::", "may::", "= "].iter().any(|by| names(&code, &format!("{by}{name}")))
    };
    let idle: Vec<&str> = permissions.into_iter().filter(|name| !asked(name)).collect();
    assert!(idle.is_empty(), "nothing asks for {idle:?}");
}

#[test]
fn the_audit_writes_nothing() {
    let code = code_of("audit", &["src"]);
    for word in ["INSERT INTO", "UPDATE ", "DELETE FROM", "TRUNCATE", "CREATE ", "ALTER ", "GRANT "]
    {
        assert!(!code.contains(word), "audit/src says {word}: it reads, and writes nothing");
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for (name, _) in DIRECTION {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml"))
            .expect("the manifest can be read");
        let mut lines = manifest.lines().map(str::trim);
        assert!(lines.any(|line| line == "[lints]"), "{name}/Cargo.toml has no [lints]");
        assert_eq!(
            lines.next(),
            Some("workspace = true"),
            "{name}/Cargo.toml sets lints of its own"
        );
    }
}

#[test]
fn every_module_begins_by_saying_what_it_is() {
    let silent =
        offenders(|text| (!text.starts_with("//!")).then(|| "does not begin with //!".to_owned()));
    assert!(silent.is_empty(), "{silent}");
}

#[test]
fn no_file_is_too_long() {
    let long = offenders(|text| {
        let lines = text.lines().count();
        (lines > FILE_LINES_MAX)
            .then(|| format!("{lines} lines, and {FILE_LINES_MAX} are the most"))
    });
    assert!(long.is_empty(), "{long}");
}

#[test]
fn nothing_is_left_for_later() {
    // Spelt in two parts, so that this file does not convict itself.
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["#[", "ignore"].concat(),
        ["#[", "allow("].concat(),
    ];
    let left = offenders(|text| {
        marks.iter().find(|mark| text.contains(*mark)).map(|mark| format!("contains {mark}"))
    });
    assert!(left.is_empty(), "{left}");
}

/// Prose is wrapped here; tables, code and names that cannot be broken are not.
const PROSE_COLUMNS: usize = 100;

#[test]
fn prose_is_wrapped() {
    fn documents(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            let is_document = path.extension().is_some_and(|extension| extension == "md");
            if path.is_dir() && !path.ends_with("vectors") {
                documents(&path, into);
            } else if is_document {
                into.push(path);
            }
        }
    }
    let mut found: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| root().join(name)).into();
    documents(&root().join("docs"), &mut found);
    assert!(found.len() > 30, "{found:?}");
    let mut long = String::new();
    for path in found {
        let text = fs::read_to_string(&path).expect("a document is UTF-8");
        let mut is_code = false;
        for (number, line) in (1..).zip(text.lines()) {
            is_code ^= line.trim_start().starts_with("```");
            // The names of mutants stand whole on a line: a script reads them.
            let is_whole = is_code || line.starts_with(['|', '!']) || line.starts_with("- `");
            if !is_whole && line.chars().count() > PROSE_COLUMNS {
                long.push_str(&format!("{}:{number}\n", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "longer than {PROSE_COLUMNS} columns:\n{long}");
}
