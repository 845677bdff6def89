//! Looks alike within a short time: one event stands for them, and nothing is shown that none stands for.

use std::time::Duration;

use commands::{
    AccessEntry, Actor, Clock, CommandError, Context, DisclosureEntry, Keys, Ledger, LedgerConfig,
    ManualClock, PurposeOfUse,
};
use domain::access::AccessRecorded;
use domain::account::Role;
use domain::disclosure::{RecordDisclosed, Repeats};
use domain::{Access, AccountId, Custody, Disclosure, PatientId};
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::clinic::{Clinic, ORIGIN, context, erase, officer, serve};

/// How long looks alike are counted by default.
const WITHIN: SignedDuration = SignedDuration::from_secs(10);

fn start() -> Timestamp {
    "2026-03-10T20:05:00Z".parse().expect("a time")
}

async fn clinic(options: PgConnectOptions) -> (Clinic, ManualClock) {
    let (clock, hands) = Clock::manual(start());
    (Clinic::open_with(options, Keys::ephemeral(), clock).await, hands)
}

fn look(patient: Uuid, resource: &str, outcome: &str) -> DisclosureEntry {
    let patient = PatientId::from_uuid(patient);
    let look = json!({ "patient_id": patient, "resource": resource, "what": [patient],
                       "outcome": outcome });
    serde_json::from_value(look).expect("an entry")
}

fn access(resource: &str, outcome: &str) -> AccessEntry {
    serde_json::from_value(json!({ "resource": resource, "outcome": outcome })).expect("an entry")
}

fn of(account: u128, role: Role, purpose: PurposeOfUse) -> Context {
    Context::new(Actor::user(AccountId::from_uuid(Uuid::from_u128(account)), [role]), purpose)
}

impl Clinic {
    /// What is recorded of looks at records, in the order of the log.
    async fn disclosed(&self) -> Vec<(Uuid, RecordDisclosed)> {
        let mut found = Vec::new();
        for id in self.streams("disclosure").await {
            let loaded = self.ledger.load::<Disclosure>(id).await.expect("readable");
            let recorded = loaded.and_then(|loaded| loaded.aggregate.recorded().cloned());
            found.push((id, recorded.expect("a look")));
        }
        found
    }

    /// What is recorded of other looks.
    async fn accessed(&self) -> Vec<(Uuid, AccessRecorded)> {
        let mut found = Vec::new();
        for id in self.streams("access").await {
            let loaded = self.ledger.load::<Access>(id).await.expect("readable");
            let recorded = loaded.and_then(|loaded| loaded.aggregate.recorded().cloned());
            found.push((id, recorded.expect("a look")));
        }
        found
    }

    async fn streams(&self, kind: &str) -> Vec<Uuid> {
        let sql = "SELECT aggregate_id FROM events WHERE aggregate_type = $1 ORDER BY position";
        sqlx::query_scalar(sql).bind(kind).fetch_all(&self.pool).await.expect("the streams")
    }

