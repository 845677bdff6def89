//! `wounds_v2`: a wound episode with its scans, their measurements, and the healing course.

use bson::{Document, doc};
use domain::value::{Digest, Note, PartialDate};
use domain::wound::{
    AnatomicalSite, CloseReason, Etiology, Laterality, Measurement, MeasurementParts,
    MeasurementRecorded, MeasurementWithdrawn, RejectionReason, ScanRecorded, ScanRejected,
    WithdrawalReason, healing,
};
use domain::{Event, MeasurementId, PatientId, ScanId, WoundEvent, WoundId};
use jiff::Timestamp;
use mongodb::IndexModel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::text::{instant, optional, optional_instant, plain};
use super::view::{FoldError, View};
use crate::cache::CacheKind;
use crate::event::RecordedEvent;

/// How many measurements of one scan the document keeps; confirmed ones stay. The log holds them all.
const MEASUREMENTS_PER_SCAN: usize = 8;

/// How many of the newest scans keep the outlines of their measurements, so that the document
/// stays far below the 16 MB a document may have.
const SCANS_WITH_OUTLINES: usize = 100;

/// A wound episode. `Debug` shows no more than the id.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WoundDocument {
    /// The episode.
    #[serde(rename = "_id", with = "plain")]
    #[schemars(rename = "id", with = "WoundId")]
    pub id: WoundId,
    /// The number of its last event, for `If-Match`.
    pub version: u64,
    /// The position of that event in the log.
    pub position: u64,
    /// Whose wound.
    #[serde(with = "plain")]
    #[schemars(with = "PatientId")]
    pub patient_id: PatientId,
    /// Where on the body.
    pub site: AnatomicalSite,
    /// On which side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub laterality: Option<Laterality>,
    /// What caused it.
    pub etiology: Etiology,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset: Option<PartialDate>,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// When the episode was opened.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub opened_at: Timestamp,
    /// When and why it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<ClosingDocument>,
    /// The scans, by the time of capture.
    pub scans: Vec<ScanDocument>,
    /// How the wound heals: one point for each measured scan, by the time of capture.
    pub healing: Vec<HealingPoint>,
}

impl std::fmt::Debug for WoundDocument {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("WoundDocument")
            .field("id", &self.id)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// When and why an episode was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClosingDocument {
    /// When.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub at: Timestamp,
    /// Why.
    pub reason: CloseReason,
    /// More about why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// How a scan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScanStatus {
    /// It has not been measured or rejected yet.
    Pending,
    /// There is a measurement.
    Measured,
    /// It could not be measured, or a person rejected it.
    Rejected,
    /// Every measurement of it was withdrawn, and no other answer is there yet.
    Withdrawn,
}

/// One scan of the wound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScanDocument {
    /// The scan.
    #[serde(with = "plain")]
    #[schemars(with = "ScanId")]
    pub id: ScanId,
    /// How it stands.
    pub status: ScanStatus,
    /// When it was taken, by the device's clock.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub captured_at: Timestamp,
    /// When it was taken in.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub recorded_at: Timestamp,
    /// The capture.
    pub capture: CaptureDocument,
    /// The measurements, oldest first.
    pub measurements: Vec<MeasurementDocument>,
    /// The rejections, oldest first.
    pub rejections: Vec<RejectionDocument>,
}

/// Where a capture lies, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaptureDocument {
    /// The encrypted object that holds it.
    #[serde(with = "plain")]
    #[schemars(with = "Uuid")]
    pub blob_id: Uuid,
    /// The SHA-256 of the capture before encryption.
    pub sha256: Digest,
    /// Its size in bytes before encryption.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
}

