//! Given/when/then for every aggregate, and samples of what they are given.

use std::str::FromStr;

use domain::appointment::{BookAppointment, RescheduleAppointment, Slot};
use domain::model::{CardMetrics, CardParts, ContourError, ModelCard, Reference};
use domain::value::{
    Address, AddressParts, Code, Coding, ContactParts, ContactPoint, ContactSystem, ContactUse,
    Digest, HumanName, HumanNameParts, Identifier, IdentifierParts, IdentifierUse, Line, NameUse,
    RequestedTime, SystemUri, VisitTime,
};
use domain::wound::{
    Axis, Boundary, CaptureRef, Measurement, MeasurementParts, MediaType, TissuePermille,
};
use domain::{
    AppointmentCommand, MeasurementId, Now, PatientId, PractitionerId, Refusal, RoomId, ScanId,
    Stream,
};
use jiff::Timestamp;
use uuid::Uuid;

/// Folds events into a state.
pub(crate) fn given<A: Stream>(events: &[A::Event]) -> A {
    events.iter().cloned().fold(A::default(), |mut state, event| {
        state.apply(event);
        state
    })
}

/// One line of a table of refusals: what is asked, the code and the field of the refusal.
pub(crate) type Refused<A> =
    (&'static str, <A as cqrs_es::Aggregate>::Command, &'static str, Option<&'static str>);

/// Checks that a state refuses each command as its line says, and that the text says what to do.
pub(crate) fn refuses<A: Stream>(state: &A, now: Now, table: Vec<Refused<A>>) {
    for (case, command, code, field) in table {
        let refusal = state.decide(command, &now).err();
        let refusal = refusal.unwrap_or_else(|| panic!("{case}: must be refused"));
        assert_eq!((refusal.code(), refusal.field()), (code, field), "{case}");
        assert!(refusal.to_string().len() > 20, "{case}: the refusal must say what to do");
    }
}

/// Decides a command that must be accepted, and returns its one event.
pub(crate) fn accepts<A: Stream>(state: &A, now: Now, command: A::Command) -> A::Event {
    let mut events = state.decide(command, &now).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(events.len(), 1);
    events.remove(0)
}

pub(crate) fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | n)
}

pub(crate) fn patient(n: u128) -> PatientId {
    PatientId::from_uuid(uuid(0x100 + n))
}

pub(crate) fn practitioner(n: u128) -> PractitionerId {
    PractitionerId::from_uuid(uuid(0x200 + n))
}

pub(crate) fn room(n: u128) -> RoomId {
    RoomId::from_uuid(uuid(0x300 + n))
}

pub(crate) fn scan(n: u128) -> ScanId {
    ScanId::from_uuid(uuid(0x400 + n))
}

pub(crate) fn measurement_id(n: u128) -> MeasurementId {
    MeasurementId::from_uuid(uuid(0x500 + n))
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("a test's timestamp")
}

pub(crate) fn now() -> Now {
    Now(at("2026-03-01T12:00:00Z"))
}

/// Parses a value type from text.
pub(crate) fn val<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a test's value")
}

pub(crate) fn name() -> HumanName {
    HumanName::try_from(HumanNameParts {
        family: Some(val("Sample")),
        given: vec![val("Ada"), val("Zoë")],
        prefix: vec![val("Dr.")],
        suffix: vec![val("PhD")],
        name_use: Some(NameUse::Official),
    })
    .expect("a valid name")
}

pub(crate) fn identifier(system: &str, value: &str) -> Identifier {
    Identifier::try_from(IdentifierParts {
        system: SystemUri::new(system).expect("a valid system"),
        value: val(value),
        identifier_use: Some(IdentifierUse::Usual),
        kind: Some(val("MR")),
        issuer: Some(val("Sample Clinic")),
    })
    .expect("a valid identifier")
}

pub(crate) fn mrn(value: &str) -> Identifier {
    identifier("http://clinic.example/mrn", value)
}

pub(crate) fn phone(value: &str) -> ContactPoint {
    ContactPoint::try_from(ContactParts {
        system: ContactSystem::Phone,
        value: val(value),
        contact_use: Some(ContactUse::Home),
    })
    .expect("a valid contact")
}

