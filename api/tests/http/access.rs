//! Who may do what: every operation, with every role and without any.

use std::fmt::Write as _;

use api::http::operations;
use api::http::operations::{Access, Concerns, Operation};
use api::records::{Asking, Look, RecordsError};
use commands::policy::{Permission, Policy, Request};
use commands::{Actor, CommandError, PurposeOfUse};
use domain::AccountId;
use domain::account::Role;
use jiff::SignedDuration;
use projections::read_models::Page;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

use crate::common::{Caller, ROLES, Reply, TestApp};

/// The path with ids in it that name nothing.
fn concrete(operation: &Operation) -> String {
    let mut path = operation.path.to_owned();
    for name in ["{id}", "{hold_id}", "{scan_id}", "{measurement_id}", "{command_id}"] {
        path = path.replace(name, &Uuid::now_v7().to_string());
    }
    let path = path.replace("{sha256}", &"0".repeat(64));
    path.replace("{level}", "0").replace("{*index}", "999")
}

async fn ask(caller: &Caller, operation: &Operation, path: &str) -> Reply {
    let body = (operation.method != "GET").then(|| ("application/json", b"{}".to_vec()));
    caller.send(operation.method.clone(), path, body).await
}

#[test]
fn the_list_of_operations_is_the_reviewed_one() {
    let mut list = String::new();
    for operation in operations() {
        let access = match operation.access {
            Access::Public => "public".to_owned(),
            Access::Authenticated => "any account".to_owned(),
            Access::Needs(permission) => {
                let roles = permission.roles().iter().map(|role| role.as_str());
                let roles = roles.collect::<Vec<_>>().join(" ");
                format!("{} ({roles})", permission.as_str())
            }
        };
        let concerns = match operation.concerns {
            Concerns::Nobody => "",
            Concerns::Patient => " | denial recorded for the patient",
            Concerns::Appointment => " | denial recorded for the appointment's patient",
            Concerns::Wound => " | denial recorded for the wound's patient",
        };
        writeln!(list, "{} {} | {access}{concerns}", operation.method, operation.path)
            .expect("a line");
    }
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/api"),
        prepend_module_to_snapshot => false,
    }, {
        insta::assert_snapshot!("operations", list);
    });
}

