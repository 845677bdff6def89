//! What a bundle becomes, and what refuses it.

use serde_json::{Value, json};

use super::super::ids::PlainIds;
use super::super::plan::{Named, Step};
use super::{Planned, plan};

fn patient() -> Value {
    json!({"resourceType": "Patient", "id": "p1", "birthDate": "1970-02",
        "identifier": [{"system": "urn:example:mrn", "value": "1"}],
        "name": [{"use": "maiden", "family": "B"}, {"use": "official", "family": "A", "given": ["C"]}]})
}

fn encounter() -> Value {
    json!({"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"},
        "subject": {"reference": "urn:uuid:1"},
        "participant": [{"individual": {"reference": "Practitioner?identifier=urn:example:npi|7"}}],
        "period": {"start": "2019-05-27T09:43:30+00:00", "end": "2019-05-27T09:58:30+00:00"}})
}

fn bundle(resources: &[Value]) -> Value {
    let entries: Vec<Value> = resources
        .iter()
        .enumerate()
        .map(|(index, resource)| json!({"fullUrl": format!("urn:uuid:{}", index + 1), "resource": resource}))
        .collect();
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
}

fn planned(lines: &[String]) -> Planned {
    plan(&mut lines.join("\n").as_bytes(), &PlainIds).expect("text reads")
}

/// `value` with the member at `pointer` replaced.
fn with(mut value: Value, pointer: &str, member: Value) -> Value {
    *value.pointer_mut(pointer).expect("the member is there") = member;
    value
}

#[test]
fn a_bundle_becomes_a_registration_and_visits_and_the_rest_is_counted() {
    let observation = json!({"resourceType": "Observation"});
    let text = bundle(&[patient(), encounter(), observation]).to_string();
    let planned = planned(&[text.clone(), String::new(), text]);
    assert!(planned.refused.is_empty());
    let lines: Vec<u64> = planned.plans.iter().map(|plan| plan.line).collect();
    assert_eq!(lines, [1, 3]);
    assert_eq!(planned.passed_over.get("Observation"), Some(&2));
    let [Step::Patient(patient, _), Step::Appointment(..)] = planned.plans[0].steps.as_slice()
    else {
        panic!("expected a registration and a visit");
    };
    assert_eq!(planned.plans[1].lane, patient.to_string(), "the same patient is in the same lane");
}

/// What the plans name, as kind, name or identifier, and time zone.
fn named(planned: &Planned) -> Vec<(&'static str, String, Option<String>)> {
    let plans = planned.plans.iter().flat_map(|plan| &plan.named);
    plans
        .map(|named| match named {
            Named::Practitioner(_, register) => {
                let name = register.name.as_ref().map(|name| name.display());
                let number = || register.identifiers[0].claim_key();
                ("practitioner", name.unwrap_or_else(number), None)
            }
            Named::Location(_, register) => {
                let zone = register.zone.as_ref().map(ToString::to_string);
                (register.kind.as_str(), register.name.to_string(), zone)
            }
        })
        .collect()
}

