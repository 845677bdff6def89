//! A command of any kind, and what its answer means for whoever asked.

use commands::{Actor, CommandError, Context, DisclosureEntry, Ledger, PurposeOfUse, Receipt};
use domain::account::Role;
use domain::{
    AccountId, Appointment, AppointmentCommand, Patient, PatientCommand, Practitioner,
    PractitionerCommand,
};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const ORIGIN: &str = "ledger.example.org/faults";

/// A command and the stream it is for.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Patient(Uuid, PatientCommand),
    Appointment(Uuid, AppointmentCommand),
    Practitioner(Uuid, PractitionerCommand),
    Disclose(Vec<DisclosureEntry>),
}

/// How an attempt ended.
pub(crate) enum Ended {
    /// It is done, now or before.
    Done(Box<Receipt>),
    /// It is refused, and nothing of it is in the log.
    Refused(&'static str),
    /// Nobody knows: ask again under the same id.
    Unknown,
    /// What must never be heard of a sound log.
    Broken(String),
}

impl Task {
    pub(crate) async fn attempt(&self, ledger: &Ledger, command_id: Uuid) -> Ended {
        let actor = Actor::user(
            AccountId::from_uuid(Uuid::from_u128(0xacc0)),
            [Role::Clinician, Role::FrontDesk],
        );
        let context = Context::new(actor, PurposeOfUse::Treat).with_command_id(command_id);
        let outcome = match self.clone() {
            Task::Patient(id, command) => ledger.execute::<Patient>(id, command, &context).await,
            Task::Appointment(id, command) => {
                ledger.execute::<Appointment>(id, command, &context).await
            }
            Task::Practitioner(id, command) => {
                ledger.execute::<Practitioner>(id, command, &context).await
            }
            Task::Disclose(entries) => ledger.disclose(entries, &context).await,
        };
        match outcome {
            Ok(receipt) => Ended::Done(Box::new(receipt)),
            Err(CommandError::Unavailable(_) | CommandError::Overloaded) => Ended::Unknown,
            Err(
                error @ (CommandError::Damaged(_)
                | CommandError::CommandIdReused
                | CommandError::Denied { .. }
                | CommandError::Erased
                | CommandError::TooLarge { .. }),
            ) => Ended::Broken(format!("{error:?}")),
            Err(error) => Ended::Refused(error.code()),
        }
    }
}

fn command<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a command")
}

pub(crate) fn register(id: Uuid, mrn: &str) -> Task {
    let identifiers = json!([{"system": "http://clinic.example/mrn", "value": mrn}]);
    let who = json!({"name": {"family": "Mustermann"}, "gender": "female", "birth_date": "1964-08-12",
        "identifiers": identifiers});
    Task::Patient(id, command(json!({"register": who})))
}

/// With whom is booked must be in the directory.
pub(crate) fn list(practitioner: Uuid) -> Task {
    let who = json!({"name": {"family": "Behandler"}});
    Task::Practitioner(practitioner, command(json!({"register": who})))
}

pub(crate) fn rename(id: Uuid, family: &str) -> Task {
    let who = json!({"name": {"family": family}, "gender": "female", "birth_date": "1964-08-12",
        "reason": "marriage"});
    Task::Patient(id, command(json!({"edit-demographics": who})))
}

/// When and with whom.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) practitioner: Uuid,
    pub(crate) day: u64,
    pub(crate) quarter: u64,
}

impl Slot {
    fn time(&self) -> Value {
        let minutes = 8 * 60 + 15 * self.quarter;
        let date = jiff::civil::date(2031, 1, 1);
        let date = date.saturating_add(jiff::Span::new().days(self.day as i64));
        let start = format!("{date}T{:02}:{:02}", minutes / 60, minutes % 60);
        json!({"start": start, "zone": "UTC", "duration_minutes": 30})
    }
}

pub(crate) fn book(id: Uuid, patient: Uuid, slot: &Slot) -> Task {
    let booking = json!({"patient_id": patient, "practitioner_id": slot.practitioner,
        "time": slot.time()});
    Task::Appointment(id, command(json!({"book": booking})))
}

pub(crate) fn reschedule(id: Uuid, slot: &Slot) -> Task {
    let to = json!({"practitioner_id": slot.practitioner, "time": slot.time()});
    Task::Appointment(id, command(json!({"reschedule": to})))
}

pub(crate) fn cancel(id: Uuid) -> Task {
    Task::Appointment(id, command(json!({"cancel": {"reason": "patient-request"}})))
}

pub(crate) fn disclose(patients: &[Uuid]) -> Task {
    let entries = patients.iter().map(|patient| {
        command(json!({"patient_id": patient, "resource": "patient", "outcome": "disclosed"}))
    });
    Task::Disclose(entries.collect())
}
