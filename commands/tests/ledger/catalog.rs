//! The objects of the database against the reviewed list: what was just migrated is what the list says, and every change is named.

use std::path::Path;

use commands::audit::catalog::{compare, lines};
use commands::database;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};

const FILE: &str = "../migrations/catalog.txt";

/// Set `UPDATE_CATALOG` to write the list anew, after a migration was added; then review what changed in it.
#[sqlx::test(migrations = false)]
async fn what_was_just_migrated_is_what_was_reviewed(_: PgPoolOptions, options: PgConnectOptions) {
    let url = options.to_url_lossy().to_string();
    database::migrate(&url, None).await.expect("migrated");
    let mut connection = PgConnection::connect_with(&options).await.expect("the owner connects");
    let found = lines(&mut connection).await.expect("the objects");
    let found = found.join("\n") + "\n";
    if std::env::var_os("UPDATE_CATALOG").is_some() {
        std::fs::write(Path::new(FILE), &found).expect("written");
    }
    let reviewed = std::fs::read_to_string(FILE).expect("the list");
    let (new, gone) = (only_in(&found, &reviewed), only_in(&reviewed, &found));
    assert!(
        new.is_empty() && gone.is_empty(),
        "review and take over with UPDATE_CATALOG=1\nnew: {new:#?}\ngone: {gone:#?}"
    );
}

/// A dump writes functions down from what the server keeps of them: what is read back must be what was reviewed, or a
/// restored database would look as if somebody had changed it.
#[sqlx::test(migrations = "../migrations")]
async fn a_function_that_is_written_down_and_read_again_is_the_same(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let mut connection = PgConnection::connect_with(&options).await.expect("the owner connects");
    let before = lines(&mut connection).await.expect("the objects");
    let written: Vec<String> = sqlx::query_scalar(
        "SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
          WHERE p.prokind IN ('f', 'p') AND n.nspname IN ('public', 'keyring')
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')",
    )
    .fetch_all(&mut connection)
    .await
    .expect("the functions");
    assert!(written.len() > 10, "{}", written.len());
    for function in written {
        connection.execute(sqlx::raw_sql(&function)).await.expect("it is read again");
    }
    let after = lines(&mut connection).await.expect("the objects");
    let (before, after) = (before.join("\n"), after.join("\n"));
    assert_eq!(only_in(&after, &before), Vec::<&str>::new());
}

fn only_in<'a>(one: &'a str, other: &str) -> Vec<&'a str> {
    one.lines().filter(|line| !other.lines().any(|there| there == *line)).collect()
}

