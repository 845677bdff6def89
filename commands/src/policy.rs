//! Who may do what: one matrix for commands, queries and exports.

use std::collections::BTreeSet;

use domain::account::Role;
use domain::wound::{WithdrawMeasurement, WithdrawalReason};
use domain::{
    AccountCommand, AppointmentCommand, CustodyCommand, DisclosureCommand, ModelCommand,
    PatientCommand, WoundCommand,
};

use crate::actor::Actor;
use crate::error::CommandError;

/// A command that knows which permission it needs.
pub trait Authorised {
    /// What the actor must be allowed to do.
    fn permission(&self) -> Permission;
}

macro_rules! permissions {
    ($($(#[$meta:meta])* $name:ident = $text:literal: $($role:ident)|*;)*) => {
        /// Something an actor may or may not do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission {
            $($(#[$meta])* $name,)*
        }

        impl Permission {
            /// All permissions, in the order of the matrix.
            pub const ALL: &[Permission] = &[$(Permission::$name,)*];

            /// Its name in messages and in the matrix.
            pub fn as_str(self) -> &'static str {
                match self { $(Permission::$name => $text,)* }
            }

            /// The roles that grant it.
            pub fn roles(self) -> &'static [Role] {
                match self { $(Permission::$name => &[$(Role::$role),*],)* }
            }
        }
    };
}

permissions! {
    /// Register a patient.
    RegisterPatient = "register-patient": Clinician | FrontDesk | Service;
    /// Edit a patient's demographics, contacts or identifiers.
    EditPatient = "edit-patient": Clinician | FrontDesk | Service;
    /// Take a patient out of use.
    DeactivatePatient = "deactivate-patient": FrontDesk | Compliance;
    /// Look at a patient, or search for one.
    ReadPatient = "read-patient": Clinician | FrontDesk | Compliance;
    /// Book, reschedule, cancel, check in, fulfil, or note a no-show.
    ManageAppointments = "manage-appointments": Clinician | FrontDesk | Service;
    /// Mark an appointment as entered in error.
    CorrectAppointment = "correct-appointment": Clinician | FrontDesk | Compliance;
    /// Record a visit of the past, from another system.
    RecordVisit = "record-visit": Clinician | Service;
    /// Look at appointments.
    ReadAppointments = "read-appointments": Clinician | FrontDesk | Compliance;
    /// Open or close a wound episode.
    ManageWounds = "manage-wounds": Clinician;
    /// Hand in a scan of a wound.
    RecordScan = "record-scan": Clinician | Service;
    /// Record what a model measured, or take it back when the model is withdrawn.
    RecordMeasurement = "record-measurement": Service;
    /// Say that a scan cannot be measured.
    RejectScan = "reject-scan": Clinician | Service;
    /// Confirm a measurement, as a clinician.
    ConfirmMeasurement = "confirm-measurement": Clinician;
    /// Take back a measurement that should never have been recorded, a confirmed one too.
    WithdrawMeasurement = "withdraw-measurement": Clinician;
    /// Look at wounds and their measurements.
    ReadWounds = "read-wounds": Clinician | Compliance;
    /// Register accounts and disable them, grant and revoke roles.
    ManageAccounts = "manage-accounts": Admin;
    /// Activate and retire signing keys, wrap data keys anew.
    ManageKeys = "manage-keys": Admin;
    /// Look at accounts.
    ReadAccounts = "read-accounts": Admin | Auditor | Compliance;
    /// Record that somebody looked at a record, or was not let. Everybody who may ask must be recorded.
    RecordDisclosure = "record-disclosure": Clinician | FrontDesk | Auditor | Compliance | Analyst | Admin | Service;
    /// Look at the signed log: statements, proofs, checkpoints. They hold no PHI.
    ReadLog = "read-log": Auditor | Compliance | Admin;
    /// Export the log with its sealed payloads.
    ExportLog = "export-log": Auditor | Compliance;
    /// See who saw a patient's record.
    AccountDisclosures = "account-disclosures": Auditor | Compliance;
    /// Place and release legal holds.
    ManageHolds = "manage-holds": Compliance;
    /// Erase a patient's record.
    ErasePatient = "erase-patient": Compliance;
    /// Record what was purged after an erasure.
    RecordPurge = "record-purge": Service;
    /// See the holds on a record, and whether it was erased. That holds no PHI.
    ReadCustody = "read-custody": Auditor | Compliance;
    /// Register models, activate them and roll back.
    ManageModels = "manage-models": Admin;
    /// See which models are registered, which one is active, and their cards.
    ReadModels = "read-models": Clinician | Auditor | Compliance | Admin;
    /// See figures that identify nobody.
    ReadFigures = "read-figures": Analyst | Auditor | Compliance | Admin;
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
