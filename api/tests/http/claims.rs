//! Log-in names and numbers when somebody has written to the tables of claims: nobody gets into another's account, and it is counted.

use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use serde_json::json;

use crate::common::TestApp;

#[sqlx::test(migrations = "../migrations")]
async fn an_exchanged_log_in_name_leads_into_no_account(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let owner = PgPoolOptions::new().connect_with(options.clone()).await.expect("the owner");
    let app = TestApp::start(options).await;
    let (admin, anonymous) = (app.admin(), app.anonymous());
    for (login, password) in [("victim", "correct horse battery"), ("mallory", "staple of mallory")]
    {
        let new = json!({ "login": login, "display_name": login, "password": password });
        admin.post("/v1/accounts", &new).await.expect_status(201);
    }
    let log_in = |login: &str, password: &str| {
        let (body, anonymous) =
            (json!({ "login": login, "password": password }), anonymous.clone());
        async move { anonymous.post("/v1/sessions", &body).await }
    };
    log_in("victim", "correct horse battery").await.expect_status(200);

    // The victim's name leads to the attacker's account, whose password he knows.
    owner
        .execute(
            "BEGIN; SET LOCAL session_replication_role = replica;
             UPDATE claims_unique SET aggregate_id =
               (SELECT aggregate_id FROM events WHERE aggregate_type = 'account' ORDER BY position DESC LIMIT 1)
              WHERE kind = 'login'; COMMIT",
        )
        .await
        .expect("a superuser may");
    for (login, password) in [
        ("victim", "staple of mallory"),
        ("victim", "correct horse battery"),
        ("victim", "a wrong password"),
    ] {
        let refused = log_in(login, password).await;
        assert_eq!((refused.status, refused.code()), (503, "claims-damaged"), "{}", refused.text);
        assert!(!refused.text.contains(login));
    }
    // Gone altogether: not as if there had never been such an account.
    owner.execute("DELETE FROM claims_unique WHERE kind = 'login'").await.expect("a superuser may");
    let refused = log_in("victim", "correct horse battery").await;
    assert_eq!((refused.status, refused.code()), (503, "claims-damaged"));
    let new = json!({ "login": "victim", "display_name": "Another", "password": "another horse battery" });
    let refused = admin.post("/v1/accounts", &new).await;
    assert_eq!((refused.status, refused.code()), (503, "claims-damaged"), "the name is not free");
    // A name whose bucket nobody touched is answered as ever.
    assert_eq!(log_in("nobody-has-this", "correct horse battery").await.status, 401);

    let figures = anonymous.get("/metrics").await.expect_status(200);
    assert!(
        figures.text.contains(r#"ledger_claims_damaged_total{kind="login"}"#),
        "{}",
        figures.text
    );
    app.stop().await;
}
