//! The permissions, and the roles that grant each.

use domain::account::Role;

/// A permission as a type: one of [`may`].
pub trait Needed: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
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

        /// Each permission as a type, so that what is asked for and what is asked of cannot be two.
        pub mod may {
            $(
                $(#[$meta])*
                #[derive(Clone, Copy, Debug)]
                pub struct $name;

                impl super::Needed for $name {
                    const PERMISSION: super::Permission = super::Permission::$name;
                }
            )*
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
    /// Activate and retire signing keys, re-wrap data keys.
    ManageKeys = "manage-keys": Admin;
    /// Look at accounts.
    ReadAccounts = "read-accounts": Admin | Auditor | Compliance;
    /// Record that a user looked at a record, or was not let. Everybody who may ask must be recorded.
    RecordDisclosure = "record-disclosure": Clinician | FrontDesk | Auditor | Compliance | Analyst | Admin | Service;
    /// Look at the signed log: statements, proofs, checkpoints. They hold no PHI.
    ReadLog = "read-log": Auditor | Compliance | Admin;
    /// Place and release legal holds.
    ManageHolds = "manage-holds": Compliance;
    /// Erase a patient's record.
    ErasePatient = "erase-patient": Compliance;
    /// Record what was purged after an erasure.
    RecordPurge = "record-purge": Service;
    /// See the holds on a record, and whether it was erased. That holds no PHI.
    ReadCustody = "read-custody": Auditor | Compliance;
    /// Register practitioners and locations, edit them, take them out of use and back. An entry grants nothing to anybody.
    ManageDirectory = "manage-directory": FrontDesk | Admin | Service;
    /// Look practitioners and locations up. That holds nothing of any patient, and every member of staff may.
    ReadDirectory = "read-directory": Clinician | FrontDesk | Auditor | Compliance | Analyst | Admin | Service;
    /// Register models, activate them and roll back.
    ManageModels = "manage-models": Admin;
    /// See which models are registered, which one is active, and their cards.
    ReadModels = "read-models": Clinician | Auditor | Compliance | Admin;
}
