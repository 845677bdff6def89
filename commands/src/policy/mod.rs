//! Who may do what: one matrix for commands, queries and exports.

mod permission;

use std::collections::BTreeSet;

use domain::account::Role;
use domain::wound::{WithdrawMeasurement, WithdrawalReason};
use domain::{
    AccountCommand, AppointmentCommand, CustodyCommand, DisclosureCommand, LocationCommand,
    ModelCommand, PatientCommand, PractitionerCommand, WoundCommand,
};

use crate::actor::Actor;
use crate::error::CommandError;

pub use permission::Permission;

/// A command that knows which permission it needs.
pub trait Authorised {
    /// What the actor must be allowed to do.
    fn permission(&self) -> Permission;
}

/// Whether any of the roles grants the permission.
pub fn allowed(roles: &BTreeSet<Role>, permission: Permission) -> bool {
    permission.roles().iter().any(|role| roles.contains(role))
}

/// Refuses an actor without the permission; otherwise names the role that grants it, for the statement.
///
/// # Errors
/// [`CommandError::Denied`], naming what would have been needed.
pub fn authorise(actor: &Actor, permission: Permission) -> Result<Role, CommandError> {
    let grants = permission.roles().iter().find(|role| actor.roles.contains(role));
    grants.copied().ok_or(CommandError::Denied { permission })
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

impl Authorised for PractitionerCommand {
    fn permission(&self) -> Permission {
        Permission::ManageDirectory
    }
}

impl Authorised for LocationCommand {
    fn permission(&self) -> Permission {
        Permission::ManageDirectory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 7] = [
        Role::Clinician,
        Role::FrontDesk,
        Role::Auditor,
        Role::Compliance,
        Role::Analyst,
        Role::Admin,
        Role::Service,
    ];

    #[test]
    fn the_matrix_is_the_reviewed_one() {
        let mut matrix = format!("{:<22}", "");
        for role in ROLES {
            matrix.push_str(&format!(" {:<10}", role.as_str()));
        }
        matrix = matrix.trim_end().to_owned();
        for permission in Permission::ALL {
            let mut line = format!("{:<22}", permission.as_str());
            for role in ROLES {
                let may = allowed(&BTreeSet::from([role]), *permission);
                line.push_str(&format!(" {:<10}", if may { "yes" } else { "." }));
            }
            matrix.push('\n');
            matrix.push_str(line.trim_end());
        }
        insta::with_settings!({
            snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/commands"),
            prepend_module_to_snapshot => false,
        }, {
            insta::assert_snapshot!("permissions", matrix);
        });
    }

    #[test]
    fn nobody_without_a_role_may_do_anything() {
        for permission in Permission::ALL {
            assert!(!allowed(&BTreeSet::new(), *permission));
        }
    }
}
