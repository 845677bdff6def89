//! Disclosures: given/when/then.

use std::num::NonZeroU32;

use domain::access::{AccessCommand, AccessOutcome, RecordAccess};
use domain::disclosure::{
    DisclosureCommand, DisclosureEvent, DisclosureOutcome, MAX_DOCUMENTS, ONE, RecordDisclosure,
    Repeats,
};
use domain::{Access, Disclosure, Stream};
use serde_json::json;

use crate::support::{accepts, at, given, now, patient, refuses, uuid, val};

fn record(documents: usize) -> DisclosureCommand {
    DisclosureCommand::Record(RecordDisclosure {
        patient_id: patient(1),
        resource: val("wound"),
        what: vec![val("0190"); documents],
        outcome: DisclosureOutcome::Disclosed,
        count: ONE,
        repeats: None,
    })
}

#[test]
fn a_look_is_recorded_once_and_is_bounded() {
    let many = record(MAX_DOCUMENTS + 1);
    let table = vec![("too many", many, "too-many-documents", Some("what"))];
    refuses(&Disclosure::default(), now(), table);

    let event = accepts(&Disclosure::default(), now(), record(MAX_DOCUMENTS));
    assert!(Disclosure::claims(uuid(1), &event).is_empty());
    let state: Disclosure = given(&[event]);
    refuses(&state, now(), vec![("twice", record(1), "already-recorded", None)]);
    assert_eq!(state.subject(uuid(1)), Some(patient(1).as_uuid()));
}

#[test]
fn a_look_says_what_was_recorded() {
    assert!(Disclosure::default().recorded().is_none());
    assert_eq!(Disclosure::default().subject(uuid(1)), None);
    for documents in [0, 1] {
        let event = accepts(&Disclosure::default(), now(), record(documents));
        assert!(Disclosure::media(&event).is_empty());
        let state: Disclosure = given(&[event]);
        let recorded = state.recorded().expect("a look");
        assert_eq!((recorded.what.len(), recorded.patient_id), (documents, patient(1)));
    }
}

fn access(ids: usize) -> AccessCommand {
    AccessCommand::Record(RecordAccess {
        resource: val("read-accounts"),
        what: vec![val("0190"); ids],
        outcome: AccessOutcome::NothingFound,
        count: ONE,
        repeats: None,
    })
}

#[test]
fn an_access_is_recorded_once_is_bounded_and_concerns_no_patient() {
    let many = access(MAX_DOCUMENTS + 1);
    let table = vec![("too many", many, "too-many-documents", Some("what"))];
    refuses(&Access::default(), now(), table);
    assert!(Access::default().recorded().is_none());

    let event = accepts(&Access::default(), now(), access(MAX_DOCUMENTS));
    assert!(Access::claims(uuid(1), &event).is_empty() && Access::media(&event).is_empty());
    let state: Access = given(&[event]);
    let recorded = state.recorded().expect("a look");
    assert_eq!(recorded.what.len(), MAX_DOCUMENTS);
    assert_eq!(recorded.outcome, AccessOutcome::NothingFound);
    refuses(&state, now(), vec![("twice", access(1), "already-recorded", None)]);
    assert_eq!(state.subject(uuid(1)), None);
}

/// What stands for one look alone is written as it always was; what stands for several says so.
#[test]
fn an_event_says_for_how_many_looks_it_stands() {
    let of = |count, repeats| {
        let DisclosureCommand::Record(look) = record(0);
        let command = DisclosureCommand::Record(RecordDisclosure { count, repeats, ..look });
        let event = accepts(&Disclosure::default(), now(), command);
        let written = serde_json::to_value(&event).expect("JSON");
        let again: DisclosureEvent = serde_json::from_value(written.clone()).expect("readable");
        assert!(again == event);
        written["RecordDisclosed"].clone()
    };
    let single = of(ONE, None);
    assert!(single.get("count").is_none() && single.get("repeats").is_none());
    let first = of(ONE, Some(Repeats::Until(at("2026-03-10T20:05:10Z"))));
    assert_eq!(first["repeats"], json!({ "until": "2026-03-10T20:05:10Z" }));
    let rest = of(NonZeroU32::new(2_015).expect("not zero"), Some(Repeats::Of(uuid(1))));
    assert_eq!(rest["count"], 2_015);
    assert_eq!(rest["repeats"], json!({ "of": uuid(1) }));
    let none = json!({ "RecordDisclosed": { "patient_id": patient(1), "resource": "wound",
        "what": [], "outcome": "denied", "count": 0 } });
    assert!(serde_json::from_value::<DisclosureEvent>(none).is_err(), "no look is no event");
}
