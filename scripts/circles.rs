//! `scripts/check.sh circles`: files of one crate that import one another in a circle, and how many of them.
//!
//! A file imports another if a path in its code (in `use`, or in the midst of it) leads to something that the other
//! defines: `pub use` is followed to where the name stands. Tests do not count, and neither does what a file hands on
//! without using it. A group that is larger than `LARGEST` is an error: no one can understand one of its files without
//! the others.
//!
//! Made with `rustc` alone, so that it needs nothing that must be fetched or built first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

/// So many files may import one another.
const LARGEST: usize = 4;

type Names = BTreeMap<String, Vec<String>>;

/// For each module, which others it imports, and by which names.
type Imports = BTreeMap<Vec<String>, BTreeMap<Vec<String>, BTreeSet<String>>>;

/// A file of a crate.
#[derive(Default)]
struct Module {
    file: PathBuf,
    /// Names it brings in, each with the whole path that it stands for.
    imports: Names,
    /// The same for those that it hands on (`pub use`).
    exports: Names,
    /// Modules all of whose names it hands on.
    globs: Vec<Vec<String>>,
    /// Paths that its code uses, as written.
    paths: BTreeSet<Vec<String>>,
}

fn main() -> ExitCode {
    let mut largest = 0;
    for folder in env::args().skip(1) {
        let source = Path::new(&folder).join("src");
        let mut modules = BTreeMap::new();
        for root in ["lib.rs", "main.rs"] {
            if source.join(root).is_file() {
                read(&source.join(root), &source, &[], &mut modules);
                break;
            }
        }
        let imports = imports(&modules);
        for group in circles(&imports) {
            largest = largest.max(group.len());
            let mark = if group.len() > LARGEST { "TOO LARGE" } else { "circle" };
            println!("{mark}: {} files of {folder}", group.len());
            for module in &group {
                let within = imports[module].iter().filter(|(other, _)| group.contains(*other));
                let within: Vec<String> = within
                    .map(|(other, names)| {
                        let names: Vec<_> = names.iter().map(String::as_str).collect();
                        format!("{} ({})", modules[other].file.display(), names.join(", "))
                    })
                    .collect();
                println!("    {} <- {}", modules[module].file.display(), within.join("; "));
            }
        }
    }
    println!("The largest circle has {largest} files; {LARGEST} are the most.");
    if largest > LARGEST { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Reads a file and the modules below it.
fn read(file: &Path, folder: &Path, path: &[String], modules: &mut BTreeMap<Vec<String>, Module>) {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => panic!("{}: {error}", file.display()),
    };
    let words = without_tests(&words(&text));
    let mut module = Module { file: file.to_owned(), ..Module::default() };
    let mut below = Vec::new();
    // Modules within the file, each with the depth of braces at which it began: they are part of the file.
    let (mut within, mut depth): (Vec<(String, usize)>, usize) = (Vec::new(), 0);
    let mut at = 0;
    while at < words.len() {
        let here: Vec<String> =
            path.iter().cloned().chain(within.iter().map(|(name, _)| name.clone())).collect();
        match words[at].as_str() {
            "mod" if words.get(at + 2).is_some_and(|word| word == "{") => {
                within.push((words[at + 1].clone(), depth));
                depth += 1;
                at += 3;
            }
            "{" => {
                depth += 1;
                at += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                within.pop_if(|(_, began)| *began == depth);
                at += 1;
            }
            "mod" if words.get(at + 2).is_some_and(|word| word == ";") => {
                below.push(words[at + 1].clone());
                at += 3;
            }
            "use" if words.get(at + 1).is_some_and(|word| word != "<") => {
                let exported = exported(&words[..at]);
                let end = at + words[at..].iter().position(|word| word == ";").unwrap_or(0);
                for (name, whole) in uses(&words[at + 1..end], &mut Vec::new()) {
                    let whole = absolute(&whole, &here, &below);
                    if name == "*" {
                        if exported {
                            module.globs.push(whole);
                        } else {
                            module.paths.insert(whole);
                        }
                    } else if exported {
                        module.exports.insert(name, whole);
                    } else {
                        module.imports.insert(name, whole);
                    }
                }
                at = end + 1;
            }
            word if is_name(word) => {
                let mut written = vec![word.to_owned()];
                while words.get(at + 1).is_some_and(|word| word == "::")
                    && words.get(at + 2).is_some_and(|word| is_name(word))
                {
                    written.push(words[at + 2].clone());
                    at += 2;
                }
                // What is written within goes by the file's own names; a way up from there ends in the file at most.
                if written[0] == "super" && here.len() > path.len() {
                    written =
                        [vec!["crate".to_owned()], absolute(&written, &here, &below)].concat();
                }
                module.paths.insert(written);
                at += 1;
            }
            _ => at += 1,
        }
    }
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let inside = match stem {
        "lib" | "main" | "mod" => folder.to_owned(),
        _ => folder.join(stem),
    };
    for name in below {
        let flat = inside.join(format!("{name}.rs"));
        let (file, folder) = if flat.is_file() {
            (flat, inside.clone())
        } else {
            (inside.join(&name).join("mod.rs"), inside.join(&name))
        };
        let path = [path, &[name]].concat();
        if file.is_file() {
            read(&file, &folder, &path, modules);
        }
    }
    modules.insert(path.to_vec(), module);
}

/// Whether what begins after these words is public, in any measure.
fn exported(before: &[String]) -> bool {
    match before.last().map(String::as_str) {
        Some("pub") => true,
        Some(")") => before
            .iter()
            .rposition(|word| word == "(")
            .is_some_and(|open| open > 0 && before[open - 1] == "pub"),
        _ => false,
    }
}

/// The path from the root of the crate, or the path as it is where it leads elsewhere.
fn absolute(written: &[String], module: &[String], below: &[String]) -> Vec<String> {
    let mut at = module.to_vec();
    let mut rest = written;
    match rest.first().map(String::as_str) {
        Some("crate") => {
            at.clear();
            rest = &rest[1..];
        }
        Some("self") => rest = &rest[1..],
        Some("super") => {
            while rest.first().is_some_and(|word| word == "super") {
                at.pop();
                rest = &rest[1..];
            }
        }
        Some(first) if below.iter().any(|name| name == first) => {}
        _ => {
            let mut elsewhere = vec!["::".to_owned()];
            elsewhere.extend(rest.iter().cloned());
            return elsewhere;
        }
    }
    at.extend(rest.iter().cloned());
    at
}

/// The names of a `use`, each with its path.
fn uses(words: &[String], before: &mut Vec<String>) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let kept = before.len();
    let mut at = 0;
    while at < words.len() {
        match words[at].as_str() {
            "{" => {
                let (mut depth, mut begin) = (0, at + 1);
                for (index, word) in words.iter().enumerate().skip(at) {
                    match word.as_str() {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        _ => {}
                    }
                    if (word == "," && depth == 1) || depth == 0 {
                        found.extend(uses(&words[begin..index], before));
                        begin = index + 1;
                    }
                    if depth == 0 {
                        break;
                    }
                }
                before.truncate(kept);
                return found;
            }
            "as" => {
                let name = words.get(at + 1).cloned().unwrap_or_default();
                found.push((name, before.clone()));
                before.truncate(kept);
                return found;
            }
            "::" => {}
            word => before.push(word.to_owned()),
        }
        at += 1;
    }
    if before.len() > kept {
        if before.last().is_some_and(|word| word == "self") {
            before.pop();
        }
        match before.last().map(String::as_str) {
            Some("*") => found.push(("*".to_owned(), before[..before.len() - 1].to_vec())),
            Some(last) => found.push((last.to_owned(), before.clone())),
            None => {}
        }
    }
    before.truncate(kept);
    found
}

