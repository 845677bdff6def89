//! Checkpoints, those of the log's own store and those the auditor saw, compared with the tree of their size.

use super::super::{Compared, FindingKind, Seen};
use super::{Expected, Verifier, with_source};
use crate::checkpoint::Checkpoint;
use crate::keyring::Keyring;
use crate::note::NoteVerifier;

impl Verifier {
    pub(super) fn compare_checkpoints(&mut self) {
        let size = self.next;
        for expected in self.expected.remove(&size).unwrap_or_default() {
            self.compare_checkpoint(size, &expected);
        }
    }

    pub(super) fn compare_checkpoint(&mut self, size: u64, expected: &Expected) {
        self.checkpoints += 1;
        let last = size.saturating_sub(1);
        let (checkpoint, kind) = match expected {
            Expected::Stored(note) => {
                match Checkpoint::from_note(note, &self.checkpoint_keys(size)) {
                    Ok(checkpoint) => (checkpoint, FindingKind::Root),
                    Err(error) => {
                        let error = with_source(&error);
                        let detail = format!("the checkpoint of size {size}: {error}");
                        self.report(last, FindingKind::Checkpoint, detail);
                        return;
                    }
                }
            }
            Expected::Pinned(pinned) => (pinned.clone(), FindingKind::Fork),
            Expected::Seen(seen) => {
                if !self.believe(seen, size) {
                    return;
                }
                (seen.checkpoint().clone(), FindingKind::Fork)
            }
        };
        if checkpoint.size != size || checkpoint.origin != self.trust.origin() {
            let detail = format!(
                "the checkpoint of size {size} speaks of size {} of {}",
                checkpoint.size, checkpoint.origin
            );
            self.report(last, FindingKind::Checkpoint, detail);
            return;
        }
        if self.broken {
            return;
        }
        if checkpoint.root == self.tree.root() {
            if !self.bad_root {
                self.good_size = size;
            }
            self.remember(expected, size);
            return;
        }
        if !self.bad_root {
            self.bad_root = true;
            self.report_root(kind, size);
        }
    }

    /// Whether what was seen is signed by the log: its checkpoint by a key that counts at its size. A log that ends
    /// before, or has an event that could not be verified, may have had other keys, so those the auditor trusts count too.
    pub(crate) fn believe(&mut self, seen: &Seen, size: u64) -> bool {
        let mut active = self.checkpoint_keys(size);
        let mut all = self.all_keys();
        if self.is_uncertain() || size > self.next {
            active.extend(self.trust.keys().iter().cloned());
            all.extend(self.trust.keys().iter().cloned());
        }
        let held = seen.verify(&active, &all);
        if let Err(error) = &held {
            let mut detail = format!("{}: {}", seen.name(), with_source(error));
            if size > self.next {
                detail = format!(
                    "{detail} (it knows {size} events, and this log ends at {})",
                    self.next
                );
            }
            self.report(size.saturating_sub(1), FindingKind::Seen, detail);
        }
        held.is_ok()
    }

    pub(super) fn remember(&mut self, expected: &Expected, size: u64) {
        let (kind, name) = match expected {
            Expected::Stored(_) => return,
            Expected::Pinned(_) => ("checkpoint", "given"),
            Expected::Seen(seen) if seen.is_receipt() => ("receipt", seen.name()),
            Expected::Seen(seen) => ("checkpoint", seen.name()),
        };
        self.compared.push(Compared { kind, name: name.to_owned(), size });
    }

    /// Notes that something seen before was found again in the log.
    pub(crate) fn count_compared(&mut self, compared: Compared) {
        self.compared.push(compared);
    }

    pub(super) fn all_keys(&self) -> Vec<NoteVerifier> {
        let periods = self.keyring.iter().flat_map(Keyring::periods);
        let keys =
            periods.map(|period| NoteVerifier::new(self.trust.origin(), period.key.to_bytes()));
        keys.filter_map(Result::ok).collect()
    }

    /// The root is wrong for some position between the last good size and this one.
    pub(super) fn report_root(&mut self, kind: FindingKind, size: u64) {
        let good = self.good_size;
        let named = self
            .findings
            .iter()
            .map(|finding| finding.position)
            .filter(|position| (good..size).contains(position))
            .min();
        let detail = format!(
            "the tree of {size} entries has another root than its checkpoint; up to {good} it agrees"
        );
        self.report(named.unwrap_or(good), kind, detail);
    }

    pub(super) fn checkpoint_keys(&self, size: u64) -> Vec<NoteVerifier> {
        match &self.keyring {
            Some(keyring) => keyring.verifiers(size),
            None => self.trust.keys().to_vec(),
        }
    }
}
