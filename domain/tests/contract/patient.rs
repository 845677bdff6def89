//! Patients: given/when/then.

use std::collections::BTreeSet;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use domain::patient::{
    DeactivatePatient, DeactivationReason, EditContacts, EditDemographics, EditIdentifiers,
    MAX_ENTRIES, PatientCommand, PatientEvent, RegisterPatient,
};
use domain::value::Gender;
use domain::{Claim, ClaimChange, Patient, Stream};

use crate::support::{Refused, accepts, address, given, mrn, name, now, phone, refuses, uuid, val};

fn registration() -> RegisterPatient {
    RegisterPatient {
        name: Some(name()),
        gender: Gender::Female,
        birth_date: Some(val("1948-05")),
        identifiers: vec![mrn("A-1"), mrn("A-2")],
        contacts: vec![phone("555-0100")],
        addresses: vec![address()],
        ..RegisterPatient::default()
    }
}

fn registered() -> PatientEvent {
    accepts(&Patient::default(), now(), PatientCommand::Register(registration()))
}

fn edit() -> EditDemographics {
    EditDemographics {
        name: Some(name()),
        other_names: Vec::new(),
        gender: Gender::Other,
        birth_date: Some(val("1948-05-17")),
        deceased: None,
        reason: val("date learned from passport"),
    }
}

fn deactivate(reason: DeactivationReason) -> PatientCommand {
    PatientCommand::Deactivate(DeactivatePatient { reason, note: None })
}

fn identifiers(values: &[&str]) -> PatientCommand {
    PatientCommand::EditIdentifiers(EditIdentifiers {
        identifiers: values.iter().map(|value| mrn(value)).collect(),
        reason: val("renumbered"),
    })
}

fn every_edit() -> Vec<PatientCommand> {
    vec![
        PatientCommand::EditDemographics(edit()),
        PatientCommand::EditContacts(EditContacts {
            contacts: Vec::new(),
            addresses: Vec::new(),
            reason: val("unreachable"),
        }),
        identifiers(&["A-3"]),
        deactivate(DeactivationReason::MovedAway),
    ]
}

#[test]
fn registration_is_refused_without_sense() {
    let with = |change: fn(&mut RegisterPatient)| {
        let mut command = registration();
        change(&mut command);
        PatientCommand::Register(command)
    };
    #[rustfmt::skip]
    let table: Vec<Refused<Patient>> = vec![
        ("nobody", with(|c| { c.name = None; c.identifiers.clear(); }), "name-or-identifier-required", Some("name")),
        ("born in the year after next", with(|c| c.birth_date = Some(val("2028"))), "birth-in-future", Some("birth_date")),
        ("born next month", with(|c| c.birth_date = Some(val("2026-04"))), "birth-in-future", Some("birth_date")),
        ("born the day after tomorrow", with(|c| c.birth_date = Some(val("2026-03-03"))), "birth-in-future", Some("birth_date")),
        ("died next year", with(|c| c.deceased = Some(val("2027-01-01"))), "death-in-future", Some("deceased")),
        ("died before birth", with(|c| c.deceased = Some(val("1948-04-30"))), "death-before-birth", Some("deceased")),
        ("one identifier twice", with(|c| c.identifiers.push(mrn("A-1"))), "identifier-repeated", Some("identifiers")),
        ("too many names", with(|c| c.other_names = vec![name(); MAX_ENTRIES + 1]), "too-many-entries", Some("other_names")),
        ("too many identifiers", with(|c| c.identifiers = vec![mrn("A-1"); MAX_ENTRIES + 1]), "too-many-entries", Some("identifiers")),
        ("too many contacts", with(|c| c.contacts = vec![phone("555"); MAX_ENTRIES + 1]), "too-many-entries", Some("contacts")),
        ("too many addresses", with(|c| c.addresses = vec![address(); MAX_ENTRIES + 1]), "too-many-entries", Some("addresses")),
    ];
    refuses(&Patient::default(), now(), table);
}

#[test]
fn a_name_or_an_identifier_suffices_and_dates_may_be_partial() {
    let table = [
        RegisterPatient { name: Some(name()), ..RegisterPatient::default() },
        RegisterPatient { identifiers: vec![mrn("A-1")], ..RegisterPatient::default() },
        RegisterPatient { birth_date: Some(val("2026")), ..registration() },
        RegisterPatient { birth_date: Some(val("2026-03")), ..registration() },
        // It is already the second of March in the Pacific.
        RegisterPatient { birth_date: Some(val("2026-03-02")), ..registration() },
        // Both known to the month only: the death may have followed the birth.
        RegisterPatient { deceased: Some(val("1948-05")), ..registration() },
    ];
    for command in table {
        accepts(&Patient::default(), now(), PatientCommand::Register(command));
    }
}

