//! A clinic to test with: a migrated database, the server's login, a ledger.

use audit::note::NoteVerifier;
use audit::postgres::{DataKeys, LogReader};
use audit::verify::{Options, Report, Trust};
use commands::database::{self, Login};
use commands::{
    Actor, Clock, CommandError, Context, Keys, Ledger, LedgerConfig, PurposeOfUse, Receipt,
    StoredBlob, log_policy,
};
use domain::account::Role;
use domain::{
    AccountId, Appointment, AppointmentCommand, CustodyCommand, Location, LocationCommand, Patient,
    PatientCommand, Practitioner, PractitionerCommand, WoundCommand,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

pub(crate) const ORIGIN: &str = "ledger.example.org/test";
pub(crate) const MRN_SYSTEM: &str = "http://clinic.example/mrn";

pub(crate) struct Clinic {
    /// The server's.
    pub(crate) pool: PgPool,
    /// Somebody's with every right.
    pub(crate) owner: PgPool,
    pub(crate) keys: Keys,
    pub(crate) ledger: Ledger,
}

impl Clinic {
    pub(crate) async fn open(options: PgConnectOptions) -> Clinic {
        Clinic::open_with(options, Keys::ephemeral(), Clock::system()).await
    }

    /// As in production: every connection is the server's login.
    pub(crate) async fn open_with(options: PgConnectOptions, keys: Keys, clock: Clock) -> Clinic {
        let owner = owner(options.clone()).await;
        let pool = serve(options).await;
        let config = LedgerConfig::new(ORIGIN);
        let ledger = Ledger::open(pool.clone(), keys.clone(), clock, config)
            .await
            .expect("the ledger opens");
        Clinic { pool, owner, keys, ledger }
    }

    pub(crate) async fn register(&self, mrn: &str) -> Uuid {
        let id = self.ledger.new_id();
        self.ledger
            .execute::<Patient>(id, patient("Mustermann", mrn), &context())
            .await
            .expect("the patient is registered");
        id
    }

    /// Books, after practitioner and room are in the directory.
    pub(crate) async fn book(&self, slot: &Slot) -> Result<Receipt, CommandError> {
        list(&self.ledger, slot).await;
        let id = self.ledger.new_id();
        self.ledger.execute::<Appointment>(id, slot.book(), &context()).await
    }

    /// The data keys, as another process than the ledger's reads them.
    pub(crate) fn data_keys(&self) -> DataKeys {
        let reader = LogReader::new(ORIGIN, log_policy());
        DataKeys::new(self.pool.clone(), self.keys.key_wrap(), reader)
    }

    /// What an auditor with the public key finds.
    pub(crate) async fn audit(&self) -> Report {
        let trust = Trust::parse(&self.ledger.verifier_key()).expect("a verifier key");
        let keys = self.data_keys();
        let options = Options { threads: 1, ..Options::default() };
        audit::postgres::verify_database(&self.pool, &trust, options, Some(&keys), |_| ())
            .await
            .expect("the database can be read")
    }

    pub(crate) async fn assert_sound(&self) -> Report {
        let report = self.audit().await;
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        report
    }

    pub(crate) fn verifiers(&self) -> Vec<NoteVerifier> {
        vec![NoteVerifier::parse(&self.ledger.verifier_key()).expect("a verifier key")]
    }

    pub(crate) async fn count_as_owner(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.owner).await.expect("a count")
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("a count")
    }
}

/// A pool of the server's login, in a database that the owner's options lead to.
pub(crate) async fn serve(options: PgConnectOptions) -> PgPool {
    let login = database::trial(&options, Login::Serve).await.expect("the rights are given");
    database::connect_with(login).await.expect("a pool")
}

/// A pool of whoever may do anything.
pub(crate) async fn owner(options: PgConnectOptions) -> PgPool {
    let pool = PgPoolOptions::new().max_connections(2).connect_with(options);
    pool.await.expect("the owner connects")
}

pub(crate) fn actor() -> Actor {
    let id = AccountId::from_uuid(Uuid::from_u128(0xacc0));
    Actor::user(id, [Role::Clinician, Role::FrontDesk, Role::Admin])
}

pub(crate) fn context() -> Context {
    Context::new(actor(), PurposeOfUse::Treat)
}

/// Who answers for privacy.
pub(crate) fn officer() -> Context {
    let id = AccountId::from_uuid(Uuid::from_u128(0xacc1));
    Context::new(Actor::user(id, [Role::Compliance]), PurposeOfUse::Hcompl)
}

