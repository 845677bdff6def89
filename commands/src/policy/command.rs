//! Which permission each command needs.

use cqrs_es::Aggregate;
use domain::access::RecordAccess;
use domain::account::{DisableAccount, GrantRole, RegisterAccount, RevokeRole};
use domain::appointment::{
    BookAppointment, CancelAppointment, CheckIn, EnteredInError, Fulfil, MarkNoShow, RecordVisit,
    RescheduleAppointment,
};
use domain::custody::{Erase, PlaceHold, RecordPurge, ReleaseHold};
use domain::disclosure::RecordDisclosure;
use domain::location::{DeactivateLocation, EditLocation, ReactivateLocation, RegisterLocation};
use domain::model::{ActivateModel, RegisterModel, RollBackModel};
use domain::patient::{
    DeactivatePatient, EditContacts, EditDemographics, EditIdentifiers, RegisterPatient,
};
use domain::practitioner::{
    DeactivatePractitioner, EditPractitioner, EditPractitionerIdentifiers, ReactivatePractitioner,
    RegisterPractitioner,
};
use domain::wound::{
    CloseWound, ConfirmMeasurement, OpenWound, RecordMeasurement, RecordScan, RejectScan,
    WithdrawMeasurement, WithdrawalReason,
};
use domain::{
    Access, AccessCommand, Account, AccountCommand, Appointment, AppointmentCommand, Custody,
    CustodyCommand, Disclosure, DisclosureCommand, Location, LocationCommand, ModelCommand,
    ModelRegistry, Patient, PatientCommand, Practitioner, PractitionerCommand, Stream,
    WoundCommand, WoundEpisode,
};

use serde::Serialize;

use super::permission::{Needed, Permission, may};

/// A command that knows which permission it needs.
pub trait Authorised {
    /// What the actor must be allowed to do.
    fn permission(&self) -> Permission;
}

/// One command of an aggregate, by its body. A face that takes bodies of a type takes the permission from it, too.
pub trait CommandBody: Send + Sync + 'static {
    /// What the aggregate calls any of its commands.
    type Command: Authorised + Serialize + Clone;

    /// The aggregate that decides it.
    type Aggregate: Stream + Aggregate<Command = Self::Command>;

    /// The type of that aggregate's streams.
    const STREAM_TYPE: &'static str = <Self::Aggregate as Aggregate>::TYPE;

    /// The permission its actor needs.
    type Needs: Needed;

    /// The command.
    fn command(self) -> Self::Command;

    /// What this very command needs, where that is more than all of its kind do.
    fn permission(&self) -> Permission {
        Self::Needs::PERMISSION
    }
}

macro_rules! commands {
    ($($aggregate:ty, $command:ident {
        $($variant:ident($body:ident) = $permission:ident $(unless $exception:expr)?,)*
    })*) => {$(
        impl Authorised for $command {
            fn permission(&self) -> Permission {
                match self {
                    $($command::$variant(body) => <$body as CommandBody>::permission(body),)*
                }
            }
        }

        $(
            impl CommandBody for $body {
                type Command = $command;
                type Aggregate = $aggregate;
                type Needs = may::$permission;

                fn command(self) -> $command {
                    $command::$variant(self.into())
                }

                $(
                    fn permission(&self) -> Permission {
                        let exception: fn(&Self) -> Option<Permission> = $exception;
                        exception(self).unwrap_or(Self::Needs::PERMISSION)
                    }
                )?
            }
        )*
    )*};
}

commands! {
    Patient, PatientCommand {
        Register(RegisterPatient) = RegisterPatient,
        EditDemographics(EditDemographics) = EditPatient,
        EditContacts(EditContacts) = EditPatient,
        EditIdentifiers(EditIdentifiers) = EditPatient,
        Deactivate(DeactivatePatient) = DeactivatePatient,
    }
    Appointment, AppointmentCommand {
        Book(BookAppointment) = ManageAppointments,
        Reschedule(RescheduleAppointment) = ManageAppointments,
        Cancel(CancelAppointment) = ManageAppointments,
        CheckIn(CheckIn) = ManageAppointments,
        Fulfil(Fulfil) = ManageAppointments,
        MarkNoShow(MarkNoShow) = ManageAppointments,
        EnteredInError(EnteredInError) = CorrectAppointment,
        RecordVisit(RecordVisit) = RecordVisit,
    }
    WoundEpisode, WoundCommand {
        Open(OpenWound) = ManageWounds,
        Close(CloseWound) = ManageWounds,
        RecordScan(RecordScan) = RecordScan,
        RecordMeasurement(RecordMeasurement) = RecordMeasurement,
        RejectScan(RejectScan) = RejectScan,
        ConfirmMeasurement(ConfirmMeasurement) = ConfirmMeasurement,
        // What a withdrawn model measured is the worker's to take back.
        WithdrawMeasurement(WithdrawMeasurement) = WithdrawMeasurement unless |body| match body.reason {
            WithdrawalReason::ModelWithdrawn => Some(Permission::RecordMeasurement),
            WithdrawalReason::EnteredInError => None,
        },
    }
    Account, AccountCommand {
        Register(RegisterAccount) = ManageAccounts,
        GrantRole(GrantRole) = ManageAccounts,
        RevokeRole(RevokeRole) = ManageAccounts,
        Disable(DisableAccount) = ManageAccounts,
    }
    Disclosure, DisclosureCommand {
        Record(RecordDisclosure) = RecordDisclosure,
    }
    Access, AccessCommand {
        Record(RecordAccess) = RecordDisclosure,
    }
    Custody, CustodyCommand {
        PlaceHold(PlaceHold) = ManageHolds,
        ReleaseHold(ReleaseHold) = ManageHolds,
        Erase(Erase) = ErasePatient,
        RecordPurge(RecordPurge) = RecordPurge,
    }
    Practitioner, PractitionerCommand {
        Register(RegisterPractitioner) = ManageDirectory,
        Edit(EditPractitioner) = ManageDirectory,
        EditIdentifiers(EditPractitionerIdentifiers) = ManageDirectory,
        Deactivate(DeactivatePractitioner) = ManageDirectory,
        Reactivate(ReactivatePractitioner) = ManageDirectory,
    }
    Location, LocationCommand {
        Register(RegisterLocation) = ManageDirectory,
        Edit(EditLocation) = ManageDirectory,
        Deactivate(DeactivateLocation) = ManageDirectory,
        Reactivate(ReactivateLocation) = ManageDirectory,
    }
    ModelRegistry, ModelCommand {
        Register(RegisterModel) = ManageModels,
        Activate(ActivateModel) = ManageModels,
        RollBack(RollBackModel) = ManageModels,
    }
}
