//! FHIR bundles: what the files hold, counted here from the raw JSON, is what the ledger records.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use api::import::{self, Report, fhir};
use commands::Ledger;
use domain::{Appointment, Patient, Practitioner};
use serde_json::{Value, json};

use crate::support::{Instance, data, text};

const SYNTHEA: [&str; 2] = ["synthea-2019.bundles.ndjson.gz", "synthea-hiv.bundles.ndjson.gz"];

/// As the command line does it, in this process.
async fn import(ledger: &Ledger, path: &Path) -> Report {
    let mut reader = import::open(path).expect("the file opens");
    let planned = fhir::plan(&mut *reader, ledger).expect("the file reads");
    let report = import::run(ledger, "file", planned.plans, &|_| ()).await;
    let mut report = report.expect("the import runs to its end");
    report.refuse_all("file", planned.refused);
    report.passed_over = planned.passed_over;
    report
}

/// The resources of a file of bundles, each with its bundle.
fn resources(path: &Path) -> Vec<Vec<Value>> {
    let bundle = |line: &str| {
        let mut bundle: Value = serde_json::from_str(line).expect("a bundle is JSON");
        let entries = bundle["entry"].as_array_mut().expect("entries");
        entries.iter_mut().map(|entry| entry["resource"].take()).collect()
    };
    text(path).lines().filter(|line| !line.is_empty()).map(bundle).collect()
}

/// The practitioners that resources are, or refer to by identifier.
fn practitioners<'a>(resources: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for resource in resources {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match kind(resource) {
            "Practitioner" => {
                let identifier = &resource["identifier"][0];
                named.insert(format!(
                    "{}|{}",
                    text(&identifier["system"]),
                    text(&identifier["value"])
                ));
            }
            "Encounter" => {
                let reference = text(&resource["participant"][0]["individual"]["reference"]);
                let identifier = reference.strip_prefix("Practitioner?identifier=");
                named.extend(identifier.map(str::to_owned));
            }
            _ => {}
        }
    }
    named
}

