//! Practitioners: given/when/then, their identifiers' claims, and how they stand for bookings.

use domain::practitioner::{
    DeactivatePractitioner, EditPractitioner, EditPractitionerIdentifiers, LeavingReason,
    MAX_ENTRIES, PractitionerCommand, PractitionerDeactivated, PractitionerEdited,
    PractitionerEvent, PractitionerIdentifiersEdited, PractitionerReactivated,
    PractitionerRegistered, Profile, Qualification, ReactivatePractitioner, RegisterPractitioner,
};
use domain::value::Identifier;
use domain::{Claim, ClaimChange, Practitioner, Standing, Stream};

use crate::support::{
    Refused, accepts, coding, given, identifier, name, now, phone, refuses, uuid, val,
};

fn licence(value: &str) -> Identifier {
    identifier("http://hl7.org/fhir/sid/us-npi", value)
}

fn qualification() -> Qualification {
    Qualification {
        code: Some(coding(
            "http://terminology.hl7.org/CodeSystem/v2-0360",
            "MD",
            "Doctor of Medicine",
        )),
        text: Some(val("Doctor of Medicine")),
        issuer: Some(val("Example University")),
        from: Some(val("2004")),
        until: Some(val("2034-05")),
    }
}

fn profile() -> Profile {
    Profile {
        name: Some(name()),
        qualifications: vec![qualification()],
        contacts: vec![phone("555-0100")],
    }
}

/// A sample of every event, with every optional field filled.
pub(crate) fn practitioner_events() -> Vec<PractitionerEvent> {
    vec![
        PractitionerEvent::PractitionerRegistered(PractitionerRegistered {
            profile: profile(),
            identifiers: vec![licence("1")],
        }),
        PractitionerEvent::PractitionerEdited(PractitionerEdited {
            before: Profile { name: Some(name()), ..Profile::default() },
            after: profile(),
            reason: val("has qualified"),
        }),
        PractitionerEvent::PractitionerIdentifiersEdited(PractitionerIdentifiersEdited {
            before: vec![licence("1")],
            after: vec![licence("2")],
            reason: val("typing error"),
        }),
        PractitionerEvent::PractitionerDeactivated(PractitionerDeactivated {
            reason: LeavingReason::Other,
            note: Some(val("lent to another clinic")),
        }),
        PractitionerEvent::PractitionerReactivated(PractitionerReactivated {
            reason: val("is back"),
        }),
    ]
}

fn register() -> RegisterPractitioner {
    let Profile { name, qualifications, contacts } = profile();
    RegisterPractitioner { name, identifiers: vec![licence("1")], qualifications, contacts }
}

fn edit(profile: Profile) -> PractitionerCommand {
    let Profile { name, qualifications, contacts } = profile;
    let reason = val("as told by the practitioner");
    PractitionerCommand::Edit(EditPractitioner { name, qualifications, contacts, reason })
}

fn identify(identifiers: Vec<Identifier>) -> PractitionerCommand {
    let reason = val("renewed");
    PractitionerCommand::EditIdentifiers(EditPractitionerIdentifiers { identifiers, reason })
}

fn deactivate(reason: LeavingReason) -> PractitionerCommand {
    PractitionerCommand::Deactivate(DeactivatePractitioner { reason, note: None })
}

fn reactivate() -> PractitionerCommand {
    PractitionerCommand::Reactivate(ReactivatePractitioner { reason: val("is back") })
}

fn with(qualification: Qualification) -> Profile {
    Profile { qualifications: vec![qualification], ..profile() }
}

fn registered() -> Practitioner {
    given(&practitioner_events()[..1])
}

