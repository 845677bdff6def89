//! Every refusal: its code, its kind, its field and its text are what programs and people go by, so they are reviewed.

use domain::appointment::AppointmentStatus::{Booked, Fulfilled};
use domain::value::VisitTimeError;
use domain::{
    Account, AccountError, AppointmentError, CustodyError, DisclosureError, LocationError,
    ModelError, PatientError, PractitionerError, Refusal, RefusalKind, Stream, WoundError,
};
use insta::assert_snapshot;

use crate::events::in_snapshots;

/// One line for each refusal of an aggregate.
fn table<R: Refusal + std::fmt::Display>(aggregate: &str, refusals: &[R]) -> String {
    let line = |refusal: &R| {
        let kind = match refusal.kind() {
            RefusalKind::Missing(what) => format!("missing: {what}"),
            RefusalKind::Conflict => "conflict".to_owned(),
            RefusalKind::Invalid => "invalid".to_owned(),
        };
        let (code, field) = (refusal.code(), refusal.field().unwrap_or("-"));
        format!("{aggregate:<12} {code:<30} {kind:<35} {field:<22} {refusal}\n")
    };
    refusals.iter().map(line).collect()
}

fn accounts() -> [AccountError; 8] {
    use AccountError::{
        AlreadyGranted, AlreadyRegistered, Disabled, NotGranted, NotRegistered, PasswordNotAllowed,
        PasswordRequired, RoleUnsuitable,
    };
    [
        AlreadyRegistered,
        NotRegistered,
        Disabled,
        PasswordRequired,
        PasswordNotAllowed,
        AlreadyGranted,
        NotGranted,
        RoleUnsuitable,
    ]
}

fn appointments() -> Vec<AppointmentError> {
    use AppointmentError::{
        AlreadyExists, EndBeforeStart, IllegalTransition, InactivePractitioner, InactiveRoom,
        NotBegun, NotBooked, NotMovable, NoteRequired, NothingChanged, RequestInFuture,
        RequestedAfterStart, RoomIsSite, UnknownPractitioner, UnknownRoom, VisitInFuture,
    };
    let times = [
        VisitTimeError::UnknownZone,
        VisitTimeError::Gap,
        VisitTimeError::Ambiguous,
        VisitTimeError::NoFold,
        VisitTimeError::Duration { max: 1440 },
        VisitTimeError::Seconds,
        VisitTimeError::OutOfRange,
        VisitTimeError::Contradiction,
    ];
    let others = [
        AlreadyExists,
        NotBooked,
        IllegalTransition { from: Booked, to: Fulfilled },
        NotMovable { from: Fulfilled },
        NotBegun,
        RequestedAfterStart,
        RequestInFuture,
        NothingChanged,
        NoteRequired,
        UnknownPractitioner,
        InactivePractitioner,
        UnknownRoom,
        InactiveRoom,
        RoomIsSite,
        VisitInFuture,
        EndBeforeStart,
    ];
    others.into_iter().chain(times.map(AppointmentError::Time)).collect()
}

fn custody() -> [CustodyError; 9] {
    use CustodyError::{
        AlreadyErased, HoldAlreadyPlaced, HoldAlreadyReleased, NotErased, OnHold,
        PurgeAlreadyRecorded, StoresNotDistinct, TooManyHolds, UnknownHold,
    };
    [
        AlreadyErased,
        OnHold { holds: 2 },
        HoldAlreadyPlaced,
        UnknownHold,
        HoldAlreadyReleased,
        TooManyHolds { max: 256 },
        NotErased,
        PurgeAlreadyRecorded,
        StoresNotDistinct,
    ]
}

fn locations() -> [LocationError; 12] {
    use LocationError::{
        AlreadyActive, AlreadyInactive, AlreadyRegistered, InactiveParent, NotRegistered,
        NoteRequired, NothingChanged, ParentIsNoSite, SiteWithParent, UnknownParent, UnknownZone,
        ZoneRequired,
    };
    [
        AlreadyRegistered,
        NotRegistered,
        AlreadyInactive,
        AlreadyActive,
        SiteWithParent,
        UnknownParent,
        InactiveParent,
        ParentIsNoSite,
        UnknownZone,
        ZoneRequired,
        NothingChanged,
        NoteRequired,
    ]
}

