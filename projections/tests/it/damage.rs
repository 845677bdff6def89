//! Whoever can write to MongoDB, but has no key: whatever is changed there is never shown, counted, and healed.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, RawDocumentBuf, doc};
use domain::{AppointmentId, Custody, PatientId, WoundId};
use mongodb::Collection;
use projections::read_models::{
    AppointmentFilter, Page, PatientSearch, ReadError, ReadModel, ReadModels,
};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::clinic::{COLLECTIONS, Clinic, id, of_patients};
use crate::counted::Counted;

/// The clinic's documents, as somebody with every right on the store sees them.
struct Intruder<'a> {
    clinic: &'a Clinic,
}

impl Intruder<'_> {
    fn collection(&self, name: &str) -> Collection<Document> {
        self.clinic.models.database().collection(name)
    }

    async fn get(&self, collection: &str, id: &str) -> Document {
        let found = self.collection(collection).find_one(doc! { "_id": id }).await;
        found.expect("Mongo answers").expect("the document")
    }

    /// Leaves `document` under this id, or nothing.
    async fn put(&self, collection: &str, id: &str, document: Option<Document>) {
        let target = self.collection(collection);
        target.delete_one(doc! { "_id": id }).await.expect("Mongo answers");
        if let Some(mut document) = document {
            document.insert("_id", id);
            target.insert_one(document).await.expect("Mongo answers");
        }
    }
}

fn bytes(value: &Bson) -> Vec<u8> {
    match value {
        Bson::Binary(binary) => binary.bytes.clone(),
        other => panic!("no bytes: {other:?}"),
    }
}

fn binary(bytes: Vec<u8>) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes })
}

fn with(document: &Document, field: &str, value: impl Into<Bson>) -> Option<Document> {
    let mut changed = document.clone();
    changed.insert(field, value.into());
    Some(changed)
}

fn without(document: &Document, field: &str) -> Option<Document> {
    let mut changed = document.clone();
    changed.remove(field).expect("the field");
    Some(changed)
}

/// Every way to lie about `mine`, given another document of the collection and an older state of the same.
fn lies(mine: &Document, other: &Document, older: &Document) -> Vec<(String, Option<Document>)> {
    let mut lies = Vec::new();
    let mut lie = |name: &str, document: Option<Document>| lies.push((name.to_owned(), document));
    let (body, tag) = (bytes(&mine["body"]), bytes(&mine["tag"]));
    let position = mine.get_i64("position").expect("a position");
    let flipped = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        binary(bytes)
    };
    for at in [0, body.len() / 2, body.len() - 1] {
        lie(&format!("a bit of the body at {at}"), with(mine, "body", flipped(&body, at)));
    }
    let text = String::from_utf8(body.clone()).expect("JSON");
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    for (member, to) in [("version", json!(9)), ("position", json!(1)), ("_id", json!(id(77)))] {
        let mut changed = value.clone();
        changed[member] = to;
        let changed = binary(changed.to_string().into_bytes());
        lie(&format!("{member} in the body"), with(mine, "body", changed));
    }
    if value.get("patient_id").is_some() {
        value["patient_id"] = json!(id(2));
        let mut changed = with(mine, "patient_id", id(2).to_string()).expect("a document");
        changed.insert("body", binary(value.to_string().into_bytes()));
        lie("patient_id in body and field", Some(changed));
    }
    lie("the body of another", with(mine, "body", other["body"].clone()));
    lie("no body", without(mine, "body"));
    lie("the body as text", with(mine, "body", text));
    for at in [0, 31] {
        lie(&format!("a bit of the tag at {at}"), with(mine, "tag", flipped(&tag, at)));
    }
    lie("the tag of another", with(mine, "tag", other["tag"].clone()));
    lie("the tag of an older state", with(mine, "tag", older["tag"].clone()));
    lie("no tag", without(mine, "tag"));
    lie("a short tag", with(mine, "tag", binary(tag[..16].to_vec())));
    for to in [1_000_000_000, i64::MAX, position + 1, position - 1, 0, -1] {
        lie(&format!("position {to}"), with(mine, "position", to));
    }
    lie("the position as a fraction", with(mine, "position", position as f64));
    lie("no position", without(mine, "position"));
    let queried = ["patient_id", "practitioner_id", "sort_key", "birth_date", "active", "matching"];
    for field in queried.iter().filter(|field| mine.contains_key(**field)) {
        lie(&format!("no {field}"), without(mine, field));
        lie(&format!("another {field}"), with(mine, field, "2031-01-01"));
        lie(&format!("{field} as a list"), with(mine, field, vec![mine[*field].clone()]));
    }
    if let Ok(matching) = mine.get_document("matching") {
        let mut matching = matching.clone();
        matching.insert("family", "nobody");
        lie("another family name to be found by", with(mine, "matching", matching));
    }
    if mine.contains_key("patient_id") {
        lie("another patient_id", with(mine, "patient_id", id(2).to_string()));
        lie("no patient's patient_id", with(mine, "patient_id", id(99).to_string()));
    }
    lie("one field more", with(mine, "note", "x"));
    lie("a tombstone's field", with(mine, "erased", id(1).to_string()));
    lie("another document under this id", Some(other.clone()));
    let older_now = with(older, "position", position);
    lie("an older state at the newer position", older_now);
    lie("an older state", Some(older.clone()));
    let erased =
        doc! { "erased": id(1).to_string(), "position": position, "tag": mine["tag"].clone() };
    lie("a tombstone of somebody who lives", Some(erased));
    lie("an empty document", Some(Document::new()));
    lie("removed", None);
    lies
}