/// Has practitioner and room of a slot in the directory, in use or not.
pub(crate) async fn list(ledger: &Ledger, slot: &Slot) {
    let there = |outcome: Result<Receipt, CommandError>| match outcome {
        Ok(_) | Err(CommandError::Refused { code: "already-registered", .. }) => {}
        Err(error) => panic!("not registered: {error:?}"),
    };
    if !ledger.exists::<Practitioner>(slot.practitioner).await.expect("an answer") {
        let id = slot.practitioner;
        there(ledger.execute::<Practitioner>(id, practitioner("Behandler"), &context()).await);
    }
    if !ledger.exists::<Location>(slot.room).await.expect("an answer") {
        there(ledger.execute::<Location>(slot.room, room("Zimmer 1"), &context()).await);
    }
}

pub(crate) fn practitioner(family: &str) -> PractitionerCommand {
    command(json!({"register": {"name": {"family": family}}}))
}

pub(crate) fn room(name: &str) -> LocationCommand {
    command(json!({"register": {"kind": "room", "name": name, "zone": "America/Chicago"}}))
}

fn command<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a command")
}

pub(crate) fn patient(family: &str, mrn: &str) -> PatientCommand {
    command(json!({"register": {
        "name": {"family": family, "given": ["Erika"]},
        "gender": "female",
        "birth_date": "1964-08-12",
        "identifiers": [{"system": MRN_SYSTEM, "value": mrn}],
    }}))
}

pub(crate) fn rename(family: &str) -> PatientCommand {
    command(json!({"edit-demographics": {
        "name": {"family": family, "given": ["Erika"]},
        "gender": "female",
        "birth_date": "1964-08-12",
        "reason": "marriage",
    }}))
}

pub(crate) fn identify(mrns: &[&str]) -> PatientCommand {
    let identifiers: Vec<_> =
        mrns.iter().map(|mrn| json!({"system": MRN_SYSTEM, "value": mrn})).collect();
    command(json!({"edit-identifiers": {"identifiers": identifiers, "reason": "typing error"}}))
}

/// A slot to be booked.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) patient: Uuid,
    pub(crate) practitioner: Uuid,
    pub(crate) room: Uuid,
    pub(crate) start: &'static str,
}

impl Slot {
    fn time(&self) -> Value {
        json!({"start": self.start, "zone": "America/Chicago", "duration_minutes": 30})
    }

    pub(crate) fn book(&self) -> AppointmentCommand {
        command(json!({"book": {
            "patient_id": self.patient,
            "practitioner_id": self.practitioner,
            "room_id": self.room,
            "time": self.time(),
        }}))
    }

    pub(crate) fn reschedule(&self) -> AppointmentCommand {
        command(json!({"reschedule": {
            "practitioner_id": self.practitioner,
            "room_id": self.room,
            "time": self.time(),
        }}))
    }
}

pub(crate) fn open_wound(patient: Uuid) -> WoundCommand {
    command(json!({"open": {
        "patient_id": patient,
        "site": "heel",
        "laterality": "left",
        "etiology": "diabetic-foot-ulcer",
    }}))
}

pub(crate) fn scan(blob: &StoredBlob, captured_at: jiff::Timestamp) -> WoundCommand {
    let sha256: String = blob.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    command(json!({"record-scan": {
        "scan_id": Uuid::from_u128(0x5ca),
        "capture": {
            "blob_id": blob.blob_id,
            "sha256": sha256,
            "size": blob.size,
            "media_type": "application/vnd.coherency.capture+tar",
        },
        "captured_at": captured_at,
    }}))
}

pub(crate) fn cancel() -> AppointmentCommand {
    command(json!({"cancel": {"reason": "patient-request"}}))
}

pub(crate) fn erase() -> CustodyCommand {
    command(json!({"erase": {
        "reason": "patient-request",
        "authority": "person-concerned",
        "case_reference": "DSR-42",
    }}))
}

pub(crate) fn place_hold(n: u128) -> CustodyCommand {
    command(json!({"place-hold": {
        "hold_id": Uuid::from_u128(n),
        "reason": "litigation",
        "authority": "counsel",
        "case_reference": "2026/CV-0815",
    }}))
}

pub(crate) fn release_hold(n: u128) -> CustodyCommand {
    command(json!({"release-hold": {
        "hold_id": Uuid::from_u128(n),
        "reason": "matter-closed",
        "authority": "court",
    }}))
}