/// One measurement of a scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasurementDocument {
    /// The measurement.
    #[serde(with = "plain")]
    #[schemars(with = "MeasurementId")]
    pub id: MeasurementId,
    /// The model that made it.
    pub model_digest: Digest,
    /// When it was recorded.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub recorded_at: Timestamp,
    /// The figures, each with its standard deviation.
    pub figures: Measurement,
    /// When a clinician confirmed it.
    #[serde(default, with = "optional_instant", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    pub confirmed_at: Option<Timestamp>,
    /// Who.
    #[serde(default, with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Uuid>")]
    pub confirmed_by: Option<Uuid>,
    /// When it was withdrawn: from then on it counts no more.
    #[serde(default, with = "optional_instant", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    pub withdrawn_at: Option<Timestamp>,
    /// Who.
    #[serde(default, with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Uuid>")]
    pub withdrawn_by: Option<Uuid>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawal_reason: Option<WithdrawalReason>,
}

/// Why a scan was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RejectionDocument {
    /// The model that rejected it; none if a person did, which is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_digest: Option<Digest>,
    /// Why.
    pub reason: RejectionReason,
    /// More about why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Note>,
    /// When.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub recorded_at: Timestamp,
}

/// One point of the healing course. Changes are against the first point; whole numbers, so that they are the same
/// in every store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealingPoint {
    /// The scan.
    #[serde(with = "plain")]
    #[schemars(with = "ScanId")]
    pub scan_id: ScanId,
    /// The measurement that counts: of those not withdrawn the last confirmed one, or else the last one.
    #[serde(with = "plain")]
    #[schemars(with = "MeasurementId")]
    pub measurement_id: MeasurementId,
    /// When the scan was taken.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub captured_at: Timestamp,
    /// Whether a clinician confirmed the measurement.
    pub confirmed: bool,
    /// The area.
    pub area_um2: u64,
    /// Its standard deviation.
    pub area_sd_um2: u64,
    /// By how much the area has shrunk, in permille of the first; negative if it has grown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area_reduction_permille: Option<i64>,
    /// The exponential rate of healing `ln(A₀/A)/t`, in millionths per day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healing_rate_ppm_per_day: Option<i64>,
    /// How far the edge has advanced inwards, in micrometres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear_advance_um: Option<i64>,
    /// The area's sub-score of PUSH 3.0, 0 to 10.
    pub push_area_score: u8,
}

impl ScanDocument {
    /// The measurement that counts: of those not withdrawn the last confirmed one, or else the last one.
    pub fn current(&self) -> Option<&MeasurementDocument> {
        if self.status != ScanStatus::Measured {
            return None;
        }
        let standing = || self.measurements.iter().filter(|found| found.withdrawn_at.is_none());
        standing().rfind(|found| found.confirmed_at.is_some()).or(standing().next_back())
    }

    fn update_status(&mut self) {
        let by_a_person = self.rejections.iter().any(|found| found.model_digest.is_none());
        let standing = self.measurements.iter().any(|found| found.withdrawn_at.is_none());
        self.status = match (standing, self.rejections.is_empty()) {
            _ if by_a_person => ScanStatus::Rejected,
            (true, _) => ScanStatus::Measured,
            (false, false) => ScanStatus::Rejected,
            (false, true) if self.measurements.is_empty() => ScanStatus::Pending,
            (false, true) => ScanStatus::Withdrawn,
        };
        while self.measurements.len() > MEASUREMENTS_PER_SCAN
            && let Some(dropped) = self.dispensable()
        {
            self.measurements.remove(dropped);
        }
    }

    /// The measurement that is missed least: the oldest that was withdrawn, or else the oldest that is not confirmed.
    fn dispensable(&self) -> Option<usize> {
        let withdrawn = self.measurements.iter().position(|found| found.withdrawn_at.is_some());
        let unconfirmed = || self.measurements.iter().position(|it| it.confirmed_at.is_none());
        withdrawn.or_else(unconfirmed)
    }
}

impl WoundDocument {
    fn scan(&mut self, id: ScanId) -> Result<&mut ScanDocument, FoldError> {
        self.scans
            .iter_mut()
            .find(|scan| scan.id == id)
            .ok_or_else(|| FoldError::Contradiction("it names a scan that is not there".to_owned()))
    }