/// What somebody with every right does, and the object that the audit must name.
const CHANGES: &[(&str, &str)] = &[
    ("ALTER TABLE events DISABLE TRIGGER append_only", "trigger public.events append_only"),
    ("ALTER TABLE events ENABLE REPLICA TRIGGER keeps_its_rows", "trigger public.events keeps_its_rows"),
    ("ALTER TABLE events DISABLE TRIGGER ALL", "trigger public.events keeps_its_rows"),
    ("DROP TRIGGER moves_the_head ON checkpoints", "trigger public.checkpoints moves_the_head"),
    ("CREATE TRIGGER mine BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse_log_change()", "trigger public.events mine"),
    ("CREATE RULE mine AS ON INSERT TO snapshots DO INSTEAD NOTHING", "rule public.snapshots mine"),
    ("ALTER TABLE events ENABLE ROW LEVEL SECURITY", "relation public.events"),
    ("ALTER TABLE events FORCE ROW LEVEL SECURITY", "relation public.events"),
    ("CREATE POLICY mine ON events USING (position < 7)", "policy public.events mine"),
    ("ALTER TABLE checkpoints SET UNLOGGED", "relation public.checkpoints"),
    ("ALTER TABLE events SET (autovacuum_enabled = off)", "relation public.events"),
    ("ALTER TABLE events OWNER TO ledger_serve", "relation public.events"),
    ("ALTER SCHEMA keyring OWNER TO ledger_worker", "schema keyring"),
    ("CREATE TABLE mine ()", "relation public.mine"),
    ("CREATE TABLE mine () INHERITS (events)", "inheritance public.mine"),
    ("CREATE SCHEMA mine CREATE VIEW it AS SELECT 1 AS one", "relation mine.it"),
    ("CREATE SEQUENCE mine", "relation public.mine"),
    ("CREATE MATERIALIZED VIEW mine AS SELECT 1 AS one", "relation public.mine"),
    ("ALTER TABLE stray_tiles RENAME TO mine; CREATE VIEW stray_tiles AS TABLE mine", "relation public.stray_tiles"),
    ("DROP TABLE stray_tiles", "relation public.stray_tiles"),
    ("ALTER TABLE ledger_head ALTER epoch SET DEFAULT 5", "column public.ledger_head.epoch"),
    ("ALTER TABLE ledger_head ALTER epoch DROP DEFAULT", "column public.ledger_head.epoch"),
    ("ALTER TABLE commands ALTER first_position DROP NOT NULL", "column public.commands.first_position"),
    ("ALTER TABLE commands ALTER event_count TYPE bigint", "column public.commands.event_count"),
    ("ALTER TABLE events ADD COLUMN mine text", "column public.events.mine"),
    ("ALTER TABLE keyring.data_keys ADD COLUMN mine int GENERATED ALWAYS AS (1) STORED", "column keyring.data_keys.mine"),
    ("ALTER TABLE snapshots DROP COLUMN mac", "column public.snapshots.mac"),
    ("ALTER TABLE events DROP CONSTRAINT events_signature_check", "constraint public.events events_signature_check"),
    (
        "ALTER TABLE events DROP CONSTRAINT events_sequence_check,
         ADD CONSTRAINT events_sequence_check CHECK (sequence >= 1) NOT VALID",
        "constraint public.events events_sequence_check",
    ),
    (
        "ALTER TABLE keyring.data_keys DROP CONSTRAINT data_keys_subject_key,
         ADD CONSTRAINT data_keys_subject_key UNIQUE (subject) DEFERRABLE",
        "constraint keyring.data_keys data_keys_subject_key",
    ),
    ("ALTER TABLE claims_unique DROP CONSTRAINT claims_unique_pkey", "index public.claims_unique_pkey"),
    ("DROP INDEX events_subject", "index public.events_subject"),
    ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'events_pkey'::regclass", "index public.events_pkey"),
    ("CREATE UNIQUE INDEX mine ON commands (log_size)", "index public.mine"),
    (
        "CREATE OR REPLACE FUNCTION refuse_log_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
         AS 'BEGIN RETURN NEW; END'",
        "function public.refuse_log_change()",
    ),
    (
        "CREATE OR REPLACE FUNCTION is_complete_tile(level smallint, index bigint, log_size bigint) RETURNS boolean
         LANGUAGE sql IMMUTABLE RETURN false",
        "function public.is_complete_tile(smallint,bigint,bigint)",
    ),
    ("ALTER FUNCTION destroy_data_key(uuid) SET search_path = public", "function public.destroy_data_key(uuid)"),
    ("ALTER FUNCTION destroy_data_key(uuid) RESET ALL", "function public.destroy_data_key(uuid)"),
    ("ALTER FUNCTION require_erasure(uuid) SECURITY DEFINER", "function public.require_erasure(uuid)"),
    ("ALTER FUNCTION lock_ledger_head() OWNER TO ledger_serve", "function public.lock_ledger_head()"),
    ("ALTER FUNCTION appended_here() VOLATILE", "function public.appended_here()"),
    ("ALTER TRIGGER append_only ON tiles RENAME TO mine", "trigger public.tiles append_only"),
    ("ALTER FUNCTION lock_ledger_head() RENAME TO mine", "function public.mine()"),
    (
        "CREATE FUNCTION mine() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM events'",
        "function public.mine()",
    ),
    (
        "CREATE FUNCTION mine() RETURNS void LANGUAGE sql AS ''; ALTER EXTENSION btree_gist ADD FUNCTION mine()",
        "function public.mine()",
    ),
    ("CREATE FUNCTION pg_catalog.mine() RETURNS int LANGUAGE sql RETURN 1", "function mine()"),
    ("CREATE EXTENSION pg_trgm", "extension pg_trgm"),
    ("CREATE TYPE mine AS ENUM ('one')", "type public.mine"),
    ("CREATE DOMAIN mine AS int CHECK (VALUE > 0)", "constraint public.mine mine_check"),
    ("CREATE CAST (bytea AS uuid) WITH INOUT AS IMPLICIT", "cast bytea as uuid"),
    (
        "CREATE FUNCTION mine(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
         CREATE OPERATOR === (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = mine)",
        "operator public.===(uuid,uuid)",
    ),
    (
        "CREATE FUNCTION mine() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
         CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION mine()",
        "event trigger mine",
    ),
    ("CREATE PUBLICATION mine FOR ALL TABLES", "publication mine"),
    ("CREATE FOREIGN DATA WRAPPER mine", "wrapper mine"),
    ("CREATE FOREIGN DATA WRAPPER mine; CREATE SERVER mine FOREIGN DATA WRAPPER mine", "server mine"),
    ("GRANT DELETE ON events TO ledger_serve", "grant table public.events ledger_serve"),
    ("GRANT SELECT ON events TO ledger_serve WITH GRANT OPTION", "grant table public.events ledger_serve"),
    ("GRANT UPDATE (size) ON ledger_head TO ledger_worker", "grant column public.ledger_head.size ledger_worker"),
    ("GRANT SELECT ON events TO PUBLIC", "grant table public.events PUBLIC"),
    ("GRANT INSERT ON commands TO pg_monitor", "grant table public.commands pg_monitor"),
    ("REVOKE SELECT ON tiles FROM ledger_worker", "grant table public.tiles ledger_worker"),
    ("GRANT EXECUTE ON FUNCTION destroy_data_key(uuid) TO PUBLIC", "grant function public.destroy_data_key(uuid) PUBLIC"),
    ("GRANT EXECUTE ON FUNCTION insert_data_keys(uuid[],uuid[],text[],smallint[],text[],bytea[]) TO ledger_worker",
     "grant function public.insert_data_keys(uuid[],uuid[],text[],smallint[],text[],bytea[]) ledger_worker"),
    ("GRANT CREATE ON SCHEMA public TO ledger_auditor", "grant schema public ledger_auditor"),
    ("GRANT USAGE ON SCHEMA keyring TO PUBLIC", "grant schema keyring PUBLIC"),
    ("GRANT EXECUTE ON FUNCTION pg_read_file(text) TO ledger_auditor", "grant function pg_read_file(text) ledger_auditor"),
    ("GRANT SELECT ON pg_authid TO ledger_auditor", "grant table pg_authid ledger_auditor"),
    ("GRANT SET ON PARAMETER session_replication_role TO ledger_serve", "grant parameter session_replication_role ledger_serve"),
    ("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO ledger_serve", "default grant owner r in any schema"),
    ("ALTER ROLE ledger_auditor SUPERUSER", "role ledger_auditor"),
    ("ALTER ROLE ledger_serve BYPASSRLS", "role ledger_serve"),
    ("ALTER ROLE ledger_worker INHERIT", "role ledger_worker"),
    ("GRANT pg_write_all_data TO ledger_serve", "member ledger_serve of pg_write_all_data"),
    ("GRANT pg_monitor TO ledger_worker", "member ledger_worker of pg_monitor"),
    ("CREATE ROLE mine_alone; GRANT ledger_serve TO mine_alone", "member mine_alone of ledger_serve"),
    ("CREATE ROLE mine_alone; GRANT pg_write_all_data TO mine_alone", "member mine_alone of pg_write_all_data"),
    ("ALTER ROLE ledger_auditor SET search_path = mine, public", "setting any database ledger_auditor"),
    ("ALTER ROLE ALL SET session_replication_role = replica", "setting any database any role"),
];

