//! `ledger claims rebuild`: what differs is named, and made again from the log.

use sqlx::Executor as _;

use crate::support::instance::Instance;

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_names_what_differs_and_makes_it_again() {
    let instance = Instance::new().await;
    instance.run(["migrate"]).await.succeeded();
    let mut admin = instance.command(["account", "create-admin", "--login", "first"]);
    admin.env("LEDGER_ADMIN_PASSWORD", "correct horse battery");
    instance.finish(admin).await.succeeded();
    let same = instance.run(["claims", "rebuild", "--dry-run"]).await;
    assert_eq!(same.status, 0, "{}", same.stderr);
    assert!(same.stdout.contains("The stored claims are the same."), "{}", same.stdout);

    instance.pool.execute("DELETE FROM claims_unique").await.expect("a superuser may");
    let differs = instance.run(["claims", "rebuild", "--dry-run"]).await;
    assert_eq!(differs.status, 3, "{}", differs.stderr);
    assert!(differs.stdout.contains("missing: login of account"), "{}", differs.stdout);
    assert!(differs.stdout.contains("granted at position 1"), "{}", differs.stdout);
    assert_eq!(
        instance.count("SELECT count(*) FROM claims_unique").await,
        0,
        "nothing was changed"
    );

    let repaired = instance.run(["--json", "claims", "rebuild"]).await;
    assert_eq!(repaired.status, 0, "{}", repaired.stderr);
    let said: serde_json::Value = serde_json::from_str(&repaired.stdout).expect("JSON");
    assert_eq!((&said["rewritten"], &said["claims"]), (&1.into(), &1.into()), "{said}");
    assert_eq!(said["findings"][0]["difference"], "missing");
    assert_eq!(instance.count("SELECT count(*) FROM claims_unique").await, 1);
    let again = instance.run(["claims", "rebuild", "--dry-run"]).await;
    assert_eq!(again.status, 0, "{}", again.stdout);
}