/// The documents of patient 1, one of each kind, with an older state of each, and the same of patient 3.
struct Case {
    collection: &'static str,
    id: String,
    other: String,
}

fn cases() -> [Case; 3] {
    let of = |collection, base: u128| Case {
        collection,
        id: id(base + 1).to_string(),
        other: id(base + 3).to_string(),
    };
    [of(COLLECTIONS[0], 0), of(COLLECTIONS[1], 0x1000), of(COLLECTIONS[2], 0x2000)]
}

/// A clinic whose documents have an older state; gives back that older state of each case.
async fn clinic_with_a_past(pool: PgPool) -> (Clinic, Vec<Document>) {
    let clinic = Clinic::open(pool).await;
    for n in 1..=3 {
        clinic.register(n).await;
        clinic.book(n, u8::try_from(n).expect("small")).await;
        clinic.open_wound(n).await;
    }
    clinic.catch_up().await;
    let intruder = Intruder { clinic: &clinic };
    let mut older = Vec::new();
    for case in cases() {
        older.push(intruder.get(case.collection, &case.id).await);
    }
    clinic.edit(1, 0).await;
    clinic.catch_up().await;
    (clinic, older)
}

impl Clinic {
    /// One more event in each stream of patient `n`.
    async fn edit(&self, n: u128, round: u128) {
        self.rename(n, &format!("Neumann-{round}")).await;
        let day = 10 + u8::try_from(round % 18).expect("small");
        let time = json!({ "start": format!("2026-04-{day:02}T10:30"), "zone": "America/Chicago",
                           "duration_minutes": 45 });
        let command = json!({ "reschedule": { "time": time, "reason": "by phone" } });
        self.execute::<domain::Appointment>(id(0x1000 + n), command).await;
        let capture = format!("capture {round}");
        self.scan(n, 0x9_0000 + round, "2026-01-01T10:00:00Z", capture.as_bytes()).await;
    }

    /// The read models without the cache before them.
    fn uncached(&self) -> ReadModels {
        let (tags, log) = (self.models.tags().clone(), self.log.clone());
        ReadModels::new(self.models.database().clone(), None, tags, log)
    }
}

/// What is shown under an id, as JSON.
async fn shown(
    models: &ReadModels,
    collection: &str,
    id: &str,
) -> Result<Option<Value>, ReadError> {
    let id = id.parse::<uuid::Uuid>().expect("an id");
    let value = |document| serde_json::to_value(document).expect("JSON");
    Ok(match collection {
        "patients_v2" => models.patient(PatientId::from_uuid(id), None).await?.map(|it| json!(it)),
        "appointments_v2" => {
            models.appointment(AppointmentId::from_uuid(id), None).await?.map(|it| json!(it))
        }
        _ => models.wound(WoundId::from_uuid(id), None).await?.map(value),
    })
}