/// Which module imports which.
fn imports(modules: &BTreeMap<Vec<String>, Module>) -> Imports {
    let mut edges = Imports::new();
    for (path, module) in modules {
        let below: Vec<String> = modules
            .keys()
            .filter(|other| other.len() == path.len() + 1 && other.starts_with(path))
            .filter_map(|other| other.last().cloned())
            .collect();
        let used = edges.entry(path.clone()).or_default();
        let brought_in = module.imports.values().cloned();
        let written = module.paths.iter().map(|written| {
            let first = written.first();
            match first.and_then(|first| module.imports.get(first).or(module.exports.get(first))) {
                Some(whole) => [whole.as_slice(), &written[1..]].concat(),
                None if written.len() > 1 => absolute(written, path, &below),
                None => vec!["::".to_owned()],
            }
        });
        for whole in brought_in.chain(written) {
            if let Some(target) = defined_in(&whole, modules, 0)
                && target != *path
            {
                let name = whole.last().cloned().unwrap_or_default();
                used.entry(target).or_default().insert(name);
            }
        }
    }
    edges
}

/// The module that defines what a path leads to.
fn defined_in(
    whole: &[String],
    modules: &BTreeMap<Vec<String>, Module>,
    depth: u8,
) -> Option<Vec<String>> {
    if whole.first().is_some_and(|word| word == "::") || depth > 8 {
        return None;
    }
    let known = (0..=whole.len()).rev().find(|length| modules.contains_key(&whole[..*length]))?;
    let (module, rest) = whole.split_at(known);
    let Some(name) = rest.first() else { return Some(module.to_vec()) };
    let here = &modules[module];
    if let Some(handed_on) = here.exports.get(name) {
        let whole = [handed_on.as_slice(), &rest[1..]].concat();
        return defined_in(&whole, modules, depth + 1);
    }
    for glob in &here.globs {
        let whole = [glob.as_slice(), rest].concat();
        if let Some(target) = defined_in(&whole, modules, depth + 1)
            && modules[&target].paths.iter().any(|path| path.len() == 1 && path[0] == *name)
        {
            return Some(target);
        }
    }
    Some(module.to_vec())
}

