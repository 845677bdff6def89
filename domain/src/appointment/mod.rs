//! Appointments: booking, moving, cancelling, attending; and visits recorded afterwards.

mod command;
mod error;
mod event;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use command::{
    AppointmentCommand, BookAppointment, CancelAppointment, CheckIn, EnteredInError, Fulfil,
    MarkNoShow, RecordVisit, RescheduleAppointment,
};
pub use error::AppointmentError;

typed_id! {
    /// A booked or recorded visit.
    AppointmentId;
}
pub(crate) use event::cancelled_v1_to_v2;
pub use event::{
    AppointmentBooked, AppointmentCancelled, AppointmentCheckedIn, AppointmentEnteredInError,
    AppointmentEvent, AppointmentFulfilled, AppointmentNoShow, AppointmentRescheduled,
    CancellationReason, VisitRecorded,
};

use crate::clock::Now;
use crate::ids::typed_id;
use crate::location::{Location, LocationKind, RoomId};
use crate::patient::PatientId;
use crate::practitioner::{Practitioner, PractitionerId};
use crate::stream::{
    Claim, ClaimChange, MediaRef, Reliance, Resource, ResourceKind, Standing, Stream, aggregate,
};
use crate::value::{VisitTime, coded};

coded! {
    /// How an appointment stands, in FHIR's words where FHIR has one.
    AppointmentStatus {
        /// Agreed.
        Booked = "booked",
        /// The patient is there.
        CheckedIn = "checked-in",
        /// It took place.
        Fulfilled = "fulfilled",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// The patient did not come.
        NoShow = "noshow",
        /// It should never have been entered.
        EnteredInError = "entered-in-error",
        /// A visit recorded afterwards.
        Recorded = "recorded",
    }
}

coded! {
    /// How a recorded visit stands, as FHIR's encounter status.
    VisitStatus {
        /// Planned.
        Planned = "planned",
        /// The patient is there.
        Arrived = "arrived",
        /// Triaged.
        Triaged = "triaged",
        /// Going on.
        InProgress = "in-progress",
        /// The patient is away for a time.
        OnLeave = "onleave",
        /// Ended.
        Finished = "finished",
        /// Cancelled.
        Cancelled = "cancelled",
        /// The patient did not come: no encounter in FHIR, but an appointment's `noshow`, and history.
        NoShow = "noshow",
        /// It should never have been entered.
        EnteredInError = "entered-in-error",
        /// Not known.
        Unknown = "unknown",
    }
}

/// With whom, where and when an appointment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// With whom.
    pub practitioner_id: PractitionerId,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<RoomId>,
    /// When.
    pub time: VisitTime,
}

/// An appointment as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    patient_id: Option<PatientId>,
    status: Option<AppointmentStatus>,
    slot: Option<Slot>,
    visit: Option<VisitRecorded>,
}

aggregate!(Appointment, "appointment", AppointmentCommand, AppointmentEvent, AppointmentError);

impl Appointment {
    /// Whose appointment it is; `None` before it is booked.
    pub fn patient_id(&self) -> Option<PatientId> {
        self.patient_id
    }

    /// How it stands; none before it is booked.
    pub fn status(&self) -> Option<AppointmentStatus> {
        self.status
    }

    /// With whom, where and when it is; a recorded visit has none.
    pub fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    /// The visit recorded, if it is one.
    pub fn visit(&self) -> Option<&VisitRecorded> {
        self.visit.as_ref()
    }

    fn fold(&mut self, event: AppointmentEvent) {
        let status = match event {
            AppointmentEvent::AppointmentBooked(event) => {
                self.patient_id = Some(event.patient_id);
                self.slot = Some(event.slot);
                AppointmentStatus::Booked
            }
            AppointmentEvent::AppointmentRescheduled(event) => {
                self.slot = Some(event.after);
                AppointmentStatus::Booked
            }
            AppointmentEvent::AppointmentCancelled(_) => AppointmentStatus::Cancelled,
            AppointmentEvent::AppointmentCheckedIn(_) => AppointmentStatus::CheckedIn,
            AppointmentEvent::AppointmentFulfilled(_) => AppointmentStatus::Fulfilled,
            AppointmentEvent::AppointmentNoShow(_) => AppointmentStatus::NoShow,
            AppointmentEvent::AppointmentEnteredInError(_) => AppointmentStatus::EnteredInError,
            AppointmentEvent::VisitRecorded(event) => {
                self.patient_id = Some(event.patient_id);
                self.visit = Some(event);
                AppointmentStatus::Recorded
            }
        };
        self.status = Some(status);
    }

