//! What may be asked of an appointment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::VisitStatus;
use super::event::CancellationReason;
use crate::location::RoomId;
use crate::patient::PatientId;
use crate::practitioner::PractitionerId;
use crate::value::{Code, Coding, Line, Note, RequestedTime, timestamp, timestamp_option};

/// What may be asked of an appointment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppointmentCommand {
    /// Books a visit.
    Book(BookAppointment),
    /// Moves it to another time, practitioner or room.
    Reschedule(RescheduleAppointment),
    /// Cancels it.
    Cancel(CancelAppointment),
    /// Records that the patient arrived.
    CheckIn(CheckIn),
    /// Records that it took place.
    Fulfil(Fulfil),
    /// Records that the patient did not come.
    MarkNoShow(MarkNoShow),
    /// Takes back what should never have been entered.
    EnteredInError(EnteredInError),
    /// Records a visit that took place elsewhere or earlier; it takes no one's time.
    RecordVisit(RecordVisit),
}

/// Books a visit. It takes the time of the practitioner, the room and the patient, or of none of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BookAppointment {
    /// For whom.
    pub patient_id: PatientId,
    /// With whom.
    pub practitioner_id: PractitionerId,
    /// Where.
    #[serde(default)]
    pub room_id: Option<RoomId>,
    /// When.
    pub time: RequestedTime,
    /// What for.
    #[serde(default)]
    pub reason: Option<Line<200>>,
    /// When it was asked for, if that was earlier.
    #[serde(default, deserialize_with = "timestamp_option")]
    pub requested_at: Option<Timestamp>,
}

/// Moves an appointment. What is left out stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RescheduleAppointment {
    /// When.
    pub time: RequestedTime,
    /// With whom.
    #[serde(default)]
    pub practitioner_id: Option<PractitionerId>,
    /// Where.
    #[serde(default)]
    pub room_id: Option<RoomId>,
    /// Why.
    #[serde(default)]
    pub reason: Option<Line<200>>,
}

/// Cancels an appointment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CancelAppointment {
    /// Why.
    pub reason: CancellationReason,
    /// More about why.
    #[serde(default)]
    pub note: Option<Note>,
}

/// Records that the patient arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckIn {}

/// Records that the appointment took place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Fulfil {}

/// Records that the patient did not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MarkNoShow {}

/// Takes back what should never have been entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EnteredInError {
    /// Why.
    pub reason: Line<200>,
}

/// Records a visit that took place elsewhere or earlier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordVisit {
    /// Whose visit.
    pub patient_id: PatientId,
    /// With whom, if known.
    #[serde(default)]
    pub practitioner_id: Option<PractitionerId>,
    /// Where, if known.
    #[serde(default)]
    pub room_id: Option<RoomId>,
    /// When it began.
    #[serde(deserialize_with = "timestamp")]
    pub started_at: Timestamp,
    /// When it ended, if known.
    #[serde(default, deserialize_with = "timestamp_option")]
    pub ended_at: Option<Timestamp>,
    /// The class of encounter, such as `AMB`.
    pub class: Code,
    /// The type of encounter.
    #[serde(default)]
    pub visit_type: Option<Coding>,
    /// What it was for.
    #[serde(default)]
    pub reason: Option<Coding>,
    /// How it stands.
    pub status: VisitStatus,
}
