//! Why a command on an appointment is refused.

use super::AppointmentStatus;
use crate::stream::{Refusal, RefusalKind};
use crate::value::VisitTimeError;

/// Why a command on an appointment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppointmentError {
    /// The stream already holds an appointment.
    #[error("an appointment is already kept under this id: use another id")]
    AlreadyExists,
    /// The stream holds no appointment.
    #[error("no appointment is kept under this id: book it first")]
    NotBooked,
    /// The requested local time does not exist.
    #[error(transparent)]
    Time(#[from] VisitTimeError),
    /// The appointment's status does not allow it.
    #[error("the appointment is {from}, and from there it cannot become {to}")]
    IllegalTransition {
        /// How it stands.
        from: AppointmentStatus,
        /// What was asked for.
        to: AppointmentStatus,
    },
    /// The appointment can no longer be moved.
    #[error("the appointment is {from}: only a booked one can be moved")]
    NotMovable {
        /// How it stands.
        from: AppointmentStatus,
    },
    /// A visit that has not begun cannot be missed.
    #[error("the appointment has not begun yet: wait for its start before marking a no-show")]
    NotBegun,
    /// The request is later than the visit.
    #[error("the visit begins before it was asked for: correct the request or the start")]
    RequestedAfterStart,
    /// The request has not happened yet.
    #[error("the time of the request is in the future: correct it")]
    RequestInFuture,
    /// A move to where it already is.
    #[error(
        "the appointment already has this time, practitioner and room: there is nothing to move"
    )]
    NothingChanged,
    /// The reason says "other" and no note says more.
    #[error("the reason `other` needs a note that says more")]
    NoteRequired,
    /// A practitioner whom the directory does not have.
    #[error("no practitioner is registered under this id: register the practitioner first")]
    UnknownPractitioner,
    /// A practitioner who is out of use.
    #[error("the practitioner is out of use: book with another")]
    InactivePractitioner,
    /// A room that the directory does not have.
    #[error("no room is registered under this id: register the location first")]
    UnknownRoom,
    /// A room that is out of use.
    #[error("the room is out of use: book another")]
    InactiveRoom,
    /// A site instead of a room.
    #[error("this location is a site: book one of its rooms")]
    RoomIsSite,
    /// A recorded visit that has not begun.
    #[error(
        "the visit begins in the future: only past and current visits are recorded; book this one"
    )]
    VisitInFuture,
    /// A recorded visit that ends before it begins.
    #[error("the visit ends before it begins: correct its start or its end")]
    EndBeforeStart,
}

impl Refusal for AppointmentError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotBooked => RefusalKind::Missing("appointment"),
            Self::AlreadyExists
            | Self::IllegalTransition { .. }
            | Self::NotMovable { .. }
            | Self::NotBegun
            | Self::InactivePractitioner
            | Self::InactiveRoom
            | Self::NothingChanged => RefusalKind::Conflict,
            Self::Time(_)
            | Self::RequestedAfterStart
            | Self::RequestInFuture
            | Self::NoteRequired
            | Self::UnknownPractitioner
            | Self::UnknownRoom
            | Self::RoomIsSite
            | Self::VisitInFuture
            | Self::EndBeforeStart => RefusalKind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyExists => "already-booked",
            Self::NotBooked => "not-booked",
            Self::Time(error) => error.code(),
            Self::IllegalTransition { .. } => "illegal-transition",
            Self::NotMovable { .. } => "not-movable",
            Self::NotBegun => "not-begun",
            Self::RequestedAfterStart => "requested-after-start",
            Self::RequestInFuture => "request-in-future",
            Self::NothingChanged => "nothing-changed",
            Self::NoteRequired => "note-required",
            Self::UnknownPractitioner => "unknown-practitioner",
            Self::InactivePractitioner => "inactive-practitioner",
            Self::UnknownRoom => "unknown-room",
            Self::InactiveRoom => "inactive-room",
            Self::RoomIsSite => "room-is-site",
            Self::VisitInFuture => "visit-in-future",
            Self::EndBeforeStart => "end-before-start",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::AlreadyExists
            | Self::NotBooked
            | Self::IllegalTransition { .. }
            | Self::NotMovable { .. }
            | Self::NotBegun
            | Self::NothingChanged => None,
            Self::Time(error) => Some(error.field()),
            Self::RequestedAfterStart | Self::RequestInFuture => Some("requested_at"),
            Self::NoteRequired => Some("note"),
            Self::UnknownPractitioner | Self::InactivePractitioner => Some("practitioner_id"),
            Self::UnknownRoom | Self::InactiveRoom | Self::RoomIsSite => Some("room_id"),
            Self::VisitInFuture => Some("started_at"),
            Self::EndBeforeStart => Some("ended_at"),
        }
    }
}
