//! Disclosures: given/when/then.

use domain::disclosure::{DisclosureCommand, DisclosureOutcome, MAX_DOCUMENTS, RecordDisclosure};
use domain::{Disclosure, Stream};

use crate::support::{accepts, given, now, patient, refuses, uuid, val};

fn record(documents: usize) -> DisclosureCommand {
    DisclosureCommand::Record(RecordDisclosure {
        patient_id: patient(1),
        resource: val("wound"),
        what: vec![val("0190"); documents],
        outcome: DisclosureOutcome::Disclosed,
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
