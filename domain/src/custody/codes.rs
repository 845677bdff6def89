//! Codes of holds and erasures, ids of holds, references to cases: all that may be said in the clear about a person's
//! record.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::typed_id;
use crate::value::{coded, serde_as_string};

typed_id! {
    /// A legal hold on a record.
    HoldId;
}

coded! {
    /// Why a record is held.
    HoldReason {
        /// A law suit is pending or expected.
        Litigation = "litigation",
        /// A public authority investigates.
        Investigation = "investigation",
        /// The record is part of an audit.
        Audit = "audit",
        /// An incident in the clinic is reviewed.
        IncidentReview = "incident-review",
        /// A regulator asked for preservation.
        PreservationRequest = "preservation-request",
    }
}

coded! {
    /// Why a hold is released.
    ReleaseReason {
        /// The matter is closed.
        MatterClosed = "matter-closed",
        /// Whoever asked for the hold took it back.
        Withdrawn = "withdrawn",
        /// The time it was placed for is over.
        Expired = "expired",
        /// It should never have been placed.
        EnteredInError = "entered-in-error",
    }
}

coded! {
    /// Why a record is erased.
    ErasureReason {
        /// The person asked for it.
        PatientRequest = "patient-request",
        /// Consent was withdrawn.
        ConsentWithdrawn = "consent-withdrawn",
        /// It need not be kept any longer.
        RetentionExpired = "retention-expired",
        /// It should never have been processed.
        UnlawfulProcessing = "unlawful-processing",
        /// A court or an authority ordered it.
        Ordered = "ordered",
    }
}

coded! {
    /// On whose authority a hold is placed or released, or a record is erased.
    Authority {
        /// A court's order.
        Court = "court",
        /// A regulator's or supervisory authority's.
        Regulator = "regulator",
        /// A statute, without anybody's order.
        Statute = "statute",
        /// The right of the person concerned.
        PersonConcerned = "person-concerned",
        /// Legal counsel's.
        Counsel = "counsel",
        /// The clinic's own policy.
        Policy = "policy",
    }
}

coded! {
    /// A store of what is derived from the log.
    Store {
        /// The documents of the read models.
        ReadModels = "read-models",
        /// The cache before them.
        Cache = "cache",
        /// The captures of wounds.
        Captures = "captures",
    }
}

/// What is gone from one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StorePurge {
    /// The store.
    pub store: Store,
    /// How many entries about the person it held, as far as the log knows, none of which is left.
    pub entries: u64,
}

/// Text that is no reference to a case. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no case reference: give 1 to 64 of the characters A-Z, a-z, 0-9, `.`, `_`, `/` and `-`; it is kept in the clear, so it must not name the person"
)]
pub struct CaseReferenceError;

/// The number of a case. It is kept in the clear and outlives the record, so its form leaves no room for prose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseReference(String);

impl CaseReference {
    /// The greatest length.
    pub const MAX: usize = 64;

    /// Checks a reference.
    ///
    /// # Errors
    ///
    /// When it is empty, too long, or has other characters.
    pub fn new(text: &str) -> Result<Self, CaseReferenceError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._/-".contains(&b);
        if (1..=Self::MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(CaseReferenceError)
        }
    }

    /// The reference.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CaseReference {
    type Err = CaseReferenceError;

    fn from_str(text: &str) -> Result<Self, CaseReferenceError> {
        Self::new(text)
    }
}

impl fmt::Display for CaseReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_string!(CaseReference, {
    "minLength": 1,
    "maxLength": CaseReference::MAX,
    "pattern": "^[A-Za-z0-9._/-]+$",
    "examples": ["2026/CV-0815"],
});
