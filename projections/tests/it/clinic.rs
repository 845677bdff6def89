//! A small clinic whose log is written by the real write side.

use std::sync::Arc;
use std::time::Duration;

use audit::postgres::LogReader;
use bson::{Document, doc};
use commands::database::{self, Login};
use commands::{
    Actor, Authorised, Clock, CommandError, Context, Keys, Ledger, LedgerConfig, ManualClock,
    PurposeOfUse, Receipt,
};
use domain::account::Role;
use domain::value::Digest;
use domain::{AccountId, Appointment, Location, Patient, Practitioner, Stream, WoundEpisode};
use futures::TryStreamExt;
use jiff::Timestamp;
use projections::cache::Cache;
use projections::event::EventLog;
use projections::read_models::{ReadModel, ReadModels};
use projections::runtime::{Projector, RunConfig, RunError, Runtime};
use projections::tags::Tags;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The log of the tests.
pub(crate) const ORIGIN: &str = "test.example/ledger";

/// The read models' collections.
pub(crate) const COLLECTIONS: [&str; 5] =
    ["patients_v2", "appointments_v2", "wounds_v2", "practitioners_v1", "locations_v1"];

/// Quick enough for tests, and with a poll that a missed notification would make visible.
const CONFIG: RunConfig = RunConfig {
    poll: Duration::from_millis(300),
    backoff_min: Duration::from_millis(20),
    backoff_max: Duration::from_millis(200),
    grace: Duration::from_secs(5),
};

/// How long a test waits for a projector.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One test's ledger, stores and read models.
pub(crate) struct Clinic {
    /// The server's, under which projectors run here as well.
    pub(crate) pool: PgPool,
    /// Somebody's with every right.
    pub(crate) owner: PgPool,
    pub(crate) keys: Keys,
    pub(crate) ledger: Ledger,
    pub(crate) clock: ManualClock,
    pub(crate) log: EventLog,
    pub(crate) models: ReadModels,
    pub(crate) cache: Cache,
    pub(crate) runtime: Runtime,
    pub(crate) prefix: String,
}

/// A fixed id, so that documents can be compared with snapshots.
pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x018f_0000_0000_7000_8000_0000_0000_0000 | number)
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names no service"))
}

/// The Redis of the tests.
pub(crate) fn redis_url() -> String {
    variable("REDIS_URL")
}

impl Clinic {
    pub(crate) async fn open(owner: PgPool) -> Clinic {
        let login = database::trial(&owner.connect_options(), Login::Serve).await;
        let pool = database::connect_with(login.expect("the rights are given")).await;
        let pool = pool.expect("the server's login connects");
        let keys = Keys::ephemeral();
        let start: Timestamp = "2026-01-05T08:00:00Z".parse().expect("a valid instant");
        let (clock, hands) = Clock::manual(start);
        let tags = Tags::new(keys.mac_key("read-model/v1"), ORIGIN);
        let reader = LogReader::new(ORIGIN, commands::log_policy());
        let wrap = keys.key_wrap();
        let data_keys = audit::postgres::DataKeys::new(pool.clone(), wrap, reader.clone());
        let config = LedgerConfig::new(ORIGIN);
        let ledger =
            Ledger::open(pool.clone(), keys.clone(), clock, config).await.expect("an empty log");
        // The test's Postgres database has a name of its own; Mongo and Redis take it over.
        let own: String = sqlx::query_scalar("SELECT current_database()")
            .fetch_one(&pool)
            .await
            .expect("Postgres answers");
        let nanos = Timestamp::now().as_nanosecond();
        let prefix = format!("test:{own}:{nanos}");
        let ttl = Duration::from_secs(600);
        let cache =
            Cache::new(&redis_url(), prefix.clone(), ttl, tags.clone()).expect("a Redis URL");
        let database = format!("test_{}", hex::encode(&nanos.to_be_bytes()[8..]));
        let log = EventLog::new(pool.clone(), data_keys, reader);
        let (uri, cached) = (variable("MONGODB_URI"), Some(cache.clone()));
        let models = ReadModels::connect(&uri, &database, cached, tags.clone(), log.clone());
        let models = models.await.expect("a Mongo URI");
        let runtime = Runtime::new(pool.clone(), log.clone(), models.database(), tags, CONFIG);
        Clinic { pool, owner, keys, ledger, clock: hands, log, models, cache, runtime, prefix }
    }

    /// Removes what the test left in Mongo. (sqlx removes the Postgres database; Redis' keys expire.)
    pub(crate) async fn close(self) {
        self.models.database().drop().await.expect("Mongo answers");
        self.ledger.close().await;
    }

    /// Turns the clock.
    pub(crate) fn at(&self, instant: &str) -> &Clinic {
        self.clock.set(instant.parse().expect("a valid instant"));
        self
    }

