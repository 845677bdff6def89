//! What each login of the product may do in the database, table by table and function by function; that it may do nothing else; and
//! that the product does not start with a login that may.

use std::collections::BTreeMap;

use audit::postgres::LogHealth;
use commands::database::{self, DatabaseError, Login};
use domain::Patient;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::clinic::{Clinic, context, owner, rename, serve};

/// What the server, the worker and the auditor may do with each table: select, insert, update, delete.
const TABLES: &[(&str, [&str; 3])] = &[
    ("keyring.data_keys", ["s", "s", "s"]),
    ("keyring.holders", ["s", "s", "s"]),
    ("keyring.key_encryption", ["s", "s", "s"]),
    ("public._sqlx_migrations", ["", "", ""]),
    ("public.checkpoints", ["s", "s", "s"]),
    ("public.claims_buckets", ["s", "s", "s"]),
    ("public.claims_busy", ["s", "s", "s"]),
    ("public.claims_seal", ["s", "s", "s"]),
    ("public.claims_unique", ["s", "s", "s"]),
    ("public.commands", ["s", "s", "s"]),
    ("public.events", ["s", "s", "s"]),
    ("public.ledger_head", ["s", "s", "s"]),
    ("public.snapshots", ["siud", "siud", "s"]),
    ("public.stray_checkpoints", ["", "", "s"]),
    ("public.stray_events", ["", "", "s"]),
    ("public.stray_tiles", ["", "", "s"]),
    ("public.tiles", ["s", "s", "s"]),
];

/// Who may call each function: the server, the worker, the auditor.
const FUNCTIONS: &[(&str, [bool; 3])] = &[
    ("advance_ledger_head", [true, true, false]),
    ("append_log", [true, true, false]),
    ("append_tiles", [true, true, false]),
    ("appended_here", [false, false, false]),
    ("begin_key_encryption", [true, true, false]),
    ("begin_log", [true, false, false]),
    ("bind_data_keys", [true, true, false]),
    ("change_claims", [true, true, false]),
    ("change_key_encryption", [true, false, false]),
    ("clear_claims", [true, true, false]),
    ("clock_bound", [false, false, false]),
    ("destroy_data_key", [true, false, false]),
    ("destroy_keys_again", [true, true, false]),
    ("forget_held_keys", [true, true, false]),
    ("hold_data_key", [true, true, false]),
    ("holder_bound", [true, true, false]),
    ("insert_data_keys", [true, false, false]),
    ("is_complete_tile", [false, false, false]),
    ("lock_ledger_head", [true, true, false]),
    ("put_claims_digests", [false, false, false]),
    ("quarantine_stray_checkpoints", [true, true, false]),
    ("quarantine_stray_events", [true, true, false]),
    ("quarantine_stray_tiles", [true, true, false]),
    ("refuse_command_change", [false, false, false]),
    ("refuse_log_change", [false, false, false]),
    ("refuse_removal", [false, false, false]),
    ("require_appended", [false, false, false]),
    ("require_begun_log", [false, false, false]),
    ("require_current_wrap", [false, false, false]),
    ("require_erasure", [false, false, false]),
    ("require_moved_head", [false, false, false]),
    ("restore_claims", [true, true, false]),
    ("rewrap_data_keys", [true, false, false]),
    ("seal_claims", [true, true, false]),
    ("tag_commands", [true, true, false]),
    ("tell_held_keys", [true, true, false]),
];

/// Everything that is no part of PostgreSQL or of an extension.
const SCHEMAS: &str = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND n.nspname NOT LIKE 'pg\\_temp%' AND n.nspname NOT LIKE 'pg\\_toast\\_temp%'";