    fn book(
        &self,
        command: BookAppointment,
        now: &Now,
    ) -> Result<AppointmentEvent, AppointmentError> {
        if self.status.is_some() {
            return Err(AppointmentError::AlreadyExists);
        }
        let BookAppointment { patient_id, practitioner_id, room_id, time, reason, requested_at } =
            command;
        let time = VisitTime::resolve(&time)?;
        if requested_at.is_some_and(|at| now.is_before(at)) {
            return Err(AppointmentError::RequestInFuture);
        }
        if requested_at.is_some_and(|at| at > time.starts_at()) {
            return Err(AppointmentError::RequestedAfterStart);
        }
        let slot = Slot { practitioner_id, room_id, time };
        Ok(AppointmentEvent::AppointmentBooked(AppointmentBooked {
            patient_id,
            slot,
            reason,
            requested_at,
        }))
    }

    fn reschedule(
        &self,
        command: RescheduleAppointment,
    ) -> Result<AppointmentEvent, AppointmentError> {
        let from = self.status.ok_or(AppointmentError::NotBooked)?;
        let (AppointmentStatus::Booked, Some(patient_id), Some(before)) =
            (from, self.patient_id, self.slot.clone())
        else {
            return Err(AppointmentError::NotMovable { from });
        };
        let RescheduleAppointment { time, practitioner_id, room_id, reason } = command;
        let after = Slot {
            practitioner_id: practitioner_id.unwrap_or(before.practitioner_id),
            room_id: room_id.or(before.room_id),
            time: VisitTime::resolve(&time)?,
        };
        if after == before {
            return Err(AppointmentError::NothingChanged);
        }
        Ok(AppointmentEvent::AppointmentRescheduled(AppointmentRescheduled {
            patient_id,
            before,
            after,
            reason,
        }))
    }

    /// Refuses a step that no appointment may take from where this one stands.
    fn step(&self, to: AppointmentStatus) -> Result<(), AppointmentError> {
        use AppointmentStatus::{
            Booked, Cancelled, CheckedIn, EnteredInError, Fulfilled, NoShow, Recorded,
        };
        let from = self.status.ok_or(AppointmentError::NotBooked)?;
        let legal = match from {
            Booked => matches!(to, CheckedIn | Cancelled | NoShow | EnteredInError),
            CheckedIn => matches!(to, Fulfilled | Cancelled | EnteredInError),
            // Closed, but for taking back what should never have been entered.
            Fulfilled | Cancelled | NoShow | Recorded => to == EnteredInError,
            EnteredInError => false,
        };
        if legal { Ok(()) } else { Err(AppointmentError::IllegalTransition { from, to }) }
    }

    fn cancel(&self, command: CancelAppointment) -> Result<AppointmentEvent, AppointmentError> {
        self.step(AppointmentStatus::Cancelled)?;
        let CancelAppointment { reason, note } = command;
        if reason == CancellationReason::Other && note.is_none() {
            return Err(AppointmentError::NoteRequired);
        }
        Ok(AppointmentEvent::AppointmentCancelled(AppointmentCancelled { reason, note }))
    }

    fn mark_no_show(&self, now: &Now) -> Result<AppointmentEvent, AppointmentError> {
        self.step(AppointmentStatus::NoShow)?;
        if self.slot.as_ref().is_some_and(|slot| now.0 < slot.time.starts_at()) {
            return Err(AppointmentError::NotBegun);
        }
        Ok(AppointmentEvent::AppointmentNoShow(AppointmentNoShow { at: now.0 }))
    }

    fn record_visit(
        &self,
        command: RecordVisit,
        now: &Now,
    ) -> Result<AppointmentEvent, AppointmentError> {
        if self.status.is_some() {
            return Err(AppointmentError::AlreadyExists);
        }
        let RecordVisit {
            patient_id,
            practitioner_id,
            room_id,
            started_at,
            ended_at,
            class,
            visit_type,
            reason,
            status,
        } = command;
        if now.is_before(started_at) {
            return Err(AppointmentError::VisitInFuture);
        }
        if ended_at.is_some_and(|end| end < started_at) {
            return Err(AppointmentError::EndBeforeStart);
        }
        Ok(AppointmentEvent::VisitRecorded(VisitRecorded {
            patient_id,
            practitioner_id,
            room_id,
            started_at,
            ended_at,
            class,
            visit_type,
            reason,
            status,
        }))
    }
}

impl Stream for Appointment {
    const STATE_VERSION: u32 = 1;
    const SEALED: bool = true;
    const KEEPS_SNAPSHOTS: bool = true;
    const HAS_CLAIMS: bool = true;

