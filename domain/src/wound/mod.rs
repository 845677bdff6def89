//! Episodes of wounds: from opening over scans and measurements to closing.

mod capture;
mod command;
mod error;
mod event;
mod measurement;

pub mod codes;
pub mod healing;
pub mod outlook;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use capture::{CaptureParts, CaptureRef, CaptureRefError, MediaType};
pub use command::{
    CloseWound, ConfirmMeasurement, OpenWound, RecordMeasurement, RecordScan, RejectScan,
    WithdrawMeasurement, WoundCommand,
};
pub use error::WoundError;
pub use event::{
    MeasurementConfirmed, MeasurementRecorded, MeasurementWithdrawn, ScanRecorded, ScanRejected,
    WoundClosed, WoundEvent, WoundOpened,
};
pub use measurement::{
    Axis, Boundary, Measurement, MeasurementError, MeasurementParts, TissuePermille,
};

use crate::clock::Now;
use crate::ids::typed_id;
use crate::stream::{BlobReference, ClaimChange, MediaRef, Stream, aggregate};
use crate::value::{Digest, coded};

typed_id! {
    /// An episode of a wound, from opening to closing.
    WoundId;
    /// One capture of a wound.
    ScanId;
    /// One measurement of a scan.
    MeasurementId;
}

/// The most scans of one episode.
pub const MAX_SCANS: usize = 1_000;

/// The most measurements and rejections of one scan.
pub const MAX_RESULTS: usize = 100;

coded! {
    /// Where on the body a wound is.
    AnatomicalSite {
        /// Head or neck.
        HeadNeck = "head-neck",
        /// Chest.
        Chest = "chest",
        /// Abdomen.
        Abdomen = "abdomen",
        /// Back.
        Back = "back",
        /// Sacrum or coccyx.
        Sacrum = "sacrum",
        /// Perineum or genitals.
        Perineum = "perineum",
        /// Shoulder.
        Shoulder = "shoulder",
        /// Upper arm.
        UpperArm = "upper-arm",
        /// Elbow.
        Elbow = "elbow",
        /// Forearm.
        Forearm = "forearm",
        /// Hand.
        Hand = "hand",
        /// Buttock.
        Buttock = "buttock",
        /// Ischium.
        Ischium = "ischium",
        /// Hip or trochanter.
        Hip = "hip",
        /// Thigh.
        Thigh = "thigh",
        /// Knee.
        Knee = "knee",
        /// Lower leg.
        LowerLeg = "lower-leg",
        /// Ankle.
        Ankle = "ankle",
        /// Heel.
        Heel = "heel",
        /// Sole of the foot.
        PlantarFoot = "plantar-foot",
        /// Back of the foot.
        DorsalFoot = "dorsal-foot",
        /// Toe.
        Toe = "toe",
        /// Elsewhere.
        Other = "other",
    }
}

impl AnatomicalSite {
    /// Whether the body has it on the left and on the right.
    pub const fn has_sides(self) -> bool {
        !matches!(
            self,
            Self::HeadNeck
                | Self::Chest
                | Self::Abdomen
                | Self::Back
                | Self::Sacrum
                | Self::Perineum
                | Self::Other
        )
    }
}

coded! {
    /// On which side of the body a wound is.
    Laterality {
        /// Left.
        Left = "left",
        /// Right.
        Right = "right",
        /// In the middle.
        Midline = "midline",
        /// On both sides.
        Bilateral = "bilateral",
    }
}

coded! {
    /// What caused a wound.
    Etiology {
        /// A diabetic foot ulcer.
        DiabeticFootUlcer = "diabetic-foot-ulcer",
        /// A pressure injury.
        PressureInjury = "pressure-injury",
        /// A venous leg ulcer.
        VenousLegUlcer = "venous-leg-ulcer",
        /// An arterial ulcer.
        ArterialUlcer = "arterial-ulcer",
        /// An ulcer of mixed venous and arterial cause.
        MixedUlcer = "mixed-ulcer",
        /// A surgical wound.
        Surgical = "surgical",
        /// An injury.
        Traumatic = "traumatic",
        /// A burn.
        Burn = "burn",
        /// A tumour.
        Malignant = "malignant",
        /// Something else.
        Other = "other",
        /// Not known.
        Unknown = "unknown",
    }
}