/// What nobody of them may do, whatever the tables say.
const FORBIDDEN: &[&str] = &[
    "SET ROLE ledger_app",
    "SET ROLE pg_database_owner",
    "SET SESSION AUTHORIZATION ledger_worker2",
    "SET session_replication_role = replica",
    "ALTER TABLE events DISABLE TRIGGER append_only",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "DROP TRIGGER keeps_its_rows ON events",
    "DROP TABLE events",
    "ALTER TABLE events ADD COLUMN mine text",
    "COPY events FROM PROGRAM 'true'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/x'",
    "SELECT pg_read_file('/etc/passwd')",
    "DELETE FROM events",
    "TRUNCATE events",
    "UPDATE events SET payload = ''",
    "INSERT INTO events SELECT * FROM events",
    "UPDATE ledger_head SET singleton = true",
    "DELETE FROM checkpoints",
    "INSERT INTO checkpoints VALUES (99, '')",
    "INSERT INTO commands SELECT * FROM commands",
    "DELETE FROM claims_unique",
    "DELETE FROM claims_busy",
    "UPDATE keyring.data_keys SET wrapped = NULL",
    "SELECT 1 FROM keyring.data_keys FOR UPDATE",
    "SELECT 1 FROM ledger_head FOR UPDATE",
    "DO $$ BEGIN LOCK TABLE events IN EXCLUSIVE MODE; END $$",
    "CREATE TABLE mine ()",
    "CREATE TEMPORARY TABLE mine ()",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "ALTER ROLE ledger_auditor SUPERUSER",
    "ALTER ROLE ledger_app PASSWORD 'mine'",
    "ALTER FUNCTION lock_ledger_head() OWNER TO ledger_serve",
    "CREATE OR REPLACE FUNCTION lock_ledger_head() RETURNS int LANGUAGE sql RETURN 1",
];

async fn connect(options: &PgConnectOptions, login: Login) -> PgConnection {
    let login = database::trial(options, login).await.expect("the rights are given");
    PgConnection::connect_with(&login).await.expect("the login connects")
}

fn code(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code());
    code.map(|code| code.into_owned()).unwrap_or_default()
}

