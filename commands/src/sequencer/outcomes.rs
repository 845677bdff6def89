//! From the verdicts on a batch to what its commands are answered.

use audit::merkle::Hash;

use super::decide::Verdict;
use crate::log::Rejection;

/// What a committed batch answers, command by command.
pub(super) enum Outcome {
    Appended { first: u64, proofs: Vec<Vec<Hash>> },
    Rejected(Rejection),
    Same { as_index: usize },
}

/// What each command of a batch is answered, once the batch is durable.
pub(super) fn outcomes(verdicts: Vec<Verdict>, head: u64, proofs: Vec<Vec<Hash>>) -> Vec<Outcome> {
    let mut proofs = proofs.into_iter();
    let mut offsets = verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Verdict::Append { offset } => Some(*offset),
            _ => None,
        })
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter();
    verdicts
        .into_iter()
        .map(|verdict| match verdict {
            Verdict::Append { offset } => {
                let count = offsets.next().map_or(usize::MAX, |next| {
                    usize::try_from(next - offset).unwrap_or(usize::MAX)
                });
                Outcome::Appended {
                    first: head + offset,
                    proofs: proofs.by_ref().take(count).collect(),
                }
            }
            Verdict::Reject(rejection) => Outcome::Rejected(rejection),
            Verdict::Same { as_index } => Outcome::Same { as_index },
        })
        .collect()
}
