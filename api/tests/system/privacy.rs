//! Whoever has a dump of Postgres, the object storage and the logs has no patient: no name, no birth date, no
//! number stands there in the clear, nor in hexadecimal or base64.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::clinic::{booking, patient};
use crate::support::traces::{dump, needles, search};
use crate::support::{Clinic, below, phantom, until};

/// Patients of nobody's, with names long enough to be found nowhere by chance.
const PATIENTS: [(&str, &str, &str, &str); 5] = [
    ("Quistgaard", "Aurelia-Philippa", "1947-03-02", "CL-104729"),
    ("Umeh-Solberg", "Bertrand", "1952-11-19", "CL-112648"),
    ("Papadimopoulos", "Eilidh-Rose", "1990-09-14", "CL-120567"),
    ("Grzelakowski", "Fenton-James", "1974-05-08", "CL-128486"),
    ("Öztürkoğlu", "Zülfiye", "1983-06-21", "CL-136405"),
];

/// A file of another system.
fn bundle() -> Value {
    let (family, given, born, mrn) = PATIENTS[3];
    json!({ "resourceType": "Bundle", "type": "collection", "entry": [
        { "fullUrl": "urn:uuid:1", "resource": { "resourceType": "Patient", "id": mrn, "birthDate": born,
          "name": [{ "family": family, "given": [given] }],
          "identifier": [{ "system": "urn:example:mrn", "value": mrn }] } },
        { "resource": { "resourceType": "Encounter", "id": "e1", "status": "finished",
          "class": { "code": "AMB" }, "subject": { "reference": "urn:uuid:1" },
          "period": { "start": "2019-05-27T09:43:30+02:00" } } },
    ]})
}

#[tokio::test(flavor = "multi_thread")]
async fn dumps_captures_and_logs_hold_no_patient() {
    let clinic = Clinic::start().await;
    let (staff, instance) = (&clinic.staff, &clinic.instance);
    let mut said = String::new();

    let (mut ids, mut position) = (Vec::new(), 0);
    for (family, given, born, mrn) in &PATIENTS[..3] {
        let registered =
            staff.post("/v1/patients", &patient(family, given, born, mrn)).await.done();
        ids.push(registered.stream());
        position = registered.position();
        said.push_str(&registered.body.to_string());
    }
    let last = staff.get_at(&format!("/v1/patients/{}", ids[2]), position).await;
    assert!(last.body.to_string().contains(PATIENTS[2].0), "the API itself does show the patient");
    clinic.caught_up().await;
    let (family, given, born, mrn) = PATIENTS[0];
    for search in
        [json!({ "family": family }), json!({ "identifier": mrn }), json!({ "birth_date": born })]
    {
        let found = staff.post("/v1/patients/search", &search).await.done();
        assert_eq!(found.body["items"].as_array().map(Vec::len), Some(1), "{}", found.body);
    }
    let edit = json!({ "name": { "family": PATIENTS[4].0, "given": [PATIENTS[4].1] }, "gender": "female",
                       "birth_date": PATIENTS[4].2, "reason": "marriage" });
    staff.put(&format!("/v1/patients/{}/demographics", ids[1]), &edit).await.done();
    let start = "2031-03-03T09:00";
    clinic.instance.list([Uuid::from_u128(7)]).await;
    staff.post("/v1/appointments", &booking(&ids[0], Uuid::from_u128(7), start)).await.done();

    // Refusals of all kinds, each with a name or a number in it.
    for (path, body) in [
        ("/v1/patients", patient(family, given, born, mrn)),
        ("/v1/patients", json!({ "name": family })),
        ("/v1/patients", json!({ (family): given })),
        ("/v1/patients", json!({ "birth_date": format!("{born}-{mrn}") })),
        ("/v1/patients/search", json!({ "identifier": [mrn] })),
        ("/v1/appointments", booking(family, Uuid::from_u128(7), start)),
    ] {
        let refused = staff.post(path, &body).await;
        assert!(
            (400..500).contains(&refused.status),
            "{path}: {} {}",
            refused.status,
            refused.body
        );
        // An unknown member is named to whoever sent it; the logs below must not name it.
        if !refused.body["detail"].as_str().is_some_and(|detail| detail.contains("unknown field")) {
            said.push_str(&refused.body.to_string());
        }
    }
    for path in [format!("/v1/patients/{mrn}"), format!("/v1/{family}/{mrn}")] {
        assert!((400..500).contains(&staff.get(&path).await.status));
    }

    let file = instance.path("import.ndjson");
    let broken = bundle().to_string().replace("2019-05-27T", PATIENTS[2].0);
    std::fs::write(&file, format!("{}\n{broken}\n", bundle())).expect("a file");
    let ran = instance.run(["import", "fhir", file.to_str().expect("text")]).await;
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    said.push_str(&ran.stdout);
    said.push_str(&ran.stderr);

    let wound = clinic.wound(&ids[0]).await;
    let capture = phantom(3);
    let sent = staff.capture(Uuid::now_v7(), &format!("{wound}/scans"), &capture).await.done();
    clinic.answered(&wound, sent.position(), Duration::from_secs(300)).await;
    clinic.caught_up().await;
    until("the logs are written", Duration::from_secs(10), || async {
        below(&instance.logs()).iter().all(|log| log.metadata().is_ok_and(|log| log.len() > 500))
    })
    .await;

    let secrets: Vec<String> = PATIENTS
        .iter()
        .flat_map(|(family, given, born, mrn)| [*family, *given, *born, *mrn])
        .map(str::to_owned)
        .collect();
    let needles = needles(&secrets);
    assert!(needles.len() > 5 * 4 * 5);
    let dumped = dump(instance).await;
    assert!(
        dumped.iter().any(|(name, values)| name == "public.events.payload" && values.len() > 1_000)
    );
    assert!(dumped.iter().any(|(name, _)| name == "keyring.data_keys.wrapped"));
    for (name, values) in &dumped {
        search(name, values, &needles);
    }
    search("what was answered and printed", said.as_bytes(), &needles);
    for file in below(&instance.logs()) {
        let log = std::fs::read(&file).expect("a log");
        search(&file.display().to_string(), &log, &needles);
    }
    let captures = instance.captures();
    assert_eq!(captures.len(), 1);
    for file in captures {
        let stored = std::fs::read(&file).expect("a capture");
        search(&file.display().to_string(), &stored, &needles);
        search(&file.display().to_string(), file.display().to_string().as_bytes(), &needles);
        let clear = [("the capture itself".to_owned(), capture[..64].to_vec())];
        search("the stored capture", &stored, &clear);
    }
    if let Ok(dumped) = Command::new("pg_dump").arg(&instance.url).output()
        && dumped.status.success()
    {
        assert!(dumped.stdout.len() > 10_000);
        search("pg_dump", &dumped.stdout, &needles);
    }
    instance.assert_sound().await;
}
