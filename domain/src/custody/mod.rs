//! The custody of a person's record: legal holds, erasure, and the proof of the purge.
//!
//! A record has one stream of custody, under its own id. Its events are not sealed with the record's data key, because
//! they must be readable once that key is destroyed.

mod codes;
mod command;
mod error;
mod event;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use codes::{
    Authority, CaseReference, CaseReferenceError, ErasureReason, HoldId, HoldReason, ReleaseReason,
    Store, StorePurge,
};
pub use command::{CustodyCommand, Erase, PlaceHold, RecordPurge, ReleaseHold};
pub use error::CustodyError;
pub use event::{CustodyEvent, HoldPlaced, HoldReleased, PurgeRecorded, SubjectErased};

use crate::clock::Now;
use crate::stream::{ClaimChange, MediaRef, Stream, aggregate};

/// The most holds one record may ever have, released ones included.
pub const MAX_HOLDS: usize = 256;

/// A legal hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// How it was placed.
    pub placed: HoldPlaced,
    /// How it was released; until then it is in force.
    pub released: Option<HoldReleased>,
}

impl Hold {
    /// Whether it keeps the record from being erased.
    pub fn is_in_force(&self) -> bool {
        self.released.is_none()
    }
}

/// The custody of a record as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custody {
    holds: BTreeMap<HoldId, Hold>,
    erasure: Option<SubjectErased>,
    purge: Option<PurgeRecorded>,
}

aggregate!(Custody, "custody", CustodyCommand, CustodyEvent, CustodyError);

impl Custody {
    /// Every hold there ever was, by id.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values()
    }

    /// How many holds are in force.
    pub fn in_force(&self) -> usize {
        self.holds().filter(|hold| hold.is_in_force()).count()
    }

    /// How the record was erased, if it was.
    pub fn erasure(&self) -> Option<&SubjectErased> {
        self.erasure.as_ref()
    }

    /// What was purged after the erasure, once that is recorded.
    pub fn purge(&self) -> Option<&PurgeRecorded> {
        self.purge.as_ref()
    }

    fn fold(&mut self, event: CustodyEvent) {
        match event {
            CustodyEvent::HoldPlaced(placed) => {
                self.holds.insert(placed.hold_id, Hold { placed, released: None });
            }
            CustodyEvent::HoldReleased(released) => {
                if let Some(hold) = self.holds.get_mut(&released.hold_id) {
                    hold.released = Some(released);
                }
            }
            CustodyEvent::SubjectErased(event) => self.erasure = Some(event),
            CustodyEvent::PurgeRecorded(event) => self.purge = Some(event),
        }
    }

    fn place(&self, command: PlaceHold, now: &Now) -> Result<CustodyEvent, CustodyError> {
        if self.erasure.is_some() {
            return Err(CustodyError::AlreadyErased);
        }
        if self.holds.contains_key(&command.hold_id) {
            return Err(CustodyError::HoldAlreadyPlaced);
        }
        if self.holds.len() >= MAX_HOLDS {
            return Err(CustodyError::TooManyHolds { max: MAX_HOLDS });
        }
        let PlaceHold { hold_id, reason, authority, case_reference } = command;
        let placed = HoldPlaced { hold_id, reason, authority, case_reference, at: now.0 };
        Ok(CustodyEvent::HoldPlaced(placed))
    }

    fn release(&self, command: ReleaseHold, now: &Now) -> Result<CustodyEvent, CustodyError> {
        let ReleaseHold { hold_id, reason, authority } = command;
        let hold = self.holds.get(&hold_id).ok_or(CustodyError::UnknownHold)?;
        if !hold.is_in_force() {
            return Err(CustodyError::HoldAlreadyReleased);
        }
        Ok(CustodyEvent::HoldReleased(HoldReleased { hold_id, reason, authority, at: now.0 }))
    }

    fn erase(&self, command: Erase, now: &Now) -> Result<CustodyEvent, CustodyError> {
        if self.erasure.is_some() {
            return Err(CustodyError::AlreadyErased);
        }
        match self.in_force() {
            0 => {}
            holds => return Err(CustodyError::OnHold { holds }),
        }
        let Erase { reason, authority, case_reference } = command;
        let erased = SubjectErased { reason, authority, case_reference, at: now.0 };
        Ok(CustodyEvent::SubjectErased(erased))
    }

    fn record_purge(&self, command: RecordPurge, now: &Now) -> Result<CustodyEvent, CustodyError> {
        if self.erasure.is_none() {
            return Err(CustodyError::NotErased);
        }
        if self.purge.is_some() {
            return Err(CustodyError::PurgeAlreadyRecorded);
        }
        let mut named: Vec<Store> = command.stores.iter().map(|purge| purge.store).collect();
        named.sort_unstable();
        named.dedup();
        if named.is_empty() || named.len() != command.stores.len() {
            return Err(CustodyError::StoresNotDistinct);
        }
        let recorded = PurgeRecorded { stores: command.stores, at: now.0 };
        Ok(CustodyEvent::PurgeRecorded(recorded))
    }
}

impl Stream for Custody {
    const STATE_VERSION: u32 = 1;
    const SEALED: bool = false;
    const KEEPS_SNAPSHOTS: bool = false;
    const ERASURE_EVENT: Option<&'static str> = Some(SubjectErased::EVENT_TYPE);

    fn decide(
        &self,
        command: CustodyCommand,
        now: &Now,
    ) -> Result<Vec<CustodyEvent>, CustodyError> {
        let event = match command {
            CustodyCommand::PlaceHold(command) => self.place(command, now),
            CustodyCommand::ReleaseHold(command) => self.release(command, now),
            CustodyCommand::Erase(command) => self.erase(command, now),
            CustodyCommand::RecordPurge(command) => self.record_purge(command, now),
        }?;
        Ok(vec![event])
    }

    /// No data key: the record's own is gone when these events are read.
    fn subject(&self, _id: Uuid) -> Option<Uuid> {
        None
    }

    fn claims(_id: Uuid, _event: &CustodyEvent) -> Vec<ClaimChange> {
        vec![]
    }

    fn media(_event: &CustodyEvent) -> Vec<MediaRef> {
        vec![]
    }

    fn erases(id: Uuid, event: &CustodyEvent) -> Option<Uuid> {
        matches!(event, CustodyEvent::SubjectErased(_)).then_some(id)
    }

    fn follows(id: Uuid) -> Option<(&'static str, Uuid)> {
        Some((<crate::Patient as cqrs_es::Aggregate>::TYPE, id))
    }
}
