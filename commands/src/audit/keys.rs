//! Data keys, against the signed log.

use super::compared::Comparison;
use crate::data_keys::{KeyDifference, KeyFinding, KeysReport};

impl From<KeysReport> for Comparison {
    fn from(report: KeysReport) -> Comparison {
        let mut comparison = Comparison::begun("data keys");
        comparison.count(report.subjects);
        for KeyFinding { position, difference, subject } in report.findings {
            let object = format!("data key of {subject}");
            comparison.push(position, difference.as_str(), object, key_difference(difference));
        }
        comparison.more += report.more;
        comparison
    }
}

fn key_difference(difference: KeyDifference) -> &'static str {
    match difference {
        KeyDifference::Missing => "the log holds what it sealed, and there is no row of it",
        KeyDifference::Emptied => "it was destroyed, and the log does not erase its subject",
        KeyDifference::Contradictory => "it is there and destroyed at once, or neither",
        KeyDifference::NotDestroyed => "the log erases its subject, and it is there",
        KeyDifference::OtherKey => "the signed statements name another key",
        KeyDifference::OtherKind => "the row says another kind of subject than the log",
        KeyDifference::Unbound => "the wrap is not bound to its subject, and nothing proves it",
        KeyDifference::Unopened => "the wrap does not open for this subject",
        KeyDifference::Foreign => "the log holds nothing that it sealed",
        KeyDifference::NamedTwice => "the log itself names two keys for the subject",
    }
}
