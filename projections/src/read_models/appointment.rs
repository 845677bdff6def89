//! `appointments_v2`: booked appointments and historical visits, by practitioner and by patient.

use bson::{Document, doc};
use domain::appointment::{AppointmentStatus, CancellationReason, Slot, VisitStatus};
use domain::value::{Code, Coding, Line, Note, VisitTime};
use domain::{AppointmentEvent, AppointmentId, Event, PatientId, PractitionerId, RoomId};
use jiff::Timestamp;
use mongodb::IndexModel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::text::{instant, optional, optional_instant, plain};
use super::view::{FoldError, View};
use crate::cache::CacheKind;
use crate::event::RecordedEvent;

/// The most entries of an appointment's history; the log holds the rest.
const HISTORY_MAX: usize = 100;

/// A booked appointment, or a visit recorded afterwards. `Debug` shows no more than the id.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppointmentDocument {
    /// The appointment.
    #[serde(rename = "_id", with = "plain")]
    #[schemars(rename = "id", with = "AppointmentId")]
    pub id: AppointmentId,
    /// The number of its last event, for `If-Match`.
    pub version: u64,
    /// The position of that event in the log.
    pub position: u64,
    /// Whose it is.
    #[serde(with = "plain")]
    #[schemars(with = "PatientId")]
    pub patient_id: PatientId,
    /// With whom, if known.
    #[serde(default, with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<PractitionerId>")]
    pub practitioner_id: Option<PractitionerId>,
    /// Where, if known.
    #[serde(default, with = "optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<RoomId>")]
    pub room_id: Option<RoomId>,
    /// How it stands.
    pub status: AppointmentStatus,
    /// When it starts.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub starts_at: Timestamp,
    /// When it ends, if known.
    #[serde(default, with = "optional_instant", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    pub ends_at: Option<Timestamp>,
    /// The local time and zone it was agreed in; a visit recorded afterwards has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<VisitTime>,
    /// What for, as said at the booking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Line<200>>,
    /// When it was asked for, if that was earlier.
    #[serde(default, with = "optional_instant", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    pub requested_at: Option<Timestamp>,
    /// Why it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<Cancellation>,
    /// Why it should never have been entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<Line<200>>,
    /// What is known of a visit recorded afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visit: Option<VisitDetails>,
    /// How it came to stand as it does, oldest first; the newest hundred.
    pub history: Vec<StatusChange>,
    /// Start and id: what lists are sorted by.
    #[schemars(skip)]
    pub sort_key: String,
}

impl std::fmt::Debug for AppointmentDocument {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AppointmentDocument")
            .field("id", &self.id)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Why an appointment was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancellation {
    /// The reason.
    pub reason: CancellationReason,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// What is known of a visit recorded afterwards. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VisitDetails {
    /// The class of encounter, such as `AMB`.
    pub class: Code,
    /// The type of encounter.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub visit_type: Option<Coding>,
    /// What it was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Coding>,
    /// How it stands.
    pub status: VisitStatus,
}

impl std::fmt::Debug for VisitDetails {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("VisitDetails(…)")
    }
}

/// One step in an appointment's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusChange {
    /// How it stood from then on.
    pub status: AppointmentStatus,
    /// When that was recorded.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub at: Timestamp,
    /// By whom.
    #[serde(with = "plain")]
    #[schemars(with = "Uuid")]
    pub actor_id: Uuid,
    /// In which event.
    pub position: u64,
    /// The time it was moved away from, if it was moved.
    #[serde(default, with = "optional_instant", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Timestamp>")]
    pub moved_from: Option<Timestamp>,
}

impl AppointmentDocument {
    /// A document of nothing but whose and when; the fold fills in the rest.
    fn new(id: Uuid, patient_id: PatientId, starts_at: Timestamp) -> AppointmentDocument {
        AppointmentDocument {
            id: AppointmentId::from_uuid(id),
            version: 0,
            position: 0,
            patient_id,
            practitioner_id: None,
            room_id: None,
            status: AppointmentStatus::Booked,
            starts_at,
            ends_at: None,
            time: None,
            reason: None,
            requested_at: None,
            cancellation: None,
            error_reason: None,
            visit: None,
            history: Vec::new(),
            sort_key: String::new(),
        }
    }