#[sqlx::test(migrations = "../migrations")]
async fn every_change_is_named(_: PgPoolOptions, options: PgConnectOptions) {
    let url = options.to_url_lossy().to_string();
    database::migrate(&url, None).await.expect("the rights");
    let mut connection = PgConnection::connect_with(&options).await.expect("a superuser");
    // Roles are the cluster's: whatever is done to them is undone before anybody else can see it.
    for (change, object) in CHANGES {
        let mut attempt = connection.begin().await.expect("a transaction");
        attempt
            .execute(sqlx::raw_sql(change))
            .await
            .unwrap_or_else(|error| panic!("{change}: {error}"));
        attempt.execute("SET LOCAL ROLE ledger_auditor").await.expect("as the auditor sees it");
        let report =
            compare(&mut attempt).await.unwrap_or_else(|error| panic!("{change}: {error}"));
        let named: Vec<&str> =
            report.divergences.iter().map(|found| found.object.as_str()).collect();
        assert!(named.contains(object), "{change}: {named:?}");
        attempt.rollback().await.expect("undone");
    }
    let database = options.get_database().expect("a name");
    let settings = [
        (
            format!("ALTER DATABASE \"{database}\" SET search_path = mine"),
            "setting this database any role",
        ),
        (
            format!("GRANT TEMPORARY ON DATABASE \"{database}\" TO ledger_serve"),
            "grant database ledger_serve",
        ),
        (format!("ALTER DATABASE \"{database}\" OWNER TO ledger_serve"), "database"),
    ];
    for (change, object) in settings {
        let mut attempt = connection.begin().await.expect("a transaction");
        attempt.execute(change.as_str()).await.unwrap_or_else(|error| panic!("{change}: {error}"));
        let report = compare(&mut attempt).await.expect("compared");
        assert!(
            report.divergences.iter().any(|found| found.object == object),
            "{change}: {report:?}"
        );
        attempt.rollback().await.expect("undone");
    }
    let report = compare(&mut connection).await.expect("compared");
    assert!(report.divergences.is_empty(), "{:?}", report.divergences);
    assert!(report.objects > 200, "{}", report.objects);
}
