//! What is attacked: a small clinic with something of everything in every table, collection and kind of cached entry, made
//! through the public API, then stopped and kept as a template that is copied for each attack.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use mongodb::bson::RawDocumentBuf;
use serde_json::{Value, json};
use sqlx::Row as _;
use uuid::Uuid;

use super::catalog::{Row, rows};
use super::stock::{self, Cached};
use crate::support::clinic::{PASSWORD, booking, patient, phantom};
use crate::support::{Client, Clinic, Instance, Process, below, free_port, until};

/// What the attacker would like to log in with.
pub(crate) const MINE: &str = "the attackers own passphrase";

/// How long anything may take on a slow machine under load.
const PATIENCE: Duration = Duration::from_secs(300);

/// More edits than there are events between two snapshots.
const EDITS: usize = 131;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Nobody,
    Admin,
    Clinician,
    Officer,
    FrontDesk,
    /// An account that was disabled, with the token it had.
    Leaver,
}

/// Ids of what there is.
pub(crate) struct Ids {
    pub(crate) admin: String,
    pub(crate) front_desk: String,
    pub(crate) leaver: String,
    /// A patient with a visit and a measured wound, and another with a visit.
    pub(crate) patient: String,
    pub(crate) other: String,
    /// Under a legal hold.
    pub(crate) held: String,
    pub(crate) erased: String,
    /// With a snapshot; out of use.
    pub(crate) long: String,
    pub(crate) visit: String,
    pub(crate) other_visit: String,
    pub(crate) erased_visit: String,
    pub(crate) wound: String,
    /// The key under which the visit was booked, and where that stands.
    pub(crate) booking_key: Uuid,
    pub(crate) booked_at: u64,
}

pub(crate) struct Scene {
    pub(crate) instance: Instance,
    pub(crate) ids: Ids,
    clients: BTreeMap<&'static str, Client>,
    /// Every row of every table, as it is and as it was earlier.
    pub(crate) rows: Vec<Row>,
    pub(crate) earlier: Vec<Row>,
    /// What MongoDB and Redis hold, as it is and as it was earlier.
    pub(crate) documents: Vec<(String, RawDocumentBuf)>,
    pub(crate) earlier_documents: Vec<(String, RawDocumentBuf)>,
    pub(crate) cached: Vec<Cached>,
    pub(crate) earlier_cached: Vec<Cached>,
    /// The last published checkpoint, which is kept outside of the databases.
    pub(crate) checkpoints: BTreeMap<PathBuf, Vec<u8>>,
    pub(crate) size: i64,
}

/// A visit's practitioner, and when it begins.
pub(crate) const PRACTITIONER: Uuid = Uuid::from_u128(0xd0c);
pub(crate) const START: &str = "2031-03-03T09:00";

impl Scene {
    pub(crate) async fn make() -> Scene {
        // The tokens must outlive the longest run.
        let mut clinic =
            Clinic::start_with(&[("LEDGER_TOKEN_SECONDS", "86400"), ("RUST_LOG", "warn")]).await;
        let (ids, mut clients) = people(&clinic).await;
        let mut ids = ids;
        records(&clinic, &mut ids, &clients).await;
        clinic.caught_up().await;
        let earlier = rows(&clinic.instance.pool).await;
        let name = clinic.instance.name().to_owned();
        warm(&clients, &ids).await;
        let earlier_documents = stock::documents(&clinic.instance.mongodb_uri, &name).await;
        let earlier_cached = stock::cached(&clinic.instance.redis_url, &name).await;
        endings(&clinic, &ids, &clients).await;
        clinic.caught_up().await;
        warm(&clients, &ids).await;
        clinic.caught_up().await;
        let documents = stock::documents(&clinic.instance.mongodb_uri, &name).await;
        let cached = stock::cached(&clinic.instance.redis_url, &name).await;
        // The last checkpoint is kept within 200 ms.
        tokio::time::sleep(Duration::from_secs(1)).await;
        clinic.server.kill();
        clinic.worker.kill();
        let Clinic { instance, .. } = clinic;
        let kept = below(&instance.path("checkpoints"));
        let read = |path: PathBuf| {
            let bytes = std::fs::read(&path).expect("a kept checkpoint");
            (PathBuf::from(path.file_name().expect("a name")), bytes)
        };
        let checkpoints: BTreeMap<_, _> = kept.into_iter().map(read).collect();
        assert!(!checkpoints.is_empty(), "a checkpoint is kept outside of the database");
        let rows = rows(&instance.pool).await;
        let size = instance.count("SELECT size FROM ledger_head").await;
        clients.insert("nobody", Client::anonymous(0));
        Scene {
            instance,
            ids,
            clients,
            rows,
            earlier,
            documents,
            earlier_documents,
            cached,
            earlier_cached,
            checkpoints,
            size,
        }
    }

