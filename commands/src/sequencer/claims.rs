//! Claims within one batch: what the database holds, changed by each command in the order of the queue.
//!
//! A command gets all it asks for or nothing. What it was granted counts for the commands after it,
//! before anything is written.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use uuid::Uuid;

use crate::error::Conflict;
use crate::log::{Change, KeyHash, Resource};

/// Who holds a claim, and whether it stands in the database already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    by: Uuid,
    stored: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Busy {
    from: Timestamp,
    until: Timestamp,
    held: Held,
}

/// The claims a batch touches.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    unique: HashMap<(&'static str, KeyHash), Held>,
    busy: HashMap<Resource, Vec<Busy>>,
    released_unique: HashSet<(&'static str, KeyHash)>,
    released_busy: HashSet<Uuid>,
}

/// What a batch changes in the database. Deletions come first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ClaimChanges {
    pub(crate) delete_unique: Vec<(&'static str, KeyHash)>,
    pub(crate) delete_busy: Vec<Uuid>,
    pub(crate) insert_unique: Vec<(&'static str, KeyHash, Uuid)>,
    pub(crate) insert_busy: Vec<(Resource, Timestamp, Timestamp, Uuid)>,
}

impl Claims {
    /// Notes a unique claim found in the database.
    pub(crate) fn found_unique(&mut self, kind: &'static str, key: KeyHash, by: Uuid) {
        self.unique.insert((kind, key), Held { by, stored: true });
    }

    /// Notes a busy time found in the database; the same one may be found more than once.
    pub(crate) fn found_busy(
        &mut self,
        resource: Resource,
        from: Timestamp,
        until: Timestamp,
        by: Uuid,
    ) {
        let busy = Busy { from, until, held: Held { by, stored: true } };
        let times = self.busy.entry(resource).or_default();
        if !times.contains(&busy) {
            times.push(busy);
        }
    }

    /// Applies the changes of one command, each with the stream that makes it, or none of them.
    ///
    /// # Errors
    /// Everything that is taken already, in a fixed order.
    pub(crate) fn apply(&mut self, changes: &[(Uuid, Change)]) -> Result<(), Vec<Conflict>> {
        let mut undo = Vec::new();
        let mut conflicts = Vec::new();
        for (stream, change) in changes {
            self.apply_one(*stream, change, &mut undo, &mut conflicts);
        }
        if conflicts.is_empty() {
            return Ok(());
        }
        for step in undo.into_iter().rev() {
            self.revert(step);
        }
        conflicts.sort();
        conflicts.dedup();
        Err(conflicts)
    }

    fn apply_one(
        &mut self,
        stream: Uuid,
        change: &Change,
        undo: &mut Vec<Undo>,
        conflicts: &mut Vec<Conflict>,
    ) {
        match change {
            Change::TakeUnique { kind, key } => match self.unique.get(&(*kind, *key)) {
                Some(held) if held.by == stream => {}
                Some(held) => {
                    conflicts.push(Conflict::Unique { kind: (*kind).to_owned(), holder: held.by });
                }
                None => {
                    self.unique.insert((*kind, *key), Held { by: stream, stored: false });
                    undo.push(Undo::TakenUnique((*kind, *key)));
                }
            },
            Change::ReleaseUnique { kind, key } => {
                let entry = (*kind, *key);
                if let Some(held) = self.unique.get(&entry).copied()
                    && held.by == stream
                {
                    self.unique.remove(&entry);
                    let noted = held.stored && self.released_unique.insert(entry);
                    undo.push(Undo::ReleasedUnique { entry, held, noted });
                }
            }
            Change::TakeBusy { resource, from, until } => {
                let times = self.busy.entry(*resource).or_default();
                let overlaps = times.iter().filter(|busy| busy.from < *until && *from < busy.until);
                let before = conflicts.len();
                conflicts.extend(overlaps.map(|busy| Conflict::Busy {
                    resource: resource.kind.to_owned(),
                    id: resource.id,
                    from: busy.from,
                    until: busy.until,
                }));
                if conflicts.len() == before {
                    let held = Held { by: stream, stored: false };
                    times.push(Busy { from: *from, until: *until, held });
                    undo.push(Undo::TakenBusy(*resource));
                }
            }
            Change::ReleaseBusy => {
                let mut released = Vec::new();
                for (resource, times) in &mut self.busy {
                    times.retain(|busy| {
                        if busy.held.by == stream {
                            released.push((*resource, *busy));
                        }
                        busy.held.by != stream
                    });
                }
                let noted = self.released_busy.insert(stream);
                undo.push(Undo::ReleasedBusy { stream, released, noted });
            }
        }
    }

    fn revert(&mut self, step: Undo) {
        match step {
            Undo::TakenUnique(entry) => {
                self.unique.remove(&entry);
            }
            Undo::ReleasedUnique { entry, held, noted } => {
                self.unique.insert(entry, held);
                if noted {
                    self.released_unique.remove(&entry);
                }
            }
            Undo::TakenBusy(resource) => {
                if let Some(times) = self.busy.get_mut(&resource) {
                    times.pop();
                }
            }
            Undo::ReleasedBusy { stream, released, noted } => {
                for (resource, busy) in released {
                    self.busy.entry(resource).or_default().push(busy);
                }
                if noted {
                    self.released_busy.remove(&stream);
                }
            }
        }
    }

    /// What has to change in the database.
    pub(crate) fn net(self) -> ClaimChanges {
        let insert_unique = self
            .unique
            .into_iter()
            .filter(|(_, held)| !held.stored)
            .map(|((kind, key), held)| (kind, key, held.by))
            .collect();
        let insert_busy = self
            .busy
            .into_iter()
            .flat_map(|(resource, times)| times.into_iter().map(move |busy| (resource, busy)))
            .filter(|(_, busy)| !busy.held.stored)
            .map(|(resource, busy)| (resource, busy.from, busy.until, busy.held.by))
            .collect();
        ClaimChanges {
            delete_unique: self.released_unique.into_iter().collect(),
            delete_busy: self.released_busy.into_iter().collect(),
            insert_unique,
            insert_busy,
        }
    }
}

enum Undo {
    TakenUnique((&'static str, KeyHash)),
    ReleasedUnique { entry: (&'static str, KeyHash), held: Held, noted: bool },
    TakenBusy(Resource),
    ReleasedBusy { stream: Uuid, released: Vec<(Resource, Busy)>, noted: bool },
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Resource = Resource { kind: "room", id: Uuid::from_u128(1) };
    const DOCTOR: Resource = Resource { kind: "practitioner", id: Uuid::from_u128(2) };
    const A: Uuid = Uuid::from_u128(10);
    const B: Uuid = Uuid::from_u128(11);
    const C: Uuid = Uuid::from_u128(12);

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(60 * minute).expect("a small number of minutes")
    }

    fn take(stream: Uuid, resource: Resource, from: i64, until: i64) -> (Uuid, Change) {
        (stream, Change::TakeBusy { resource, from: at(from), until: at(until) })
    }

    fn unique(stream: Uuid, key: u8) -> (Uuid, Change) {
        (stream, Change::TakeUnique { kind: "login", key: [key; 32] })
    }

    #[test]
    fn the_first_in_the_queue_wins_and_a_loser_hears_of_every_conflict() {
        let mut claims = Claims::default();
        claims.apply(&[take(A, ROOM, 0, 30), take(A, DOCTOR, 0, 30)]).expect("free");
        let conflicts = claims
            .apply(&[take(B, DOCTOR, 20, 50), take(B, ROOM, 20, 50)])
            .expect_err("both are taken");
        let named: Vec<_> = conflicts
            .iter()
            .map(|conflict| match conflict {
                Conflict::Busy { resource, from, until, .. } => (resource.as_str(), *from, *until),
                Conflict::Unique { .. } => panic!("nothing unique was asked for"),
            })
            .collect();
        assert_eq!(named, [("practitioner", at(0), at(30)), ("room", at(0), at(30))]);
        claims.apply(&[take(C, DOCTOR, 30, 50)]).expect("half-open ranges touch without overlap");
    }

    #[test]
    fn a_loser_keeps_nothing() {
        let mut claims = Claims::default();
        claims.apply(&[take(A, ROOM, 0, 30)]).expect("free");
        claims.apply(&[take(B, DOCTOR, 0, 30), take(B, ROOM, 0, 30)]).expect_err("no room");
        claims.apply(&[take(C, DOCTOR, 0, 30)]).expect("the loser did not keep the practitioner");
    }

    #[test]
    fn a_failed_reschedule_keeps_the_old_time() {
        let mut claims = Claims::default();
        claims.found_busy(ROOM, at(0), at(30), A);
        claims.found_busy(ROOM, at(60), at(90), B);
        claims
            .apply(&[(A, Change::ReleaseBusy), take(A, ROOM, 70, 80)])
            .expect_err("taken by another");
        claims.apply(&[take(C, ROOM, 10, 20)]).expect_err("the old time stands");
        assert_eq!(claims.net(), ClaimChanges::default());
    }

    #[test]
    fn a_reschedule_may_overlap_its_own_old_time() {
        let mut claims = Claims::default();
        claims.found_busy(ROOM, at(0), at(30), A);
        claims.apply(&[(A, Change::ReleaseBusy), take(A, ROOM, 15, 45)]).expect("its own time");
        let net = claims.net();
        assert_eq!(net.delete_busy, [A]);
        assert_eq!(net.insert_busy, [(ROOM, at(15), at(45), A)]);
    }

    #[test]
    fn booked_and_cancelled_in_one_batch_leaves_nothing_to_write_but_the_release() {
        let mut claims = Claims::default();
        claims.apply(&[take(A, ROOM, 0, 30)]).expect("free");
        claims.apply(&[(A, Change::ReleaseBusy)]).expect("a release never fails");
        claims.apply(&[take(B, ROOM, 0, 30)]).expect("free again");
        let net = claims.net();
        assert_eq!(net.insert_busy, [(ROOM, at(0), at(30), B)]);
        assert_eq!(net.delete_busy, [A]);
    }

    #[test]
    fn a_unique_key_passes_on_within_a_batch() {
        let mut claims = Claims::default();
        claims.found_unique("login", [1; 32], A);
        claims.apply(&[unique(B, 1)]).expect_err("held by another");
        claims.apply(&[unique(A, 1)]).expect("its own");
        let release = Change::ReleaseUnique { kind: "login", key: [1; 32] };
        claims.apply(&[(C, release.clone())]).expect("not its own: nothing happens");
        claims.apply(&[unique(B, 1)]).expect_err("still held");
        claims.apply(&[(A, release)]).expect("its own");
        claims.apply(&[unique(B, 1)]).expect("free");
        let net = claims.net();
        assert_eq!(net.delete_unique, [("login", [1; 32])]);
        assert_eq!(net.insert_unique, [("login", [1; 32], B)]);
    }

    #[test]
    fn a_command_that_overlaps_itself_is_refused() {
        let mut claims = Claims::default();
        claims.apply(&[take(A, ROOM, 0, 30), take(A, ROOM, 10, 20)]).expect_err("overlap");
        assert_eq!(claims.net(), ClaimChanges::default());
    }
}