/// Groups of more than one of which each is reached from each.
fn circles(edges: &Imports) -> Vec<BTreeSet<Vec<String>>> {
    let reach = |from: &Vec<String>| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from.clone()];
        while let Some(at) = open.pop() {
            for next in edges.get(&at).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> =
        edges.keys().map(|module| (module.clone(), reach(module))).collect();
    let mut groups = BTreeSet::new();
    for (module, seen) in &reached {
        if seen.contains(module) {
            let group: BTreeSet<_> =
                seen.iter().filter(|other| reached[*other].contains(module)).cloned().collect();
            if group.len() > 1 {
                groups.insert(group);
            }
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    groups
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::`, and single signs; comments, texts and lifetimes are left out.
fn words(text: &str) -> Vec<String> {
    let signs: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut at = 0;
    while at < signs.len() {
        let sign = signs[at];
        let next = signs.get(at + 1).copied();
        match sign {
            '/' if next == Some('/') => {
                while at < signs.len() && signs[at] != '\n' {
                    at += 1;
                }
            }
            '/' if next == Some('*') => {
                while at < signs.len() && !(signs[at] == '*' && signs.get(at + 1) == Some(&'/')) {
                    at += 1;
                }
                at += 2;
            }
            'r' if next == Some('#') || next == Some('"') => {
                let fences = signs[at + 1..].iter().take_while(|sign| **sign == '#').count();
                if signs.get(at + 1 + fences) == Some(&'"') {
                    at += 2 + fences;
                    while at < signs.len()
                        && !(signs[at] == '"'
                            && signs[at + 1..].iter().take_while(|sign| **sign == '#').count()
                                >= fences)
                    {
                        at += 1;
                    }
                    at += 1 + fences;
                } else {
                    // A raw name, like `r#use`.
                    at = name(&signs, at + 2, &mut words);
                    if let Some(last) = words.last_mut() {
                        last.insert_str(0, "r#");
                    }
                }
            }
            '"' => {
                at += 1;
                while at < signs.len() && signs[at] != '"' {
                    at += if signs[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
            }
            '\'' => {
                if next == Some('\\') {
                    at += 3;
                    while at < signs.len() && signs[at] != '\'' {
                        at += 1;
                    }
                    at += 1;
                } else if signs.get(at + 2) == Some(&'\'') {
                    at += 3;
                } else {
                    at += 1;
                    while at < signs.len() && (signs[at].is_alphanumeric() || signs[at] == '_') {
                        at += 1;
                    }
                }
            }
            ':' if next == Some(':') => {
                words.push("::".to_owned());
                at += 2;
            }
            sign if sign.is_alphabetic() || sign == '_' => at = name(&signs, at, &mut words),
            sign if sign.is_whitespace() => at += 1,
            sign => {
                words.push(sign.to_string());
                at += 1;
            }
        }
    }
    words
}

fn name(signs: &[char], begin: usize, words: &mut Vec<String>) -> usize {
    let mut end = begin;
    while end < signs.len() && (signs[end].is_alphanumeric() || signs[end] == '_') {
        end += 1;
    }
    words.push(signs[begin..end].iter().collect());
    end
}

/// The words without what stands under `#[cfg(test)]`.
fn without_tests(words: &[String]) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let marked = words.len() >= at + MARK.len()
            && words[at..at + MARK.len()].iter().zip(MARK).all(|(word, mark)| word == mark);
        if !marked {
            kept.push(words[at].clone());
            at += 1;
            continue;
        }
        at += MARK.len();
        let mut depth = 0;
        while at < words.len() {
            match words[at].as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            let ended = depth == 0 && (words[at] == ";" || words[at] == "}");
            at += 1;
            if ended {
                break;
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles among files of a crate that is written for the test, as names of files.
    fn found(name: &str, files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let folder = env::temp_dir().join(format!("circles-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder is made");
            fs::write(path, text).expect("a file is written");
        }
        let mut modules = BTreeMap::new();
        read(&folder.join("lib.rs"), &folder, &[], &mut modules);
        let groups = circles(&imports(&modules));
        fs::remove_dir_all(&folder).expect("the folder is removed");
        groups.iter().map(|group| group.iter().map(|path| path.join("/")).collect()).collect()
    }

    #[test]
    fn a_circle_is_found_through_use_through_paths_and_through_what_is_handed_on() {
        let root = "mod a; mod b; mod c; pub use a::A;";
        let files = [
            ("lib.rs", root),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b/mod.rs", "mod deep; pub struct B; fn f() { deep::g() }"),
            ("b/deep.rs", "pub fn g() -> crate::c::C { todo() }"),
            ("c.rs", "pub struct C(Option<Box<crate::A>>);"),
        ];
        assert_eq!(found("through", &files), [["a", "b", "b/deep", "c"]]);
    }

    #[test]
    fn tests_comments_texts_and_modules_within_a_file_make_none() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use b::B;"),
            (
                "a.rs",
                "pub struct A; // crate::b::B\n const T: &str = \"crate::b::B\"; #[cfg(test)] mod tests { use crate::b::B; }",
            ),
            (
                "b.rs",
                "use super::a::A; pub struct B(A); mod within { fn f(_: super::B) {} fn r#use() {} }",
            ),
        ];
        assert!(found("none", &files).is_empty());
    }
}