fn kind(resource: &Value) -> &str {
    resource["resourceType"].as_str().expect("a resource type")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_synthea_files_are_recorded_and_importing_again_adds_nothing() {
    let Some(folder) = data("fhir") else { return };
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    let mut everything = Vec::new();
    let mut staff: BTreeSet<String> = BTreeSet::new();
    let mut events = 1;
    for name in SYNTHEA {
        let path = folder.join(name);
        let bundles = resources(&path);
        let mut counted: BTreeMap<String, u64> = BTreeMap::new();
        for resource in bundles.iter().flatten() {
            *counted.entry(kind(resource).to_owned()).or_default() += 1;
        }
        let patients = counted.remove("Patient").expect("patients");
        let encounters = counted.remove("Encounter").expect("encounters");
        // Each is registered once, however many bundles name them.
        let mut named = practitioners(bundles.iter().flatten());
        counted.remove("Practitioner");
        let known = named.len() as u64;
        named.retain(|practitioner| !staff.contains(practitioner));
        let new = named.len() as u64;
        staff.extend(named);

        let report = import(&ledger, &path).await;
        assert!(report.refusals.is_empty(), "{:?}", report.refusals);
        assert_eq!((report.lines, report.accepted), (patients, patients), "{name}");
        let recorded = [("patients", patients), ("practitioners", new), ("visits", encounters)];
        let recorded = recorded.into_iter().filter(|(_, n)| *n > 0);
        let recorded: BTreeMap<_, _> = recorded.map(|(kind, n)| (kind.to_owned(), n)).collect();
        assert_eq!(report.recorded, recorded);
        assert_eq!(report.passed_over, counted, "{name}: what is not recorded is counted");
        events += patients + new + encounters;

        let again = import(&ledger, &path).await;
        assert!(again.recorded.is_empty(), "{name}: {:?}", again.recorded);
        let mut all = report.recorded;
        if known > 0 {
            all.insert("practitioners".to_owned(), known);
        }
        assert_eq!(again.unchanged, all, "{name}");
        assert_eq!(u64::try_from(instance.events().await).expect("a size"), events, "{name}");
        everything.extend(bundles);
    }
    assert_eq!(events, 1 + 108 + 2329 + 939 + staff.len() as u64);
    let of = |kind: &str| format!("SELECT count(*) FROM events WHERE event_type = '{kind}'");
    assert_eq!(instance.count(&of("PatientRegistered")).await, 108);
    assert_eq!(instance.count(&of("VisitRecorded")).await, 3268);
    assert_eq!(
        instance.count("SELECT count(*) FROM claims_busy").await,
        0,
        "nobody's time is taken"
    );

    for bundle in everything.iter().step_by(9) {
        compare(&ledger, bundle).await;
    }
    ledger.close().await;
    instance.assert_sound().await;
}

/// What is loaded back equals the source.
async fn compare(ledger: &Ledger, bundle: &[Value]) {
    let source = bundle.iter().find(|resource| kind(resource) == "Patient").expect("a patient");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let identifiers: Vec<(String, String)> = source["identifier"]
        .as_array()
        .expect("identifiers")
        .iter()
        .map(|identifier| (text(&identifier["system"]), text(&identifier["value"])))
        .collect();
    let (system, value) = &identifiers[0];
    let id = ledger.derived_id("patient", &format!("{system}|{value}"));
    let patient =
        ledger.load::<Patient>(id).await.expect("it loads").expect("it is there").aggregate;
    let stored: Vec<(String, String)> = patient
        .identifiers()
        .iter()
        .map(|identifier| (identifier.system.as_str().to_owned(), identifier.value.to_string()))
        .collect();
    assert_eq!(stored, identifiers);
    let demographics = patient.demographics();
    let name = demographics.name.as_ref().expect("a name");
    let official = &source["name"][0];
    assert_eq!(name.family.as_deref(), official["family"].as_str());
    let given: Vec<&str> = name.given.iter().map(|given| given.as_str()).collect();
    assert_eq!(json!(given), official["given"]);
    assert_eq!(
        demographics.birth_date.map(|date| date.to_string()),
        Some(text(&source["birthDate"]))
    );
    assert_eq!(demographics.gender.as_str(), source["gender"]);
    let died = source["deceasedDateTime"].as_str().map(|at| at[..10].to_owned());
    assert_eq!(demographics.deceased.map(|date| date.to_string()), died);
    let telephones: Vec<Value> =
        patient.contacts().points.iter().map(|point| json!(point.value.as_str())).collect();
    let expected: Vec<Value> = source["telecom"]
        .as_array()
        .expect("telecom")
        .iter()
        .map(|point| point["value"].clone())
        .collect();
    assert_eq!(telephones, expected);
    assert_eq!(
        patient.contacts().addresses[0].city.as_deref(),
        source["address"][0]["city"].as_str()
    );

    for encounter in bundle.iter().filter(|resource| kind(resource) == "Encounter") {
        let source = format!("{id}|{}", text(&encounter["id"]));
        let visit = ledger.derived_id("encounter", &source);
        let visit =
            ledger.load::<Appointment>(visit).await.expect("it loads").expect("it is there");
        let visit = visit.aggregate.visit().expect("a visit").clone();
        assert_eq!(visit.patient_id.as_uuid(), id);
        let at = |value: &Value| value.as_str().map(|at| at.parse().expect("an instant"));
        assert_eq!(Some(visit.started_at), at(&encounter["period"]["start"]));
        assert_eq!(visit.ended_at, at(&encounter["period"]["end"]));
        assert_eq!(visit.class.as_str(), encounter["class"]["code"]);
        assert_eq!(visit.status.as_str(), encounter["status"]);
        let coded = visit.visit_type.map(|coding| coding.code.as_str().to_owned());
        assert_eq!(coded.as_deref(), encounter["type"][0]["coding"][0]["code"].as_str());
        let coded = visit.reason.map(|coding| coding.code.as_str().to_owned());
        assert_eq!(coded.as_deref(), encounter["reasonCode"][0]["coding"][0]["code"].as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_r4_is_refused_by_its_sign() {
    let Some(folder) = data("fhir/scheduling") else { return };
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    let mut refused = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let report = import(&ledger, &path).await;
        if !name.starts_with("argonaut-stu3-") {
            assert!(report.refusals.iter().all(|line| line.code != "fhir-release"), "{name}");
            continue;
        }
        if name.ends_with("Practitioner-dr-y.json") {
            // It says nowhere that it is STU3, and would be the same in R4.
            assert_eq!((report.refused, report.recorded.len()), (0, 1), "{name}");
            assert_eq!(report.recorded["practitioners"], 1, "{name}");
            continue;
        }
        let [line] = report.refusals.as_slice() else { panic!("{name}: {report:?}") };
        assert_eq!((line.line, line.code.as_str()), (1, "fhir-release"), "{name}");
        assert!(line.reason.contains("STU3"), "{name}: {}", line.reason);
        assert_eq!((report.accepted, report.recorded.len()), (0, 0), "{name}");
        refused += 1;
    }
    assert_eq!(refused, 10);
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_hl7s_examples_is_taken_or_refused_with_a_reason() {
    let Some(folder) = data("fhir") else { return };
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    let path = folder.join("hl7-r4-examples.ndjson.gz");
    let lines = text(&path).lines().count() as u64;
    let report = import(&ledger, &path).await;
    assert_eq!((report.lines, report.accepted + report.refused), (lines, lines));
    assert_eq!(report.refusals.len() as u64, report.refused, "one line each");
    for line in &report.refusals {
        assert!(!line.code.is_empty() && !line.field.is_empty() && !line.reason.is_empty());
        assert!(!line.reason.contains('\n'), "{}", line.reason);
        assert_ne!(line.code, "fhir-release", "all of them are R4: line {}", line.line);
    }
    let recorded: u64 = report.recorded.values().sum();
    assert_eq!(u64::try_from(instance.events().await).expect("a size"), 1 + recorded);
    ledger.close().await;
}

fn bundle(mrn: &str, subject: &str) -> Value {
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "fullUrl": "urn:uuid:1", "resource": { "resourceType": "Patient", "id": mrn,
          "name": [{ "family": "Quistgaard", "given": ["Aurelia"] }], "birthDate": "1947-03-02",
          "identifier": [{ "system": "urn:example:mrn", "value": mrn }] } },
        { "resource": { "resourceType": "Encounter", "id": format!("e-{mrn}"), "status": "finished",
          "class": { "code": "AMB" }, "subject": { "reference": subject },
          "period": { "start": "2019-05-27T09:43:30+02:00" } } },
    ]})
}