    fn add_scan(&mut self, event: &ScanRecorded, recorded: &RecordedEvent) {
        let scan = ScanDocument {
            id: event.scan_id,
            status: ScanStatus::Pending,
            captured_at: event.captured_at,
            recorded_at: recorded.recorded_at,
            capture: CaptureDocument {
                blob_id: event.capture.blob_id,
                sha256: event.capture.sha256,
                size: event.capture.size,
                media_type: event.capture.media_type.to_string(),
            },
            measurements: Vec::new(),
            rejections: Vec::new(),
        };
        // The order of capture, not of arrival: a device may have been offline.
        let key = |scan: &ScanDocument| (scan.captured_at, scan.id);
        let at = self.scans.partition_point(|other| key(other) < key(&scan));
        self.scans.insert(at, scan);
    }

    fn add_measurement(
        &mut self,
        event: &MeasurementRecorded,
        recorded: &RecordedEvent,
    ) -> Result<(), FoldError> {
        let scan = self.scan(event.scan_id)?;
        scan.measurements.push(MeasurementDocument {
            id: event.measurement_id,
            model_digest: event.model_digest,
            recorded_at: recorded.recorded_at,
            figures: event.measurement.clone(),
            confirmed_at: None,
            confirmed_by: None,
            withdrawn_at: None,
            withdrawn_by: None,
            withdrawal_reason: None,
        });
        scan.update_status();
        Ok(())
    }

    fn add_rejection(
        &mut self,
        event: &ScanRejected,
        recorded: &RecordedEvent,
    ) -> Result<(), FoldError> {
        let scan = self.scan(event.scan_id)?;
        scan.rejections.push(RejectionDocument {
            model_digest: event.model_digest,
            reason: event.reason,
            detail: event.detail.clone(),
            recorded_at: recorded.recorded_at,
        });
        scan.update_status();
        Ok(())
    }

    fn confirm(&mut self, id: MeasurementId, recorded: &RecordedEvent) {
        let found = self
            .scans
            .iter_mut()
            .flat_map(|scan| scan.measurements.iter_mut())
            .find(|measurement| measurement.id == id);
        // One that was dropped for newer ones stays dropped; the log has it.
        if let Some(measurement) = found {
            measurement.confirmed_at = Some(recorded.recorded_at);
            measurement.confirmed_by = Some(recorded.actor_id);
        }
    }

    fn withdraw(&mut self, event: &MeasurementWithdrawn, recorded: &RecordedEvent) {
        let of = |scan: &&mut ScanDocument| {
            scan.measurements.iter().any(|measurement| measurement.id == event.measurement_id)
        };
        // One that was dropped for newer ones counts for nothing already.
        let Some(scan) = self.scans.iter_mut().find(of) else { return };
        let found = scan.measurements.iter_mut().find(|it| it.id == event.measurement_id);
        if let Some(measurement) = found {
            measurement.withdrawn_at = Some(recorded.recorded_at);
            measurement.withdrawn_by = Some(recorded.actor_id);
            measurement.withdrawal_reason = Some(event.reason);
        }
        scan.update_status();
    }

    fn drop_old_outlines(&mut self) {
        let old = self.scans.len().saturating_sub(SCANS_WITH_OUTLINES);
        for measurement in self.scans.iter_mut().take(old).flat_map(|scan| &mut scan.measurements) {
            if measurement.figures.outline.is_empty() {
                continue;
            }
            let mut parts = MeasurementParts::from(measurement.figures.clone());
            parts.outline = Vec::new();
            // An outline may always be missing, so this cannot fail; if it did, the outline would stay.
            if let Ok(figures) = Measurement::try_from(parts) {
                measurement.figures = figures;
            }
        }
    }
}

