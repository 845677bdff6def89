//! Practitioners: what stands in their documents, and what a search finds.

use domain::{Practitioner, PractitionerId};
use projections::read_models::{Page, PractitionerDocument, PractitionerSearch};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::clinic::{Clinic, id};

macro_rules! reviewed {
    ($name:literal, $document:expr) => {
        insta::with_settings!({
            snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/projections"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_json_snapshot!($name, $document); });
    };
}

fn deactivate(reason: &str) -> Value {
    json!({ "deactivate": { "reason": reason, "note": "Until May." } })
}

#[sqlx::test(migrations = "../migrations")]
async fn a_practitioner_is_what_the_events_say(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    clinic.list().await;
    let whom = id(0xd0c);
    let edit = json!({ "edit": {
        "name": { "family": "Özdemir", "given": ["Ayşe"], "prefix": ["Dr."] },
        "qualifications": [{ "text": "Wound care", "issuer": "A college", "from": "2011" }],
        "contacts": [{ "system": "email", "value": "a@example.org", "use": "work" }],
        "reason": "divorce",
    }});
    clinic.at("2026-01-06T08:00:00Z").execute::<Practitioner>(whom, edit).await;
    clinic.execute::<Practitioner>(whom, deactivate("on-leave")).await;
    clinic.catch_up().await;
    let of = PractitionerId::from_uuid(whom);
    let found = clinic.models.practitioner(of, None).await.expect("an answer");
    reviewed!("practitioners_v1", found.expect("the practitioner"));

    let back = json!({ "reactivate": { "reason": "is back" } });
    clinic.execute::<Practitioner>(whom, back).await;
    clinic.catch_up().await;
    let found = clinic.models.practitioner(of, None).await.expect("an answer");
    assert!(found.is_some_and(|found| found.active && found.leaving.is_none()));
    let missing = clinic.models.practitioner(PractitionerId::from_uuid(id(9)), None).await;
    assert_eq!(missing.expect("an answer"), None);
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn practitioners_are_found_by_the_beginnings_of_their_names_and_by_their_numbers(
    pool: PgPool,
) {
    let clinic = Clinic::open(pool).await;
    clinic.list().await;
    for (n, family, given) in [(1, "Ozdemir", "Kemal"), (2, "Adler", "Ayse"), (3, "Adler", "Bea")] {
        let who = json!({ "register": {
            "name": { "family": family, "given": [given] },
            "identifiers": [{ "system": "http://hl7.org/fhir/sid/us-npi", "value": n.to_string() }],
        }});
        clinic.execute::<Practitioner>(id(0xd100 + n), who).await;
    }
    clinic.execute::<Practitioner>(id(0xd103), deactivate("retired")).await;
    clinic.catch_up().await;
    let all = PractitionerSearch::default;
    let line = |text: &str| text.parse().ok();
    let number = |text: &str| text.parse().ok();
    let cases = [
        ("everybody", all(), 4),
        ("a name without its marks", PractitionerSearch { family: line("ozd"), ..all() }, 2),
        ("and with them", PractitionerSearch { family: line("ÖZDEMİR-S"), ..all() }, 1),
        ("a given name", PractitionerSearch { given: line("ayş"), ..all() }, 2),
        ("both", PractitionerSearch { family: line("a"), given: line("b"), ..all() }, 1),
        ("a number of any system", PractitionerSearch { identifier: number("17"), ..all() }, 1),
        (
            "a number of another system",
            PractitionerSearch {
                identifier: number("17"),
                system: "urn:other".parse().ok(),
                ..all()
            },
            0,
        ),
        ("who is in use", PractitionerSearch { active: Some(true), ..all() }, 3),
        ("who is not", PractitionerSearch { active: Some(false), ..all() }, 1),
    ];
    for (what, search, expected) in cases {
        let found = clinic.models.search_practitioners(&search, &Page::default()).await;
        assert_eq!(found.expect("an answer").items.len(), expected, "{what}");
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = Page::new(Some(3), after);
        let found = clinic.models.search_practitioners(&all(), &page).await.expect("an answer");
        seen.extend(found.items.iter().map(|found: &PractitionerDocument| found.id.as_uuid()));
        match found.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, [0xd0c, 0xd101, 0xd102, 0xd103].map(id));
    clinic.close().await;
}