/// Who is out of use when a file names them stays so, and the file still says who treated whom.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_registers_whom_it_names_once_and_changes_nobody() {
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    let named = |mrn: &str, family: &str| {
        let mut bundle = bundle(mrn, "urn:uuid:1");
        let who = json!({ "resource": { "resourceType": "Practitioner", "id": "d",
            "identifier": [{ "system": "urn:example:npi", "value": "7" }],
            "name": [{ "family": family }] } });
        bundle["entry"].as_array_mut().expect("entries").push(who);
        bundle.to_string()
    };
    let file = instance.path("named.ndjson");
    std::fs::write(&file, [named("M-1", "Doctor"), named("M-2", "Docteur")].join("\n"))
        .expect("a file");
    let report = import(&ledger, &file).await;
    assert_eq!(report.refused, 0, "{:?}", report.refusals);
    assert_eq!(report.recorded["practitioners"], 1);
    let id = ledger.derived_id("practitioner", "urn:example:npi|7");
    let practitioner =
        ledger.load::<Practitioner>(id).await.expect("it loads").expect("it is there");
    let name = practitioner.aggregate.profile().name.as_ref().expect("a name");
    assert_eq!(name.family.as_deref(), Some("Doctor"), "what is said first counts");
    let again = import(&ledger, &file).await;
    assert_eq!((again.recorded.len(), again.unchanged["practitioners"]), (0, 1));
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_says_by_its_status_whether_a_line_was_refused() {
    let instance = Instance::new().await;
    instance.run(["migrate"]).await.succeeded();
    let (good, mixed) = (instance.path("good.ndjson"), instance.path("mixed.ndjson"));
    let first = bundle("M-1", "urn:uuid:1").to_string();
    let lines = [
        first.clone(),
        bundle("M-2", "urn:uuid:2").to_string(),
        "{".to_owned(),
        bundle("M-3", "urn:uuid:1").to_string(),
    ];
    std::fs::write(&good, first).expect("a file");
    std::fs::write(&mixed, lines.join("\n")).expect("a file");
    let arguments =
        |path: &Path| ["--json", "import", "fhir", path.to_str().expect("text")].map(String::from);

    let report = instance.run(arguments(&good)).await.succeeded().json();
    assert_eq!(report["recorded"], json!({ "patients": 1, "visits": 1 }));
    let report = instance.run(arguments(&good)).await.succeeded().json();
    assert_eq!(report["recorded"], json!({}));
    assert_eq!(instance.events().await, 3);

    let ran = instance.run(arguments(&mixed)).await;
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    let report = ran.json();
    assert_eq!(
        (&report["lines"], &report["accepted"], &report["refused"]),
        (&json!(4), &json!(2), &json!(2))
    );
    assert_eq!(report["recorded"], json!({ "patients": 1, "visits": 1 }));
    assert_eq!(report["unchanged"], json!({ "patients": 1, "visits": 1 }));
    let refused = |index: usize| {
        let line = &report["refusals"][index];
        [&line["file"], &line["line"], &line["code"]].map(Value::to_string)
    };
    assert_eq!(refused(0), ["\"mixed.ndjson\"", "2", "\"unresolved-reference\""]);
    assert_eq!(refused(1), ["\"mixed.ndjson\"", "3", "\"malformed-json\""]);
    assert_eq!(instance.events().await, 5, "nothing of the refused bundle is recorded");
    assert_eq!(instance.count("SELECT count(*) FROM claims_unique").await, 2);
    assert_eq!(instance.run(["--json", "import", "fhir", "no-such-file"]).await.status, 1);
    instance.assert_sound().await;
}
