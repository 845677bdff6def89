//! A row of a patient list: a registration.

use domain::patient::{PatientCommand, RegisterPatient};
use domain::value::{HumanName, HumanNameParts, Line, PartialDate};

use super::row::Row;
use crate::import::plan::{LineRefusal, Plan, Step};

pub(super) fn plan(row: &Row<'_>) -> Result<Plan, LineRefusal> {
    let (id, identifier) = row.patient(row.digits("patient_id")?)?;
    let birth_date = match row.cell("dob") {
        "" => None,
        text => {
            let date: PartialDate = text.parse().map_err(|error| row.invalid("dob", error))?;
            Some(date)
        }
    };
    let command = RegisterPatient {
        name: name(row)?,
        gender: row.gender("sex")?,
        birth_date,
        identifiers: vec![identifier],
        ..RegisterPatient::default()
    };
    let steps = vec![Step::Patient(id, PatientCommand::Register(command))];
    Ok(Plan { line: row.line, lane: id.to_string(), named: Vec::new(), steps })
}

/// The last word is taken for the family name: the list says no more.
fn name(row: &Row<'_>) -> Result<Option<HumanName>, LineRefusal> {
    let text = row.cell("name");
    if text.is_empty() {
        return Ok(None);
    }
    let (given, family) = text.rsplit_once(' ').unwrap_or(("", text));
    let given = given.split_whitespace().map(Line::new).collect::<Result<Vec<_>, _>>();
    let parts = HumanNameParts {
        family: Some(Line::new(family).map_err(|error| row.invalid("name", error))?),
        given: given.map_err(|error| row.invalid("name", error))?,
        ..HumanNameParts::default()
    };
    parts.try_into().map(Some).map_err(|error| row.invalid("name", error))
}
