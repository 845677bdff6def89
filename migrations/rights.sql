-- Who may do what in the log's database: the whole list. No migration: `ledger migrate` runs it after the migrations, each time,
-- as the owner and in one transaction. It takes everything from everybody and then gives exactly what stands below.
-- A test (commands/tests/ledger/rights.rs) names each table and each function and what each login may do with it.

-- --- The logins ------------------------------------------------------------------------------------------------------

-- Roles belong to the cluster: ledgers that share one share these three, and each lets them in by CONNECT below. They get a
-- password only when `ledger migrate` is asked for that.
DO $$
DECLARE
    login text;
    held record;
    wrong text;
BEGIN
    FOREACH login IN ARRAY ARRAY['ledger_serve', 'ledger_worker', 'ledger_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = login) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOINHERIT', login);
        END IF;
        -- Only what is not as it should be, because to say NOSUPERUSER takes a superuser.
        SELECT concat_ws(' ', CASE WHEN rolsuper THEN 'NOSUPERUSER' END, CASE WHEN rolcreatedb THEN 'NOCREATEDB' END,
                         CASE WHEN rolcreaterole THEN 'NOCREATEROLE' END, CASE WHEN rolinherit THEN 'NOINHERIT' END,
                         CASE WHEN rolreplication THEN 'NOREPLICATION' END, CASE WHEN rolbypassrls THEN 'NOBYPASSRLS' END,
                         CASE WHEN NOT rolcanlogin THEN 'LOGIN' END)
          INTO wrong FROM pg_roles WHERE rolname = login;
        IF wrong <> '' THEN
            EXECUTE format('ALTER ROLE %I %s', login, wrong);
        END IF;
        FOR held IN SELECT roleid::regrole AS role FROM pg_auth_members WHERE member = login::regrole LOOP
            EXECUTE format('REVOKE %s FROM %I', held.role, login);
        END LOOP;
    END LOOP;
END
$$;

-- --- Nothing for anybody ---------------------------------------------------------------------------------------------

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

DO $$
DECLARE
    given record;
    own_database boolean;
BEGIN
    FOR given IN
        WITH schemas AS (
            SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname IN ('public', 'keyring')
        ), held AS (
            SELECT format('SCHEMA %I', nspname) AS object, nspowner AS owner,
                   coalesce(nspacl, acldefault('n', nspowner)) AS acl
              FROM schemas
            UNION ALL
            SELECT format('TABLE %s', c.oid::regclass), c.relowner, c.relacl
              FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace WHERE c.relacl IS NOT NULL
            UNION ALL
            SELECT format('TABLE %s', c.oid::regclass), c.relowner, a.attacl
              FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE a.attacl IS NOT NULL
            UNION ALL
            -- Those of an extension are the extension's; they work on what they are given, with the caller's rights.
            SELECT format('ROUTINE %s', p.oid::regprocedure), p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
              FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
             WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
        )
        SELECT DISTINCT object, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS whom
          FROM held, aclexplode(acl)
         WHERE grantee <> owner AND pg_has_role(current_user, owner, 'USAGE')
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', given.object, given.whom);
    END LOOP;

    SELECT pg_has_role(current_user, datdba, 'USAGE') INTO own_database FROM pg_database WHERE datname = current_database();
    IF own_database THEN
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, ledger_serve, ledger_worker, ledger_auditor', current_database());
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ledger_app') THEN -- what the application worked under before
            EXECUTE format('REVOKE ALL ON DATABASE %I FROM ledger_app', current_database());
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO ledger_serve, ledger_worker, ledger_auditor', current_database());
    END IF;
END
$$;

-- --- The log ---------------------------------------------------------------------------------------------------------

GRANT USAGE ON SCHEMA public TO ledger_serve, ledger_worker, ledger_auditor;
GRANT SELECT ON events, checkpoints, tiles, commands, ledger_head TO ledger_serve, ledger_worker, ledger_auditor;
GRANT EXECUTE ON FUNCTION
    append_log(bigint, uuid[], text[], uuid[], bigint[], text[], text[], uuid[], uuid[], timestamptz[], bytea[], bytea[],
               bytea[], bytea[], bytea[], bytea[], uuid[], uuid[], bytea[], bigint[], int[], bytea[], bigint, bytea),
    tag_commands(uuid[], uuid[], bytea[]),
    append_tiles(smallint[], bigint[], bytea[]),
    lock_ledger_head(),
    advance_ledger_head(bigint, bytea, bigint, bigint, bytea, bytea, bigint, int, bytea)
    TO ledger_serve, ledger_worker;
GRANT EXECUTE ON FUNCTION begin_log(text) TO ledger_serve;

-- --- Strays ----------------------------------------------------------------------------------------------------------

GRANT SELECT ON stray_events, stray_checkpoints, stray_tiles TO ledger_auditor;
GRANT EXECUTE ON FUNCTION quarantine_stray_events(), quarantine_stray_checkpoints(), quarantine_stray_tiles()
    TO ledger_serve, ledger_worker;

-- --- Claims ----------------------------------------------------------------------------------------------------------

-- Whoever appends seals what is claimed, and makes it again from the log where it is under no seal.
GRANT SELECT ON claims_unique, claims_busy, claims_buckets, claims_seal TO ledger_serve, ledger_worker, ledger_auditor;
GRANT EXECUTE ON FUNCTION
    change_claims(bigint, bigint, uuid, int[], text[], bytea[], uuid[], int[], text[], bytea[], text[], uuid[], int[], text[],
                  uuid[], timestamptz[], timestamptz[], text[], uuid[], int[], bytea[]),
    seal_claims(bigint, bytea),
    clear_claims(int[]),
    restore_claims(bigint, int[], text[], bytea[], text[], uuid[], int[], text[], uuid[], timestamptz[], timestamptz[],
                   text[], uuid[], int[], bytea[])
    TO ledger_serve, ledger_worker;

-- --- Data keys -------------------------------------------------------------------------------------------------------

-- The auditor reads the wraps as well: with the key-encryption key at hand `ledger audit verify` opens every payload and
-- compares it with its commitment. Without that key they tell nothing.
GRANT USAGE ON SCHEMA keyring TO ledger_serve, ledger_worker, ledger_auditor;
GRANT SELECT ON keyring.data_keys, keyring.key_encryption, keyring.holders TO ledger_serve, ledger_worker, ledger_auditor;
GRANT EXECUTE ON FUNCTION
    destroy_keys_again(uuid[]), hold_data_key(uuid), bind_data_keys(uuid[], text[], bytea[], text[], bytea[]),
    begin_key_encryption(text), tell_held_keys(uuid, text, text[]), forget_held_keys(uuid), holder_bound()
    TO ledger_serve, ledger_worker;
-- The worker makes, destroys and wraps none.
GRANT EXECUTE ON FUNCTION
    insert_data_keys(uuid[], uuid[], text[], smallint[], text[], bytea[]), destroy_data_key(uuid),
    rewrap_data_keys(uuid[], bytea[], text, bytea[]), change_key_encryption(text, text)
    TO ledger_serve;

-- --- Snapshots -------------------------------------------------------------------------------------------------------

-- A cache, believed only if it authenticates itself: whoever appends keeps it.
GRANT SELECT, INSERT, UPDATE, DELETE ON snapshots TO ledger_serve, ledger_worker;
GRANT SELECT ON snapshots TO ledger_auditor;
