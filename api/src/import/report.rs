//! What an import did, line by line.

use std::collections::BTreeMap;

use serde::Serialize;

use super::plan::LineRefusal;

/// What an import did. It holds no content of the files, so it may be shown and kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Lines read.
    pub lines: u64,
    /// Lines of which every command stands in the ledger now.
    pub accepted: u64,
    /// Lines of which something was refused.
    pub refused: u64,
    /// Commands recorded now, by what they are about.
    pub recorded: BTreeMap<String, u64>,
    /// Commands that an earlier import had recorded.
    pub unchanged: BTreeMap<String, u64>,
    /// What the files hold and this import does not record, by kind.
    pub passed_over: BTreeMap<String, u64>,
    /// Why lines were refused, in the order of the lines.
    pub refusals: Vec<RefusedLine>,
}

/// One refused line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedLine {
    /// The file's name, without its folder.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// Stable, kebab-case.
    pub code: String,
    /// Where in the line.
    pub field: String,
    /// What is wrong and what to do about it.
    pub reason: String,
}

impl Report {
    /// Notes a refused line.
    pub(super) fn refuse(&mut self, file: &str, line: u64, refusal: LineRefusal) {
        self.refused += 1;
        self.refusals.push(RefusedLine {
            file: file.to_owned(),
            line,
            code: refusal.code.to_owned(),
            field: refusal.field,
            reason: refusal.reason,
        });
    }

    /// Adds the lines that could not even be planned.
    pub fn refuse_all(&mut self, file: &str, refused: Vec<(u64, LineRefusal)>) {
        for (line, refusal) in refused {
            self.lines += 1;
            self.refuse(file, line, refusal);
        }
        self.refusals.sort_by_key(|refused| refused.line);
    }

    /// Notes a command that stands in the ledger.
    pub(super) fn count(&mut self, kind: &str, replayed: bool) {
        let counts = if replayed { &mut self.unchanged } else { &mut self.recorded };
        *counts.entry(kind.to_owned()).or_default() += 1;
    }

    /// Adds what was done with another file.
    pub fn merge(&mut self, other: Report) {
        self.lines += other.lines;
        self.accepted += other.accepted;
        self.refused += other.refused;
        for (into, from) in [
            (&mut self.recorded, other.recorded),
            (&mut self.unchanged, other.unchanged),
            (&mut self.passed_over, other.passed_over),
        ] {
            for (kind, count) in from {
                *into.entry(kind).or_default() += count;
            }
        }
        self.refusals.extend(other.refusals);
    }
}
