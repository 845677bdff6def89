//! What happened to the custody of a record.
//!
//! These events are stored in the clear: they must be readable when the record's key is gone. So they hold
//! nothing but ids, codes, numbers, times and case references.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Authority, CaseReference, ErasureReason, HoldId, HoldReason, ReleaseReason, StorePurge,
};
use crate::stream::domain_event;

/// What happened to the custody of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CustodyEvent {
    /// A legal hold was placed.
    HoldPlaced(HoldPlaced),
    /// A legal hold was released.
    HoldReleased(HoldReleased),
    /// The record was erased.
    SubjectErased(SubjectErased),
    /// What was derived from it is gone too.
    PurgeRecorded(PurgeRecorded),
}

domain_event!(CustodyEvent {
    HoldPlaced: "1",
    HoldReleased: "1",
    SubjectErased: "1",
    PurgeRecorded: "1",
});

/// A legal hold was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldPlaced {
    /// The hold.
    pub hold_id: HoldId,
    /// Why.
    pub reason: HoldReason,
    /// On whose authority.
    pub authority: Authority,
    /// The case.
    pub case_reference: CaseReference,
    /// When.
    pub at: Timestamp,
}

/// A legal hold was released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldReleased {
    /// The hold.
    pub hold_id: HoldId,
    /// Why.
    pub reason: ReleaseReason,
    /// On whose authority.
    pub authority: Authority,
    /// When.
    pub at: Timestamp,
}

/// The record was erased: its data key was destroyed together with this event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SubjectErased {
    /// Why.
    pub reason: ErasureReason,
    /// On whose authority.
    pub authority: Authority,
    /// The case.
    pub case_reference: CaseReference,
    /// When.
    pub at: Timestamp,
}

impl SubjectErased {
    /// The type of this event, as the log names it.
    pub const EVENT_TYPE: &'static str = "SubjectErased";
}

/// What was derived from the erased record is gone too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PurgeRecorded {
    /// Each store, with what is gone from it.
    pub stores: Vec<StorePurge>,
    /// When.
    pub at: Timestamp,
}
