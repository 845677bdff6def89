//! What may be asked of an episode of a wound.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::measurement::Measurement;
use super::{
    AnatomicalSite, CaptureRef, CloseReason, Etiology, Laterality, MeasurementId, RejectionReason,
    ScanId, WithdrawalReason,
};
use crate::patient::PatientId;
use crate::value::{Digest, Note, PartialDate, timestamp};

/// What may be asked of an episode of a wound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WoundCommand {
    /// Opens the episode.
    Open(OpenWound),
    /// Takes a capture in.
    RecordScan(RecordScan),
    /// Records a measurement of a scan.
    RecordMeasurement(RecordMeasurement),
    /// Rejects a scan.
    RejectScan(RejectScan),
    /// Confirms a measurement.
    ConfirmMeasurement(ConfirmMeasurement),
    /// Withdraws a measurement.
    WithdrawMeasurement(WithdrawMeasurement),
    /// Closes the episode.
    Close(CloseWound),
}

/// Opens an episode of a wound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenWound {
    /// Whose wound.
    pub patient_id: PatientId,
    /// Where on the body.
    pub site: AnatomicalSite,
    /// On which side; a site that has sides needs one.
    #[serde(default)]
    pub laterality: Option<Laterality>,
    /// What caused it.
    pub etiology: Etiology,
    /// Since when, as far as it is known.
    #[serde(default)]
    pub onset: Option<PartialDate>,
    /// More about it.
    #[serde(default)]
    pub note: Option<Note>,
}

/// Takes a capture in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordScan {
    /// The scan.
    pub scan_id: ScanId,
    /// Where the capture lies, and its digest.
    pub capture: CaptureRef,
    /// When it was taken, by the device's clock.
    #[serde(deserialize_with = "timestamp")]
    pub captured_at: Timestamp,
}

/// Records a measurement of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordMeasurement {
    /// The scan.
    pub scan_id: ScanId,
    /// The measurement.
    pub measurement_id: MeasurementId,
    /// The digest of the model that made it.
    pub model_digest: Digest,
    /// What was measured.
    pub measurement: Measurement,
}

/// Rejects a scan: as not measurable by a model, or altogether by a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectScan {
    /// The scan.
    pub scan_id: ScanId,
    /// The digest of the model that rejects it; none if a person does.
    #[serde(default)]
    pub model_digest: Option<Digest>,
    /// Why.
    pub reason: RejectionReason,
    /// More about why.
    #[serde(default)]
    pub detail: Option<Note>,
}

/// Confirms a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmMeasurement {
    /// The measurement.
    pub measurement_id: MeasurementId,
}

/// Withdraws a measurement: it stays in the log, and counts no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawMeasurement {
    /// The measurement.
    pub measurement_id: MeasurementId,
    /// Why.
    pub reason: WithdrawalReason,
}

/// Closes an episode of a wound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CloseWound {
    /// Why.
    pub reason: CloseReason,
    /// More about why.
    #[serde(default)]
    pub note: Option<Note>,
}