#[sqlx::test(migrations = "../migrations")]
async fn whatever_is_changed_in_a_document_is_never_shown_counted_and_healed(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let (clinic, older) = clinic_with_a_past(pool).await;
    let intruder = Intruder { clinic: &clinic };
    let models = clinic.uncached();
    let truth = clinic.documents().await;
    let mut tried = 0;
    for (case, older) in cases().iter().zip(&older) {
        let mine = intruder.get(case.collection, &case.id).await;
        let other = intruder.get(case.collection, &case.other).await;
        let expected = shown(&models, case.collection, &case.id).await.expect("an answer");
        assert!(expected.is_some());
        for (name, lie) in lies(&mine, &other, older) {
            let name = format!("{}: {name}", case.collection);
            let before = counted.of("read_model_damaged_total");
            intruder.put(case.collection, &case.id, lie).await;
            let answer = shown(&models, case.collection, &case.id).await;
            assert_eq!(answer.expect("an answer"), expected, "{name}: shown");
            assert_eq!(counted.of("read_model_damaged_total"), before + 1, "{name}: counted");
            assert!(clinic.documents().await == truth, "{name}: healed");
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_is_folded_onto_what_does_not_hold(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let (clinic, mut older) = clinic_with_a_past(pool).await;
    let intruder = Intruder { clinic: &clinic };
    let kinds = {
        let mine = intruder.get(cases()[1].collection, &cases()[1].id).await;
        let other = intruder.get(cases()[1].collection, &cases()[1].other).await;
        lies(&mine, &other, &older[1]).len()
    };
    for kind in 0..kinds {
        let before = counted.of("read_model_damaged_total");
        let mut names = Vec::new();
        for (case, older) in cases().iter().zip(&mut older) {
            let mine = intruder.get(case.collection, &case.id).await;
            let other = intruder.get(case.collection, &case.other).await;
            let mut lies = lies(&mine, &other, older);
            let (name, lie) = lies.swap_remove(kind % lies.len());
            names.push(name);
            intruder.put(case.collection, &case.id, lie).await;
            *older = mine;
        }
        clinic.edit(1, 1 + kind as u128).await;
        clinic.catch_up().await;
        assert_eq!(counted.of("read_model_damaged_total"), before + 3, "{names:?}");
    }
    let live = clinic.documents().await;
    clinic.models.database().drop().await.expect("Mongo answers");
    clinic.catch_up().await;
    assert!(clinic.documents().await == live, "what was folded is what a rebuild makes");
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_list_shows_only_what_holds(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let (clinic, older) = clinic_with_a_past(pool).await;
    let intruder = Intruder { clinic: &clinic };
    let models = clinic.uncached();
    let truth = clinic.documents().await;
    let page = Page::default();
    let practitioner =
        AppointmentFilter { practitioner_id: Some(id(0xd0c).into()), ..Default::default() };
    let search = PatientSearch { given: "anna".parse().ok(), ..Default::default() };
    let list = || async {
        let patients = models.search_patients(&search, &page).await.expect("an answer").items;
        let visits = models.appointments(&practitioner, &page).await.expect("an answer").items;
        let wounds = models.wounds_of(id(1).into(), &page).await.expect("an answer").items;
        let others = models.wounds_of(id(2).into(), &page).await.expect("an answer").items;
        let own = AppointmentFilter { patient_id: Some(id(1).into()), ..Default::default() };
        let own = models.appointments(&own, &page).await.expect("an answer").items;
        json!([patients, visits, wounds, others, own])
    };
    let expected = list().await;
    for (case, older) in cases().iter().zip(&older) {
        let mine = intruder.get(case.collection, &case.id).await;
        let other = intruder.get(case.collection, &case.other).await;
        for (name, lie) in lies(&mine, &other, older) {
            let name = format!("{}: {name}", case.collection);
            intruder.put(case.collection, &case.id, lie).await;
            let listed = list().await;
            // What a patient has is complete: there the log says what belongs to it.
            for complete in 2..5 {
                assert_eq!(listed[complete], expected[complete], "{name}");
            }
            // From another list a changed field may hide a document; it never shows another one.
            let lists = |value: &Value| -> Vec<Vec<Value>> {
                serde_json::from_value(value.clone()).expect("lists")
            };
            for (listed, expected) in lists(&listed).iter().zip(lists(&expected)) {
                assert!(listed.iter().all(|one| expected.contains(one)), "{name}: {listed:?}");
                assert!(listed.len() + 1 >= expected.len(), "{name}");
            }
            // Whatever was hidden is found by its id, and is back in the list from then on.
            shown(&models, case.collection, &case.id).await.expect("an answer");
            assert_eq!(list().await, expected, "{name}: healed");
            assert!(clinic.documents().await == truth, "{name}: healed");
        }
    }
    assert!(counted.of("read_model_damaged_total") > 100);
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_field_that_is_there_twice_is_not_believed(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let (clinic, _) = clinic_with_a_past(pool).await;
    let intruder = Intruder { clinic: &clinic };
    let mine = intruder.get("wounds_v2", &id(0x2001).to_string()).await;
    // `patient_id` of somebody else first, and then what it was.
    let of_other = doc! { "_id": id(0x2001).to_string(), "patient_id": id(2).to_string() };
    let rest = without(&mine, "_id").expect("a document");
    let mut elements = Vec::new();
    for part in [of_other, rest] {
        let bytes = bson::serialize_to_vec(&part).expect("BSON");
        elements.extend_from_slice(&bytes[4..bytes.len() - 1]);
    }
    let length = i32::try_from(elements.len() + 5).expect("small");
    let twice = [&length.to_le_bytes()[..], &elements, &[0]].concat();
    let twice = RawDocumentBuf::from_bytes(twice).expect("a document");
    let wounds = clinic.models.database().collection::<RawDocumentBuf>("wounds_v2");
    wounds.delete_one(doc! { "_id": id(0x2001).to_string() }).await.expect("Mongo answers");
    if wounds.insert_one(twice).await.is_ok() {
        let before = counted.of("read_model_damaged_total");
        let models = clinic.uncached();
        let of_other = models.wounds_of(id(2).into(), &Page::default()).await.expect("an answer");
        assert!(of_other.items.iter().all(|wound| wound.patient_id == id(2).into()));
        let found = models.wound(WoundId::from_uuid(id(0x2001)), None).await.expect("an answer");
        assert_eq!(found.map(|found| found.patient_id), Some(id(1).into()));
        // A server may keep only one of the two; then what it kept is the wrong one, or the right one.
        let stored = intruder.get("wounds_v2", &id(0x2001).to_string()).await;
        assert!(stored == mine && counted.of("read_model_damaged_total") <= before + 1);
    }
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn of_the_erased_nothing_comes_back(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let (clinic, _) = clinic_with_a_past(pool).await;
    let intruder = Intruder { clinic: &clinic };
    let living = clinic.documents().await;
    let wrapped: Vec<u8> =
        sqlx::query_scalar("SELECT wrapped FROM keyring.data_keys WHERE subject = $1")
            .bind(id(1))
            .fetch_one(&clinic.pool)
            .await
            .expect("Postgres answers");
    // Hidden from the erasure by a changed field.
    let hidden = intruder.get("wounds_v2", &id(0x2001).to_string()).await;
    let hidden = with(&hidden, "patient_id", id(2).to_string());
    intruder.put("wounds_v2", &id(0x2001).to_string(), hidden).await;
    let command = json!({ "erase": { "reason": "retention-expired", "authority": "policy",
                                     "case_reference": "RET-2026/1" } });
    let position = clinic.execute::<Custody>(id(1), command).await.position.expect("an event");
    clinic.catch_up().await;
    let truth = clinic.documents().await;
    for (name, documents) in of_patients(&truth) {
        assert_eq!(documents.iter().filter(|one| one.contains_key("erased")).count(), 1, "{name}");
    }
    // The data key is put back as well: that somebody was erased is what the log says.
    sqlx::raw_sql("ALTER TABLE keyring.data_keys DISABLE TRIGGER ALL")
        .execute(&clinic.owner)
        .await
        .expect("Postgres answers");
    let back = "UPDATE keyring.data_keys SET wrapped = $2, destroyed_at = NULL WHERE subject = $1";
    let back = sqlx::query(back).bind(id(1)).bind(wrapped).execute(&clinic.owner).await;
    back.expect("Postgres answers");

    let models = clinic.uncached();
    for (case, (_, living)) in cases().iter().zip(&living) {
        let old = living.iter().find(|one| one.get_str("_id").ok() == Some(&case.id)).cloned();
        let newer = old
            .as_ref()
            .and_then(|old| with(old, "position", i64::try_from(position).expect("a position")));
        for (name, lie) in
            [("the old document", old), ("the same, newer", newer), ("removed", None)]
        {
            let before = counted.of("read_model_damaged_total");
            intruder.put(case.collection, &case.id, lie).await;
            let answer = shown(&models, case.collection, &case.id).await;
            let name = format!("{}: {name}", case.collection);
            assert!(matches!(answer, Err(ReadError::Erased)), "{name}: {answer:?}");
            assert_eq!(counted.of("read_model_damaged_total"), before + 1, "{name}");
            assert_eq!(clinic.documents().await, truth, "{name}: healed");
        }
    }
    // In lists, too.
    for (case, (_, living)) in cases().iter().zip(&living) {
        let old = living.iter().find(|one| one.get_str("_id").ok() == Some(&case.id)).cloned();
        intruder.put(case.collection, &case.id, old).await;
    }
    let page = Page::default();
    let practitioner =
        AppointmentFilter { practitioner_id: Some(id(0xd0c).into()), ..Default::default() };
    let listed = models.appointments(&practitioner, &page).await.expect("an answer").items;
    assert_eq!(listed.len(), 2, "the others'");
    assert!(models.wounds_of(id(1).into(), &page).await.expect("an answer").items.is_empty());
    let search = PatientSearch { family: "neumann".parse().ok(), ..Default::default() };
    assert!(models.search_patients(&search, &page).await.expect("an answer").items.is_empty());
    assert!(clinic.documents().await == truth, "healed");
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_lagging_read_model_is_not_taken_for_damaged(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let (clinic, _) = clinic_with_a_past(pool).await;
    let models = clinic.uncached();
    let before = shown(&models, "patients_v2", &id(1).to_string()).await.expect("an answer");
    clinic.edit(1, 5).await;
    clinic.register(4).await;
    let now = shown(&models, "patients_v2", &id(1).to_string()).await.expect("an answer");
    assert_eq!(now, before, "as far as the projector has come");
    let new = shown(&models, "patients_v2", &id(4).to_string()).await.expect("an answer");
    assert_eq!(new, None);
    let search = PatientSearch { given: "anna".parse().ok(), ..Default::default() };
    let found = models.search_patients(&search, &Page::default()).await.expect("an answer");
    assert_eq!(found.items.len(), 3);
    assert_eq!(counted.of("read_model_damaged_total"), 0);
    clinic.catch_up().await;
    let new = shown(&models, "patients_v2", &id(4).to_string()).await.expect("an answer");
    assert!(new.is_some());
    assert_eq!(counted.of("read_model_damaged_total"), 0);
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn what_cannot_be_made_again_is_not_answered(pool: PgPool) {
    let (clinic, _) = clinic_with_a_past(pool).await;
    let intruder = Intruder { clinic: &clinic };
    let patient = id(1).to_string();
    let mine = intruder.get("patients_v2", &patient).await;
    intruder.put("patients_v2", &patient, without(&mine, "tag")).await;
    // The log is damaged as well.
    sqlx::raw_sql(
        "ALTER TABLE events DISABLE TRIGGER ALL; \
         UPDATE events SET payload = set_byte(payload, 20, 255 - get_byte(payload, 20)) \
         WHERE aggregate_type = 'patient' AND sequence = 1",
    )
    .execute(&clinic.owner)
    .await
    .expect("Postgres answers");
    let answer = shown(&clinic.uncached(), "patients_v2", &patient).await;
    assert!(matches!(answer, Err(ReadError::Damaged { .. })), "{answer:?}");
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_checkpoint_of_another_is_not_believed(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let (clinic, _) = clinic_with_a_past(pool).await;
    let truth = clinic.documents().await;
    let stored: Collection<Document> = clinic.models.database().collection("projector_checkpoints");
    let id_of = ReadModel::PATIENTS.projector_id();
    let mine = stored.find_one(doc! { "_id": &id_of }).await.expect("Mongo answers").expect("one");
    let other = ReadModel::WOUNDS.projector_id();
    let other = stored.find_one(doc! { "_id": other }).await.expect("Mongo answers").expect("one");
    // Events that a forged checkpoint would leave out.
    clinic.register(9).await;
    let head = i64::try_from(clinic.log.head().await.expect("the log answers")).expect("a size");
    let lies = [
        ("the head", with(&mine, "position", head)),
        ("beyond the head", with(&mine, "position", 1_000_000_000_i64)),
        ("as an int", with(&mine, "position", 7_i32)),
        ("negative", with(&mine, "position", -1_i64)),
        ("another's", with(&other, "_id", id_of.as_str())),
        ("no tag", without(&mine, "tag")),
        ("no position", without(&mine, "position")),
    ];
    for (name, lie) in lies {
        let before = counted.of("projector_checkpoint_damaged_total");
        let lie = lie.expect("a document");
        stored.replace_one(doc! { "_id": &id_of }, lie).await.expect("Mongo answers");
        let stood = clinic.models.position(ReadModel::PATIENTS).await.expect("Mongo answers");
        assert_eq!(stood, 0, "{name}");
        let future = clinic.models.wait_for(
            ReadModel::PATIENTS,
            100_000,
            std::time::Duration::from_millis(20),
        );
        assert!(matches!(future.await, Err(ReadError::Behind { .. })), "{name}");
        let patients = clinic.models.projector(ReadModel::PATIENTS);
        clinic.runtime.catch_up(patients.as_ref()).await.expect("the log applies");
        assert!(counted.of("projector_checkpoint_damaged_total") > before, "{name}");
        let found = clinic.uncached().patient(id(9).into(), None).await.expect("an answer");
        assert!(found.is_some(), "{name}: nothing is left out");
    }
    clinic.catch_up().await;
    let mut now = clinic.documents().await;
    now[0].1.retain(|one| one.get_str("_id").ok() != Some(&id(9).to_string()));
    assert!(now == truth, "reading the log again has changed nothing");
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_running_projector_knows_where_it_stands(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let (clinic, _) = clinic_with_a_past(pool).await;
    let stored: Collection<Document> = clinic.models.database().collection("projector_checkpoints");
    let id_of = ReadModel::PATIENTS.projector_id();
    let old = stored.find_one(doc! { "_id": &id_of }).await.expect("Mongo answers").expect("one");
    let running = clinic.start(clinic.models.projector(ReadModel::PATIENTS));
    let forged = with(&old, "position", 1_000_i64).expect("a document");
    for (round, lie) in (20_u128..).zip([&old, &forged, &old]) {
        let position = clinic.register(round).await.position.expect("an event");
        let patients = ReadModel::PATIENTS;
        clinic.models.wait_for(patients, position, crate::clinic::PATIENCE).await.expect("it does");
        let before = counted.of("projector_checkpoint_damaged_total");
        stored.replace_one(doc! { "_id": &id_of }, lie).await.expect("Mongo answers");
        let noticed = async {
            while counted.of("projector_checkpoint_damaged_total") == before
                || clinic.models.position(patients).await.expect("Mongo answers") <= position
            {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(crate::clinic::PATIENCE, noticed).await.expect("it is put right");
    }
    running.stop().await;
    clinic.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_read_model_that_is_ahead_of_the_log_is_rebuilt(pool: PgPool) {
    let (counted, _guard) = Counted::install();
    let (clinic, _) = clinic_with_a_past(pool).await;
    let truth = clinic.documents().await;
    // As after a restore of an older backup: the genuine checkpoint is of a log that was longer.
    let head = clinic.log.head().await.expect("the log answers");
    let checkpoints = clinic.runtime.checkpoints();
    let id_of = ReadModel::PATIENTS.projector_id();
    checkpoints.put(&id_of, head + 5).await.expect("Mongo answers");
    let future =
        clinic.models.wait_for(ReadModel::PATIENTS, head + 1, std::time::Duration::from_millis(20));
    assert!(matches!(future.await, Err(ReadError::Behind { .. })), "the log does not go that far");
    let running = clinic.start(clinic.models.projector(ReadModel::PATIENTS));
    let rebuilt = async {
        while clinic.models.position(ReadModel::PATIENTS).await.expect("Mongo answers") != head {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::clinic::PATIENCE, rebuilt).await.expect("it is rebuilt");
    assert_eq!(counted.of("projector_checkpoint_damaged_total"), 1);
    assert!(clinic.documents().await == truth);
    running.stop().await;
    clinic.close().await;
}
