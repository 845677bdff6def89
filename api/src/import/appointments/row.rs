//! One row of a table: its cells by column name, and the refusals that name them.

use std::fmt::Display;

use csv::StringRecord;
use domain::patient::{PatientCommand, RegisterPatient};
use domain::practitioner::RegisterPractitioner;
use domain::value::{Gender, Identifier, IdentifierParts, Line, SystemUri};
use domain::{PatientId, PractitionerId};
use jiff::civil::Date;

use super::options::Options;
use crate::import::ids::Ids;
use crate::import::plan::{LineRefusal, Named, Step};

/// The longest cell.
const MAX_CELL_BYTES: usize = 1_000;

pub(super) struct Row<'a> {
    pub(super) header: &'a StringRecord,
    pub(super) record: &'a StringRecord,
    pub(super) line: u64,
    pub(super) ids: &'a dyn Ids,
    pub(super) options: &'a Options,
}

impl Row<'_> {
    /// Refuses a row that has not the header's columns, or a cell beyond all bounds.
    pub(super) fn complete(&self) -> Result<(), LineRefusal> {
        let (expected, found) = (self.header.len(), self.record.len());
        if expected != found {
            let reason = format!("has {found} cells where the header has {expected}");
            return Err(LineRefusal::new("row-shape", "row", reason));
        }
        if self.record.iter().any(|cell| cell.len() > MAX_CELL_BYTES) {
            let reason = format!("has a cell of more than {MAX_CELL_BYTES} bytes");
            return Err(LineRefusal::new("cell-too-long", "row", reason));
        }
        Ok(())
    }

    /// The cell of a column, trimmed; empty if it is missing.
    pub(super) fn cell(&self, column: &str) -> &str {
        let index = self.header.iter().position(|name| name == column);
        index.and_then(|index| self.record.get(index)).map_or("", str::trim)
    }

    /// A refusal of a column.
    pub(super) fn invalid(&self, column: &str, reason: impl Display) -> LineRefusal {
        LineRefusal::new("invalid-value", column, reason)
    }

    /// A cell of digits and nothing else.
    pub(super) fn digits(&self, column: &str) -> Result<&str, LineRefusal> {
        let cell = self.cell(column);
        if cell.is_empty() || !cell.bytes().all(|byte| byte.is_ascii_digit()) {
            let reason =
                "is not a whole number (a spreadsheet may have rewritten it): give its digits";
            return Err(self.invalid(column, reason));
        }
        Ok(cell)
    }

    /// A calendar day; of a date-time, its day.
    pub(super) fn day(&self, column: &str) -> Result<Date, LineRefusal> {
        let cell = self.cell(column);
        let day = cell.split('T').next().unwrap_or(cell);
        day.parse().map_err(|_| self.invalid(column, "is not a date: give YYYY-MM-DD"))
    }

    /// `F`/`Female` or `M`/`Male`.
    pub(super) fn gender(&self, column: &str) -> Result<Gender, LineRefusal> {
        match self.cell(column) {
            "F" | "Female" => Ok(Gender::Female),
            "M" | "Male" => Ok(Gender::Male),
            "" => Ok(Gender::Unknown),
            _ => Err(self.invalid(column, "is neither F, M, Female nor Male")),
        }
    }

    /// What the source calls a person of this kind, as an identifier.
    fn identifier(&self, kind: &str, value: &str, column: &str) -> Result<Identifier, LineRefusal> {
        let system = format!("urn:import:{}:{kind}", self.options.source);
        let parts = IdentifierParts {
            system: SystemUri::new(&system).map_err(|error| self.invalid("source", error))?,
            value: Line::new(value).map_err(|error| self.invalid(column, error))?,
            identifier_use: None,
            kind: None,
            issuer: None,
        };
        parts.try_into().map_err(|error| self.invalid(column, error))
    }

    /// The practitioner that the source means, though it may give no name, and the entry of that practitioner.
    pub(super) fn practitioner(&self, who: &str) -> Result<(PractitionerId, Named), LineRefusal> {
        let source = format!("{}|{who}", self.options.source);
        let id = PractitionerId::from_uuid(self.ids.derive("practitioner", &source));
        let identifiers = vec![self.identifier("practitioner", who, "source")?];
        let register = RegisterPractitioner { identifiers, ..RegisterPractitioner::default() };
        Ok((id, Named::Practitioner(id, register)))
    }

    /// The patient that the source knows under this number, and that number as an identifier.
    pub(super) fn patient(&self, number: &str) -> Result<(PatientId, Identifier), LineRefusal> {
        let identifier = self.identifier("patient", number, "patient_id")?;
        let id = PatientId::from_uuid(self.ids.derive("patient", &identifier.claim_key()));
        Ok((id, identifier))
    }

    /// The registration of a patient of whom the table says no more than the gender. Every row of the
    /// patient gives the same command, so only the first records anything.
    pub(super) fn registration(
        &self,
        id: PatientId,
        identifier: Identifier,
        gender: Gender,
    ) -> Step {
        let identifiers = vec![identifier];
        let command = RegisterPatient { gender, identifiers, ..RegisterPatient::default() };
        Step::Patient(id, PatientCommand::Register(command))
    }
}