/// The healing course of scans in order of capture.
fn course(scans: &[ScanDocument]) -> Vec<HealingPoint> {
    let measured = || scans.iter().filter_map(|scan| scan.current().map(|found| (scan, found)));
    let Some((first_scan, first)) = measured().next() else { return Vec::new() };
    let (a0, p0, t0) = (first.figures.area_um2, first.figures.perimeter_um, first_scan.captured_at);
    measured()
        .map(|(scan, found)| {
            let (area, perimeter) = (found.figures.area_um2, found.figures.perimeter_um);
            let later = (scan.id, found.id) != (first_scan.id, first.id);
            let since = |figure: Option<f64>, scale: f64| {
                figure.filter(|_| later).map(|figure| (figure * scale).round() as i64)
            };
            HealingPoint {
                scan_id: scan.id,
                measurement_id: found.id,
                captured_at: scan.captured_at,
                confirmed: found.confirmed_at.is_some(),
                area_um2: area,
                area_sd_um2: found.figures.area_sd_um2,
                area_reduction_permille: since(healing::percent_area_reduction(a0, area), 10.0),
                healing_rate_ppm_per_day: since(
                    healing::exponential_rate_per_day((a0, t0), (area, scan.captured_at)),
                    1e6,
                ),
                linear_advance_um: since(
                    healing::linear_advance_mm((a0, p0), (area, perimeter)),
                    1e3,
                ),
                push_area_score: healing::push_area_score(area),
            }
        })
        .collect()
}

/// The view behind `wounds_v2`.
pub(crate) struct Wounds;

impl View for Wounds {
    const NAME: &'static str = "wounds";
    const VERSION: u32 = 2;
    const STREAM: &'static str = domain::WoundEpisode::STREAM_TYPE;
    const SUBJECT: &'static str = "patient_id";
    const CACHE: CacheKind = CacheKind::new("wound");
    type Document = WoundDocument;

    fn indexes() -> Vec<IndexModel> {
        vec![IndexModel::builder().keys(doc! { "patient_id": 1, "_id": 1 }).build()]
    }

    fn fields(document: &WoundDocument) -> Document {
        doc! { "patient_id": document.patient_id.to_string() }
    }

    fn id(document: &WoundDocument) -> Uuid {
        document.id.as_uuid()
    }

    fn version(document: &WoundDocument) -> u64 {
        document.version
    }

    fn position(document: &WoundDocument) -> u64 {
        document.position
    }

    fn subject(document: &WoundDocument) -> Uuid {
        document.patient_id.as_uuid()
    }

    fn fold(
        document: Option<WoundDocument>,
        recorded: &RecordedEvent,
        event: &Event,
    ) -> Result<WoundDocument, FoldError> {
        let Event::Wound(event) = event else {
            return Err(FoldError::Contradiction("it is not an event of a wound".to_owned()));
        };
        let mut document = match (document, event) {
            (_, WoundEvent::WoundOpened(event)) => WoundDocument {
                id: WoundId::from_uuid(recorded.stream_id),
                version: 0,
                position: 0,
                patient_id: event.patient_id,
                site: event.site,
                laterality: event.laterality,
                etiology: event.etiology,
                onset: event.onset,
                note: event.note.clone(),
                opened_at: recorded.recorded_at,
                closing: None,
                scans: Vec::new(),
                healing: Vec::new(),
            },
            (Some(document), _) => document,
            (None, _) => return Err(FoldError::Missing),
        };
        match event {
            WoundEvent::WoundOpened(_) => {}
            WoundEvent::ScanRecorded(event) => document.add_scan(event, recorded),
            WoundEvent::MeasurementRecorded(event) => document.add_measurement(event, recorded)?,
            WoundEvent::ScanRejected(event) => document.add_rejection(event, recorded)?,
            WoundEvent::MeasurementConfirmed(event) => {
                document.confirm(event.measurement_id, recorded);
            }
            WoundEvent::MeasurementWithdrawn(event) => document.withdraw(event, recorded),
            WoundEvent::WoundClosed(event) => {
                document.closing = Some(ClosingDocument {
                    at: recorded.recorded_at,
                    reason: event.reason,
                    note: event.note.clone(),
                });
            }
        }
        document.drop_old_outlines();
        document.healing = course(&document.scans);
        document.version = recorded.sequence;
        document.position = recorded.position;
        Ok(document)
    }
}