#[test]
fn before_it_is_registered_nothing_but_a_registration_is_possible() {
    let fresh = Practitioner::default();
    let of = |change: fn(&mut RegisterPractitioner)| {
        let mut command = register();
        change(&mut command);
        PractitionerCommand::Register(command)
    };
    let table: Vec<Refused<Practitioner>> = vec![
        ("edit", edit(profile()), "not-registered", None),
        ("identify", identify(vec![licence("2")]), "not-registered", None),
        ("deactivate", deactivate(LeavingReason::Left), "not-registered", None),
        ("reactivate", reactivate(), "not-registered", None),
        (
            "nobody",
            of(|it| {
                it.name = None;
                it.identifiers.clear();
            }),
            "name-or-identifier-required",
            Some("name"),
        ),
        (
            "one identifier twice",
            of(|it| it.identifiers = vec![licence("1"), licence("1")]),
            "identifier-repeated",
            Some("identifiers"),
        ),
        (
            "more identifiers than allowed",
            of(|it| {
                it.identifiers = (0..=MAX_ENTRIES).map(|n| licence(&n.to_string())).collect();
            }),
            "too-many-entries",
            Some("identifiers"),
        ),
        (
            "more contacts than allowed",
            of(|it| it.contacts = vec![phone("555-0100"); MAX_ENTRIES + 1]),
            "too-many-entries",
            Some("contacts"),
        ),
        (
            "more qualifications than allowed",
            of(|it| it.qualifications = vec![qualification(); MAX_ENTRIES + 1]),
            "too-many-entries",
            Some("qualifications"),
        ),
        (
            "a qualification that says nothing",
            of(|it| {
                it.qualifications[0].code = None;
                it.qualifications[0].text = None;
            }),
            "qualification-empty",
            Some("qualifications"),
        ),
    ];
    refuses(&fresh, now(), table);
    let only = |name, identifiers| {
        let command = RegisterPractitioner { name, identifiers, ..RegisterPractitioner::default() };
        accepts(&fresh, now(), PractitionerCommand::Register(command));
    };
    only(Some(name()), vec![]);
    only(None, vec![licence("1")]);
}

#[test]
fn what_is_registered_is_edited_and_says_when_nothing_changes() {
    let state = registered();
    assert_eq!((state.is_active(), state.identifiers()), (true, &[licence("1")][..]));
    assert_eq!(state.profile(), &profile());
    let ends_first = Qualification {
        from: Some(val("2004-05")),
        until: Some(val("2004-04")),
        ..qualification()
    };
    refuses(
        &state,
        now(),
        vec![
            ("register", PractitionerCommand::Register(register()), "already-registered", None),
            ("edit to the same", edit(profile()), "nothing-changed", None),
            ("identify by the same", identify(vec![licence("1")]), "nothing-changed", None),
            (
                "ends before it begins",
                edit(with(ends_first)),
                "qualification-ends-before-start",
                Some("qualifications"),
            ),
            ("reactivate", reactivate(), "already-active", None),
            (
                "deactivate without saying why",
                deactivate(LeavingReason::Other),
                "note-required",
                Some("note"),
            ),
        ],
    );
    // Dates that may mean the same day contradict nothing.
    let vague =
        Qualification { from: Some(val("2004-05")), until: Some(val("2004")), ..qualification() };
    accepts(&state, now(), edit(with(vague)));
    // Whoever has a name needs no identifier, and the other way round.
    accepts(&state, now(), identify(vec![]));
    let nameless = Profile { name: None, ..profile() };
    let nameless: Practitioner =
        given(&[practitioner_events().remove(0), accepts(&state, now(), edit(nameless))]);
    refuses(
        &nameless,
        now(),
        vec![("take the last", identify(vec![]), "name-or-identifier-required", Some("name"))],
    );
}

#[test]
fn whoever_is_out_of_use_is_brought_back_and_edited_meanwhile() {
    let gone: Practitioner = given(&[
        practitioner_events().remove(0),
        accepts(&registered(), now(), deactivate(LeavingReason::OnLeave)),
    ]);
    assert!(!gone.is_active());
    refuses(
        &gone,
        now(),
        vec![("deactivate again", deactivate(LeavingReason::Left), "already-inactive", None)],
    );
    accepts(&gone, now(), edit(Profile { contacts: vec![], ..profile() }));
    accepts(&gone, now(), reactivate());
}

#[test]
fn a_practitioner_stands_as_the_last_event_says() {
    let events = practitioner_events();
    let standing = |count: usize| given::<Practitioner>(&events[..count]).standing();
    assert_eq!(standing(0), Standing::Unknown);
    assert_eq!(standing(3), Standing::InUse("practitioner"));
    assert_eq!(standing(4), Standing::Inactive);
    assert_eq!(standing(5), Standing::InUse("practitioner"));
}

#[test]
fn an_identifier_belongs_to_one_practitioner_and_stays_with_whoever_leaves() {
    let take = |value: &str| {
        let (kind, key) = ("practitioner-identifier", licence(value).claim_key());
        ClaimChange::Take(Claim::Unique { kind, key })
    };
    let release = ClaimChange::ReleaseUnique {
        kind: "practitioner-identifier",
        key: licence("1").claim_key(),
    };
    let claims: Vec<Vec<ClaimChange>> =
        practitioner_events().iter().map(|event| Practitioner::claims(uuid(1), event)).collect();
    assert_eq!(claims, [vec![take("1")], vec![], vec![release, take("2")], vec![], vec![]]);
}
