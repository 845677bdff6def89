//! What a line of a file asks of the ledger.

use domain::appointment::AppointmentCommand;
use domain::location::RegisterLocation;
use domain::patient::PatientCommand;
use domain::practitioner::RegisterPractitioner;
use domain::{AppointmentId, LocationId, PatientId, PractitionerId};
use uuid::Uuid;

/// The commands of one line, in order.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The line in the file, from 1.
    pub line: u64,
    /// Lines of one lane are executed in order; lanes run side by side.
    pub lane: String,
    /// Whom and what it names. They are registered before any line is executed, each once, unless they are there.
    pub named: Vec<Named>,
    /// What is executed.
    pub steps: Vec<Step>,
}

/// An entry of the directory that a line needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A practitioner.
    Practitioner(PractitionerId, RegisterPractitioner),
    /// A location.
    Location(LocationId, RegisterLocation),
}

impl Named {
    /// The stream's id.
    pub(super) fn id(&self) -> Uuid {
        match self {
            Named::Practitioner(id, _) => id.as_uuid(),
            Named::Location(id, _) => id.as_uuid(),
        }
    }

    /// What a report counts it as.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Named::Practitioner(..) => "practitioners",
            Named::Location(..) => "locations",
        }
    }

    /// Whether others may rely on it: a site comes before its rooms.
    pub(super) fn comes_first(&self) -> bool {
        match self {
            Named::Practitioner(..) => true,
            Named::Location(_, register) => register.parent_id.is_none(),
        }
    }
}

/// One command.
#[derive(Clone, Debug)]
pub enum Step {
    /// A command to a patient's record.
    Patient(PatientId, PatientCommand),
    /// A command to an appointment.
    Appointment(AppointmentId, AppointmentCommand),
}

impl Step {
    /// What a report counts the step as.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Step::Patient(..) => "patients",
            Step::Appointment(_, AppointmentCommand::RecordVisit(_)) => "visits",
            Step::Appointment(_, AppointmentCommand::Book(_)) => "appointments",
            Step::Appointment(..) => "appointment changes",
        }
    }
}

/// Why a line was refused. It names the field and the reason, and repeats nothing of the content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct LineRefusal {
    /// Stable, kebab-case.
    pub code: &'static str,
    /// Where in the line: a column, or a path such as `Patient.birthDate`.
    pub field: String,
    /// What is wrong and what to do about it.
    pub reason: String,
}

impl LineRefusal {
    /// A refusal of `field`.
    pub fn new(
        code: &'static str,
        field: impl Into<String>,
        reason: impl std::fmt::Display,
    ) -> LineRefusal {
        LineRefusal { code, field: field.into(), reason: reason.to_string() }
    }
}