    /// What an id is called here, the same in each run.
    pub(crate) fn called(&self, id: &str) -> String {
        let ids = &self.ids;
        let known = [
            (&ids.patient, "patient"),
            (&ids.other, "other"),
            (&ids.held, "held"),
            (&ids.erased, "erased"),
            (&ids.long, "long"),
            (&ids.visit, "visit"),
            (&ids.other_visit, "other visit"),
            (&ids.erased_visit, "erased visit"),
            (&ids.wound, "wound"),
        ];
        let found = known.iter().find(|(known, _)| *known == id);
        found.map_or(id, |(_, name)| name).to_owned()
    }

    /// Somebody, at the server on this port.
    pub(crate) fn client(&self, who: Who, port: u16) -> Client {
        let name = match who {
            Who::Nobody => "nobody",
            Who::Admin => "admin",
            Who::Clinician => "clinician",
            Who::Officer => "officer",
            Who::FrontDesk => "front-desk",
            Who::Leaver => "leaver",
        };
        self.clients[name].at(port)
    }
}

/// Accounts of every kind, and the tokens they were given.
async fn people(clinic: &Clinic) -> (Ids, BTreeMap<&'static str, Client>) {
    let admin = Client::log_in(clinic.port, "admin", PASSWORD).await;
    let mut clients = BTreeMap::new();
    let mut accounts = BTreeMap::new();
    for (login, role) in [
        ("clinician", "clinician"),
        ("officer", "compliance"),
        ("front-desk", "front-desk"),
        ("leaver", "admin"),
    ] {
        let account = json!({ "login": login, "display_name": login, "password": PASSWORD });
        let id = admin.post("/v1/accounts", &account).await.done().stream();
        let roles = format!("/v1/accounts/{id}/roles");
        admin.post(&roles, &json!({ "role": role })).await.done();
        clients.insert(login, Client::log_in(clinic.port, login, PASSWORD).await);
        accounts.insert(login, id);
    }
    let leaver = format!("/v1/accounts/{}/disable", accounts["leaver"]);
    admin.post(&leaver, &json!({ "reason": "left" })).await.done();
    clients.insert("admin", admin);
    let found = "SELECT aggregate_id FROM events WHERE event_type = 'AccountRegistered'
                  ORDER BY position LIMIT 1";
    let found = sqlx::query(found).fetch_one(&clinic.instance.pool).await.expect("the first");
    let ids = Ids {
        admin: found.get::<Uuid, _>(0).to_string(),
        front_desk: accounts["front-desk"].clone(),
        leaver: accounts["leaver"].clone(),
        patient: String::new(),
        other: String::new(),
        held: String::new(),
        erased: String::new(),
        long: String::new(),
        visit: String::new(),
        other_visit: String::new(),
        erased_visit: String::new(),
        wound: String::new(),
        booking_key: Uuid::now_v7(),
        booked_at: 0,
    };
    (ids, clients)
}

/// Patients, visits, a wound, a long stream.
async fn records(clinic: &Clinic, ids: &mut Ids, clients: &BTreeMap<&'static str, Client>) {
    let (desk, clinician) = (&clients["front-desk"], &clients["clinician"]);
    for (id, family, mrn) in [
        (&mut ids.patient, "Attacked", "ATT-1"),
        (&mut ids.other, "Neighbour", "ATT-2"),
        (&mut ids.held, "Held", "ATT-3"),
        (&mut ids.erased, "Erased", "ATT-4"),
        (&mut ids.long, "Long", "ATT-5"),
    ] {
        let registration = patient(family, "Jorunn", "1952-11-19", mrn);
        *id = desk.post("/v1/patients", &registration).await.done().stream();
    }
    clinic.instance.list([PRACTITIONER]).await;
    let visit = booking(&ids.patient, PRACTITIONER, START);
    let booked = desk.post_as(ids.booking_key, "/v1/appointments", &visit).await.done();
    (ids.visit, ids.booked_at) = (booked.stream(), booked.position());
    let visit = booking(&ids.other, PRACTITIONER, "2031-03-03T10:00");
    ids.other_visit = desk.post("/v1/appointments", &visit).await.done().stream();
    let visit = booking(&ids.erased, PRACTITIONER, "2031-03-03T11:00");
    ids.erased_visit = desk.post("/v1/appointments", &visit).await.done().stream();
    let opening = json!({ "patient_id": ids.patient, "site": "heel", "laterality": "left",
                          "etiology": "diabetic-foot-ulcer" });
    ids.wound = clinician.post("/v1/wounds", &opening).await.done().stream();
    let wound = format!("/v1/wounds/{}", ids.wound);
    let scans = format!("{wound}/scans");
    clinician.capture(Uuid::now_v7(), &scans, &phantom(5)).await.done();
    // Asked of the log: a look would be recorded each time.
    until("the scan is answered", PATIENCE, || async { clinic.answers().await == 1 }).await;
    edits(desk, &ids.long).await;
    let snapshots = "SELECT count(*) FROM snapshots";
    until("a snapshot was written", PATIENCE, || async {
        clinic.instance.count(snapshots).await > 0
    })
    .await;
}

