//! Events as they are stored: a reviewed sample of each version, and that all of them can be read.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use cqrs_es::DomainEvent;
use cqrs_es::persist::SerializedEvent;
use domain::access::{AccessEvent, AccessOutcome, AccessRecorded};
use domain::account::{
    AccountDisabled, AccountEvent, AccountKind, AccountRegistered, Role, RoleGranted, RoleRevoked,
};
use domain::appointment::{
    AppointmentBooked, AppointmentCancelled, AppointmentCheckedIn, AppointmentEnteredInError,
    AppointmentEvent, AppointmentFulfilled, AppointmentNoShow, AppointmentRescheduled,
    CancellationReason, VisitRecorded, VisitStatus,
};
use domain::custody::{
    Authority, CustodyEvent, ErasureReason, HoldPlaced, HoldReason, HoldReleased, PurgeRecorded,
    ReleaseReason, Store, StorePurge, SubjectErased,
};
use domain::disclosure::{DisclosureEvent, DisclosureOutcome, ONE, RecordDisclosed, Repeats};
use domain::model::{ModelActivated, ModelEvent, ModelRegistered, ModelRolledBack};
use domain::patient::{
    Contacts, DeactivationReason, Demographics, PatientContactsEdited, PatientDeactivated,
    PatientDemographicsEdited, PatientEvent, PatientIdentifiersEdited, PatientRegistered,
};
use domain::value::{Digest, Gender};
use domain::wound::{
    AnatomicalSite, Boundary, CloseReason, Etiology, Laterality, MeasurementConfirmed,
    MeasurementRecorded, MeasurementWithdrawn, RejectionReason, ScanRecorded, ScanRejected,
    WithdrawalReason, WoundClosed, WoundEvent, WoundOpened,
};
use domain::{Event, HoldId, LocationEvent, PractitionerEvent, UnknownEvent, upcasters};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::location::location_events;
use crate::practitioner::practitioner_events;
use crate::support::{
    address, at, capture, card, chicago, coding, measurement, measurement_id, mrn, name, patient,
    phone, practitioner, room, scan, slot, uuid, val,
};

/// Runs an assertion with the snapshots of this crate.
pub(crate) fn in_snapshots(assertion: impl FnOnce()) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/domain");
    insta::with_settings!(
        { snapshot_path => path, prepend_module_to_snapshot => false, omit_expression => true },
        { assertion() }
    );
}

fn demographics() -> Demographics {
    Demographics {
        name: Some(name()),
        other_names: vec![name()],
        gender: Gender::Female,
        birth_date: Some(val("1948-05")),
        deceased: Some(val("2025-12-31")),
    }
}

fn contacts() -> Contacts {
    Contacts { points: vec![phone("555-0100")], addresses: vec![address()] }
}

fn patient_events() -> Vec<PatientEvent> {
    vec![
        PatientEvent::PatientRegistered(PatientRegistered {
            demographics: demographics(),
            identifiers: vec![mrn("A-1")],
            contacts: contacts(),
        }),
        PatientEvent::PatientDemographicsEdited(PatientDemographicsEdited {
            before: Demographics { name: Some(name()), ..Demographics::default() },
            after: demographics(),
            reason: val("learned from passport"),
        }),
        PatientEvent::PatientContactsEdited(PatientContactsEdited {
            before: Contacts::default(),
            after: contacts(),
            reason: val("moved"),
        }),
        PatientEvent::PatientIdentifiersEdited(PatientIdentifiersEdited {
            before: vec![mrn("A-1")],
            after: vec![mrn("A-2")],
            reason: val("renumbered"),
        }),
        PatientEvent::PatientDeactivated(PatientDeactivated {
            reason: DeactivationReason::Other,
            note: Some(val("test record")),
        }),
    ]
}

fn appointment_events() -> Vec<AppointmentEvent> {
    let time = at("2026-03-10T20:05:00.123456Z");
    vec![
        AppointmentEvent::AppointmentBooked(AppointmentBooked {
            patient_id: patient(1),
            slot: slot(&chicago("15:00", 30)),
            reason: Some(val("wound check")),
            requested_at: Some(at("2026-02-01T09:00:00Z")),
        }),
        AppointmentEvent::AppointmentRescheduled(AppointmentRescheduled {
            patient_id: patient(1),
            before: slot(&chicago("15:00", 30)),
            after: slot(&chicago("16:00", 45)),
            reason: Some(val("dressing takes longer")),
        }),
        AppointmentEvent::AppointmentCancelled(AppointmentCancelled {
            reason: CancellationReason::Other,
            note: Some(val("a strike")),
        }),
        AppointmentEvent::AppointmentCheckedIn(AppointmentCheckedIn { at: time }),
        AppointmentEvent::AppointmentFulfilled(AppointmentFulfilled { at: time }),
        AppointmentEvent::AppointmentNoShow(AppointmentNoShow { at: time }),
        AppointmentEvent::AppointmentEnteredInError(AppointmentEnteredInError {
            reason: val("wrong patient"),
        }),
        AppointmentEvent::VisitRecorded(VisitRecorded {
            patient_id: patient(1),
            practitioner_id: Some(practitioner(1)),
            room_id: Some(room(1)),
            started_at: at("2019-06-01T08:00:00Z"),
            ended_at: Some(at("2019-06-01T08:15:00Z")),
            class: val("AMB"),
            visit_type: Some(coding("http://snomed.info/sct", "185349003", "Check up")),
            reason: Some(coding("http://snomed.info/sct", "44054006", "Diabetes")),
            status: VisitStatus::Finished,
        }),
    ]
}

