//! What happened to an appointment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Slot, VisitStatus};
use crate::location::RoomId;
use crate::patient::PatientId;
use crate::practitioner::PractitionerId;
use crate::stream::domain_event;
use crate::value::{Code, Coding, Line, Note, coded};

/// What happened to an appointment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppointmentEvent {
    /// It was booked.
    AppointmentBooked(AppointmentBooked),
    /// It was moved to another time, practitioner or room.
    AppointmentRescheduled(AppointmentRescheduled),
    /// It was cancelled.
    AppointmentCancelled(AppointmentCancelled),
    /// The patient arrived.
    AppointmentCheckedIn(AppointmentCheckedIn),
    /// It took place.
    AppointmentFulfilled(AppointmentFulfilled),
    /// The patient did not come.
    AppointmentNoShow(AppointmentNoShow),
    /// It should never have been entered.
    AppointmentEnteredInError(AppointmentEnteredInError),
    /// A visit that took place elsewhere or earlier was recorded.
    VisitRecorded(VisitRecorded),
}

domain_event!(AppointmentEvent {
    AppointmentBooked: "1",
    AppointmentRescheduled: "1",
    AppointmentCancelled: "2",
    AppointmentCheckedIn: "1",
    AppointmentFulfilled: "1",
    AppointmentNoShow: "1",
    AppointmentEnteredInError: "1",
    VisitRecorded: "1",
});

/// It was booked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppointmentBooked {
    /// For whom.
    pub patient_id: PatientId,
    /// With whom, where and when.
    pub slot: Slot,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Line<200>>,
    /// When it was asked for, if that was earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Timestamp>,
}

/// It was moved to another time, practitioner or room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppointmentRescheduled {
    /// For whom.
    pub patient_id: PatientId,
    /// As it was agreed before.
    pub before: Slot,
    /// As it is agreed now.
    pub after: Slot,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Line<200>>,
}

coded! {
    /// Why an appointment was cancelled.
    CancellationReason {
        /// The patient asked for it.
        PatientRequest = "patient-request",
        /// The patient is in hospital or too ill.
        PatientUnwell = "patient-unwell",
        /// The patient died.
        PatientDeceased = "patient-deceased",
        /// The patient moved away.
        PatientMoved = "patient-moved",
        /// The patient could not get there.
        Transport = "transport",
        /// The practitioner is not available.
        PractitionerUnavailable = "practitioner-unavailable",
        /// The room or its equipment is not available.
        RoomUnavailable = "room-unavailable",
        /// The clinic is closed.
        ClinicClosed = "clinic-closed",
        /// Weather or another greater force.
        Weather = "weather",
        /// The same visit is booked twice.
        Duplicate = "duplicate",
        /// Booked by mistake.
        BookingError = "booking-error",
        /// Something else, said in the note.
        Other = "other",
    }
}

/// It was cancelled. Version 1 had one free text, `reason`, and no code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppointmentCancelled {
    /// Why.
    pub reason: CancellationReason,
    /// More about why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// Brings version 1 of `AppointmentCancelled` to version 2: the free text becomes the note of the code
/// `other`, since no program should guess a code from it. What does not look like version 1 is left as it
/// is, and reading it then fails.
pub(crate) fn cancelled_v1_to_v2(mut payload: Value) -> Value {
    if let Some(body) = payload.get_mut("AppointmentCancelled").and_then(Value::as_object_mut)
        && let Some(Value::String(text)) = body.remove("reason")
    {
        body.insert("reason".to_owned(), json!(CancellationReason::Other));
        // Version 1 allowed an empty reason; a note is never empty.
        if !text.trim().is_empty() {
            body.insert("note".to_owned(), Value::String(text));
        }
    }
    payload
}

/// The patient arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppointmentCheckedIn {
    /// When.
    pub at: Timestamp,
}

/// It took place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppointmentFulfilled {
    /// When that was recorded.
    pub at: Timestamp,
}

/// The patient did not come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppointmentNoShow {
    /// When that was recorded.
    pub at: Timestamp,
}

/// It should never have been entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppointmentEnteredInError {
    /// Why.
    pub reason: Line<200>,
}

/// A visit that took place elsewhere or earlier was recorded. It takes nobody's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisitRecorded {
    /// Whose visit.
    pub patient_id: PatientId,
    /// With whom, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub practitioner_id: Option<PractitionerId>,
    /// Where, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<RoomId>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The class of encounter, such as `AMB`.
    pub class: Code,
    /// The type of encounter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visit_type: Option<Coding>,
    /// What it was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Coding>,
    /// How it stands.
    pub status: VisitStatus,
}