    pub(crate) fn context() -> Context {
        let roles = [Role::Clinician, Role::FrontDesk, Role::Service, Role::Compliance];
        let actor = Actor::user(AccountId::from_uuid(id(0xacc)), roles);
        Context::new(actor, PurposeOfUse::ALL[0])
    }

    /// Executes a command given as JSON.
    pub(crate) async fn execute<A>(&self, stream: Uuid, command: Value) -> Receipt
    where
        A: Stream + Send + Sync + 'static,
        A::Command: Authorised + Serialize + Clone + serde::de::DeserializeOwned,
    {
        self.attempt::<A>(stream, command).await.expect("the command is accepted")
    }

    pub(crate) async fn attempt<A>(
        &self,
        stream: Uuid,
        command: Value,
    ) -> Result<Receipt, CommandError>
    where
        A: Stream + Send + Sync + 'static,
        A::Command: Authorised + Serialize + Clone + serde::de::DeserializeOwned,
    {
        let command = serde_json::from_value(command).expect("the command has the right form");
        self.ledger.execute::<A>(stream, command, &Clinic::context()).await
    }

    /// Registers patient `n`, whose MRN is `n` too.
    pub(crate) async fn register(&self, n: u128) -> Receipt {
        let command = json!({ "register": {
            "name": { "family": format!("Müller-{n}"), "given": ["Anna", "Maria"] },
            "gender": "female",
            "birth_date": "1950-02-28",
            "identifiers": [{ "system": "http://clinic.example/mrn", "value": n.to_string() }],
            "contacts": [{ "system": "phone", "value": "+49 30 123456" }],
            "addresses": [{ "lines": ["Hauptstr. 1"], "city": "Berlin", "postal_code": "10115" }],
        }});
        self.execute::<Patient>(id(n), command).await
    }

    /// Edits the demographics of patient `n`.
    pub(crate) async fn rename(&self, n: u128, family: &str) -> Receipt {
        let command = json!({ "edit-demographics": {
            "name": { "family": family, "given": ["Anna"] },
            "gender": "female",
            "birth_date": "1950-02",
            "reason": "married",
        }});
        self.execute::<Patient>(id(n), command).await
    }

    /// Registers whom and where everything is booked, unless they are there.
    pub(crate) async fn list(&self) {
        let (practitioner, site, room) = (id(0xd0c), id(0x301), id(0x300));
        if self.ledger.exists::<Location>(room).await.expect("an answer") {
            return;
        }
        let who = json!({ "register": {
            "name": { "family": "Özdemir-Schmidt", "given": ["Ayşe"], "prefix": ["Dr."] },
            "identifiers": [{ "system": "http://hl7.org/fhir/sid/us-npi", "value": "17" }],
            "qualifications": [{ "text": "Wound care", "issuer": "A college", "from": "2011" }],
            "contacts": [{ "system": "phone", "value": "+49 30 654321", "use": "work" }],
        }});
        self.execute::<Practitioner>(practitioner, who).await;
        let house = json!({ "register": {
            "kind": "site", "name": "Haus am See", "zone": "America/Chicago",
            "address": { "lines": ["Seestr. 1"], "city": "Berlin" },
        }});
        self.execute::<Location>(site, house).await;
        let place =
            json!({ "register": { "kind": "room", "name": "Zimmer 2", "parent_id": site } });
        self.execute::<Location>(room, place).await;
    }

    /// Books appointment `0x1000 + n` for patient `n` at nine, local time, on the given day of March.
    pub(crate) async fn book(&self, n: u128, day: u8) -> Receipt {
        self.list().await;
        let command = json!({ "book": {
            "patient_id": id(n),
            "practitioner_id": id(0xd0c),
            "room_id": id(0x300),
            "time": {
                "start": format!("2026-03-{day:02}T09:00"),
                "zone": "America/Chicago",
                "duration_minutes": 30,
            },
            "reason": "dressing",
        }});
        self.execute::<Appointment>(id(0x1000 + n), command).await
    }

    /// Opens wound `0x2000 + n` of patient `n`.
    pub(crate) async fn open_wound(&self, n: u128) -> Receipt {
        let command = json!({ "open": {
            "patient_id": id(n),
            "site": "heel",
            "laterality": "left",
            "etiology": "diabetic-foot-ulcer",
            "onset": "2025-12",
        }});
        self.execute::<WoundEpisode>(id(0x2000 + n), command).await
    }

    /// Records scan `scan` of wound `0x2000 + n`, whose capture is `bytes`.
    pub(crate) async fn scan(&self, n: u128, scan: u128, at: &str, bytes: &[u8]) -> Receipt {
        let command = json!({ "record-scan": {
            "scan_id": id(scan),
            "capture": {
                "blob_id": id(scan),
                "sha256": sha256(bytes),
                "size": bytes.len(),
                "media_type": "application/vnd.coherency.capture+tar",
            },
            "captured_at": at,
        }});
        self.execute::<WoundEpisode>(id(0x2000 + n), command).await
    }