coded! {
    /// Why a scan was not measured.
    RejectionReason {
        /// No wound was found in it.
        NoWoundFound = "no-wound-found",
        /// The wound's depth is mostly of low confidence.
        LowConfidenceDepth = "low-confidence-depth",
        /// The wound has no usable depth.
        DepthMissing = "depth-missing",
        /// Depth and colour do not fit each other.
        DepthInconsistent = "depth-inconsistent",
        /// Depth without the camera's intrinsics.
        IntrinsicsMissing = "intrinsics-missing",
        /// The wound leaves the picture.
        WoundCutOff = "wound-cut-off",
        /// Taken from too near.
        TooClose = "too-close",
        /// Taken from too far.
        TooFar = "too-far",
        /// The skin is seen from the side.
        TooOblique = "too-oblique",
        /// More than one wound, and no choice among them.
        SeveralWounds = "several-wounds",
        /// Blurred or too dark.
        ImageUnusable = "image-unusable",
        /// A surface without vertices or faces.
        SurfaceEmpty = "surface-empty",
        /// A surface that cannot be measured.
        SurfaceUnusable = "surface-unusable",
        /// A format that cannot be read.
        FormatInvalid = "format-invalid",
        /// Larger than captures may be.
        TooLarge = "too-large",
        /// The stored capture is gone.
        CaptureMissing = "capture-missing",
        /// The stored capture is not the one that was taken in.
        DigestMismatch = "digest-mismatch",
        /// It shows another patient or another wound.
        WrongWound = "wrong-wound",
        /// Something else, said in the detail.
        Other = "other",
    }
}

coded! {
    /// Why a measurement was withdrawn.
    WithdrawalReason {
        /// The model that made it was withdrawn.
        ModelWithdrawn = "model-withdrawn",
        /// It should never have been recorded.
        EnteredInError = "entered-in-error",
    }
}

coded! {
    /// Why an episode was closed.
    CloseReason {
        /// Healed.
        Healed = "healed",
        /// The part was amputated.
        Amputated = "amputated",
        /// Closed by surgery.
        SurgicallyClosed = "surgically-closed",
        /// Treated elsewhere from now on.
        Transferred = "transferred",
        /// The patient died.
        PatientDeceased = "patient-deceased",
        /// The patient no longer comes.
        LostToFollowUp = "lost-to-follow-up",
        /// It should never have been opened.
        EnteredInError = "entered-in-error",
        /// Something else, said in the note.
        Other = "other",
    }
}

/// A scan of an episode, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// The capture.
    pub capture: CaptureRef,
    /// When it was taken.
    pub captured_at: Timestamp,
    /// The measurements of it, in order.
    pub measurements: Vec<MeasurementId>,
    /// Whether a person rejected it.
    pub rejected: bool,
    /// The models that have measured or rejected it.
    answered_by: BTreeSet<Digest>,
    /// How many measurements and rejections it has.
    results: usize,
}

/// An episode of a wound as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WoundEpisode {
    opening: Option<WoundOpened>,
    scans: BTreeMap<ScanId, Scan>,
    /// Of which scan each measurement is.
    measurements: BTreeMap<MeasurementId, ScanId>,
    confirmed: BTreeSet<MeasurementId>,
    withdrawn: BTreeSet<MeasurementId>,
    closed: bool,
}

aggregate!(WoundEpisode, "wound", WoundCommand, WoundEvent, WoundError);

impl WoundEpisode {
    /// What the episode was opened with; nothing before it is.
    pub fn opening(&self) -> Option<&WoundOpened> {
        self.opening.as_ref()
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.opening.is_some() && !self.closed
    }

    /// A scan of it.
    pub fn scan(&self, id: ScanId) -> Option<&Scan> {
        self.scans.get(&id)
    }

    /// Whether a scan of it may still get this model's answer: one rule, for commands and for the worker.
    pub fn awaits_answer(&self, scan: ScanId, model: &Digest) -> bool {
        self.answerable(scan, Some(model)).is_ok()
    }

    /// Whether a clinician confirmed a measurement.
    pub fn is_confirmed(&self, id: MeasurementId) -> bool {
        self.confirmed.contains(&id)
    }

    /// Whether a measurement was withdrawn.
    pub fn is_withdrawn(&self, id: MeasurementId) -> bool {
        self.withdrawn.contains(&id)
    }