/// A hold, an erasure, a record out of use, an edit; and so a newer state of most things.
async fn endings(clinic: &Clinic, ids: &Ids, clients: &BTreeMap<&'static str, Client>) {
    let (desk, officer) = (&clients["front-desk"], &clients["officer"]);
    let hold = json!({ "reason": "litigation", "authority": "counsel", "case_reference": "A-1" });
    officer.post(&format!("/v1/patients/{}/holds", ids.held), &hold).await.done();
    officer.post(&format!("/v1/patients/{}/erase", ids.erased), &erasure()).await.done();
    let custody = format!("/v1/patients/{}/custody", ids.erased);
    until("the purge is recorded", PATIENCE, || async {
        officer.get(&custody).await.done().body.get("purge").is_some()
    })
    .await;
    let contacts = json!({ "reason": "moved",
        "contacts": [{ "system": "phone", "value": "+47 555 9999" }] });
    for id in [&ids.patient, &ids.other] {
        desk.put(&format!("/v1/patients/{id}/contacts"), &contacts).await.done();
    }
    let path = format!("/v1/appointments/{}/reschedule", ids.other_visit);
    let time = json!({ "time": { "start": "2031-03-03T12:00", "zone": "UTC",
                                 "duration_minutes": 15 }, "reason": "patient-request" });
    desk.post(&path, &time).await.done();
    // Another snapshot, and the first complete tile.
    let last = "SELECT max(version) FROM snapshots";
    let before = clinic.instance.count(last).await;
    edits(desk, &ids.long).await;
    until("a newer snapshot was written", PATIENCE, || async {
        clinic.instance.count(last).await > before
    })
    .await;
    let path = format!("/v1/patients/{}/deactivate", ids.long);
    desk.post(&path, &json!({ "reason": "moved-away" })).await.done();
    assert!(clinic.instance.count("SELECT count(*) FROM tiles").await > 0, "a tile is complete");
}

/// Many, on one record.
async fn edits(desk: &Client, id: &str) {
    for number in 0..EDITS {
        let contacts = json!({ "reason": "moved",
            "contacts": [{ "system": "phone", "value": format!("+47 555 {number:04}") }] });
        desk.put(&format!("/v1/patients/{id}/contacts"), &contacts).await.done();
    }
}

pub(crate) fn erasure() -> Value {
    json!({ "reason": "patient-request", "authority": "person-concerned", "case_reference": "D-4" })
}

/// Everything is read once, so that the cache holds it.
async fn warm(clients: &BTreeMap<&'static str, Client>, ids: &Ids) {
    let clinician = &clients["clinician"];
    for path in [
        format!("/v1/patients/{}", ids.patient),
        format!("/v1/patients/{}", ids.other),
        format!("/v1/patients/{}", ids.held),
        format!("/v1/patients/{}", ids.long),
        format!("/v1/appointments/{}", ids.visit),
        format!("/v1/appointments/{}", ids.other_visit),
        format!("/v1/wounds/{}", ids.wound),
    ] {
        clinician.get(&path).await.done();
    }
}

/// A process of a copy of the scene, on a port of its own.
pub(crate) fn serve(
    instance: &Instance,
    mut command: std::process::Command,
    log: &str,
) -> (Process, u16) {
    let port = free_port();
    command.env("LEDGER_LISTEN", format!("127.0.0.1:{port}")).env("RUST_LOG", "warn");
    (Process::spawn(instance, command, log), port)
}