    /// Records a measurement of `area` square millimetres of a scan.
    pub(crate) async fn measured(&self, n: u128, scan: u128, area_mm2: u64) -> Receipt {
        let command = json!({ "record-measurement": {
            "scan_id": id(scan),
            "measurement_id": id(0x10_0000 + scan),
            "model_digest": Digest([7; 32]),
            "measurement": figures(area_mm2),
        }});
        self.execute::<WoundEpisode>(id(0x2000 + n), command).await
    }

    /// A bit of everything, for `patients` patients: what the projections are compared over.
    pub(crate) async fn history(&self, patients: std::ops::Range<u128>) {
        for n in patients {
            self.register(n).await;
            let day = u8::try_from(n % 28).expect("below 28") + 1;
            self.book(n, day).await;
            self.open_wound(n).await;
            let first = 0x3000 + n * 4;
            self.scan(n, first, "2026-01-01T10:00:00Z", b"first").await;
            self.scan(n, first + 1, "2026-01-04T10:00:00.5Z", b"second").await;
            self.measured(n, first, 1_000).await;
            match n % 4 {
                0 => drop(self.rename(n, "Müller").await),
                1 => {
                    let command = json!({ "cancel": { "reason": "weather" } });
                    self.execute::<Appointment>(id(0x1000 + n), command).await;
                }
                2 => drop(self.measured(n, first + 1, 900).await),
                _ => {
                    let command = json!({ "reject-scan": {
                        "scan_id": id(first + 1),
                        "reason": "wrong-wound",
                    }});
                    self.execute::<WoundEpisode>(id(0x2000 + n), command).await;
                }
            }
        }
    }

    /// Applies the whole log to every read model, in this task.
    pub(crate) async fn catch_up(&self) -> u64 {
        let mut head = 0;
        for projector in self.models.projectors() {
            head = self.runtime.catch_up(projector.as_ref()).await.expect("the log applies");
        }
        head
    }

    /// Starts a projector in the background.
    pub(crate) fn start(&self, projector: Arc<dyn Projector>) -> Running {
        let stop = CancellationToken::new();
        let (runtime, token) = (self.runtime.clone(), stop.clone());
        let task = tokio::spawn(async move { runtime.run(projector, token).await });
        Running { stop, task }
    }

    /// Waits until every read model shows the whole log.
    pub(crate) async fn settle(&self) {
        let head = self.log.head().await.expect("the log answers");
        for model in ReadModel::ALL {
            self.models
                .wait_for(model, head - 1, PATIENCE)
                .await
                .expect("the projector gets there");
        }
    }

    /// Every document of every read model, sorted, as stored.
    pub(crate) async fn documents(&self) -> Vec<(String, Vec<Document>)> {
        let mut all = Vec::new();
        for name in COLLECTIONS {
            let found = self.models.database().collection::<Document>(name);
            let found = found.find(doc! {}).sort(doc! { "_id": 1 }).await.expect("Mongo answers");
            all.push((name.to_owned(), found.try_collect().await.expect("Mongo answers")));
        }
        all
    }
}

/// Without the directory, which is about no patient.
pub(crate) fn of_patients(all: &[(String, Vec<Document>)]) -> Vec<&(String, Vec<Document>)> {
    let directory = ["practitioners_v1", "locations_v1"];
    all.iter().filter(|(name, _)| !directory.contains(&name.as_str())).collect()
}

/// A projector in the background.
pub(crate) struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("a clean stop");
    }

    /// Ends it at whatever point it is, as a crash would.
    pub(crate) async fn kill(self) {
        self.task.abort();
        self.task.await.expect_err("it was killed");
    }

    /// Waits until it stops by itself.
    pub(crate) async fn outcome(self) -> Result<(), RunError> {
        self.task.await.expect("no panic")
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    Digest(sha2::Sha256::digest(bytes).into())
}

/// Figures of a round wound of this area.
pub(crate) fn figures(area_mm2: u64) -> Value {
    json!({
        "area_um2": area_mm2 * 1_000_000, "area_sd_um2": 5_000_000,
        "perimeter_um": 120_000, "perimeter_sd_um": 2_000,
        "length_um": 40_000, "length_sd_um": 500,
        "width_um": 30_000, "width_sd_um": 500,
        "max_depth_um": 4_000, "max_depth_sd_um": 300,
        "volume_nl": 2_000_000, "volume_sd_nl": 100_000,
        "boundary": "network",
        "wound_probability_permille": 950,
        "axis": "image",
        "outline": [[10, 10], [90, 12], [80, 95]],
    })
}