fn wound_events() -> Vec<WoundEvent> {
    vec![
        WoundEvent::WoundOpened(WoundOpened {
            patient_id: patient(1),
            site: AnatomicalSite::Heel,
            laterality: Some(Laterality::Left),
            etiology: Etiology::DiabeticFootUlcer,
            onset: Some(val("2025-11")),
            note: Some(val("first seen at home")),
        }),
        WoundEvent::ScanRecorded(ScanRecorded {
            scan_id: scan(1),
            capture: capture(1),
            captured_at: at("2026-03-01T11:00:00Z"),
        }),
        WoundEvent::MeasurementRecorded(MeasurementRecorded {
            scan_id: scan(1),
            measurement_id: measurement_id(1),
            model_digest: Digest([0xAA; 32]),
            measurement: measurement(Boundary::Network),
        }),
        WoundEvent::ScanRejected(ScanRejected {
            scan_id: scan(1),
            model_digest: Some(Digest([0xAA; 32])),
            reason: RejectionReason::LowConfidenceDepth,
            detail: Some(val("81 % of the wound has low confidence")),
        }),
        WoundEvent::MeasurementConfirmed(MeasurementConfirmed {
            measurement_id: measurement_id(1),
        }),
        WoundEvent::MeasurementWithdrawn(MeasurementWithdrawn {
            measurement_id: measurement_id(1),
            reason: WithdrawalReason::EnteredInError,
        }),
        WoundEvent::WoundClosed(WoundClosed {
            reason: CloseReason::Healed,
            note: Some(val("epithelium closed")),
        }),
    ]
}

fn account_events() -> Vec<AccountEvent> {
    vec![
        AccountEvent::AccountRegistered(AccountRegistered {
            login: val("ada"),
            display_name: val("Ada Sample"),
            password_hash: Some(val("$argon2id$v=19$m=19456,t=2,p=1$c2FtcGxl$c2FtcGxl")),
            kind: AccountKind::User,
        }),
        AccountEvent::RoleGranted(RoleGranted { role: Role::Clinician }),
        AccountEvent::RoleRevoked(RoleRevoked {
            role: Role::Clinician,
            reason: val("left the ward"),
        }),
        AccountEvent::AccountDisabled(AccountDisabled { reason: val("left the clinic") }),
    ]
}

fn disclosure_events() -> Vec<DisclosureEvent> {
    vec![DisclosureEvent::RecordDisclosed(RecordDisclosed {
        patient_id: patient(1),
        resource: val("wound"),
        what: vec![val(&uuid(1).to_string())],
        outcome: DisclosureOutcome::Disclosed,
        count: ONE,
        repeats: None,
    })]
}

fn access_events() -> Vec<AccessEvent> {
    vec![AccessEvent::AccessRecorded(AccessRecorded {
        resource: val("read-accounts"),
        what: vec![val(&uuid(0xACC).to_string())],
        outcome: AccessOutcome::Allowed,
        count: NonZeroU32::new(7).expect("not zero"),
        repeats: Some(Repeats::Of(uuid(0x100C))),
    })]
}

fn custody_events() -> Vec<CustodyEvent> {
    let (hold_id, time) = (HoldId::from_uuid(uuid(0x701)), at("2026-03-10T20:05:00.123456Z"));
    vec![
        CustodyEvent::HoldPlaced(HoldPlaced {
            hold_id,
            reason: HoldReason::Litigation,
            authority: Authority::Counsel,
            case_reference: val("2026/CV-0815"),
            at: time,
        }),
        CustodyEvent::HoldReleased(HoldReleased {
            hold_id,
            reason: ReleaseReason::MatterClosed,
            authority: Authority::Court,
            at: time,
        }),
        CustodyEvent::SubjectErased(SubjectErased {
            reason: ErasureReason::PatientRequest,
            authority: Authority::PersonConcerned,
            case_reference: val("DSR-42"),
            at: time,
        }),
        CustodyEvent::PurgeRecorded(PurgeRecorded {
            stores: Store::ALL
                .iter()
                .zip(1..)
                .map(|(store, entries)| StorePurge { store: *store, entries })
                .collect(),
            at: time,
        }),
    ]
}