#[test]
fn whom_and_what_a_bundle_names_goes_into_the_directory() {
    let practitioner = json!({"resourceType": "Practitioner", "id": "d1",
        "identifier": [{"system": "urn:example:npi", "value": "7"}],
        "name": [{"family": "Doctor", "given": ["Dana"]}],
        "telecom": [{"system": "phone", "value": "555-0100"}],
        "qualification": [{"code": {"text": "Nurse"}, "issuer": {"display": "A board"},
                           "period": {"start": "2004-05-01"}}]});
    let silent = json!({"resourceType": "Practitioner", "id": "d2"});
    let place = |id: &str, kind: &str, more: Value| {
        let mut place = json!({"resourceType": "Location", "id": id, "name": id,
            "physicalType": {"coding": [{"code": kind}]}});
        place.as_object_mut().expect("a resource").extend(more.as_object().expect("more").clone());
        place
    };
    let zone = json!({"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/timezone",
                                     "valueCode": "Europe/Berlin"}]});
    let part_of = json!({"partOf": {"reference": "Location/house"}});
    let resources = [
        patient(),
        encounter(),
        practitioner,
        silent,
        // A room before its site; a room without a clock, and a bed, which this directory does not have.
        place("room", "ro", part_of),
        place("house", "si", zone),
        place("timeless", "ro", json!({})),
        place("bed", "bd", json!({})),
    ];
    let planned = planned(&[bundle(&resources).to_string()]);
    assert!(planned.refused.is_empty(), "{:?}", planned.refused);
    let owned =
        |kind, name: &str, zone: Option<&str>| (kind, name.to_owned(), zone.map(str::to_owned));
    assert_eq!(
        named(&planned),
        [
            owned("practitioner", "Dana Doctor", None),
            // By its number alone, and the same one: what is said first counts.
            owned("practitioner", "urn:example:npi|7", None),
            owned("room", "room", None),
            owned("site", "house", Some("Europe/Berlin")),
        ]
    );
    let ids: Vec<_> = planned.plans[0].named.iter().map(Named::id).collect();
    assert_eq!(ids[0], ids[1], "one practitioner");
    let Named::Location(_, room) = &planned.plans[0].named[2] else { panic!("a room") };
    assert_eq!(room.parent_id.map(|site| site.as_uuid()), Some(ids[3]));
    assert_eq!(planned.passed_over.get("Practitioner"), Some(&1));
    assert_eq!(planned.passed_over.get("Location"), Some(&2));
}

#[test]
fn a_pretty_printed_bundle_is_one_line() {
    let text = serde_json::to_string_pretty(&bundle(&[patient()])).expect("JSON prints");
    assert_eq!(planned(&[text]).plans.len(), 1);
}

#[test]
fn what_is_wrong_refuses_the_whole_line_and_the_next_goes_on() {
    let cases = [
        ("{".to_owned(), "malformed-json"),
        (json!({"type": "transaction"}).to_string(), "not-fhir"),
        (with(bundle(&[patient()]), "/type", json!("message")).to_string(), "bundle-type"),
        (bundle(&[with(patient(), "/name/0/family", json!(7))]).to_string(), "malformed-resource"),
        (
            bundle(&[with(patient(), "/birthDate", json!("1970-02-30"))]).to_string(),
            "invalid-value",
        ),
        (
            bundle(&[with(patient(), "/name/0/family", json!("x".repeat(500)))]).to_string(),
            "invalid-value",
        ),
        (
            bundle(&[patient(), with(encounter(), "/subject/reference", json!("urn:uuid:9"))])
                .to_string(),
            "unresolved-reference",
        ),
        (
            bundle(&[
                patient(),
                with(encounter(), "/participant/0/individual/reference", json!("Practitioner/9")),
            ])
            .to_string(),
            "unresolved-reference",
        ),
        (
            bundle(&[patient(), with(encounter(), "/period/start", json!("2019-05-27"))])
                .to_string(),
            "invalid-value",
        ),
        (
            bundle(&[patient(), with(encounter(), "/status", json!("planned"))]).to_string(),
            "invalid-value",
        ),
        (
            with(
                bundle(&[patient()]),
                "/entry/0/resource",
                json!({"resourceType": "Encounter", "reason": []}),
            )
            .to_string(),
            "fhir-release",
        ),
    ];
    let good = bundle(&[patient()]).to_string();
    for (text, code) in cases {
        let planned = planned(&[good.clone(), text.clone(), good.clone()]);
        assert_eq!(planned.plans.len(), 2, "{text}");
        let (line, refusal) = &planned.refused[0];
        assert_eq!((*line, refusal.code), (2, code), "{text}: {refusal}");
        assert!(!refusal.field.is_empty() && !refusal.reason.is_empty());
    }
}
