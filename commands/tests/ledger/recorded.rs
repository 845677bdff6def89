//! Rows of `commands` that somebody without a key has invented, changed or removed: none is believed, nothing is done
//! twice, and the comparison names each.

use audit::proof::verify_receipt;
use commands::recorded::{CommandDifference, CommandsReport, compare};
use commands::{Clock, Context, Receipt};
use domain::Patient;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::clinic::{Clinic, ORIGIN, actor, context, rename};

/// A clinic with a patient, an edit whose command is attacked, and more before and after it.
struct Attacked {
    clinic: Clinic,
    options: PgConnectOptions,
    patient: Uuid,
    context: Context,
    done: Receipt,
}

impl Attacked {
    async fn open(options: PgConnectOptions) -> Attacked {
        let clinic = Clinic::open(options.clone()).await;
        let patient = clinic.register("A-1").await;
        let context = context();
        let done = clinic.ledger.execute::<Patient>(patient, rename("Eins"), &context).await;
        let done = done.expect("edited");
        clinic.register("A-2").await;
        clinic.owner.execute("CREATE TABLE kept AS TABLE commands").await.expect("kept");
        read_to(&clinic, 4).await;
        Attacked { clinic, options, patient, context, done }
    }

    /// As a superuser.
    async fn write(&self, sql: &str) {
        let sql = sql
            .replace("{id}", &self.context.command_id.to_string())
            .replace("{actor}", &self.context.actor.id.to_string());
        let script = format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT");
        self.clinic
            .owner
            .execute(sqlx::raw_sql(&script))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn put_back(&self) {
        self.write("DELETE FROM commands; INSERT INTO commands TABLE kept").await;
        assert!(self.compare().await.is_sound(), "as it was");
    }

    async fn compare(&self) -> CommandsReport {
        compare(&self.clinic.pool, &self.clinic.keys, ORIGIN).await.expect("the log is sound")
    }

    /// What is found, by position.
    async fn found(&self) -> Vec<(u64, CommandDifference)> {
        let report = self.compare().await;
        report.findings.iter().map(|finding| (finding.position, finding.difference)).collect()
    }

    /// Another process, which has read the whole log.
    async fn fresh(&self) -> Clinic {
        let keys = self.clinic.keys.clone();
        let clinic = Clinic::open_with(self.options.clone(), keys, Clock::system()).await;
        let size = clinic.count("SELECT size FROM ledger_head").await;
        read_to(&clinic, u64::try_from(size).expect("a size")).await;
        clinic
    }
}

/// Waits until a process has read so much of the log.
async fn read_to(clinic: &Clinic, size: u64) {
    while clinic.ledger.watch().size() < size || !clinic.ledger.watch().has_read_all() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// What was changed of the row of a command that was done: it is not repeated, its receipt comes from the log, and the
/// comparison names it.
#[sqlx::test(migrations = "../migrations")]
async fn a_changed_or_removed_row_leads_to_nothing(_: PgPoolOptions, options: PgConnectOptions) {
    use CommandDifference::{Changed, Foreign, Missing, Tag};
    let attacked = Attacked::open(options).await;
    let own = "command_id = '{id}'";
    let position = attacked.done.position.expect("an event");
    for (what, sql, found) in [
        ("removed", format!("DELETE FROM commands WHERE {own}"), vec![(position, Missing)]),
        (
            "another request",
            format!("UPDATE commands SET request_mac = sha256('x') WHERE {own}"),
            vec![(position, Tag)],
        ),
        (
            "the request of another command",
            format!(
                "UPDATE commands SET request_mac = (SELECT request_mac FROM kept WHERE first_position = 1) WHERE {own}"
            ),
            vec![(position, Tag)],
        ),
        (
            "another size",
            format!("UPDATE commands SET log_size = log_size + 1 WHERE {own}"),
            vec![(position, Tag)],
        ),
        (
            "the tag of another",
            format!(
                "UPDATE commands SET tag = (SELECT tag FROM kept WHERE first_position = 1) WHERE {own}"
            ),
            vec![(position, Tag)],
        ),
        (
            "more events",
            format!("UPDATE commands SET event_count = 2 WHERE {own}"),
            vec![(position, Changed)],
        ),
        (
            "no events",
            format!("UPDATE commands SET event_count = 0 WHERE {own}"),
            vec![(position, Changed)],
        ),
        (
            "other events",
            format!("UPDATE commands SET first_position = 1 WHERE {own}"),
            vec![(position, Changed)],
        ),
        (
            "events beyond the log",
            format!("UPDATE commands SET first_position = 9223372036854775807 WHERE {own}"),
            vec![(position, Changed)],
        ),
        (
            "another actor",
            format!(
                "UPDATE commands SET actor_id = '00000000-0000-7000-8000-000000000009' WHERE {own}"
            ),
            vec![(position, Foreign), (position, Missing)],
        ),
        (
            "another id",
            format!(
                "UPDATE commands SET command_id = '00000000-0000-7000-8000-000000000009' WHERE {own}"
            ),
            vec![(position, Foreign), (position, Missing)],
        ),
        (
            "two exchanged",
            "UPDATE commands c SET first_position = k.first_position FROM kept k
              WHERE (c.first_position, k.first_position) IN ((1, 2), (2, 1))"
                .to_owned(),
            vec![(1, Changed), (2, Changed)],
        ),
    ] {
        attacked.write(&sql).await;
        let mut said = attacked.found().await;
        said.sort();
        let mut expected = found;
        expected.sort();
        assert_eq!(said, expected, "{what}");
        let fresh = attacked.fresh().await;
        for clinic in [&attacked.clinic, &fresh] {
            let before = clinic.count("SELECT count(*) FROM events").await;
            for family in ["Eins", "Zwei"] {
                let repeated = clinic
                    .ledger
                    .execute::<Patient>(attacked.patient, rename(family), &attacked.context)
                    .await;
                let error = repeated.expect_err(what);
                assert_eq!(error.code(), "command-damaged", "{what}");
            }
            assert_eq!(clinic.count("SELECT count(*) FROM events").await, before, "{what}");
            let receipt = clinic.ledger.receipt(attacked.context.command_id, &actor()).await;
            let receipt =
                receipt.expect("readable").unwrap_or_else(|| panic!("{what}: no receipt"));
            verify_receipt(&receipt, &clinic.verifiers()).expect("it holds");
            assert_eq!(receipt.events, attacked.done.events, "{what}: from the log");
            // Everybody else goes on.
            clinic.register(&format!("B-{what}-{before}")).await;
        }
        fresh.ledger.close().await;
        // The new commands stay; the attacked ones are as they were.
        attacked
            .write("DELETE FROM commands WHERE first_position < 4 OR first_position > 9223372036854775000 \
                    OR actor_id = '00000000-0000-7000-8000-000000000009'; INSERT INTO commands TABLE kept")
            .await;
        assert!(attacked.compare().await.is_sound(), "{what}: put back");
    }
    attacked.clinic.assert_sound().await;
}

/// A row for a command that nobody sent: no receipt, no belief, and nobody is kept from a command but under that very
/// id.
#[sqlx::test(migrations = "../migrations")]
async fn an_invented_row_yields_nothing(_: PgPoolOptions, options: PgConnectOptions) {
    let attacked = Attacked::open(options).await;
    let clinic = &attacked.clinic;
    for (n, (what, first, count)) in [
        ("changed nothing", "4", "0"),
        ("changed nothing at the end", "3", "0"),
        ("the events of another", "2", "1"),
        ("events beyond the end", "4", "3"),
    ]
    .into_iter()
    .enumerate()
    {
        let context = context();
        let insert = format!(
            "INSERT INTO commands (command_id, actor_id, request_mac, first_position, event_count, log_size, tag)
             SELECT '{}', actor_id, request_mac, {first}, {count}, log_size, tag FROM kept WHERE first_position = 2",
            context.command_id
        );
        attacked.write(&insert).await;
        let position = first.parse().expect("a number");
        assert_eq!(attacked.found().await, [(position, CommandDifference::Foreign)], "{what}");
        let fresh = attacked.fresh().await;
        for clinic in [clinic, &fresh] {
            let receipt =
                clinic.ledger.receipt(context.command_id, &actor()).await.expect("readable");
            assert!(receipt.is_none(), "{what}");
            let execute = |context: Context| {
                let ledger = clinic.ledger.clone();
                async move {
                    ledger.execute::<Patient>(attacked.patient, rename("Zwei"), &context).await
                }
            };
            let refused = execute(context.clone()).await.expect_err(what);
            assert_eq!(refused.code(), "command-damaged", "{what}");
        }
        fresh.ledger.close().await;
        // The same id of another actor, and another id of this one.
        let importer = Context::new(commands::Actor::importer(), commands::PurposeOfUse::Treat)
            .with_command_id(context.command_id);
        let patient = crate::clinic::patient("Mustermann", &format!("C-{n}"));
        let ledger = &clinic.ledger;
        ledger.execute::<Patient>(ledger.new_id(), patient, &importer).await.expect("its own id");
        clinic.register(&format!("D-{n}")).await;
        let removed = format!(
            "DELETE FROM commands WHERE command_id = '{}' AND actor_id = '{{actor}}'",
            context.command_id
        );
        attacked.write(&removed).await;
        assert!(attacked.compare().await.is_sound(), "{what}: put back");
    }
}

/// Where the check is left out, a removed row leads to a second execution: that is what the comparison calls it.
#[sqlx::test(migrations = "../migrations")]
async fn what_was_done_twice_is_named(_: PgPoolOptions, options: PgConnectOptions) {
    let attacked = Attacked::open(options).await;
    attacked.write("DELETE FROM commands WHERE command_id = '{id}'").await;
    let ledger = &attacked.clinic.ledger;
    let loaded = ledger.load::<Patient>(attacked.patient).await.expect("readable").expect("there");
    let sealed =
        ledger.seal::<Patient>(attacked.patient, rename("Zwei"), loaded, &attacked.context);
    let again = ledger.append_sealed(sealed.await.expect("sealed")).await.expect("appended");
    let position = attacked.done.position.expect("an event");
    let found = attacked.found().await;
    assert!(found.contains(&(position, CommandDifference::Missing)), "{found:?}");
    let second = again.position.expect("an event");
    assert!(found.contains(&(second, CommandDifference::DoneTwice)), "{found:?}");
    attacked.put_back_but(second).await;
}

impl Attacked {
    /// With the row of the first execution there again, the second is still named.
    async fn put_back_but(&self, second: u64) {
        self.write("DELETE FROM commands; INSERT INTO commands TABLE kept").await;
        let found = self.found().await;
        let expected =
            [(second, CommandDifference::Missing), (second, CommandDifference::DoneTwice)];
        assert_eq!(found, expected);
    }
}

/// Rows of before there were tags are proved against the log when it is opened.
#[sqlx::test(migrations = "../migrations")]
async fn rows_without_a_tag_are_taken_over_if_the_log_proves_them(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let attacked = Attacked::open(options).await;
    attacked.write("UPDATE commands SET tag = NULL").await;
    let untagged = "SELECT count(*) FROM commands WHERE tag IS NULL";
    assert_eq!(attacked.clinic.count(untagged).await, 4);
    attacked.fresh().await.ledger.close().await;
    assert_eq!(attacked.clinic.count(untagged).await, 0);
    assert!(attacked.compare().await.is_sound());
    let again = attacked
        .clinic
        .ledger
        .execute::<Patient>(attacked.patient, rename("Eins"), &attacked.context)
        .await;
    assert!(again.expect("as before").replayed);
    // What the log does not prove stays without one, whatever it says.
    for change in [
        "event_count = 2",
        "event_count = 0",
        "first_position = 1",
        "log_size = log_size + 1",
        "actor_id = '00000000-0000-7000-8000-000000000009'",
        "command_id = '00000000-0000-7000-8000-000000000009'",
    ] {
        attacked
            .write(&format!("UPDATE commands SET tag = NULL, {change} WHERE command_id = '{{id}}'"))
            .await;
        attacked.fresh().await.ledger.close().await;
        assert_eq!(attacked.clinic.count(untagged).await, 1, "{change}");
        assert!(!attacked.compare().await.is_sound(), "{change}");
        attacked.put_back().await;
    }
}

/// The tag is given once, by the function alone.
#[sqlx::test(migrations = "../migrations")]
async fn a_row_gets_its_tag_once_and_nothing_else(_: PgPoolOptions, options: PgConnectOptions) {
    let attacked = Attacked::open(options).await;
    let (pool, owner) = (&attacked.clinic.pool, &attacked.clinic.owner);
    let tag = "SELECT tag_commands(array_agg(actor_id), array_agg(command_id), array_agg(sha256('x'))) FROM commands";
    assert_eq!(attacked.clinic.count(tag).await, 0, "they have theirs");
    assert!(attacked.compare().await.is_sound());
    pool.execute("UPDATE commands SET tag = sha256('x')").await.expect_err("no such right");
    owner.execute("UPDATE commands SET tag = sha256('x')").await.expect_err("they have theirs");
    let untagged = "SELECT append_log(4, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', \
                    ARRAY[gen_random_uuid()], ARRAY[gen_random_uuid()], ARRAY[sha256('x')], ARRAY[4::bigint], ARRAY[0], \
                    ARRAY[NULL::bytea], 4, 'note')";
    let refused = pool.execute(untagged).await.expect_err("a command has its tag").to_string();
    assert!(refused.contains("appended with its tag"), "{refused}");
    attacked.write("UPDATE commands SET tag = NULL").await;
    owner
        .execute("UPDATE commands SET tag = sha256('x'), event_count = 0")
        .await
        .expect_err("only the tag");
}