fn model_events() -> Vec<ModelEvent> {
    let time = at("2026-03-10T20:05:00.123456Z");
    let (older, newer) = (Digest([0xA1; 32]), Digest([0xB2; 32]));
    vec![
        ModelEvent::ModelRegistered(Box::new(ModelRegistered {
            weights_sha256: newer,
            size: 7_468_552,
            card: card(),
            at: time,
        })),
        ModelEvent::ModelActivated(ModelActivated {
            weights_sha256: newer,
            replaced: Some(older),
            reason: val("better on small wounds"),
            at: time,
        }),
        ModelEvent::ModelRolledBack(ModelRolledBack {
            withdrawn: newer,
            active: older,
            reason: val("misses wounds on dark skin"),
            at: time,
        }),
    ]
}

/// A sample of every event, with every optional field filled.
pub(crate) fn every_event() -> Vec<Event> {
    let patients = patient_events().into_iter().map(Event::Patient);
    let appointments = appointment_events().into_iter().map(Event::Appointment);
    let wounds = wound_events().into_iter().map(Event::Wound);
    let accounts = account_events().into_iter().map(Event::Account);
    let disclosures = disclosure_events().into_iter().map(Event::Disclosure);
    let custody = custody_events().into_iter().map(Event::Custody);
    let models = model_events().into_iter().map(Event::Model);
    let practitioners = practitioner_events().into_iter().map(Event::Practitioner);
    let locations = location_events().into_iter().map(Event::Location);
    let people = patients.chain(appointments).chain(wounds).chain(accounts);
    let people = people.chain(disclosures).chain(custody).chain(models);
    let accesses = access_events().into_iter().map(Event::Access);
    people.chain(practitioners).chain(locations).chain(accesses).collect()
}

/// The type, the version and the payload of an event, as they are stored.
fn stored(event: &Event) -> (String, String, String) {
    fn parts<E: DomainEvent>(event: &E) -> (String, String, String) {
        let payload = serde_json::to_string_pretty(event).expect("serialisable");
        (event.event_type(), event.event_version(), payload)
    }
    match event {
        Event::Patient(event) => parts(event),
        Event::Appointment(event) => parts(event),
        Event::Wound(event) => parts(event),
        Event::Account(event) => parts(event),
        Event::Disclosure(event) => parts(event),
        Event::Custody(event) => parts(event),
        Event::Model(event) => parts(event),
        Event::Practitioner(event) => parts(event),
        Event::Location(event) => parts(event),
        Event::Access(event) => parts(event),
    }
}

fn read(stream: &str, kind: &str, version: &str, payload: &Value) -> Result<Event, UnknownEvent> {
    Event::from_stored(stream, kind, version, payload.to_string().as_bytes())
}

#[test]
fn every_event_has_a_sample_that_is_reviewed_and_readable() {
    let mut sampled = BTreeSet::new();
    for event in every_event() {
        let (kind, version, payload) = stored(&event);
        let again = Event::from_stored(event.stream_type(), &kind, &version, payload.as_bytes());
        assert!(again.as_ref() == Ok(&event), "{kind}: read back as something else");
        in_snapshots(|| assert_snapshot!(format!("{kind}.v{version}"), payload));
        sampled.insert((kind, version));
    }
    let versions = [
        PatientEvent::VERSIONS,
        AppointmentEvent::VERSIONS,
        WoundEvent::VERSIONS,
        AccountEvent::VERSIONS,
        DisclosureEvent::VERSIONS,
        CustodyEvent::VERSIONS,
        ModelEvent::VERSIONS,
        PractitionerEvent::VERSIONS,
        LocationEvent::VERSIONS,
        AccessEvent::VERSIONS,
    ];
    let all: BTreeSet<(String, String)> = versions
        .concat()
        .iter()
        .map(|(kind, version)| ((*kind).to_owned(), (*version).to_owned()))
        .collect();
    assert_eq!(sampled, all);
}

/// Version 1 of `AppointmentCancelled`, as it was written.
fn cancelled_v1(reason: &str) -> Value {
    json!({ "AppointmentCancelled": { "reason": reason } })
}

fn cancelled(note: Option<&str>) -> Event {
    Event::Appointment(AppointmentEvent::AppointmentCancelled(AppointmentCancelled {
        reason: CancellationReason::Other,
        note: note.map(val),
    }))
}

