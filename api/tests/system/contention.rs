//! 64 clients, one slot, 200 times over: one wins, and every loser hears what is taken.

use commands::{Actor, CommandError, Conflict, Context, PurposeOfUse};
use domain::account::Role;
use domain::{AccountId, Appointment, AppointmentCommand, Patient, PatientCommand};
use futures::future::join_all;
use jiff::ToSpan as _;
use serde_json::json;
use uuid::Uuid;

use crate::support::{Instance, list};

const CLIENTS: u64 = 64;
const ROUNDS: i64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn of_64_who_want_one_slot_one_gets_it_200_times_over() {
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    let front_desk = || {
        let id = AccountId::from_uuid(Uuid::from_u128(0xacc0));
        Context::new(Actor::user(id, [Role::FrontDesk]), PurposeOfUse::Treat)
    };
    let patients = join_all((0..CLIENTS).map(|number| {
        let (id, ledger, context) = (ledger.new_id(), &ledger, front_desk());
        async move {
            let command = json!({ "register": { "identifiers":
                [{ "system": "urn:example:mrn", "value": format!("C-{number}") }] } });
            let command: PatientCommand = serde_json::from_value(command).expect("a command");
            ledger.execute::<Patient>(id, command, &context).await.expect("registered");
            id
        }
    }))
    .await;

    let practitioner = Uuid::from_u128(0xd0c);
    list(&ledger, [practitioner]).await;
    let first = jiff::civil::date(2031, 3, 3).at(8, 0, 0, 0);
    for round in 0..ROUNDS {
        let start = first.saturating_add((15 * round).minutes());
        let outcomes = join_all(patients.iter().map(|patient| {
            let (id, ledger, context) = (ledger.new_id(), &ledger, front_desk());
            let command = json!({ "book": {
                "patient_id": patient, "practitioner_id": practitioner,
                "time": { "start": start, "zone": "UTC", "duration_minutes": 15 },
            }});
            let command: AppointmentCommand = serde_json::from_value(command).expect("a command");
            async move { ledger.execute::<Appointment>(id, command, &context).await }
        }))
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 63), "round {round}");
        for error in lost.into_iter().filter_map(Result::err) {
            let CommandError::ClaimConflict { conflicts } = &error else {
                panic!("expected a claim conflict, got {error:?}")
            };
            let [Conflict::Busy { resource, id, from, until }] = conflicts.as_slice() else {
                panic!("expected one conflict, got {conflicts:?}")
            };
            assert_eq!((resource.as_str(), *id), ("practitioner", practitioner));
            assert_eq!(until.duration_since(*from).as_mins(), 15);
        }
    }
    // The genesis, the patients, the practitioner, the winners. A loser left nothing behind.
    assert_eq!(instance.events().await, 1 + CLIENTS as i64 + 1 + ROUNDS);
    assert_eq!(instance.count("SELECT count(*) FROM claims_busy").await, 2 * ROUNDS);
    ledger.close().await;
    instance.assert_sound().await;
}