#[test]
fn what_is_not_registered_cannot_be_edited() {
    for command in every_edit() {
        refuses(&Patient::default(), now(), vec![("edit", command, "not-registered", None)]);
    }
}

#[test]
fn a_registered_patient_refuses() {
    let state: Patient = given(&[registered()]);
    let unchanged =
        EditDemographics { gender: Gender::Female, birth_date: Some(val("1948-05")), ..edit() };
    let same_contacts = EditContacts {
        contacts: vec![phone("555-0100")],
        addresses: vec![address()],
        reason: val("none"),
    };
    let unborn = EditDemographics { birth_date: Some(val("2030")), ..edit() };
    #[rustfmt::skip]
    let table: Vec<Refused<Patient>> = vec![
        ("twice", PatientCommand::Register(registration()), "already-registered", None),
        ("same demographics", PatientCommand::EditDemographics(unchanged), "nothing-changed", None),
        ("same contacts", PatientCommand::EditContacts(same_contacts), "nothing-changed", None),
        ("same identifiers", identifiers(&["A-1", "A-2"]), "nothing-changed", None),
        ("unborn", PatientCommand::EditDemographics(unborn), "birth-in-future", Some("birth_date")),
        ("repeated", identifiers(&["A-3", "A-3"]), "identifier-repeated", Some("identifiers")),
        ("other, unsaid", deactivate(DeactivationReason::Other), "note-required", Some("note")),
    ];
    refuses(&state, now(), table);
}

#[test]
fn the_last_that_tells_who_it_is_stays() {
    let nameless = RegisterPatient { name: None, ..registration() };
    let event = accepts(&Patient::default(), now(), PatientCommand::Register(nameless));
    let state: Patient = given(&[event]);
    let table = vec![("last one", identifiers(&[]), "name-or-identifier-required", Some("name"))];
    refuses(&state, now(), table);
}

#[test]
fn a_deactivated_patient_refuses_everything() {
    let mut state: Patient = given(&[registered()]);
    let event = accepts(&state, now(), deactivate(DeactivationReason::Deceased));
    state.apply(event);
    assert!(state.is_registered() && !state.is_active());
    for command in every_edit() {
        refuses(&state, now(), vec![("edit", command, "patient-deactivated", None)]);
    }
    let again = PatientCommand::Register(registration());
    refuses(&state, now(), vec![("again", again, "already-registered", None)]);
}

#[test]
fn an_edit_keeps_the_old_value_and_the_new() {
    let state: Patient = given(&[registered()]);
    let event = accepts(&state, now(), PatientCommand::EditDemographics(edit()));
    let PatientEvent::PatientDemographicsEdited(edited) = event else {
        panic!("an edit of demographics makes that event");
    };
    assert_eq!(&edited.before, state.demographics());
    assert_eq!(edited.after.birth_date, Some(val("1948-05-17")));
    assert_eq!(&*edited.reason, "date learned from passport");
}

#[test]
fn identifiers_are_claimed_and_given_back() {
    let claim = |value: &str| Claim::Unique {
        kind: "patient-identifier",
        key: format!("http://clinic.example/mrn|{value}"),
    };
    let event = registered();
    let expected = vec![ClaimChange::Take(claim("A-1")), ClaimChange::Take(claim("A-2"))];
    assert!(Patient::claims(uuid(1), &event) == expected);

    let state: Patient = given(&[event]);
    let event = accepts(&state, now(), identifiers(&["A-2", "A-3"]));
    let key = "http://clinic.example/mrn|A-1".to_owned();
    let released = ClaimChange::ReleaseUnique { kind: "patient-identifier", key };
    let expected = vec![released, ClaimChange::Take(claim("A-3"))];
    assert!(Patient::claims(uuid(1), &event) == expected);
    assert_eq!(state.subject(uuid(1)), Some(uuid(1)));
}

#[tokio::test]
async fn handling_writes_what_is_decided_and_applies_it_once() {
    let mut state = Patient::default();
    let sink = EventSink::default();
    let command = PatientCommand::Register(registration());
    let decided = state.decide(command.clone(), &now()).expect("a valid registration");
    state.handle(command, &now(), &sink).await.expect("a valid registration");
    assert!(sink.collect().await == decided);
    assert!(state == given(&decided));
}

#[test]
fn nothing_shown_for_debugging_holds_the_person() {
    let state: Patient = given(&[registered()]);
    let event = accepts(&state, now(), PatientCommand::EditDemographics(edit()));
    let shown = [
        format!("{state:?}"),
        format!("{event:?}"),
        format!("{:?}", PatientCommand::Register(registration())),
        format!("{:?}", Patient::claims(uuid(1), &registered())),
    ];
    let secrets: BTreeSet<&str> =
        ["Sample", "Ada", "A-1", "1948", "555", "Example Street", "60601", "passport"].into();
    for text in shown {
        let leaked = secrets.iter().find(|secret| text.contains(**secret));
        assert!(leaked.is_none(), "the debug text holds a secret of kind {leaked:?}");
    }
}