    fn decide(
        &self,
        command: AppointmentCommand,
        now: &Now,
    ) -> Result<Vec<AppointmentEvent>, AppointmentError> {
        let event = match command {
            AppointmentCommand::Book(command) => self.book(command, now)?,
            AppointmentCommand::Reschedule(command) => self.reschedule(command)?,
            AppointmentCommand::Cancel(command) => self.cancel(command)?,
            AppointmentCommand::CheckIn(CheckIn {}) => {
                self.step(AppointmentStatus::CheckedIn)?;
                AppointmentEvent::AppointmentCheckedIn(AppointmentCheckedIn { at: now.0 })
            }
            AppointmentCommand::Fulfil(Fulfil {}) => {
                self.step(AppointmentStatus::Fulfilled)?;
                AppointmentEvent::AppointmentFulfilled(AppointmentFulfilled { at: now.0 })
            }
            AppointmentCommand::MarkNoShow(MarkNoShow {}) => self.mark_no_show(now)?,
            AppointmentCommand::EnteredInError(EnteredInError { reason }) => {
                self.step(AppointmentStatus::EnteredInError)?;
                AppointmentEvent::AppointmentEnteredInError(AppointmentEnteredInError { reason })
            }
            AppointmentCommand::RecordVisit(command) => self.record_visit(command, now)?,
        };
        Ok(vec![event])
    }

    fn subject(&self, _id: Uuid) -> Option<Uuid> {
        self.patient_id.map(|patient| patient.as_uuid())
    }

    fn claims(_id: Uuid, event: &AppointmentEvent) -> Vec<ClaimChange> {
        match event {
            AppointmentEvent::AppointmentBooked(event) => {
                take_time(event.patient_id, &event.slot).collect()
            }
            // The old time is freed first, so that a visit may move into a part of its own time.
            AppointmentEvent::AppointmentRescheduled(event) => [ClaimChange::ReleaseBusy]
                .into_iter()
                .chain(take_time(event.patient_id, &event.after))
                .collect(),
            AppointmentEvent::AppointmentCancelled(_)
            | AppointmentEvent::AppointmentNoShow(_)
            | AppointmentEvent::AppointmentEnteredInError(_) => vec![ClaimChange::ReleaseBusy],
            AppointmentEvent::AppointmentCheckedIn(_)
            | AppointmentEvent::AppointmentFulfilled(_)
            | AppointmentEvent::VisitRecorded(_) => Vec::new(),
        }
    }

    fn media(_event: &AppointmentEvent) -> Vec<MediaRef> {
        vec![]
    }

    /// What is booked, on the practitioner and the room, when it is booked and when it is moved. A visit that is recorded
    /// afterwards took place whoever they are.
    fn relies_on(event: &AppointmentEvent) -> Vec<Reliance<AppointmentError>> {
        match event {
            AppointmentEvent::AppointmentBooked(event) => bookable(&event.slot),
            AppointmentEvent::AppointmentRescheduled(event) => bookable(&event.after),
            AppointmentEvent::AppointmentCancelled(_)
            | AppointmentEvent::AppointmentCheckedIn(_)
            | AppointmentEvent::AppointmentFulfilled(_)
            | AppointmentEvent::AppointmentNoShow(_)
            | AppointmentEvent::AppointmentEnteredInError(_)
            | AppointmentEvent::VisitRecorded(_) => Vec::new(),
        }
    }
}

/// The practitioner and the room of a slot must be in use when it is booked.
fn bookable(slot: &Slot) -> Vec<Reliance<AppointmentError>> {
    let practitioner = Reliance {
        stream_type: Practitioner::STREAM_TYPE,
        id: slot.practitioner_id.as_uuid(),
        refusal: |standing: Standing| match standing {
            Standing::Unknown => Some(AppointmentError::UnknownPractitioner),
            Standing::Inactive => Some(AppointmentError::InactivePractitioner),
            Standing::InUse(_) => None,
        },
    };
    let room = slot.room_id.map(|room| Reliance {
        stream_type: Location::STREAM_TYPE,
        id: room.as_uuid(),
        refusal: |standing: Standing| match standing {
            Standing::Unknown => Some(AppointmentError::UnknownRoom),
            Standing::Inactive => Some(AppointmentError::InactiveRoom),
            // The time of a site is not booked: a person in one of its rooms is at the site.
            Standing::InUse(kind) => {
                (kind == LocationKind::Site.as_str()).then_some(AppointmentError::RoomIsSite)
            }
        },
    });
    std::iter::once(practitioner).chain(room).collect()
}

/// The time of everybody and everything a slot needs.
fn take_time(patient: PatientId, slot: &Slot) -> impl Iterator<Item = ClaimChange> {
    let (from, until) = (slot.time.starts_at(), slot.time.ends_at());
    let practitioner = (ResourceKind::Practitioner, slot.practitioner_id.as_uuid());
    let room = slot.room_id.map(|room| (ResourceKind::Room, room.as_uuid()));
    let patient = (ResourceKind::Patient, patient.as_uuid());
    [Some(practitioner), room, Some(patient)].into_iter().flatten().map(move |(kind, id)| {
        ClaimChange::Take(Claim::Busy { resource: Resource { kind, id }, from, until })
    })
}
