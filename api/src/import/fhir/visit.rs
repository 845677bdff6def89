//! A FHIR encounter as a historical visit.

use domain::AppointmentId;
use domain::appointment::{AppointmentCommand, RecordVisit, VisitStatus};
use domain::value::Code;

use super::super::plan::{LineRefusal, Step};
use super::Parties;
use super::convert::{first_coding, instant, invalid};
use super::resource::Encounter;

/// The command that records the encounter.
pub(super) fn record(
    encounter: &Encounter,
    path: &str,
    parties: &mut Parties<'_>,
) -> Result<Step, LineRefusal> {
    let at = |name: &str| format!("{path}.{name}");
    let missing = |name: &str| invalid(&at(name), "is missing");
    let source = encounter.id.as_deref().ok_or_else(|| missing("id"))?;
    let subject = encounter.subject.as_ref().and_then(|subject| subject.reference.as_deref());
    let subject = subject.ok_or_else(|| missing("subject.reference"))?;
    let patient_id = parties.patient(subject, &at("subject.reference"))?;
    let practitioner = encounter
        .participant
        .iter()
        .find_map(|participant| participant.individual.as_ref()?.reference.as_deref());
    let practitioner_id = practitioner
        .map(|reference| parties.practitioner(reference, &at("participant.individual.reference")))
        .transpose()?;
    let period = encounter.period.as_ref().ok_or_else(|| missing("period"))?;
    let started_at = instant(period.start.as_deref(), &at("period.start"))?;
    let class = encounter.class.as_ref().and_then(|class| class.code.as_deref());
    let command = RecordVisit {
        patient_id,
        practitioner_id,
        room_id: None,
        started_at: started_at.ok_or_else(|| missing("period.start"))?,
        ended_at: instant(period.end.as_deref(), &at("period.end"))?,
        class: Code::new(class.ok_or_else(|| missing("class.code"))?)
            .map_err(|error| invalid(&at("class.code"), error))?,
        visit_type: first_coding(&encounter.kind, &at("type"))?,
        reason: first_coding(&encounter.reason_code, &at("reasonCode"))?,
        status: status(encounter.status.as_deref(), &at("status"))?,
    };
    let id = AppointmentId::from_uuid(
        parties.ids.derive("encounter", &format!("{patient_id}|{source}")),
    );
    Ok(Step::Appointment(id, AppointmentCommand::RecordVisit(command)))
}

/// Only what is over is history.
fn status(status: Option<&str>, path: &str) -> Result<VisitStatus, LineRefusal> {
    match status {
        Some("finished") => Ok(VisitStatus::Finished),
        Some("cancelled") => Ok(VisitStatus::Cancelled),
        _ => Err(invalid(
            path,
            "is neither finished nor cancelled: only past encounters are imported",
        )),
    }
}