fn practitioners() -> [PractitionerError; 11] {
    use PractitionerError::{
        AlreadyActive, AlreadyInactive, AlreadyRegistered, IdentifierRepeated,
        NameOrIdentifierRequired, NotRegistered, NoteRequired, NothingChanged, QualificationEmpty,
        QualificationEndsBeforeStart, TooMany,
    };
    [
        AlreadyRegistered,
        NotRegistered,
        AlreadyInactive,
        AlreadyActive,
        NameOrIdentifierRequired,
        IdentifierRepeated,
        QualificationEmpty,
        QualificationEndsBeforeStart,
        TooMany { field: "contacts", max: 32 },
        NothingChanged,
        NoteRequired,
    ]
}

fn models() -> [ModelError; 7] {
    use ModelError::{
        AlreadyActive, AlreadyRegistered, NothingToRollBackTo, Size, TooManyModels, UnknownModel,
        Withdrawn,
    };
    [
        AlreadyRegistered,
        UnknownModel,
        AlreadyActive,
        Withdrawn,
        NothingToRollBackTo,
        TooManyModels { max: 100 },
        Size { max: 67_108_864 },
    ]
}

fn patients() -> [PatientError; 11] {
    use PatientError::{
        AlreadyRegistered, BirthInFuture, Deactivated, DeathBeforeBirth, DeathInFuture,
        IdentifierRepeated, NameOrIdentifierRequired, NotRegistered, NoteRequired, NothingChanged,
        TooMany,
    };
    [
        AlreadyRegistered,
        NotRegistered,
        Deactivated,
        NameOrIdentifierRequired,
        BirthInFuture,
        DeathInFuture,
        DeathBeforeBirth,
        IdentifierRepeated,
        TooMany { field: "contacts", max: 32 },
        NothingChanged,
        NoteRequired,
    ]
}

fn wounds() -> [WoundError; 21] {
    use WoundError::{
        AlreadyConfirmed, AlreadyMeasured, AlreadyOpened, AlreadyWithdrawn, CaptureAlreadyRecorded,
        CaptureInFuture, Closed, DetailRequired, LateralityRequired, MeasurementAlreadyRecorded,
        MeasurementIsConfirmed, MeasurementIsWithdrawn, NotOpened, NoteRequired, OnsetInFuture,
        ScanAlreadyRecorded, ScanIsRejected, TooManyResults, TooManyScans, UnknownMeasurement,
        UnknownScan,
    };
    [
        AlreadyOpened,
        NotOpened,
        Closed,
        OnsetInFuture,
        LateralityRequired,
        ScanAlreadyRecorded,
        CaptureAlreadyRecorded,
        CaptureInFuture,
        TooManyScans { max: 1000 },
        TooManyResults { max: 100 },
        UnknownScan,
        AlreadyMeasured,
        ScanIsRejected,
        MeasurementAlreadyRecorded,
        UnknownMeasurement,
        AlreadyConfirmed,
        MeasurementIsConfirmed,
        MeasurementIsWithdrawn,
        AlreadyWithdrawn,
        NoteRequired,
        DetailRequired,
    ]
}

#[test]
fn the_table_of_refusals() {
    use DisclosureError::{AlreadyRecorded, TooManyDocuments};
    let text = [
        table("account", &accounts()),
        table("appointment", &appointments()),
        table("custody", &custody()),
        table("disclosure", &[AlreadyRecorded, TooManyDocuments { max: 500 }]),
        table("location", &locations()),
        table("model", &models()),
        table("patient", &patients()),
        table("practitioner", &practitioners()),
        table("wound", &wounds()),
    ];
    in_snapshots(|| assert_snapshot!("refusals", text.concat()));
}

/// A stream erases and follows nothing unless it says so.
#[test]
fn what_is_not_said_is_not_done() {
    let disabled = domain::AccountEvent::AccountDisabled(domain::account::AccountDisabled {
        reason: crate::support::val("left the clinic"),
    });
    let id = crate::support::uuid(1);
    assert_eq!(Account::erases(id, &disabled), None);
    assert_eq!(Account::follows(id), None);
}
