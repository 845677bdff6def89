//! Whether a login may do more than the product needs: then the product does not start with it.

use sqlx::{PgPool, Row};

use super::error::DatabaseError;

/// Everything that makes a login more than one of the product's, said in words. What the login may do by way of PUBLIC counts.
const EXCESS: &str = "
WITH me AS (SELECT oid, rolname, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication
              FROM pg_catalog.pg_roles WHERE rolname = session_user),
     tables AS (
       SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('public', 'keyring') AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname <> 'snapshots')
SELECT 'it is a superuser' FROM me WHERE rolsuper
UNION ALL SELECT 'it may create roles' FROM me WHERE rolcreaterole
UNION ALL SELECT 'it may create databases' FROM me WHERE rolcreatedb
UNION ALL SELECT 'it bypasses row level security' FROM me WHERE rolbypassrls
UNION ALL SELECT 'it may replicate' FROM me WHERE rolreplication
UNION ALL SELECT 'it works under another role' FROM me WHERE current_user <> session_user
UNION ALL SELECT 'it is a member of ' || string_agg(m.roleid::regrole::text, ', ')
            FROM me JOIN pg_catalog.pg_auth_members m ON m.member = me.oid HAVING count(*) > 0
UNION ALL SELECT 'it owns the database' FROM me JOIN pg_catalog.pg_database d ON d.datdba = me.oid AND d.datname = current_database()
UNION ALL SELECT 'it owns ' || count(*) || ' things in the database, such as ' || min(pg_catalog.pg_describe_object(d.classid, d.objid, 0))
            FROM me JOIN pg_catalog.pg_shdepend d ON d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = me.oid
                 AND d.deptype = 'o' AND d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
          HAVING count(*) > 0
UNION ALL SELECT 'it may make things in ' || string_agg(n.nspname, ', ')
            FROM me, pg_catalog.pg_namespace n
           WHERE n.nspname IN ('public', 'keyring') AND NOT rolsuper AND has_schema_privilege(me.oid, n.oid, 'CREATE')
          HAVING count(*) > 0
UNION ALL SELECT 'it may make schemas in the database' FROM me
           WHERE NOT rolsuper AND has_database_privilege(me.oid, current_database(), 'CREATE')
UNION ALL SELECT 'it may write directly to ' || string_agg(t.nspname || '.' || t.relname, ', ' ORDER BY t.relname)
            FROM me, tables t
           WHERE NOT rolsuper
             AND (has_table_privilege(me.oid, t.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
                  OR has_any_column_privilege(me.oid, t.oid, 'INSERT, UPDATE, REFERENCES'))
          HAVING count(*) > 0";

/// Refuses a login that is an owner, an administrator, a member of anything, or has a right to write to the log itself.
pub(super) async fn refuse_powerful(pool: &PgPool) -> Result<(), DatabaseError> {
    let excess: Vec<String> =
        sqlx::query_scalar(EXCESS).fetch_all(pool).await.map_err(DatabaseError::Guard)?;
    if excess.is_empty() {
        return Ok(());
    }
    let login = sqlx::query("SELECT session_user::text")
        .fetch_one(pool)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(DatabaseError::Guard)?;
    Err(DatabaseError::Powerful { login, excess })
}