#[test]
fn as_many_entries_as_the_limit_fit() {
    let identifiers: Vec<_> = (0..MAX_ENTRIES).map(|n| mrn(&format!("A-{n}"))).collect();
    let command = RegisterPatient {
        other_names: vec![name(); MAX_ENTRIES],
        identifiers,
        contacts: vec![phone("555-0100"); MAX_ENTRIES],
        addresses: vec![address(); MAX_ENTRIES],
        ..registration()
    };
    let event = accepts(&Patient::default(), now(), PatientCommand::Register(command));
    assert!(Patient::media(&event).is_empty());
    let state: Patient = given(&[event]);
    assert_eq!(state.identifiers().len(), MAX_ENTRIES);
    assert_eq!(state.contacts().points.len(), MAX_ENTRIES);
    assert_eq!(state.contacts().addresses.len(), MAX_ENTRIES);
    let more = |count: usize| {
        PatientCommand::EditContacts(EditContacts {
            contacts: vec![phone("555-0100"); count],
            addresses: Vec::new(),
            reason: val("unreachable"),
        })
    };
    accepts(&state, now(), more(MAX_ENTRIES));
    let table = vec![("one more", more(MAX_ENTRIES + 1), "too-many-entries", Some("contacts"))];
    refuses(&state, now(), table);
}

#[test]
fn a_person_may_die_on_the_day_of_birth_and_not_before() {
    let lived = |birth: &str, death: &str| {
        let (birth_date, deceased) = (Some(val(birth)), Some(val(death)));
        PatientCommand::Register(RegisterPatient { birth_date, deceased, ..registration() })
    };
    for (birth, death) in [
        ("1948-05-17", "1948-05-17"),
        ("1948-05-17", "1948-05"),
        ("1948-05-17", "1948"),
        ("1948", "1948-01-01"),
        ("2026-03-02", "2026-03-02"),
    ] {
        accepts(&Patient::default(), now(), lived(birth, death));
    }
    let (code, field) = ("death-before-birth", Some("deceased"));
    #[rustfmt::skip]
    let table: Vec<Refused<Patient>> = vec![
        ("a day before", lived("1948-05-17", "1948-05-16"), code, field),
        ("a month before", lived("1948-05", "1948-04"), code, field),
        ("a year before", lived("1948", "1947"), code, field),
        ("in two days, both", lived("2026-03-03", "2026-03-03"), "birth-in-future", Some("birth_date")),
        ("in two days, the death", lived("2026-03-02", "2026-03-03"), "death-in-future", field),
    ];
    refuses(&Patient::default(), now(), table);
}

#[test]
fn only_the_reason_other_needs_a_note() {
    let state: Patient = given(&[registered()]);
    for &reason in DeactivationReason::ALL {
        let said = DeactivatePatient { reason, note: Some(val("a test record")) };
        accepts(&state, now(), PatientCommand::Deactivate(said));
        if reason != DeactivationReason::Other {
            accepts(&state, now(), deactivate(reason));
        }
    }
}

#[test]
fn the_name_may_go_only_while_an_identifier_stays() {
    let nameless = || PatientCommand::EditDemographics(EditDemographics { name: None, ..edit() });
    let state: Patient = given(&[registered()]);
    accepts(&state, now(), nameless());
    accepts(&state, now(), identifiers(&[]));
    let unnumbered = RegisterPatient { identifiers: Vec::new(), ..registration() };
    let event = accepts(&Patient::default(), now(), PatientCommand::Register(unnumbered));
    let state: Patient = given(&[event]);
    let table = vec![("the last", nameless(), "name-or-identifier-required", Some("name"))];
    refuses(&state, now(), table);
}

#[test]
fn a_record_shows_what_its_events_say() {
    let nobody = Patient::default();
    assert!(!nobody.is_registered() && !nobody.is_active());
    let mut state: Patient = given(&[registered()]);
    assert!(state.is_registered() && state.is_active());
    assert!(state.identifiers() == [mrn("A-1"), mrn("A-2")]);
    assert!(state.contacts().points == [phone("555-0100")]);
    assert!(state.contacts().addresses == [address()]);
    assert_eq!(
        state.demographics().name.as_ref().map(|name| name.display()),
        Some(name().display())
    );
    for command in every_edit() {
        let event = accepts(&state, now(), command);
        assert!(Patient::media(&event).is_empty());
        state.apply(event);
    }
    assert!(state.identifiers() == [mrn("A-3")] && state.contacts().points.is_empty());
    assert_eq!(state.demographics().gender, Gender::Other);
}
