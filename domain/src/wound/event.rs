//! What happened in an episode of a wound.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::measurement::Measurement;
use super::{
    AnatomicalSite, CaptureRef, CloseReason, Etiology, Laterality, MeasurementId, RejectionReason,
    ScanId, WithdrawalReason,
};
use crate::patient::PatientId;
use crate::stream::domain_event;
use crate::value::{Digest, Note, PartialDate};

/// What happened in an episode of a wound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WoundEvent {
    /// The episode was opened.
    WoundOpened(WoundOpened),
    /// A capture was taken in.
    ScanRecorded(ScanRecorded),
    /// A capture was measured.
    MeasurementRecorded(MeasurementRecorded),
    /// A capture could not be measured, or must not be.
    ScanRejected(ScanRejected),
    /// A clinician confirmed a measurement.
    MeasurementConfirmed(MeasurementConfirmed),
    /// A measurement was withdrawn.
    MeasurementWithdrawn(MeasurementWithdrawn),
    /// The episode was closed.
    WoundClosed(WoundClosed),
}

domain_event!(WoundEvent {
    WoundOpened: "1",
    ScanRecorded: "1",
    MeasurementRecorded: "1",
    ScanRejected: "1",
    MeasurementConfirmed: "1",
    MeasurementWithdrawn: "1",
    WoundClosed: "1",
});

/// The episode was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WoundOpened {
    /// Whose wound.
    pub patient_id: PatientId,
    /// Where on the body.
    pub site: AnatomicalSite,
    /// On which side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub laterality: Option<Laterality>,
    /// What caused it.
    pub etiology: Etiology,
    /// Since when, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset: Option<PartialDate>,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// A capture was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanRecorded {
    /// The scan.
    pub scan_id: ScanId,
    /// Where the capture lies, and its digest.
    pub capture: CaptureRef,
    /// When it was taken, by the device's clock.
    pub captured_at: Timestamp,
}

/// A capture was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasurementRecorded {
    /// The scan.
    pub scan_id: ScanId,
    /// The measurement.
    pub measurement_id: MeasurementId,
    /// The digest of the model that made it.
    pub model_digest: Digest,
    /// What was measured.
    pub measurement: Measurement,
}

/// A capture could not be measured, or must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanRejected {
    /// The scan.
    pub scan_id: ScanId,
    /// The digest of the model that rejected it; none if a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_digest: Option<Digest>,
    /// Why.
    pub reason: RejectionReason,
    /// More about why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Note>,
}

/// A clinician confirmed a measurement. Who, stands in the signed statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasurementConfirmed {
    /// The measurement.
    pub measurement_id: MeasurementId,
}

/// A measurement was withdrawn. It stays in the log, and counts no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasurementWithdrawn {
    /// The measurement.
    pub measurement_id: MeasurementId,
    /// Why.
    pub reason: WithdrawalReason,
}

/// The episode was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WoundClosed {
    /// Why.
    pub reason: CloseReason,
    /// More about why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}