#[test]
fn the_document_describes_exactly_the_operations() {
    let document = serde_json::to_value(api::http::document()).expect("the document");
    let paths = document["paths"].as_object().expect("paths");
    let mut described = BTreeSet::new();
    for (path, item) in paths {
        for method in item.as_object().expect("a path item").keys() {
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let listed: BTreeSet<_> = operations()
        .iter()
        .filter(|operation| operation.path != "/openapi.json")
        .map(|operation| (operation.method.to_string(), operation.path.replace("{*", "{")))
        .collect();
    assert_eq!(described, listed);
}

#[sqlx::test(migrations = "../migrations")]
async fn every_operation_asks_who_and_whether(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::counting_looks_for(options, SignedDuration::ZERO).await;
    let policy = Policy::default();
    let before = app.footprint().await;
    let looks = async || app.events("access").await + app.events("disclosure").await;
    for operation in &operations() {
        if operation.access == Access::Public {
            continue;
        }
        let path = concrete(operation);
        let name = format!("{} {}", operation.method, operation.path);
        let reply = ask(&app.anonymous(), operation, &path).await;
        assert_eq!((reply.status, reply.code()), (401, "unauthenticated"), "{name}");
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{name}");
        assert_eq!(reply.header("content-type"), "application/problem+json", "{name}");
        for role in ROLES {
            let may = match operation.access {
                Access::Needs(permission) => {
                    let actor = Actor::user(AccountId::from_uuid(Uuid::now_v7()), [*role]);
                    policy.decide(&Request::new(&actor, permission)).is_allowed()
                }
                Access::Public | Access::Authenticated => true,
            };
            let caller = app.role(*role);
            let recorded = looks().await;
            let reply = ask(&caller, operation, &path).await;
            let recorded = looks().await - recorded;
            if may {
                assert!(![401, 403].contains(&reply.status), "{name} as {role}: {}", reply.text);
                assert!(reply.status < 500, "{name} as {role}: {}", reply.text);
                // What is wrong in itself is refused without a look at anything.
                let expected = match operation.access {
                    // One's own receipts are no look at anything; whoever may see those of others looks at the log.
                    Access::Authenticated => i64::from(Permission::ReadLog.roles().contains(role)),
                    // The directory holds nothing of any patient.
                    Access::Needs(Permission::ReadDirectory) => 0,
                    // What is wrong in itself may be refused before anything is looked at.
                    _ if [400, 415, 422].contains(&reply.status) => recorded.min(1),
                    _ => 1,
                };
                assert_eq!(recorded, expected, "{name} as {role}: {}", reply.text);
            } else {
                assert_eq!((reply.status, reply.code()), (403, "denied"), "{name} as {role}");
                assert_eq!(recorded, 1, "{name} as {role}: a denial is recorded");
            }
            assert_eq!(reply.header("cache-control"), "no-store", "{name}");
        }
    }
    assert_eq!(app.footprint().await, before, "nothing of this left anything behind");
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn only_good_tokens_of_good_accounts_count(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let id = app.account(&[Role::Admin]).await;
    let path = format!("/v1/accounts/{id}");
    let tokens = &app.state.tokens;
    let now = app.state.clock.now();
    let good = app.token(id, &[Role::Admin]);
    app.caller(Some(good.clone())).get(&path).await.expect_status(200);

    let seed = [9; 32];
    let lifetime = Duration::from_secs(60);
    let foreign = |issuer: &str, audience: &str| {
        let tokens = api::identity::token::Tokens::new(&seed, issuer, audience, lifetime);
        let tokens = tokens.expect("tokens");
        tokens.issue(id, vec!["admin".into()], now).expect("a token").token
    };
    let old = now - jiff::SignedDuration::from_hours(1);
    let expired = tokens.issue(id, vec!["admin".into()], old).expect("a token").token;
    let nobody = tokens.issue(Uuid::now_v7(), vec!["admin".into()], now).expect("a token").token;
    let mut damaged = good.clone();
    damaged.truncate(good.len() - 6);
    for (what, token) in [
        ("another key", foreign(app.ledger.origin(), api::state::AUDIENCE)),
        ("another issuer", foreign("elsewhere.example", api::state::AUDIENCE)),
        ("another audience", foreign(app.ledger.origin(), "bank")),
        ("expired", expired),
        ("an account nobody has", nobody),
        ("a damaged signature", damaged),
        ("nonsense", "abc".to_owned()),
    ] {
        let reply = app.caller(Some(token)).get(&path).await;
        assert_eq!((reply.status, reply.code()), (401, "unauthenticated"), "{what}");
    }
    let reply = app.anonymous().with("Authorization", "Basic YTpi").get(&path).await;
    assert_eq!(reply.status, 401);

    // A token does not give more than the account has, and no more than it was issued for.
    let clinician = app.account(&[Role::Clinician]).await;
    let more = app.token(clinician, &[Role::Clinician, Role::Admin]);
    assert_eq!(app.caller(Some(more)).get(&path).await.status, 403);
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_revoked_role_and_a_disabled_account_hold_at_once(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = TestApp::start(options).await;
    let admin = app.admin();
    let id = app.account(&[Role::Auditor, Role::Compliance]).await;
    let caller = app.caller(Some(app.token(id, &[Role::Auditor, Role::Compliance])));
    let search = json!({ "family": "Probe" });
    let proof = "/v1/log/inclusion?position=0";
    caller.get(proof).await.expect_status(200);
    caller.post("/v1/patients/search", &search).await.expect_status(200);

    let roles = format!("/v1/accounts/{id}/roles");
    let body = json!({ "role": "compliance", "reason": "moved to another clinic" });
    admin.delete(&roles, &body).await.expect_status(200);
    assert_eq!(caller.post("/v1/patients/search", &search).await.status, 403);
    caller.get(proof).await.expect_status(200);

    let path = format!("/v1/accounts/{id}/disable");
    admin.post(&path, &json!({ "reason": "left the clinic" })).await.expect_status(200);
    assert_eq!(caller.get(proof).await.status, 401);
    let account = admin.get(&format!("/v1/accounts/{id}")).await.expect_status(200);
    assert_eq!(account.body["active"], false);
    assert_eq!(account.body["roles"], json!(["auditor"]));
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_denial_is_recorded_with_the_patient_whom_it_concerns_or_beside(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = TestApp::start(options).await;
    let (patient, _) = app.patient().await;
    assert_eq!(app.events("disclosure").await, 0);
    let path = format!("/v1/patients/{patient}");
    assert_eq!(app.role(Role::Analyst).get(&path).await.status, 403);
    assert_eq!(app.events("disclosure").await, 1, "the denial is in the patient's accounting");
    let wounds = format!("/v1/patients/{patient}/wounds");
    assert_eq!(app.front_desk().get(&wounds).await.status, 403);
    assert_eq!(app.events("disclosure").await, 2);
    let nobody = format!("/v1/patients/{}", Uuid::now_v7());
    assert_eq!(app.role(Role::Analyst).get(&nobody).await.status, 403);
    assert_eq!(app.events("disclosure").await, 2, "nobody is concerned");
    assert_eq!(app.events("access").await, 1, "and yet it is recorded");

    // Past the guard, as another face would ask: the door of the records refuses and records by itself.
    let asking = |roles: &[Role]| Asking {
        actor: Actor::user(AccountId::from_uuid(Uuid::now_v7()), roles.iter().copied()),
        purpose: PurposeOfUse::Treat,
        correlation_id: Uuid::now_v7(),
        min_position: None,
    };
    let records = &app.state.records;
    let refused = records.patient(&Look::new(asking(&[Role::Analyst])), patient).await;
    let denied = |refused: RecordsError| {
        assert!(
            matches!(refused, RecordsError::Ledger(CommandError::Denied { .. })),
            "{refused:?}"
        );
    };
    denied(refused.expect_err("an analyst sees no patient"));
    assert_eq!(app.events("disclosure").await, 3, "the denial is recorded");
    let page = Page::default();
    let refused = records.wounds_of(&Look::new(asking(&[Role::FrontDesk])), patient, &page).await;
    denied(refused.expect_err("the front desk sees no wound"));
    assert_eq!(app.events("disclosure").await, 4);
    // Who has no role at all is recorded, too.
    denied(records.patient(&Look::new(asking(&[])), patient).await.expect_err("nobody"));
    assert_eq!(app.events("disclosure").await, 5);
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn logging_in(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    let admin = app.admin();
    let new = json!({
        "login": "J.Meyer", "display_name": "Jo Meyer", "password": "correct horse battery",
    });
    let key = Uuid::now_v7();
    let keyed = admin.clone().with("Idempotency-Key", key);
    let first = keyed.post("/v1/accounts", &new).await.expect_status(201);
    let again = keyed.post("/v1/accounts", &new).await.expect_status(201);
    assert_eq!(again.stream_id(), first.stream_id(), "a repetition registers nobody else");
    assert_eq!(again.body["replayed"], true);
    let mut other = new.clone();
    other["password"] = json!("another horse battery");
    let reused = keyed.post("/v1/accounts", &other).await;
    assert_eq!((reused.status, reused.code()), (422, "command-id-reused"));
    let taken = admin.post("/v1/accounts", &new).await;
    assert_eq!((taken.status, taken.code()), (409, "claim-conflict"));
    assert_eq!(taken.body["conflicts"][0]["kind"], "login");

    let roles = format!("/v1/accounts/{}/roles", first.stream_id());
    admin.post(&roles, &json!({ "role": "front-desk" })).await.expect_status(200);

    let anonymous = app.anonymous();
    let body = json!({ "login": " j.meyer", "password": "correct horse battery" });
    let session = anonymous.post("/v1/sessions", &body).await.expect_status(200);
    assert_eq!(session.body["token_type"], "Bearer");
    assert_eq!(session.body["expires_in"], 900);
    let token = session.body["access_token"].as_str().expect("a token").to_owned();
    let search = json!({ "family": "Probe" });
    let caller = app.caller(Some(token));
    caller.post("/v1/patients/search", &search).await.expect_status(200);

    let wrong = json!({ "login": "j.meyer", "password": "wrong horse battery" });
    let unknown = json!({ "login": "nobody.here", "password": "wrong horse battery" });
    let wrong = anonymous.post("/v1/sessions", &wrong).await.expect_status(401);
    let unknown = anonymous.post("/v1/sessions", &unknown).await.expect_status(401);
    assert_eq!(wrong.body["detail"], unknown.body["detail"], "the answer tells nothing");

    let guess = json!({ "login": "victim", "password": "guess number whatever" });
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(anonymous.post("/v1/sessions", &guess).await);
    }
    let last = statuses.pop().expect("an answer");
    assert_eq!((last.status, last.code()), (429, "too-many-log-ins"));
    assert!(last.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    // Guessing at one name does not lock out another.
    anonymous.post("/v1/sessions", &body).await.expect_status(200);
    app.stop().await;
}