#[test]
fn version_1_of_a_cancellation_is_read_as_version_2() {
    let payload = cancelled_v1("the bus did not come");
    let pretty = serde_json::to_string_pretty(&payload).expect("serialisable");
    in_snapshots(|| assert_snapshot!("AppointmentCancelled.v1", pretty));

    let event = read("appointment", "AppointmentCancelled", "1", &payload);
    assert!(event == Ok(cancelled(Some("the bus did not come"))));
    let event = read("appointment", "AppointmentCancelled", "1", &cancelled_v1(" "));
    assert!(event == Ok(cancelled(None)));
}

#[test]
fn the_upcasters_for_cqrs_es_do_the_same() {
    let event = SerializedEvent::new(
        uuid(1).to_string(),
        2,
        "appointment".to_owned(),
        "AppointmentCancelled".to_owned(),
        "1".to_owned(),
        cancelled_v1("the bus did not come"),
        json!({}),
    );
    let upcast = upcasters().iter().fold(event, |event, upcaster| {
        if upcaster.can_upcast(&event.event_type, &event.event_version) {
            upcaster.upcast(event)
        } else {
            event
        }
    });
    assert_eq!(upcast.event_version, "2");
    let event: AppointmentEvent = serde_json::from_value(upcast.payload).expect("readable");
    assert!(Event::Appointment(event) == cancelled(Some("the bus did not come")));
}

#[test]
fn what_cannot_be_read_is_refused_without_repeating_it() {
    let registered = json!({ "PatientRegistered": { "demographics": "secret" } });
    let disabled = json!({ "AccountDisabled": { "reason": "secret" } });
    let cancelled_v1 = cancelled_v1("secret");
    let table = [
        ("ledger", "Genesis", "1", &registered, "stream type is unknown"),
        ("patient", "PatientBeamed", "1", &registered, "event type is unknown"),
        ("patient", "AccountDisabled", "1", &disabled, "event type is unknown"),
        ("patient", "PatientRegistered", "7", &registered, "version"),
        ("patient", "PatientRegistered", "", &registered, "version"),
        ("appointment", "AppointmentCancelled", "0", &cancelled_v1, "version"),
        ("appointment", "AppointmentCancelled", "3", &cancelled_v1, "version"),
        ("appointment", "AppointmentCheckedIn", "0", &cancelled_v1, "version"),
        ("patient", "PatientRegistered", "1", &registered, "does not fit"),
        ("patient", "PatientRegistered", "1", &disabled, "does not fit"),
        ("account", "RoleGranted", "1", &disabled, "another type of event"),
        ("appointment", "AppointmentCancelled", "1", &disabled, "does not fit"),
    ];
    for (stream, kind, version, payload, reason) in table {
        let error = read(stream, kind, version, payload).err().map(|error| error.to_string());
        let error = error.unwrap_or_else(|| panic!("{stream} {kind} {version}: must be refused"));
        assert!(error.contains(reason), "{error}");
        assert!(!error.contains("secret"), "the payload is repeated");
    }
    assert!(Event::from_stored("patient", "PatientRegistered", "1", b"\xff").is_err());
}

#[test]
fn an_upcaster_takes_its_own_event_and_version_only() {
    for upcaster in upcasters() {
        for (kind, version, can) in [
            ("AppointmentCancelled", "1", true),
            ("AppointmentCancelled", "2", false),
            ("AppointmentCancelled", "", false),
            ("AppointmentBooked", "1", false),
            ("", "1", false),
        ] {
            assert_eq!(upcaster.can_upcast(kind, version), can, "{kind} {version}");
        }
    }
    assert_eq!(upcasters().len(), 1);
}

#[test]
fn an_upcast_changes_version_and_payload_and_nothing_else() {
    let event = |version: &str, payload: Value| {
        SerializedEvent::new(
            uuid(1).to_string(),
            2,
            "appointment".to_owned(),
            "AppointmentCancelled".to_owned(),
            version.to_owned(),
            payload,
            json!({ "actor": "ada" }),
        )
    };
    let upcast = upcasters()[0].upcast(event("1", cancelled_v1("rain")));
    let body = json!({ "AppointmentCancelled": { "reason": "other", "note": "rain" } });
    assert_eq!(upcast, event("2", body));
    // What does not look like version 1 is left as it is, and fails when it is read.
    for payload in [json!({}), json!({ "AppointmentCancelled": 1 })] {
        assert_eq!(upcasters()[0].upcast(event("1", payload.clone())).payload, payload);
    }
}

#[test]
fn an_event_knows_its_stream_and_its_type() {
    let table: Vec<String> = every_event()
        .iter()
        .map(|event| format!("{:<12} {}\n", event.stream_type(), event.event_type()))
        .collect();
    in_snapshots(|| assert_snapshot!("events", table.concat()));
}
