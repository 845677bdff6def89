//! What may be asked of the custody of a record.

use serde::{Deserialize, Serialize};

use super::{
    Authority, CaseReference, ErasureReason, HoldId, HoldReason, ReleaseReason, StorePurge,
};

/// What may be asked of the custody of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CustodyCommand {
    /// Places a legal hold.
    PlaceHold(PlaceHold),
    /// Releases a legal hold.
    ReleaseHold(ReleaseHold),
    /// Erases the record.
    Erase(Erase),
    /// Records that what was derived from an erased record is gone too.
    RecordPurge(RecordPurge),
}

/// Places a legal hold: until it is released, the record cannot be erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceHold {
    /// The hold.
    pub hold_id: HoldId,
    /// Why.
    pub reason: HoldReason,
    /// On whose authority.
    pub authority: Authority,
    /// The case, as the authority or the clinic numbers it.
    pub case_reference: CaseReference,
}

/// Releases a legal hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseHold {
    /// The hold.
    pub hold_id: HoldId,
    /// Why.
    pub reason: ReleaseReason,
    /// On whose authority.
    pub authority: Authority,
}

/// Erases the record: its data key is destroyed, and nothing brings it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Erase {
    /// Why.
    pub reason: ErasureReason,
    /// On whose authority.
    pub authority: Authority,
    /// The case, as the authority or the clinic numbers it.
    pub case_reference: CaseReference,
}

/// Records that what was derived from an erased record is gone too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordPurge {
    /// Each store, with what is gone from it.
    pub stores: Vec<StorePurge>,
}