    fn place(&mut self, slot: &Slot) {
        self.practitioner_id = Some(slot.practitioner_id);
        self.room_id = slot.room_id;
        self.starts_at = slot.time.starts_at();
        self.ends_at = Some(slot.time.ends_at());
        self.time = Some(slot.time.clone());
    }
}

/// The view behind `appointments_v2`.
pub(crate) struct Appointments;

impl View for Appointments {
    const NAME: &'static str = "appointments";
    const VERSION: u32 = 2;
    const STREAM: &'static str = domain::Appointment::STREAM_TYPE;
    const SUBJECT: &'static str = "patient_id";
    const CACHE: CacheKind = CacheKind::new("appointment");
    type Document = AppointmentDocument;

    fn indexes() -> Vec<IndexModel> {
        [doc! { "practitioner_id": 1, "sort_key": 1 }, doc! { "patient_id": 1, "sort_key": 1 }]
            .map(|keys| IndexModel::builder().keys(keys).build())
            .into()
    }

    fn fields(document: &AppointmentDocument) -> Document {
        let mut fields = doc! {
            "patient_id": document.patient_id.to_string(),
            "sort_key": &document.sort_key,
        };
        if let Some(practitioner) = document.practitioner_id {
            fields.insert("practitioner_id", practitioner.to_string());
        }
        fields
    }

    fn id(document: &AppointmentDocument) -> Uuid {
        document.id.as_uuid()
    }

    fn version(document: &AppointmentDocument) -> u64 {
        document.version
    }

    fn position(document: &AppointmentDocument) -> u64 {
        document.position
    }

    fn subject(document: &AppointmentDocument) -> Uuid {
        document.patient_id.as_uuid()
    }

    fn fold(
        document: Option<AppointmentDocument>,
        recorded: &RecordedEvent,
        event: &Event,
    ) -> Result<AppointmentDocument, FoldError> {
        let Event::Appointment(event) = event else {
            return Err(FoldError::Contradiction(
                "it is not an event of an appointment".to_owned(),
            ));
        };
        let mut document = match (document, event) {
            (_, AppointmentEvent::AppointmentBooked(event)) => AppointmentDocument::new(
                recorded.stream_id,
                event.patient_id,
                event.slot.time.starts_at(),
            ),
            (_, AppointmentEvent::VisitRecorded(event)) => {
                AppointmentDocument::new(recorded.stream_id, event.patient_id, event.started_at)
            }
            (Some(document), _) => document,
            (None, _) => return Err(FoldError::Missing),
        };
        let mut moved_from = None;
        document.status = match event {
            AppointmentEvent::AppointmentBooked(event) => {
                document.place(&event.slot);
                document.reason = event.reason.clone();
                document.requested_at = event.requested_at;
                AppointmentStatus::Booked
            }
            AppointmentEvent::AppointmentRescheduled(event) => {
                moved_from = Some(event.before.time.starts_at());
                document.place(&event.after);
                AppointmentStatus::Booked
            }
            AppointmentEvent::AppointmentCancelled(event) => {
                document.cancellation =
                    Some(Cancellation { reason: event.reason, note: event.note.clone() });
                AppointmentStatus::Cancelled
            }
            AppointmentEvent::AppointmentCheckedIn(_) => AppointmentStatus::CheckedIn,
            AppointmentEvent::AppointmentFulfilled(_) => AppointmentStatus::Fulfilled,
            AppointmentEvent::AppointmentNoShow(_) => AppointmentStatus::NoShow,
            AppointmentEvent::AppointmentEnteredInError(event) => {
                document.error_reason = Some(event.reason.clone());
                AppointmentStatus::EnteredInError
            }
            AppointmentEvent::VisitRecorded(event) => {
                document.practitioner_id = event.practitioner_id;
                document.room_id = event.room_id;
                document.ends_at = event.ended_at;
                document.visit = Some(VisitDetails {
                    class: event.class.clone(),
                    visit_type: event.visit_type.clone(),
                    reason: event.reason.clone(),
                    status: event.status,
                });
                AppointmentStatus::Recorded
            }
        };
        document.history.push(StatusChange {
            status: document.status,
            at: recorded.recorded_at,
            actor_id: recorded.actor_id,
            position: recorded.position,
            moved_from,
        });
        let surplus = document.history.len().saturating_sub(HISTORY_MAX);
        document.history.drain(..surplus);
        document.sort_key = format!("{}/{}", instant::text(document.starts_at), document.id);
        document.version = recorded.sequence;
        document.position = recorded.position;
        Ok(document)
    }
}
