//! Who may do what: one policy for commands, reads, exports and the command line.
//!
//! Whoever is about to do or to show something asks [`Policy::decide`], which [`crate::Ledger::policy`] gives. The answer
//! names the rule that made it, and what is written in consequence names that rule in its statement.

mod decision;
mod permission;
mod request;
mod rules;

use domain::wound::{WithdrawMeasurement, WithdrawalReason};
use domain::{
    AccountCommand, AppointmentCommand, CustodyCommand, DisclosureCommand, ModelCommand,
    PatientCommand, WoundCommand,
};

pub use decision::{Decision, Denial, Grant, RuleId};
pub use permission::Permission;
pub use request::{Request, Subject};
pub use rules::Policy;

/// A command that knows which permission it needs.
pub trait Authorised {
    /// What the actor must be allowed to do.
    fn permission(&self) -> Permission;
}

impl Authorised for PatientCommand {
    fn permission(&self) -> Permission {
        match self {
            PatientCommand::Register { .. } => Permission::RegisterPatient,
            PatientCommand::EditDemographics { .. }
            | PatientCommand::EditContacts { .. }
            | PatientCommand::EditIdentifiers { .. } => Permission::EditPatient,
            PatientCommand::Deactivate { .. } => Permission::DeactivatePatient,
        }
    }
}

impl Authorised for AppointmentCommand {
    fn permission(&self) -> Permission {
        match self {
            AppointmentCommand::Book { .. }
            | AppointmentCommand::Reschedule { .. }
            | AppointmentCommand::Cancel { .. }
            | AppointmentCommand::CheckIn { .. }
            | AppointmentCommand::Fulfil { .. }
            | AppointmentCommand::MarkNoShow { .. } => Permission::ManageAppointments,
            AppointmentCommand::EnteredInError { .. } => Permission::CorrectAppointment,
            AppointmentCommand::RecordVisit { .. } => Permission::RecordVisit,
        }
    }
}

impl Authorised for WoundCommand {
    fn permission(&self) -> Permission {
        match self {
            WoundCommand::Open { .. } | WoundCommand::Close { .. } => Permission::ManageWounds,
            WoundCommand::RecordScan { .. } => Permission::RecordScan,
            WoundCommand::RecordMeasurement { .. } => Permission::RecordMeasurement,
            WoundCommand::RejectScan { .. } => Permission::RejectScan,
            WoundCommand::ConfirmMeasurement { .. } => Permission::ConfirmMeasurement,
            WoundCommand::WithdrawMeasurement(WithdrawMeasurement { reason, .. }) => match reason {
                WithdrawalReason::ModelWithdrawn => Permission::RecordMeasurement,
                WithdrawalReason::EnteredInError => Permission::WithdrawMeasurement,
            },
        }
    }
}

impl Authorised for AccountCommand {
    fn permission(&self) -> Permission {
        Permission::ManageAccounts
    }
}

impl Authorised for DisclosureCommand {
    fn permission(&self) -> Permission {
        Permission::RecordDisclosure
    }
}

impl Authorised for CustodyCommand {
    fn permission(&self) -> Permission {
        match self {
            CustodyCommand::PlaceHold { .. } | CustodyCommand::ReleaseHold { .. } => {
                Permission::ManageHolds
            }
            CustodyCommand::Erase { .. } => Permission::ErasePatient,
            CustodyCommand::RecordPurge { .. } => Permission::RecordPurge,
        }
    }
}

impl Authorised for ModelCommand {
    fn permission(&self) -> Permission {
        Permission::ManageModels
    }
}

#[cfg(test)]
mod tests;
