//! Nobody else writes, nobody edits, and nothing identifies a person.

use cqrs_es::persist::{PersistedEventRepository, SerializedEvent};
use domain::Patient;
use postgres_es::PostgresEventRepository;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::clinic::{Clinic, Slot, context, rename};

const TABLES: [&str; 4] = ["events", "checkpoints", "tiles", "commands"];

#[sqlx::test(migrations = "../migrations")]
async fn the_stock_repository_cannot_insert(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options).await;
    let id = clinic.register("A-1").await;
    let unsigned = SerializedEvent::new(
        id.to_string(),
        2,
        "patient".to_owned(),
        "PatientDeactivated".to_owned(),
        "1".to_owned(),
        json!({"PatientDeactivated": {"reason": "other"}}),
        json!({}),
    );
    let stock = PostgresEventRepository::new(clinic.pool.clone());
    stock.persist::<Patient>(&[unsigned], None).await.expect_err("unsigned");
    assert_eq!(clinic.count("SELECT count(*) FROM events").await, 2);
}

#[sqlx::test(migrations = "../migrations")]
async fn neither_the_application_nor_the_owner_edits_the_log(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    clinic.register("A-1").await;
    // So few events complete no tile: one that belongs to nothing, which may not leave either.
    let tile = "INSERT INTO tiles VALUES (0, 0, decode(repeat('00', 8192), 'hex'))";
    sqlx::query(tile).execute(&clinic.owner).await.expect("the owner may");
    for table in TABLES {
        let column = match table {
            "events" => "event_type = 'X'",
            "checkpoints" => "note = ''",
            "tiles" => "hashes = ''",
            _ => "event_count = 0",
        };
        for sql in [
            format!("UPDATE {table} SET {column}"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
        ] {
            for (who, pool) in [("application", &clinic.pool), ("owner", &clinic.owner)] {
                let error = sqlx::query(&sql).execute(pool).await.expect_err(&sql);
                let code = error.as_database_error().and_then(|error| error.code());
                assert_eq!(code.as_deref(), Some("42501"), "{who}: {sql}: {error}");
            }
        }
    }
    let head = sqlx::query("DELETE FROM ledger_head").execute(&clinic.pool).await;
    head.expect_err("the application cannot remove the head");
    assert_eq!(clinic.count("SELECT quarantine_stray_tiles()").await, 1, "there was no such tile");
    clinic.assert_sound().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn no_table_holds_a_name_a_birth_date_or_a_record_number(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options).await;
    let patient = clinic.register("MRN-48151623").await;
    clinic.ledger.execute::<Patient>(patient, rename("Musterfrau"), &context()).await.expect("ok");
    let (practitioner, room) = (Uuid::from_u128(1), Uuid::from_u128(2));
    clinic
        .book(&Slot { patient, practitioner, room, start: "2031-03-03T09:00" })
        .await
        .expect("free");
    let dump = dump(&clinic.owner).await;
    assert!(dump.contains("PatientRegistered"), "the dump holds the log");
    for secret in ["Mustermann", "Musterfrau", "Erika", "1964-08-12", "MRN-48151623"] {
        assert!(!dump.contains(secret), "a table holds personal data in the clear");
    }
}

/// Every row of every table as text; bytes with their text left readable.
async fn dump(pool: &PgPool) -> String {
    let tables = sqlx::query(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
          WHERE schemaname IN ('public', 'keyring') AND tablename <> '_sqlx_migrations'",
    )
    .fetch_all(pool)
    .await
    .expect("the tables");
    let mut dump = String::new();
    for table in tables {
        let table: String = table.get(0);
        let columns: Vec<(String, String)> = sqlx::query_as(
            "SELECT attname::text, atttypid::regtype::text FROM pg_attribute
              WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
        )
        .bind(&table)
        .fetch_all(pool)
        .await
        .expect("the columns");
        for (column, kind) in columns {
            let value = if kind == "bytea" {
                format!("encode({column}, 'escape')")
            } else {
                format!("{column}::text")
            };
            let values: Vec<Option<String>> =
                sqlx::query_scalar(&format!("SELECT {value} FROM {table}"))
                    .fetch_all(pool)
                    .await
                    .expect("the values");
            for value in values.into_iter().flatten() {
                dump.push_str(&value);
                dump.push('\n');
            }
        }
    }
    dump
}