#[sqlx::test(migrations = "../migrations")]
async fn each_login_may_do_with_each_table_what_it_needs(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let mut expected: BTreeMap<String, [&str; 3]> = BTreeMap::new();
    expected.extend(TABLES.iter().map(|(table, rights)| ((*table).to_owned(), *rights)));
    for (index, login) in Login::ALL.into_iter().enumerate() {
        let mut connection = connect(&options, login).await;
        let tables: Vec<(String, String, bool)> = sqlx::query_as(&format!(
            "SELECT n.nspname || '.' || c.relname,
                    concat(CASE WHEN has_any_column_privilege(c.oid, 'SELECT') THEN 's' END,
                           CASE WHEN has_any_column_privilege(c.oid, 'INSERT') THEN 'i' END,
                           CASE WHEN has_any_column_privilege(c.oid, 'UPDATE') THEN 'u' END,
                           CASE WHEN has_table_privilege(c.oid, 'DELETE') THEN 'd' END),
                    has_table_privilege(c.oid, 'TRUNCATE, REFERENCES, TRIGGER')
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {SCHEMAS}"
        ))
        .fetch_all(&mut connection)
        .await
        .expect("the tables");
        assert_eq!(tables.len(), expected.len(), "a table has no line here, or a line no table");
        for (table, rights, more) in tables {
            let line = expected.get(&table).unwrap_or_else(|| panic!("{table} has no line here"));
            assert_eq!(rights, line[index], "{} on {table}", login.role());
            assert!(!more, "{} on {table}", login.role());
        }
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn each_login_may_call_what_it_needs(_: PgPoolOptions, options: PgConnectOptions) {
    for (index, login) in Login::ALL.into_iter().enumerate() {
        let mut connection = connect(&options, login).await;
        let functions: Vec<(String, bool, bool, bool)> = sqlx::query_as(&format!(
            "SELECT p.proname::text, has_function_privilege(p.oid, 'EXECUTE'), p.prosecdef,
                    coalesce('search_path=pg_catalog, pg_temp' = ANY(p.proconfig), false)
               FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
              WHERE {SCHEMAS} AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
              ORDER BY 1"
        ))
        .fetch_all(&mut connection)
        .await
        .expect("the functions");
        let said: Vec<(&str, bool)> =
            functions.iter().map(|(name, may, ..)| (name.as_str(), *may)).collect();
        let expected: Vec<(&str, bool)> =
            FUNCTIONS.iter().map(|(name, may)| (*name, may[index])).collect();
        assert_eq!(said, expected, "{}", login.role());
        for (name, _, as_owner, fixed) in &functions {
            assert!(!as_owner || *fixed, "{name} looks for names where its caller says");
        }
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn no_login_may_do_anything_else(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options.clone()).await;
    clinic.register("A-1").await;
    for login in Login::ALL {
        let mut connection = connect(&options, login).await;
        for sql in FORBIDDEN {
            let error = connection.execute(*sql).await.expect_err(sql);
            // 42704, 22023: there is no such role to become.
            let refused = ["42501", "42704", "22023"].contains(&code(&error).as_str());
            assert!(refused, "{}: {sql}: {error}", login.role());
        }
        connection.execute("RESET ROLE; RESET SESSION AUTHORIZATION").await.expect("nothing");
        let still: String = sqlx::query_scalar("SELECT current_user::text")
            .fetch_one(&mut connection)
            .await
            .expect("a name");
        assert_eq!(still, login.role());
        // A grant without the right to give it on is a warning; it gives nothing.
        let _warned = connection.execute("GRANT SELECT ON events TO PUBLIC").await;
        let given =
            "SELECT count(*) FROM information_schema.role_table_grants WHERE grantee = 'PUBLIC'
                        AND table_schema IN ('public', 'keyring')";
        assert_eq!(clinic.count(given).await, 0);
    }
    clinic.assert_sound().await;
}

/// A row that could be an event, at this position.
fn append(position: i64, stream: Uuid, kind: (&str, &str)) -> String {
    let (stream_type, event_type) = kind;
    format!(
        "SELECT append_log({position}, ARRAY[gen_random_uuid()], ARRAY['{stream_type}'], ARRAY['{stream}'::uuid],
                ARRAY[1000::bigint], ARRAY['{event_type}'], ARRAY['1'], ARRAY[NULL::uuid], ARRAY[gen_random_uuid()],
                ARRAY[now()], ARRAY['{{}}'::bytea], ARRAY['{{}}'::bytea], ARRAY[decode(repeat('00', 64), 'hex')],
                ARRAY[''::bytea], ARRAY[sha256('x')], ARRAY[sha256('x')], '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', {}, 'note')",
        position + 1
    )
}

#[sqlx::test(migrations = "../migrations")]
async fn what_belongs_to_an_event_is_changed_only_with_one(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let clinic = Clinic::open(options.clone()).await;
    let id = clinic.register("A-1").await;
    let mut serve = connect(&options, Login::Serve).await;
    let erases = append(2, id, ("custody", "SubjectErased"));
    let other = append(2, Uuid::from_u128(1), ("custody", "SubjectErased"));
    let renames = append(2, id, ("custody", "HoldPlaced"));
    let nothing = "'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'";
    let claim: &str = &format!(
        "SELECT change_claims(2, 3, NULL, array_agg(bucket), array_agg(kind), array_agg(key), '{{}}', \
                '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', {nothing}) FROM claims_unique"
    );
    let takes: String = format!(
        "SELECT change_claims(2, 3, NULL, '{{}}', '{{}}', '{{}}', '{{}}', ARRAY[1], ARRAY['login'], ARRAY[sha256('a')], \
                ARRAY['account'], ARRAY['{id}'::uuid], {nothing})"
    );
    let destroy = format!("SELECT destroy_data_key('{id}')");
    let key = format!(
        "SELECT insert_data_keys(ARRAY[gen_random_uuid()], ARRAY['{}'::uuid], ARRAY['patient'], ARRAY[2::smallint], ARRAY['k'], \
                ARRAY['w'::bytea])",
        Uuid::from_u128(5)
    );
    let tile = "SELECT append_tiles(ARRAY[0::smallint], ARRAY[0::bigint], ARRAY[decode(repeat('00', 8192), 'hex')])";
    let head = "SELECT advance_ledger_head(2, (SELECT frontier FROM ledger_head), 0, 3, '', 'note', 0, 0, NULL)";
    let same = "SELECT advance_ledger_head(2, (SELECT frontier FROM ledger_head), 0, 2, 'x', 'note', 0, 1, NULL)";
    let before: (i64, String) = state(&clinic.owner).await;
    for script in [
        // Without an event of this transaction.
        vec![claim],
        vec![&takes],
        vec![&destroy],
        vec![&key],
        vec![tile],
        vec![head],
        // With one that says something else, or of somebody else.
        vec![&renames, &destroy],
        vec![&other, &destroy],
        vec![&other, claim],
        vec![&other, &takes],
        vec![&erases, tile],
        vec![&erases, &key],
        // With one that is rolled back to before.
        vec!["SAVEPOINT s", &erases, "RELEASE s", &destroy],
        // With one, and the head stays where it is.
        vec![&erases],
        vec![&erases, &destroy],
        vec![&erases, claim, &takes],
        vec![&erases, same],
        // Beyond the head.
        vec![&append(7, id, ("custody", "SubjectErased")), head],
    ] {
        let script = format!("BEGIN; {}; COMMIT", script.join("; "));
        let error = serve.execute(sqlx::raw_sql(&script)).await.expect_err(&script);
        assert_eq!(code(&error), "42501", "{script}: {error}");
        serve.execute("ROLLBACK").await.expect("rolled back");
        assert_eq!(state(&clinic.owner).await, before, "{script}");
    }
    // A call that is right in form and finds nothing to do changes nothing.
    for nothing in [
        same,
        "SELECT begin_log('another')",
        "SELECT destroy_keys_again(array_agg(subject)) FROM keyring.data_keys",
        "SELECT bind_data_keys(array_agg(key_id), array_agg(kind), array_agg(wrapped), array_agg(kek_id), array_agg('mine'::bytea)) \
           FROM keyring.data_keys",
        "SELECT rewrap_data_keys(array_agg(key_id), array_agg('guess'::bytea), 'k', array_agg('mine'::bytea)) FROM keyring.data_keys",
        "SELECT rewrap_data_keys(array_agg(key_id), array_agg(wrapped), 'k', array_agg(NULL::bytea)) FROM keyring.data_keys",
        "SELECT quarantine_stray_events() + quarantine_stray_checkpoints() + quarantine_stray_tiles()",
    ] {
        serve.execute(nothing).await.expect(nothing);
        assert_eq!(state(&clinic.owner).await, before, "{nothing}");
    }
    clinic.ledger.execute::<Patient>(id, rename("Musterfrau"), &context()).await.expect("goes on");
    clinic.assert_sound().await;
}

/// How much there is of everything, and the head, the keys and the claims as they are.
async fn state(owner: &PgPool) -> (i64, String) {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM checkpoints) + (SELECT count(*) FROM tiles)
                  + (SELECT count(*) FROM commands),
                concat((SELECT string_agg(h::text, '') FROM ledger_head h),
                       (SELECT string_agg(k::text, '' ORDER BY k.key_id) FROM keyring.data_keys k),
                       (SELECT string_agg(c::text, '' ORDER BY c.key) FROM claims_unique c),
                       (SELECT string_agg(c::text, '') FROM claims_busy c))",
    )
    .fetch_one(owner)
    .await
    .expect("the state")
}

