//! Rows of data keys that somebody has changed: whoever decides, whoever reads events and whoever audits judge each alike.

use audit::postgres::{DataKeyError, DataKeys, LogReader};
use audit::verify::{Options, Trust};
use commands::{Clock, CommandError, Ledger, LedgerConfig};
use domain::{Custody, Patient};
use projections::event::{EventError, EventLog};
use serde_json::json;
use sqlx::PgPool;

use crate::clinic::{Clinic, ORIGIN, id};

/// What is said of a patient's key.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Opens,
    /// The row is not the key's.
    Damaged,
    /// The key is gone, and nobody was erased.
    Missing,
    Erased,
}

impl Clinic {
    /// As whoever may do anything in the database.
    async fn overwrite(&self, sql: &str) {
        let script = format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT");
        let done = sqlx::raw_sql(&script).execute(&self.owner).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    fn reader() -> LogReader {
        LogReader::new(ORIGIN, commands::log_policy())
    }

    /// By a process that has just begun and decides about the record.
    async fn decided(&self) -> Verdict {
        let (clock, _) = Clock::manual("2026-01-05T08:00:00Z".parse().expect("an instant"));
        let config = LedgerConfig::new(ORIGIN);
        let ledger = Ledger::open(self.pool.clone(), self.keys.clone(), clock, config).await;
        let ledger = ledger.expect("it opens");
        let loaded = ledger.load::<Patient>(id(1)).await;
        ledger.close().await;
        match loaded {
            Ok(_) => Verdict::Opens,
            Err(CommandError::Erased) => Verdict::Erased,
            Err(error) if error.code() == "key-missing" => Verdict::Missing,
            Err(error) => {
                assert!(["unavailable", "key-not-at-hand"].contains(&error.code()), "{error:?}");
                Verdict::Damaged
            }
        }
    }

    /// By a projector that has just begun.
    async fn projected(&self) -> Verdict {
        let keys = DataKeys::new(self.pool.clone(), self.keys.key_wrap(), Clinic::reader());
        let log = EventLog::new(self.pool.clone(), keys, Clinic::reader());
        match log.stream("patient", id(1)).await {
            Ok(events) if events.iter().all(|event| event.event.is_some()) => Verdict::Opens,
            Ok(_) => Verdict::Erased,
            Err(EventError::KeyMissing { .. }) => Verdict::Missing,
            Err(EventError::Key { source, .. }) => {
                let damaged =
                    matches!(source, DataKeyError::Unwrap { .. } | DataKeyError::Unbound { .. });
                assert!(damaged, "{source:?}");
                Verdict::Damaged
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    /// By an auditor.
    async fn audited(&self) -> Verdict {
        let trust = Trust::any_of(ORIGIN, self.keys.verifiers(ORIGIN).expect("keys"));
        let report = commands::audit::verify(
            &self.owner,
            &trust,
            Options { threads: 1, ..Options::default() },
            Some(&self.keys),
            |_| (),
        );
        let report = report.await.expect("readable");
        let keys = report.beside.iter().find(|comparison| comparison.what == "data keys");
        let found = keys.expect("they are compared").findings.iter();
        let mut found = found.filter(|found| found.object.contains(&id(1).to_string()));
        let opened = report.log.is_sound();
        match found.next().map(|found| found.kind.as_str()) {
            None => {
                assert!(opened, "{:?}", report.log.findings);
                Verdict::Opens
            }
            Some("not-destroyed") => Verdict::Erased,
            Some("missing" | "emptied") => {
                assert!(!opened, "the log says as well that it does not open");
                Verdict::Missing
            }
            Some(_) => {
                assert!(!opened, "the log says as well that it does not open");
                Verdict::Damaged
            }
        }
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn writer_projector_and_auditor_judge_a_row_alike(pool: PgPool) {
    let clinic = Clinic::open(pool).await;
    for n in [1, 2] {
        clinic.register(n).await;
    }
    clinic.overwrite("CREATE TABLE kept AS TABLE keyring.data_keys").await;
    let (one, two) = (id(1), id(2));
    let exchanged = |columns: &str| {
        format!(
            "DELETE FROM keyring.data_keys WHERE subject IN ('{one}', '{two}');
             INSERT INTO keyring.data_keys (key_id, subject, kind, wrap_version, kek_id, wrapped)
             SELECT {columns} FROM kept m JOIN kept o
                 ON (m.subject, o.subject) IN (('{one}', '{two}'), ('{two}', '{one}'))"
        )
    };
    let of_one = |set: &str| format!("UPDATE keyring.data_keys SET {set} WHERE subject = '{one}'");
    let put_back = "DELETE FROM keyring.data_keys; INSERT INTO keyring.data_keys TABLE kept";
    for (what, sql, expected) in [
        ("untouched", "SELECT 1".to_owned(), Verdict::Opens),
        (
            "wraps exchanged",
            exchanged("m.key_id, m.subject, m.kind, m.wrap_version, o.kek_id, o.wrapped"),
            Verdict::Damaged,
        ),
        (
            "the key of another subject",
            exchanged("m.key_id, o.subject, m.kind, m.wrap_version, m.kek_id, m.wrapped"),
            Verdict::Damaged,
        ),
        ("another kind", of_one("kind = 'account'"), Verdict::Damaged),
        ("said to be of before", of_one("wrap_version = 1"), Verdict::Damaged),
        ("emptied", of_one("wrapped = NULL, destroyed_at = now()"), Verdict::Missing),
        (
            "removed",
            format!("DELETE FROM keyring.data_keys WHERE subject = '{one}'"),
            Verdict::Missing,
        ),
    ] {
        clinic.overwrite(&sql).await;
        let said = [clinic.decided().await, clinic.projected().await, clinic.audited().await];
        assert!(said.iter().all(|said| *said == expected), "{what}: {said:?}");
        clinic.overwrite(put_back).await;
    }
    let command = json!({ "erase": { "reason": "retention-expired", "authority": "policy",
                                     "case_reference": "RET-2026/1" } });
    clinic.execute::<Custody>(one, command).await;
    clinic.overwrite(put_back).await;
    // The writer last: it destroys again what it meets.
    let said = [clinic.projected().await, clinic.audited().await, clinic.decided().await];
    assert!(said.iter().all(|said| *said == Verdict::Erased), "put back: {said:?}");
    assert_eq!(clinic.audited().await, Verdict::Opens, "nothing is wrong any more");
    assert_eq!(clinic.projected().await, Verdict::Erased);
    clinic.close().await;
}