pub(crate) fn address() -> Address {
    Address::try_from(AddressParts {
        lines: vec![val("1 Example Street")],
        city: Some(val("Sampleton")),
        district: Some(val("Sample County")),
        state: Some(val("IL")),
        postal_code: Some(val("60601")),
        country: Some(val("US")),
        address_use: None,
    })
    .expect("a valid address")
}

pub(crate) fn requested(start: &str, zone: &str, duration_minutes: u32) -> RequestedTime {
    RequestedTime { start: val(start), zone: val(zone), duration_minutes, fold: None }
}

/// A time in Chicago on the tenth of March 2026.
pub(crate) fn chicago(time: &str, duration_minutes: u32) -> RequestedTime {
    requested(&format!("2026-03-10T{time}"), "America/Chicago", duration_minutes)
}

pub(crate) fn slot(time: &RequestedTime) -> Slot {
    Slot {
        practitioner_id: practitioner(1),
        room_id: Some(room(1)),
        time: VisitTime::resolve(time).expect("a valid time"),
    }
}

pub(crate) fn booking(time: RequestedTime) -> BookAppointment {
    BookAppointment {
        patient_id: patient(1),
        practitioner_id: practitioner(1),
        room_id: Some(room(1)),
        time,
        reason: Some(val("wound check")),
        requested_at: Some(at("2026-02-01T09:00:00Z")),
    }
}

pub(crate) fn book(time: RequestedTime) -> AppointmentCommand {
    AppointmentCommand::Book(booking(time))
}

pub(crate) fn reschedule(time: RequestedTime) -> AppointmentCommand {
    AppointmentCommand::Reschedule(RescheduleAppointment {
        time,
        practitioner_id: None,
        room_id: None,
        reason: None,
    })
}

pub(crate) fn coding(system: &str, code: &str, display: &str) -> Coding {
    Coding {
        system: Some(val(system)),
        code: Code::new(code).expect("a valid code"),
        display: Some(Line::new(display).expect("a valid display")),
    }
}

pub(crate) fn capture(n: u8) -> CaptureRef {
    let media_type = MediaType::new("application/vnd.coherency.capture+tar").expect("a media type");
    CaptureRef::new(uuid(0x600 + u128::from(n)), Digest([n; 32]), 1_234_567, media_type)
        .expect("a valid capture")
}

pub(crate) fn measurement_parts(boundary: Boundary) -> MeasurementParts {
    MeasurementParts {
        area_um2: 1_250_000_000,
        area_sd_um2: 12_000_000,
        perimeter_um: 131_000,
        perimeter_sd_um: 1_500,
        length_um: 45_000,
        length_sd_um: 700,
        width_um: 35_000,
        width_sd_um: 650,
        max_depth_um: 4_200,
        max_depth_sd_um: 400,
        volume_nl: 2_100_000,
        volume_sd_nl: 90_000,
        boundary,
        wound_probability_permille: 912,
        axis: Axis::HeadToToe,
        tissue: Some(TissuePermille {
            granulation: 700,
            slough: 200,
            necrosis: Some(0),
            epithelium: Some(100),
            sd: None,
        }),
        outline: vec![[100, 100], [200, 100], [200, 180], [100, 180]],
    }
}

pub(crate) fn measurement(boundary: Boundary) -> Measurement {
    Measurement::try_from(measurement_parts(boundary)).expect("a valid measurement")
}

pub(crate) fn card_parts() -> CardParts {
    CardParts {
        name: val("wound segmentation network"),
        version: val("4"),
        intended_use: val("Decision support. A clinician confirms or rejects each outline."),
        training_data: val("810 photographs of foot ulcers of one clinic"),
        licence: val("Research use only."),
        limits: vec![val("Wounds below 0.1 % of the picture are missed.")],
        metrics: CardMetrics { n: 127, dice_pooled_permille: 912, dice_mean_permille: 854 },
        wound_threshold_permille: 800,
        contour_error: ContourError { offset_millicells: 440, ragged_millicells: 240 },
        reference: Reference {
            wound_probability: [3, 0, 0, 1, 0, 1, 2, 4, 16, 100],
            picture_brightness: [0, 1, 9, 30, 44, 28, 11, 3, 1, 0],
        },
    }
}

pub(crate) fn card() -> ModelCard {
    ModelCard::try_from(card_parts()).expect("a valid card")
}