#[sqlx::test(migrations = "../migrations")]
async fn rows_beyond_the_head_do_not_stop_the_ledger(_: PgPoolOptions, options: PgConnectOptions) {
    let clinic = Clinic::open(options.clone()).await;
    let id = clinic.register("A-1").await;
    let stray = |position: &str, sequence: &str| {
        format!(
            "INSERT INTO events SELECT {position}, gen_random_uuid(), aggregate_type, aggregate_id, {sequence}, event_type,
                    event_version, subject, command_id, recorded_at, header, statement, signature, payload, leaf_hash
               FROM events WHERE position = 1"
        )
    };
    let mut count = 0;
    let patients = [id, clinic.register("A-2").await];
    for (n, insert) in [
        // In the way of the next event, of the stream's next, of the next checkpoint, and of the first tile.
        stray("(SELECT size FROM ledger_head)", "1000"),
        stray("9000000000000000000", "(SELECT max(sequence) + 1 FROM events WHERE aggregate_id = (SELECT aggregate_id FROM events WHERE position = 1))"),
        "BEGIN; SET LOCAL session_replication_role = replica;
         INSERT INTO checkpoints SELECT size + 1, 'no note' FROM ledger_head; COMMIT"
            .to_owned(),
        stray("(SELECT size + 1 FROM ledger_head)", "2000"),
    ]
    .iter()
    .enumerate()
    {
        // Else it may look just while the row stands there.
        let mut health = clinic.ledger.watch().subscribe();
        let sound = |health: &LogHealth| matches!(health, LogHealth::Sound { .. });
        health.wait_for(sound).await.expect("it is watched");
        clinic.owner.execute(sqlx::raw_sql(insert)).await.expect("the owner may");
        if n == 3 {
            // It is not in the way of the next, but of every process that opens the log.
            let config = commands::LedgerConfig::new(crate::clinic::ORIGIN);
            let pool = serve(options.clone()).await;
            let opened = commands::Ledger::open(pool, clinic.keys.clone(), commands::Clock::system(), config);
            opened.await.expect("it opens").close().await;
            // On a slow machine the watch of the first process has met it before it was set aside, and looks again.
            while clinic.ledger.watch().damage().is_some() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
        let name = format!("Name {n}");
        let done = clinic.ledger.execute::<Patient>(patients[0], rename(&name), &context()).await;
        done.unwrap_or_else(|error| panic!("{insert}: {error:?}"));
        count += 1;
        let set_aside = "SELECT (SELECT count(*) FROM stray_events) + (SELECT count(*) FROM stray_checkpoints)";
        assert_eq!(clinic.count_as_owner(set_aside).await, count, "{insert}");
    }
    // Nothing else leaves: neither a stray without a copy, nor an event with one.
    clinic.owner.execute(stray("99", "99").as_str()).await.expect("the owner may");
    let copy = "INSERT INTO stray_events SELECT position, event_id, aggregate_type, aggregate_id, sequence, event_type, event_version, subject,
                       command_id, recorded_at, header, statement, signature, payload, leaf_hash FROM events WHERE position = 1";
    for sql in [
        "DELETE FROM events WHERE position = 99".to_owned(),
        format!("{copy}; DELETE FROM events WHERE position = 1"),
        "DELETE FROM stray_events".to_owned(),
    ] {
        let error = clinic.owner.execute(sqlx::raw_sql(&sql)).await.expect_err(&sql);
        assert_eq!(code(&error), "42501", "{sql}: {error}");
    }
    clinic.owner.execute("SELECT quarantine_stray_events()").await.expect("moved");
    clinic.assert_sound().await;
}

async fn refused(options: PgConnectOptions) -> String {
    match database::connect_with(options).await {
        Err(error @ DatabaseError::Powerful { .. }) => error.to_string(),
        other => panic!("it was to be refused: {other:?}"),
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn the_product_does_not_start_with_a_login_that_may_do_more(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let said = refused(options.clone()).await;
    assert!(
        said.contains("it is a superuser") && said.contains("ledger migrate --logins"),
        "{said}"
    );
    serve(options.clone()).await.close().await;

    // A role of this test's own, which becomes one thing after the other.
    let owner = owner(options.clone()).await;
    let role = format!("trial_{}", Uuid::now_v7().simple());
    let execute =
        async |sql: String| owner.execute(sqlx::raw_sql(&sql)).await.expect("the owner may");
    let database = options.get_database().expect("a database");
    execute(format!(
        "CREATE ROLE {role} LOGIN NOINHERIT PASSWORD 'secret'; GRANT CONNECT ON DATABASE \"{database}\" TO {role}"
    ))
    .await;
    let login = options.clone().username(&role).password("secret");
    database::connect_with(login.clone()).await.expect("it may do nothing").close().await;
    for (more, less, word) in [
        ("ALTER ROLE {r} CREATEROLE", "ALTER ROLE {r} NOCREATEROLE", "create roles"),
        ("ALTER ROLE {r} CREATEDB", "ALTER ROLE {r} NOCREATEDB", "create databases"),
        ("ALTER ROLE {r} BYPASSRLS", "ALTER ROLE {r} NOBYPASSRLS", "row level security"),
        ("ALTER ROLE {r} REPLICATION", "ALTER ROLE {r} NOREPLICATION", "replicate"),
        ("GRANT pg_monitor TO {r}", "REVOKE pg_monitor FROM {r}", "member of pg_monitor"),
        ("ALTER TABLE tiles OWNER TO {r}", "ALTER TABLE tiles OWNER TO CURRENT_USER", "owns"),
        (
            "ALTER FUNCTION lock_ledger_head() OWNER TO {r}",
            "ALTER FUNCTION lock_ledger_head() OWNER TO CURRENT_USER",
            "owns",
        ),
        ("ALTER SCHEMA keyring OWNER TO {r}", "ALTER SCHEMA keyring OWNER TO CURRENT_USER", "owns"),
        (
            "ALTER DATABASE {d} OWNER TO {r}",
            "ALTER DATABASE {d} OWNER TO CURRENT_USER; GRANT CONNECT ON DATABASE {d} TO {r}",
            "owns the database",
        ),
        (
            "GRANT CREATE ON SCHEMA public TO {r}",
            "REVOKE CREATE ON SCHEMA public FROM {r}",
            "make things in public",
        ),
        (
            "GRANT CREATE ON DATABASE {d} TO {r}",
            "REVOKE CREATE ON DATABASE {d} FROM {r}",
            "make schemas",
        ),
        (
            "GRANT DELETE ON events TO {r}",
            "REVOKE DELETE ON events FROM {r}",
            "directly to public.events",
        ),
        (
            "GRANT UPDATE (wrapped) ON keyring.data_keys TO {r}",
            "REVOKE UPDATE (wrapped) ON keyring.data_keys FROM {r}",
            "keyring.data_keys",
        ),
        (
            "GRANT INSERT ON commands TO PUBLIC",
            "REVOKE INSERT ON commands FROM PUBLIC",
            "public.commands",
        ),
    ] {
        let with = |sql: &str| sql.replace("{r}", &role).replace("{d}", &format!("\"{database}\""));
        execute(with(more)).await;
        let said = refused(login.clone()).await;
        assert!(said.contains(word), "{more}: {said}");
        assert!(said.contains(&role) && !said.contains("secret"), "{said}");
        execute(with(less)).await;
        database::connect_with(login.clone()).await.expect(less).close().await;
    }
    execute(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn whatever_rights_were_given_are_taken_by_the_next_migration(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    serve(options.clone()).await.close().await;
    let owner = owner(options.clone()).await;
    owner
        .execute(sqlx::raw_sql(
            "GRANT ALL ON events, keyring.data_keys TO ledger_serve; GRANT UPDATE (size) ON ledger_head TO PUBLIC;
             GRANT ALL ON SCHEMA public TO ledger_auditor WITH GRANT OPTION; GRANT ALL ON FUNCTION destroy_data_key(uuid) TO PUBLIC",
        ))
        .await
        .expect("given");
    let url = options.to_url_lossy().to_string();
    database::migrate(&url, None).await.expect("migrated");
    for login in Login::ALL {
        let login = database::trial(&options, login).await.expect("the rights");
        database::connect_with(login).await.expect("nothing is left").close().await;
    }
    let public =
        "SELECT has_function_privilege('ledger_auditor', 'destroy_data_key(uuid)', 'EXECUTE')";
    let public: bool = sqlx::query_scalar(public).fetch_one(&owner).await.expect("an answer");
    assert!(!public);
}