    /// Waits until so many looks of a kind are recorded.
    async fn until_recorded(&self, kind: &str, events: usize) {
        for _ in 0..500 {
            if self.streams(kind).await.len() >= events {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{kind}: {} instead of {events}", self.streams(kind).await.len());
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn two_thousand_denials_are_one_event_and_one_count(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let (clinic, hands) = clinic(options).await;
    let patient = clinic.register("A-1").await;
    let (ledger, snoop) = (&clinic.ledger, || of(7, Role::Analyst, PurposeOfUse::Treat));
    // All at once: whoever comes while the first is being recorded waits for it.
    for _ in 0..32 {
        let denied = (0..63).map(|_| async {
            ledger.record_disclosures(vec![look(patient, "patient", "denied")], &snoop()).await
        });
        assert!(join_all(denied).await.into_iter().all(|recorded| recorded.is_ok()));
    }
    let recorded = clinic.disclosed().await;
    let [(first, event)] = &recorded[..] else { panic!("{recorded:?}") };
    assert_eq!(event.repeats, Some(Repeats::Until(start() + WITHIN)));
    assert_eq!(event.count.get(), 1);

    hands.set(start() + WITHIN);
    clinic.until_recorded("disclosure", 2).await;
    let recorded = clinic.disclosed().await;
    let (_, rest) = &recorded[1];
    assert_eq!((rest.count.get(), rest.repeats), (2_015, Some(Repeats::Of(*first))));
    assert_eq!((rest.patient_id, rest.outcome), (event.patient_id, event.outcome));
    let actors: i64 = clinic
        .count(
            "SELECT count(DISTINCT convert_from(statement, 'UTF8')::jsonb -> 'actor' ->> 'id')
               FROM events WHERE aggregate_type = 'disclosure'",
        )
        .await;
    assert_eq!(actors, 1, "the count is in the name of who looked");
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn whatever_tells_one_look_from_another_makes_an_event(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let (clinic, hands) = clinic(options).await;
    let (one, two) = (clinic.register("A-1").await, clinic.register("A-2").await);
    let doctor = || of(1, Role::Clinician, PurposeOfUse::Treat);
    let kinds = [
        (doctor(), look(one, "patient", "disclosed")),
        (doctor(), look(two, "patient", "disclosed")),
        (doctor(), look(one, "wound-list", "disclosed")),
        (doctor(), look(one, "patient", "denied")),
        (of(2, Role::Clinician, PurposeOfUse::Treat), look(one, "patient", "disclosed")),
        (of(1, Role::Clinician, PurposeOfUse::Hpaymt), look(one, "patient", "disclosed")),
        (of(1, Role::FrontDesk, PurposeOfUse::Treat), look(one, "patient", "disclosed")),
    ];
    for times in 1..=3 {
        for (who, entry) in &kinds {
            let recorded = clinic.ledger.record_disclosures(vec![entry.clone()], who).await;
            recorded.expect("recorded");
        }
        assert_eq!(clinic.disclosed().await.len(), kinds.len(), "after {times} times");
    }
    // Two at a time, of which one is alike.
    let both = vec![look(one, "patient", "disclosed"), look(two, "wound", "disclosed")];
    clinic.ledger.record_disclosures(both, &doctor()).await.expect("recorded");
    assert_eq!(clinic.disclosed().await.len(), kinds.len() + 1);
    // When the time is over, the next one is a first one again.
    hands.set(start() + WITHIN);
    let again = vec![look(one, "patient", "disclosed")];
    clinic.ledger.record_disclosures(again, &doctor()).await.expect("recorded");
    let counts = kinds.len();
    clinic.until_recorded("disclosure", 2 * counts + 2).await;
    let recorded = clinic.disclosed().await;
    assert_eq!(recorded.len(), 2 * counts + 2);
    let counted: u32 = recorded.iter().map(|(_, event)| event.count.get()).sum();
    assert_eq!(counted as usize, 3 * counts + 2 + 1, "each look is counted once");
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn looks_at_nobodys_record_are_counted_alike(_: PgPoolOptions, options: PgConnectOptions) {
    let (clinic, _) = clinic(options).await;
    let searches = (0..20).map(|_| async {
        clinic.ledger.record_access(access("patient-search", "nothing-found"), &context()).await
    });
    assert!(join_all(searches).await.into_iter().all(|recorded| recorded.is_ok()));
    // Without any role, too.
    let nobody = Actor::user(AccountId::from_uuid(Uuid::from_u128(9)), []);
    let nobody = Context::new(nobody, PurposeOfUse::Treat);
    let denied = clinic.ledger.record_access(access("read-patient", "denied"), &nobody).await;
    denied.expect("whoever has an account can be recorded");
    assert_eq!(clinic.accessed().await.len(), 2);
    // What was counted is recorded before the ledger closes.
    clinic.ledger.clone().close().await;
    let config = LedgerConfig::new(ORIGIN);
    let (clock, _) = Clock::manual(start());
    let reopened = Ledger::open(clinic.pool.clone(), clinic.keys.clone(), clock, config).await;
    let clinic = Clinic { ledger: reopened.expect("the ledger opens"), ..clinic };
    let recorded = clinic.accessed().await;
    let [(first, _), _, (_, rest)] = &recorded[..] else { panic!("{recorded:?}") };
    assert_eq!((rest.count.get(), rest.repeats), (19, Some(Repeats::Of(*first))));
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn an_erased_record_is_not_shown_on_a_look_of_before(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let (clinic, hands) = clinic(options.clone()).await;
    let patient = clinic.register("A-1").await;
    let looks = || vec![look(patient, "patient", "disclosed")];
    for _ in 0..3 {
        clinic.ledger.record_disclosures(looks(), &context()).await.expect("recorded");
    }
    // Another process erases it.
    let (clock, _) = Clock::manual(start());
    let pool = serve(options).await;
    let other = Ledger::open(pool, clinic.keys.clone(), clock, LedgerConfig::new(ORIGIN)).await;
    let other = other.expect("the ledger opens");
    other.execute::<Custody>(patient, erase(), &officer()).await.expect("erased");
    let refused = clinic.ledger.record_disclosures(looks(), &context()).await;
    assert!(matches!(refused, Err(CommandError::Erased)), "{refused:?}");
    // The count cannot be sealed any more; that is no fault, and holds nothing up.
    hands.set(start() + WITHIN);
    clinic.ledger.record_access(access("read-models", "allowed"), &context()).await.expect("well");
    clinic.ledger.clone().close().await;
    assert_eq!(clinic.streams("disclosure").await.len(), 1);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_ledger_that_does_not_append_counts_nothing_either(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let (clinic, _) = clinic(options).await;
    let patient = clinic.register("A-1").await;
    let looks = || vec![look(patient, "patient", "disclosed")];
    clinic.ledger.record_disclosures(looks(), &context()).await.expect("recorded");
    clinic.ledger.record_access(access("read-log", "allowed"), &context()).await.expect("recorded");
    clinic.ledger.clone().close().await;
    let refused = clinic.ledger.record_disclosures(looks(), &context()).await;
    assert!(matches!(refused, Err(CommandError::Unavailable(_))), "{refused:?}");
    let refused = clinic.ledger.record_access(access("read-log", "allowed"), &context()).await;
    assert!(matches!(refused, Err(CommandError::Unavailable(_))), "{refused:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn each_look_is_an_event_where_none_are_counted(_: PgPoolOptions, options: PgConnectOptions) {
    let (mut clinic, _) = clinic(options).await;
    let config =
        LedgerConfig { looks_alike_within: SignedDuration::ZERO, ..LedgerConfig::new(ORIGIN) };
    let (clock, _) = Clock::manual(start());
    let opened = Ledger::open(clinic.pool.clone(), clinic.keys.clone(), clock, config).await;
    clinic.ledger = opened.expect("the ledger opens");
    let patient = clinic.register("A-1").await;
    for _ in 0..3 {
        let looks = vec![look(patient, "patient", "disclosed")];
        clinic.ledger.record_disclosures(looks, &context()).await.expect("recorded");
    }
    let recorded = clinic.disclosed().await;
    assert_eq!(recorded.len(), 3);
    assert!(recorded.iter().all(|(_, event)| event.count.get() == 1 && event.repeats.is_none()));
}