    fn fold(&mut self, event: WoundEvent) {
        match event {
            WoundEvent::WoundOpened(event) => self.opening = Some(event),
            WoundEvent::ScanRecorded(ScanRecorded { scan_id, capture, captured_at }) => {
                let scan = Scan {
                    capture,
                    captured_at,
                    measurements: Vec::new(),
                    rejected: false,
                    answered_by: BTreeSet::new(),
                    results: 0,
                };
                self.scans.insert(scan_id, scan);
            }
            WoundEvent::MeasurementRecorded(event) => {
                self.measurements.insert(event.measurement_id, event.scan_id);
                if let Some(scan) = self.scans.get_mut(&event.scan_id) {
                    scan.results += 1;
                    scan.measurements.push(event.measurement_id);
                    // An outline of a person's does not stand for the network's own answer.
                    if event.measurement.boundary == Boundary::Network {
                        scan.answered_by.insert(event.model_digest);
                    }
                }
            }
            WoundEvent::ScanRejected(event) => {
                if let Some(scan) = self.scans.get_mut(&event.scan_id) {
                    scan.results += 1;
                    match event.model_digest {
                        Some(model) => {
                            scan.answered_by.insert(model);
                        }
                        None => scan.rejected = true,
                    }
                }
            }
            WoundEvent::MeasurementConfirmed(event) => {
                self.confirmed.insert(event.measurement_id);
            }
            WoundEvent::MeasurementWithdrawn(event) => {
                self.withdrawn.insert(event.measurement_id);
            }
            WoundEvent::WoundClosed(_) => self.closed = true,
        }
    }

    fn require_open(&self) -> Result<(), WoundError> {
        self.require_opened()?;
        if self.closed { Err(WoundError::Closed) } else { Ok(()) }
    }

    fn require_opened(&self) -> Result<(), WoundError> {
        self.opening.as_ref().map(|_| ()).ok_or(WoundError::NotOpened)
    }

    fn open(&self, command: OpenWound, now: &Now) -> Result<WoundEvent, WoundError> {
        if self.opening.is_some() {
            return Err(WoundError::AlreadyOpened);
        }
        let OpenWound { patient_id, site, laterality, etiology, onset, note } = command;
        if site.has_sides() && laterality.is_none() {
            return Err(WoundError::LateralityRequired);
        }
        if onset.is_some_and(|onset| onset.is_future(now)) {
            return Err(WoundError::OnsetInFuture);
        }
        let event = WoundOpened { patient_id, site, laterality, etiology, onset, note };
        Ok(WoundEvent::WoundOpened(event))
    }

    fn record_scan(&self, command: RecordScan, now: &Now) -> Result<WoundEvent, WoundError> {
        self.require_open()?;
        let RecordScan { scan_id, capture, captured_at } = command;
        if self.scans.contains_key(&scan_id) {
            return Err(WoundError::ScanAlreadyRecorded);
        }
        if self.scans.values().any(|scan| !scan.rejected && scan.capture.sha256 == capture.sha256) {
            return Err(WoundError::CaptureAlreadyRecorded);
        }
        if now.is_before(captured_at) {
            return Err(WoundError::CaptureInFuture);
        }
        if self.scans.len() >= MAX_SCANS {
            return Err(WoundError::TooManyScans { max: MAX_SCANS });
        }
        Ok(WoundEvent::ScanRecorded(ScanRecorded { scan_id, capture, captured_at }))
    }

    /// A scan that may still get an answer. A closed episode's scans may: the answer was on its way.
    fn answerable(&self, id: ScanId, model: Option<&Digest>) -> Result<&Scan, WoundError> {
        self.require_opened()?;
        let scan = self.scans.get(&id).ok_or(WoundError::UnknownScan)?;
        if model.is_some_and(|model| scan.answered_by.contains(model)) {
            return Err(WoundError::AlreadyMeasured);
        }
        if scan.rejected {
            return Err(WoundError::ScanIsRejected);
        }
        if scan.results >= MAX_RESULTS {
            return Err(WoundError::TooManyResults { max: MAX_RESULTS });
        }
        Ok(scan)
    }

    fn record_measurement(&self, command: RecordMeasurement) -> Result<WoundEvent, WoundError> {
        let RecordMeasurement { scan_id, measurement_id, model_digest, measurement } = command;
        let network = measurement.boundary == Boundary::Network;
        self.answerable(scan_id, network.then_some(&model_digest))?;
        if self.measurements.contains_key(&measurement_id) {
            return Err(WoundError::MeasurementAlreadyRecorded);
        }
        Ok(WoundEvent::MeasurementRecorded(MeasurementRecorded {
            scan_id,
            measurement_id,
            model_digest,
            measurement,
        }))
    }

