//! What is written says by which rule it was allowed, and what is refused leaves nothing.

use std::collections::BTreeSet;

use audit::json::{self, Value};
use audit::statement::{FORMAT_V2, Statement};
use commands::policy::{Request, Subject};
use commands::{Actor, CommandError, Context, Permission, PurposeOfUse};
use domain::account::Role;
use domain::{AccountId, Appointment, Custody, Patient};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::clinic::{Clinic, Slot, context, erase, list, officer, patient, rename};

async fn statements(clinic: &Clinic) -> Vec<(Vec<u8>, Statement)> {
    let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT statement FROM events ORDER BY position")
        .fetch_all(&clinic.pool)
        .await
        .expect("the log");
    let read = |bytes: Vec<u8>| {
        let statement = Statement::parse(&bytes).expect("a statement");
        (bytes, statement)
    };
    rows.into_iter().map(read).collect()
}

/// The members of a statement in their order; of those that change from run to run only that they are there.
fn members(bytes: &[u8]) -> String {
    const FIXED: [&str; 12] = [
        "format",
        "origin",
        "stream_type",
        "sequence",
        "event_type",
        "event_version",
        "because",
        "client",
        "session",
        "purpose",
        "media",
        "actor_signature",
    ];
    let Ok(Value::Object(members)) = json::parse(bytes) else { panic!("not an object") };
    let mut lines = String::new();
    for (name, value) in members {
        let said = match (&*name, value) {
            ("actor", Value::Object(actor)) => {
                let names: Vec<_> = actor.iter().map(|(name, _)| name.as_ref()).collect();
                let of = |member: &str| actor.iter().find(|(name, _)| name == member);
                let text = |member| match of(member) {
                    Some((_, Value::Text(text))) => text.as_ref(),
                    _ => panic!("no {member}"),
                };
                format!("{}: {} as {}", names.join(", "), text("kind"), text("role"))
            }
            ("payload", Value::Object(payload)) => {
                let names: Vec<_> = payload.iter().map(|(name, _)| name.as_ref()).collect();
                names.join(", ")
            }
            (name, Value::Text(text)) if FIXED.contains(&name) => text.into_owned(),
            (name, Value::Number(number)) if FIXED.contains(&name) => number.to_string(),
            (name, Value::List(list)) if FIXED.contains(&name) => format!("{} of them", list.len()),
            (_, Value::Null) => "null".to_owned(),
            _ => "…".to_owned(),
        };
        lines.push_str(&format!("{name}: {said}\n"));
    }
    lines
}

#[sqlx::test(migrations = "../migrations")]
async fn everything_that_is_written_names_its_rule(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let (kept, gone) = (clinic.register("A-1").await, clinic.register("A-2").await);
    let ledger = &clinic.ledger;
    let desk = || {
        let id = AccountId::from_uuid(Uuid::from_u128(0xde5c));
        Context::new(Actor::user(id, [Role::FrontDesk]), PurposeOfUse::Hoperat)
    };
    let slot = Slot {
        patient: kept,
        practitioner: Uuid::from_u128(0x77),
        room: Uuid::from_u128(0xa00),
        start: "2031-03-01T09:00",
    };
    list(ledger, &slot).await;
    ledger.execute::<Appointment>(ledger.new_id(), slot.book(), &desk()).await.expect("booked");
    let look =
        serde_json::json!({ "patient_id": kept, "resource": "patient", "outcome": "disclosed" });
    let look = serde_json::from_value(look).expect("an entry");
    ledger.disclose(vec![look], &desk()).await.expect("recorded");
    ledger.execute::<Custody>(gone, erase(), &officer()).await.expect("erased");

    let written = statements(&clinic).await;
    let policy = ledger.policy();
    let rules: Vec<(String, String)> = written
        .iter()
        .map(|(_, statement)| {
            assert_eq!(statement.format(), FORMAT_V2);
            let grounds = statement.grounds.as_ref().expect("nothing is written without");
            assert_eq!(grounds.policy, policy.digest());
            assert!(policy.text().contains(&format!("\nallow {}\n", grounds.because)));
            assert_eq!((&grounds.client, grounds.session), (&None, None));
            (statement.event_type.clone(), format!("{} {}", statement.actor.role, grounds.because))
        })
        .collect();
    let rules: Vec<(&str, &str)> =
        rules.iter().map(|(event, rule)| (event.as_str(), rule.as_str())).collect();
    assert_eq!(
        rules,
        [
            ("LedgerCreated", "system system:manage-keys"),
            ("PatientRegistered", "clinician role:clinician/register-patient"),
            ("PatientRegistered", "clinician role:clinician/register-patient"),
            ("PractitionerRegistered", "front-desk role:front-desk/manage-directory"),
            ("LocationRegistered", "front-desk role:front-desk/manage-directory"),
            ("AppointmentBooked", "front-desk role:front-desk/manage-appointments"),
            ("RecordDisclosed", "front-desk role:front-desk/record-disclosure"),
            ("SubjectErased", "compliance role:compliance/erase-patient"),
        ]
    );
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/commands"),
        prepend_module_to_snapshot => false,
    }, {
        let both = format!("{}\n{}", members(&written[0].0), members(&written[1].0));
        insta::assert_snapshot!("statement.v2", both);
    });
    clinic.assert_sound().await;
}

/// A role more may change the rule, but never takes away what was allowed; and what was refused leaves nothing.
#[sqlx::test(migrations = "../migrations")]
async fn what_no_rule_allows_is_refused(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let id = clinic.register("A-1").await;
    let before = clinic.count("SELECT count(*) FROM events").await;
    let nobody = AccountId::from_uuid(Uuid::from_u128(0xa0b0));
    for roles in [vec![], vec![Role::Auditor], vec![Role::Analyst, Role::Admin]] {
        let actor = Actor::user(nobody, roles);
        let context = Context::new(actor.clone(), PurposeOfUse::Treat);
        let refused = clinic.ledger.execute::<Patient>(id, rename("Other"), &context).await;
        let permission = Permission::EditPatient;
        assert!(
            matches!(refused, Err(CommandError::Denied { permission: found }) if found == permission)
        );
        let asked = Request::new(&actor, permission).about(Subject::of::<Patient>(id));
        let decision = clinic.ledger.policy().decide(&asked);
        assert_eq!(decision.because().to_string(), "default");
    }
    // The ledger itself has a rule of its own, and no more than that.
    let ledger = Context::new(Actor::ledger(), PurposeOfUse::Treat);
    let refused = clinic
        .ledger
        .execute::<Patient>(clinic.ledger.new_id(), patient("X", "A-9"), &ledger)
        .await;
    assert!(matches!(refused, Err(CommandError::Denied { .. })), "{refused:?}");
    assert_eq!(clinic.count("SELECT count(*) FROM events").await, before);
    clinic.ledger.execute::<Patient>(id, rename("Other"), &context()).await.expect("allowed");
    let rules: BTreeSet<String> = statements(&clinic)
        .await
        .into_iter()
        .filter_map(|(_, statement)| statement.grounds.map(|grounds| grounds.because))
        .collect();
    assert!(rules.contains("role:clinician/edit-patient"), "{rules:?}");
}
