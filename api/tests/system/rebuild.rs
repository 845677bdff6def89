//! MongoDB and Redis hold nothing that is not in the log: dropped and flushed, they come back identical.

use std::time::Duration;

use domain::PatientId;
use projections::cache::Cache;
use projections::read_models::ReadModels;
use serde_json::json;
use uuid::Uuid;

use crate::support::clinic::booking;
use crate::support::{Clinic, cached, documents, drop_database, flush, phantom, until};

/// How long a measurement may take on a slow machine under load; on an idle one it is a few seconds.
const MEASURED_WITHIN: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_database_and_a_flushed_cache_come_back_identical() {
    let clinic = Clinic::start().await;
    let mut patients = Vec::new();
    for number in 0..12 {
        let (family, mrn) = (format!("Rebuilt-{number}"), format!("R-{number}"));
        patients.push(clinic.register(&family, "Jorunn", &mrn).await);
    }
    let path = format!("/v1/patients/{}/contacts", patients[3]);
    let contacts = json!({ "contacts": [{ "system": "phone", "value": "+47 555 01 23" }],
                           "reason": "moved" });
    clinic.staff.put(&path, &contacts).await.done();
    clinic.instance.list([Uuid::from_u128(0xd0c)]).await;
    for (hour, patient) in patients.iter().enumerate() {
        let start = format!("2031-03-03T{:02}:00", 8 + hour);
        let booked = booking(patient, Uuid::from_u128(0xd0c), &start);
        let booked = clinic.staff.post("/v1/appointments", &booked).await.done().stream();
        if hour % 3 == 0 {
            let path = format!("/v1/appointments/{booked}/cancel");
            clinic.staff.post(&path, &json!({ "reason": "patient-request" })).await.done();
        }
    }
    let wound = clinic.wound(&patients[0]).await;
    let sent = clinic.staff.capture(Uuid::now_v7(), &format!("{wound}/scans"), &phantom(11)).await;
    clinic.answered(&wound, sent.done().position(), MEASURED_WITHIN).await;
    clinic.caught_up().await;

    let instance = &clinic.instance;
    let (uri, url, name) = (&instance.mongodb_uri, &instance.redis_url, instance.name());
    let before = (documents(uri, name).await, cached(url, name).await);
    // Patients, appointments, a wound, and the practitioner.
    let all = 12 + 12 + 1 + 1;
    assert_eq!((before.0.len(), before.1.len()), (all, all));

    // Both at once, under a worker that is running.
    flush(url, name).await;
    drop_database(uri, name).await;
    until("the documents are back", MEASURED_WITHIN, || async {
        documents(uri, name).await.len() == before.0.len()
    })
    .await;
    clinic.caught_up().await;
    assert!(documents(uri, name).await == before.0, "the documents differ");
    let back = || async { cached(url, name).await.len() == before.1.len() };
    until("the cache is back", Duration::from_secs(60), back).await;
    assert!(cached(url, name).await == before.1, "the cached documents differ");

    // The cache alone: it fills again as documents are read.
    flush(url, name).await;
    assert!(cached(url, name).await.is_empty());
    let tags = instance.tags();
    let cache = Cache::new(url, name, Duration::from_secs(600), tags.clone()).expect("a cache");
    let models = ReadModels::connect(uri, name, Some(cache), tags, instance.log()).await;
    let models = models.expect("the read models");
    for patient in &patients {
        let id = PatientId::from_uuid(patient.parse().expect("a UUID"));
        models.patient(id, None).await.expect("it reads").expect("it is there");
    }
    let of_patients = before.1.iter().filter(|(key, _)| key.contains(":patient:"));
    let of_patients = of_patients.map(|(key, entry)| (key.clone(), entry.clone())).collect();
    assert!(cached(url, name).await == of_patients, "the cached patients differ");
    instance.assert_sound().await;
}