    fn reject_scan(&self, command: RejectScan) -> Result<WoundEvent, WoundError> {
        let RejectScan { scan_id, model_digest, reason, detail } = command;
        self.answerable(scan_id, model_digest.as_ref())?;
        if reason == RejectionReason::Other && detail.is_none() {
            return Err(WoundError::DetailRequired);
        }
        Ok(WoundEvent::ScanRejected(ScanRejected { scan_id, model_digest, reason, detail }))
    }

    fn confirm(&self, command: ConfirmMeasurement) -> Result<WoundEvent, WoundError> {
        self.require_opened()?;
        let ConfirmMeasurement { measurement_id } = command;
        let scan = self.measurements.get(&measurement_id).ok_or(WoundError::UnknownMeasurement)?;
        if self.withdrawn.contains(&measurement_id) {
            return Err(WoundError::MeasurementIsWithdrawn);
        }
        if self.confirmed.contains(&measurement_id) {
            return Err(WoundError::AlreadyConfirmed);
        }
        if self.scans.get(scan).is_some_and(|scan| scan.rejected) {
            return Err(WoundError::ScanIsRejected);
        }
        Ok(WoundEvent::MeasurementConfirmed(MeasurementConfirmed { measurement_id }))
    }

    /// A closed episode's measurements may be withdrawn too: an error does not become true by then.
    fn withdraw(&self, command: WithdrawMeasurement) -> Result<WoundEvent, WoundError> {
        self.require_opened()?;
        let WithdrawMeasurement { measurement_id, reason } = command;
        if !self.measurements.contains_key(&measurement_id) {
            return Err(WoundError::UnknownMeasurement);
        }
        if self.withdrawn.contains(&measurement_id) {
            return Err(WoundError::AlreadyWithdrawn);
        }
        // What a clinician has vouched for is no longer the model's alone.
        if reason == WithdrawalReason::ModelWithdrawn && self.confirmed.contains(&measurement_id) {
            return Err(WoundError::MeasurementIsConfirmed);
        }
        Ok(WoundEvent::MeasurementWithdrawn(MeasurementWithdrawn { measurement_id, reason }))
    }

    fn close(&self, command: CloseWound) -> Result<WoundEvent, WoundError> {
        self.require_open()?;
        let CloseWound { reason, note } = command;
        if reason == CloseReason::Other && note.is_none() {
            return Err(WoundError::NoteRequired);
        }
        Ok(WoundEvent::WoundClosed(WoundClosed { reason, note }))
    }
}

/// An episode as its events leave it.
impl FromIterator<WoundEvent> for WoundEpisode {
    fn from_iter<I: IntoIterator<Item = WoundEvent>>(events: I) -> Self {
        let mut episode = Self::default();
        events.into_iter().for_each(|event| episode.fold(event));
        episode
    }
}

impl Stream for WoundEpisode {
    const STATE_VERSION: u32 = 2;
    const SEALED: bool = true;
    const KEEPS_SNAPSHOTS: bool = true;
    const BLOB_REFERENCE: Option<BlobReference> = Some(BlobReference {
        event_type: "ScanRecorded",
        pointer: "/ScanRecorded/capture/blob_id",
    });

    fn decide(&self, command: WoundCommand, now: &Now) -> Result<Vec<WoundEvent>, WoundError> {
        let event = match command {
            WoundCommand::Open(command) => self.open(command, now),
            WoundCommand::RecordScan(command) => self.record_scan(command, now),
            WoundCommand::RecordMeasurement(command) => self.record_measurement(command),
            WoundCommand::RejectScan(command) => self.reject_scan(command),
            WoundCommand::ConfirmMeasurement(command) => self.confirm(command),
            WoundCommand::WithdrawMeasurement(command) => self.withdraw(command),
            WoundCommand::Close(command) => self.close(command),
        }?;
        Ok(vec![event])
    }

    fn subject(&self, _id: Uuid) -> Option<Uuid> {
        self.opening().map(|opening| opening.patient_id.as_uuid())
    }

    fn claims(_id: Uuid, _event: &WoundEvent) -> Vec<ClaimChange> {
        vec![]
    }

    fn media(event: &WoundEvent) -> Vec<MediaRef> {
        match event {
            WoundEvent::ScanRecorded(ScanRecorded { capture, .. }) => vec![MediaRef {
                sha256: *capture.sha256.as_bytes(),
                size: capture.size,
                media_type: capture.media_type.to_string(),
            }],
            _ => Vec::new(),
        }
    }
}
