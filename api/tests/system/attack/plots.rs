//! What somebody would do who knows the product: each plot one that once worked, or the next one to try.
//!
//! Of each the expected outcome is the same: no question is answered otherwise than before (but refused), and the audit names the place.

use argon2::Argon2;
use argon2::password_hash::PasswordHasher as _;
use commands::database::Login;
use serde_json::{Value, json};

use super::catalog::{Row, insertion, literal};
use super::changes::{Change, Place};
use super::scene::{MINE, Scene};

/// Everything that is tried, each with a name.
pub(crate) fn plots(scene: &Scene) -> Vec<Change> {
    let mut plots = Vec::new();
    snapshots(scene, &mut plots);
    events(scene, &mut plots);
    past(scene, &mut plots);
    catalog(&mut plots);
    claims(scene, &mut plots);
    keys(scene, &mut plots);
    commands(scene, &mut plots);
    logins(scene, &mut plots);
    plots
}

fn plot(name: &str, sql: impl Into<String>, place: Place) -> Change {
    let name = format!("plot {name}");
    Change { name, sql: sql.into(), login: None, place, harmless: None, of_catalog: false }
}

fn snapshots(scene: &Scene, plots: &mut Vec<Change>) {
    let ids = &scene.ids;
    let hash = Argon2::default().hash_password(MINE.as_bytes()).expect("a hash").to_string();
    let account = json!({ "registration": { "login": "admin", "display_name": "Mine",
                            "password_hash": hash, "kind": "user" },
                          "roles": ["admin", "clinician", "compliance"], "disabled": false });
    let forged = |kind: &str, id: &str, version: u64, state: &Value| {
        format!(
            "INSERT INTO public.snapshots
               (aggregate_type, aggregate_id, state_version, version, subject, key_id, sealed, mac)
             SELECT '{kind}', '{id}', 1, {version}, '{id}', gen_random_uuid(),
                    convert_to({}, 'UTF8'), decode(repeat('00', 32), 'hex')",
            literal(&state.to_string())
        )
    };
    let named = |id: &str| {
        let mut place = Place::called(&["snapshot"]);
        place.ids.insert(id.to_owned());
        place
    };
    plots.push(plot(
        "forged administrator",
        forged("account", &ids.admin, 1, &account),
        named(&ids.admin),
    ));
    let open =
        "ALTER TABLE public.snapshots ALTER subject DROP NOT NULL, ALTER key_id DROP NOT NULL; ";
    let of_nobody = forged("account", &ids.admin, 1, &account)
        .replace(&format!("'{}', gen_random_uuid()", ids.admin), "NULL, NULL");
    plots.push(plot(
        "forged administrator of nobody's",
        format!("{open}{of_nobody}"),
        named(&ids.admin),
    ));
    let enabled =
        json!({ "registration": account["registration"], "roles": ["admin"], "disabled": false });
    plots.push(plot(
        "leaver let in by a snapshot",
        forged("account", &ids.leaver, 3, &enabled),
        named(&ids.leaver),
    ));
    let custody = json!({ "holds": {}, "erasure": null, "purge": null });
    plots.push(plot(
        "forged custody without a hold",
        forged("custody", &ids.held, 1, &custody),
        named(&ids.held),
    ));
    let patient = json!({ "active": true });
    plots.push(plot(
        "forged patient",
        forged("patient", &ids.other, 2, &patient),
        named(&ids.other),
    ));
    plots.push(plot(
        "another stream's snapshot",
        format!(
            "UPDATE public.snapshots SET aggregate_id = '{}' WHERE aggregate_id = '{}'",
            ids.other, ids.long
        ),
        named(&ids.other),
    ));
}

/// An event of the front desk's account that nobody signed.
fn granted(scene: &Scene, position: &str) -> String {
    let id = &scene.ids.front_desk;
    format!(
        "INSERT INTO public.events SELECT {position}, gen_random_uuid(), aggregate_type, '{id}',
           (SELECT max(sequence) + 1 FROM public.events WHERE aggregate_id = '{id}'), event_type, event_version, subject,
           gen_random_uuid(), recorded_at, header, statement, decode(repeat('00', 64), 'hex'), payload, leaf_hash
         FROM public.events WHERE event_type = 'RoleGranted' AND aggregate_type = 'account' ORDER BY position LIMIT 1"
    )
}

fn events(scene: &Scene, plots: &mut Vec<Change>) {
    let ids = &scene.ids;
    let size = u64::try_from(scene.size).unwrap_or_default();
    plots.push(plot(
        "role granted at 9e18",
        granted(scene, "9000000000000000000"),
        Place::at([size, 9_000_000_000_000_000_000]),
    ));
    plots.push(plot(
        "role granted at the end",
        granted(scene, "(SELECT size FROM public.ledger_head)"),
        Place::at([size]),
    ));
    let of = |id: &str, kind: &str| -> Option<&Row> {
        scene.rows.iter().rfind(|row| {
            row.table == "public.events"
                && row.text("aggregate_id") == id
                && row.text("event_type").contains(kind)
        })
    };
    let at = |row: &Row| Place::at(row.number("position").and_then(|at| u64::try_from(at).ok()));
    for (name, id, kind) in [
        ("hold taken out of the log", &ids.held, "Hold"),
        ("leaver's end taken out of the log", &ids.leaver, "Disabled"),
        ("erasure taken out of the log", &ids.erased, "SubjectErased"),
        ("visit taken out of the log", &ids.visit, "Booked"),
        ("record's end taken out of the log", &ids.long, "Deactivated"),
    ] {
        let row = of(id, kind).unwrap_or_else(|| panic!("{name}: the scene has no such event"));
        let sql = format!("DELETE FROM public.events WHERE ctid = '{}'", row.ctid);
        plots.push(plot(name, sql, at(row)));
    }
    if let (Some(mine), Some(other)) =
        (of(&ids.patient, "Registered"), of(&ids.other, "Registered"))
    {
        let columns = "header = o.header, statement = o.statement, signature = o.signature, leaf_hash = o.leaf_hash";
        let sql = format!(
            "UPDATE public.events e SET {columns} FROM public.events o WHERE e.ctid = '{}' AND o.ctid = '{}'",
            mine.ctid, other.ctid
        );
        plots.push(plot("another's statement under one's own payload", sql, at(mine)));
        let sql = format!(
            "UPDATE public.events e SET payload = o.payload FROM public.events o
              WHERE (e.ctid = '{0}' AND o.ctid = '{1}') OR (e.ctid = '{1}' AND o.ctid = '{0}')",
            mine.ctid, other.ctid
        );
        plots.push(plot("payloads exchanged", sql, at(mine)));
        let sql = format!(
            "UPDATE public.events e SET aggregate_id = o.aggregate_id, subject = o.subject FROM public.events o
              WHERE (e.ctid = '{0}' AND o.ctid = '{1}') OR (e.ctid = '{1}' AND o.ctid = '{0}')",
            mine.ctid, other.ctid
        );
        plots.push(plot("streams exchanged", sql, at(mine)));
    }
}

/// Everything, or half of it, as it was earlier.
fn past(scene: &Scene, plots: &mut Vec<Change>) {
    let head = |rows: &[Row]| rows.iter().find(|row| row.table == "public.ledger_head").cloned();
    let Some(then) = head(&scene.earlier) else { return };
    let size = then.number("size").unwrap_or_default();
    let cut = format!(
        "DELETE FROM public.events WHERE position >= {size}; DELETE FROM public.checkpoints WHERE size > {size};
         DELETE FROM public.commands WHERE first_position >= {size};
         DELETE FROM public.tiles WHERE (index + 1) << (8 * (level + 1)) > {size};
         DELETE FROM public.ledger_head; {}",
        insertion("public.ledger_head", &then.columns)
    );
    let mut place = Place::called(&["kept", "seen", "earlier", "fork", "witness"]);
    place.positions = (u64::try_from(size).unwrap_or_default().saturating_sub(1)..)
        .take(usize::try_from(scene.size - size + 2).unwrap_or_default())
        .collect();
    plots.push(plot("log cut off, the rest left", cut.clone(), place.clone()));
    let mut all = cut;
    for table in ["claims_unique", "claims_busy", "claims_buckets", "claims_seal", "snapshots"]
        .map(|table| format!("public.{table}"))
        .into_iter()
        .chain(["keyring.data_keys".to_owned()])
    {
        all += &format!("; DELETE FROM {table}");
        for row in scene.earlier.iter().filter(|row| row.table == table) {
            all += &format!("; {}", insertion(&table, &row.columns));
        }
    }
    plots.push(plot("everything as it was earlier", all, place));
    let keep = "DELETE FROM public.checkpoints WHERE size < (SELECT size FROM public.ledger_head)";
    plots.push(plot("checkpoints deleted", keep, Place::called(&["checkpoint"])));
}

fn catalog(plots: &mut Vec<Change>) {
    let named = Place::called;
    for (name, sql, words) in [
        ("trigger dropped", "DROP TRIGGER append_only ON public.events", &["append_only", "trigger"][..]),
        ("constraint trigger dropped", "DROP TRIGGER moves_the_head ON public.checkpoints", &["moves_the_head", "trigger"]),
        ("triggers disabled", "ALTER TABLE public.events DISABLE TRIGGER ALL", &["trigger"]),
        ("right granted", "GRANT DELETE ON public.events TO ledger_serve", &["ledger_serve", "right"]),
        ("right of a column granted", "GRANT UPDATE (size) ON public.ledger_head TO ledger_worker", &["ledger_worker", "right"]),
        ("right granted to everybody", "GRANT SELECT ON public.events TO PUBLIC", &["public", "right"]),
        ("function granted", "GRANT EXECUTE ON FUNCTION public.put_claims_digests TO ledger_auditor", &["put_claims_digests", "ledger_auditor"]),
        ("schema opened", "GRANT CREATE ON SCHEMA public TO ledger_serve", &["ledger_serve", "schema"]),
        ("owner changed", "ALTER TABLE public.snapshots OWNER TO ledger_serve", &["owner", "snapshots"]),
        (
            "function replaced",
            "CREATE OR REPLACE FUNCTION public.refuse_log_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            &["refuse_log_change"],
        ),
        ("function added", "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1", &["mine"]),
        ("table added", "CREATE TABLE public.mine (mine text)", &["mine"]),
        ("column added", "ALTER TABLE public.events ADD COLUMN mine text", &["mine", "events"]),
        (
            "trigger added",
            "CREATE FUNCTION public.mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER mine BEFORE INSERT ON public.commands FOR EACH ROW EXECUTE FUNCTION public.mine()",
            &["mine"],
        ),
        (
            "rule added",
            "CREATE RULE mine AS ON INSERT TO public.snapshots DO INSTEAD NOTHING",
            &["mine", "rule"],
        ),
        (
            "rows hidden by a policy",
            "ALTER TABLE public.events ENABLE ROW LEVEL SECURITY;
             CREATE POLICY mine ON public.events USING (event_type NOT IN ('AccountDisabled', 'SubjectErased'))",
            &["mine", "row", "policy"],
        ),
        (
            "tables shadowed by the search path",
            "CREATE SCHEMA mine; CREATE TABLE mine.events AS TABLE public.events;
             DELETE FROM mine.events WHERE event_type = 'AccountDisabled';
             GRANT USAGE ON SCHEMA mine TO PUBLIC; GRANT SELECT ON mine.events TO PUBLIC;
             DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = mine, public', current_database()); END $$",
            &["mine", "search_path", "schema"],
        ),
        ("constraint dropped", "ALTER TABLE public.events DROP CONSTRAINT events_pkey CASCADE", &["events_pkey", "constraint"]),
        ("index dropped", "DROP INDEX public.events_subject", &["events_subject", "index"]),
    ] {
        plots.push(Change { of_catalog: true, ..plot(name, sql, named(words)) });
    }
}

fn claims(scene: &Scene, plots: &mut Vec<Change>) {
    let ids = &scene.ids;
    let named = Place::called(&["claim"]);
    let of = |table: &str, id: &str| {
        let mut place = named.clone();
        place.ids.insert(id.to_owned());
        let what = if table == "claims_busy" { "time" } else { "number" };
        plot(
            &format!("{what} given back"),
            format!("DELETE FROM public.{table} WHERE aggregate_id = '{id}'"),
            place,
        )
    };
    plots.push(of("claims_busy", &ids.visit));
    plots.push(of("claims_unique", &ids.patient));
    plots.push(plot(
        "log-in name given back",
        format!("DELETE FROM public.claims_unique WHERE aggregate_id = '{}'", ids.front_desk),
        named.clone(),
    ));
    let all = "DELETE FROM public.claims_unique; DELETE FROM public.claims_busy";
    plots.push(plot("everything given back", all, named.clone()));
    plots.push(plot(
        "everything given back, digests and all",
        format!("{all}; DELETE FROM public.claims_buckets"),
        named.clone(),
    ));
    plots.push(plot(
        "no claims, no seal",
        format!("{all}; DELETE FROM public.claims_buckets; DELETE FROM public.claims_seal"),
        named.clone(),
    ));
    plots.push(plot(
        "administrator's name leads to another account",
        format!(
            "UPDATE public.claims_unique SET aggregate_id = '{}' WHERE aggregate_id = '{}'",
            ids.front_desk, ids.admin
        ),
        named,
    ));
}

fn keys(scene: &Scene, plots: &mut Vec<Change>) {
    let ids = &scene.ids;
    let of = |id: &str| {
        let mut place = Place::called(&["key", "opened"]);
        let events = scene
            .rows
            .iter()
            .filter(|row| row.table == "public.events" && row.text("subject") == id);
        place.positions =
            events.filter_map(|row| u64::try_from(row.number("position")?).ok()).collect();
        place
    };
    let destroy = "UPDATE keyring.data_keys SET wrapped = NULL, destroyed_at = now()";
    plots.push(plot(
        "a key destroyed",
        format!("{destroy} WHERE subject = '{}'", ids.patient),
        of(&ids.patient),
    ));
    plots.push(plot(
        "all keys destroyed",
        format!("{destroy} WHERE wrapped IS NOT NULL"),
        of(&ids.patient),
    ));
    plots.push(plot(
        "a key removed",
        format!("DELETE FROM keyring.data_keys WHERE subject = '{}'", ids.patient),
        of(&ids.patient),
    ));
    plots.push(plot(
        "keys exchanged",
        format!(
            "UPDATE keyring.data_keys k SET wrapped = o.wrapped FROM keyring.data_keys o
              WHERE (k.subject, o.subject) IN (('{0}', '{1}'), ('{1}', '{0}'))",
            ids.patient, ids.other
        ),
        of(&ids.patient),
    ));
    plots.push(plot(
        "subjects of keys exchanged",
        format!(
            "CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE keyring.data_keys;
             DELETE FROM keyring.data_keys WHERE subject IN ('{0}', '{1}');
             INSERT INTO keyring.data_keys SELECT (jsonb_populate_record(NULL::keyring.data_keys, to_jsonb(k) || jsonb_build_object('subject',
               CASE k.subject WHEN '{0}' THEN '{1}' ELSE '{0}' END))).* FROM kept k WHERE subject IN ('{0}', '{1}')",
            ids.patient, ids.other
        ),
        of(&ids.patient),
    ));
    let erased = scene
        .earlier
        .iter()
        .find(|row| row.table == "keyring.data_keys" && row.text("subject") == ids.erased);
    if let Some(row) = erased {
        let wrapped = literal(row.text("wrapped"));
        plots.push(plot(
            "a key put back after the erasure",
            format!("UPDATE keyring.data_keys SET wrapped = {wrapped}, destroyed_at = NULL WHERE subject = '{}'", ids.erased),
            of(&ids.erased),
        ));
    }
}

fn commands(scene: &Scene, plots: &mut Vec<Change>) {
    let ids = &scene.ids;
    let key = ids.booking_key.to_string();
    let Some(row) = scene
        .rows
        .iter()
        .find(|row| row.table == "public.commands" && row.text("command_id") == key)
    else {
        panic!("the scene has no row of its own command");
    };
    let mut place = Place::called(&["command"]);
    place.positions.insert(ids.booked_at);
    // The ids under which the questions will come.
    for number in 0..80_u128 {
        let mut columns = row.columns.clone();
        columns.insert("command_id".to_owned(), json!(uuid::Uuid::from_u128(0xa77a_0000 + number)));
        columns.insert("event_count".to_owned(), json!(0));
        let sql = insertion("public.commands", &columns);
        match plots.last_mut().filter(|plot| plot.name == "plot answers invented") {
            Some(plot) => plot.sql = format!("{}; {sql}", plot.sql),
            None => plots.push(plot("answers invented", sql, place.clone())),
        }
    }
    plots.push(plot(
        "a command forgotten",
        format!("DELETE FROM public.commands WHERE command_id = '{key}'"),
        place.clone(),
    ));
    plots.push(plot(
        "all commands forgotten",
        "DELETE FROM public.commands",
        Place::called(&["command"]),
    ));
    plots.push(plot(
        "a command that changed nothing",
        format!("UPDATE public.commands SET event_count = 0 WHERE command_id = '{key}'"),
        place.clone(),
    ));
    plots.push(plot(
        "another's receipt",
        format!(
            "UPDATE public.commands SET first_position = o.first_position, event_count = o.event_count, log_size = o.log_size
               FROM (SELECT * FROM public.commands WHERE command_id <> '{key}' AND event_count = 1 ORDER BY first_position LIMIT 1) o
              WHERE commands.command_id = '{key}'"
        ),
        place.clone(),
    ));
    plots.push(plot(
        "a command of another request",
        format!("UPDATE public.commands SET request_mac = decode(repeat('00', 32), 'hex') WHERE command_id = '{key}'"),
        place,
    ));
}

/// What the product's own logins may do, done to no good end.
fn logins(scene: &Scene, plots: &mut Vec<Change>) {
    let own: Vec<Change> =
        plots.iter().filter(|plot| plot.name.contains("forged")).cloned().collect();
    let size = u64::try_from(scene.size).unwrap_or_default();
    for (login, name) in [(Login::Serve, "server"), (Login::Worker, "worker")] {
        let mut add = |what: &str, sql: &str, place: Place, harmless: Option<&'static str>| {
            let mut made = plot(&format!("{what} by the {name}'s login"), sql, place);
            (made.login, made.harmless) = (Some(login), harmless);
            plots.push(made);
        };
        let wanted = if login == Login::Serve { own.len() } else { 1 };
        for forged in own.iter().filter(|forged| !forged.sql.starts_with("ALTER")).take(wanted) {
            add(&forged.name[5..], &forged.sql, forged.place.clone(), None);
        }
        let claim = || Place::called(&["claim"]);
        let clear = "SELECT clear_claims(array_agg(n)) FROM generate_series(0, 65535) n";
        add("claims cleared", clear, claim(), None);
        let seal = "SELECT seal_claims(size, decode(repeat('00', 32), 'hex')) FROM ledger_head";
        add("a false seal", seal, claim(), None);
        let forge = format!(
            "SELECT append_log(h.size, ARRAY[gen_random_uuid()], ARRAY['account'], ARRAY['{}'::uuid], ARRAY[3::bigint],
               ARRAY['RoleGranted'], ARRAY['1'], ARRAY['{0}'::uuid], ARRAY[gen_random_uuid()], ARRAY[now()], ARRAY[''::bytea],
               ARRAY[''::bytea], ARRAY[decode(repeat('00', 64), 'hex')], ARRAY[''::bytea], ARRAY[decode(repeat('00', 32), 'hex')],
               ARRAY[decode(repeat('00', 32), 'hex')], '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', h.size + 1, '\\x00') FROM ledger_head h;
             SELECT advance_ledger_head(size, frontier, epoch, size + 1, frontier, '\\x00', 0, 0, NULL) FROM ledger_head",
            scene.ids.front_desk
        );
        add("an unsigned event", &forge, Place::at([size]), None);
        add(
            "snapshots deleted",
            "DELETE FROM snapshots",
            Place::default(),
            Some("a cache: without it streams are read whole"),
        );
        add(
            "a flood of word",
            "DO $$ BEGIN FOR n IN 1..20000 LOOP PERFORM pg_notify('ledger_head', n::text); END LOOP; END $$",
            Place::default(),
            Some("word of a new size is a hint: whoever hears it looks at the log"),
        );
        add(
            "locks taken",
            "SELECT pg_advisory_lock(n) FROM generate_series(1, 500) n",
            Place::default(),
            Some("a lock held keeps nobody from the log"),
        );
        add(
            "keys destroyed again",
            "SELECT destroy_keys_again(array_agg(subject)) FROM keyring.data_keys",
            Place::default(),
            Some("destroys only what the log says is erased"),
        );
    }
    // Nobody lives who could object, and the key that wraps is one that nobody has.
    let rewrap = "SELECT forget_held_keys(process) FROM keyring.holders;
                  SELECT change_key_encryption(kek_id, 'attacker') FROM keyring.key_encryption;
                  SELECT rewrap_data_keys(array_agg(key_id), array_agg(wrapped), 'attacker', array_agg(wrapped))
                    FROM keyring.data_keys WHERE wrapped IS NOT NULL";
    let mut made = plot(
        "keys wrapped for nobody by the server's login",
        rewrap,
        Place::called(&["key", "opened"]),
    );
    made.login = Some(Login::Serve);
    plots.push(made);
}

/// What no login of the product may do, whatever it tries.
pub(crate) const REFUSED: &[&str] = &[
    "RESET ROLE; DELETE FROM events",
    "SET ROLE ledger_app",
    "SET ROLE pg_database_owner",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION DEFAULT; DELETE FROM events",
    "SET session_replication_role = replica",
    "ALTER TABLE events DISABLE TRIGGER append_only",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "DROP TRIGGER keeps_its_rows ON events",
    "DROP TABLE events",
    "DROP SCHEMA keyring CASCADE",
    "ALTER TABLE events ADD COLUMN mine text",
    "ALTER TABLE events ENABLE ROW LEVEL SECURITY",
    "COPY events FROM PROGRAM 'true'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/ledger-attack'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> current_user AND usename IS NOT NULL",
    "DELETE FROM events",
    "TRUNCATE events",
    "UPDATE events SET payload = ''",
    "INSERT INTO events SELECT * FROM events",
    "UPDATE ledger_head SET size = 0",
    "DELETE FROM ledger_head",
    "DELETE FROM checkpoints",
    "INSERT INTO checkpoints VALUES (99, '')",
    "DELETE FROM tiles",
    "INSERT INTO commands SELECT * FROM commands",
    "DELETE FROM commands",
    "UPDATE commands SET event_count = 0",
    "DELETE FROM claims_unique",
    "DELETE FROM claims_busy",
    "UPDATE claims_seal SET size = 0",
    "DELETE FROM claims_buckets",
    "UPDATE keyring.data_keys SET wrapped = NULL",
    "DELETE FROM keyring.data_keys",
    "SELECT 1 FROM keyring.data_keys FOR UPDATE",
    "SELECT destroy_data_key(subject) FROM keyring.data_keys",
    "SELECT put_claims_digests(1, ARRAY[1], ARRAY['\\x00'::bytea])",
    "SELECT require_moved_head()",
    "LOCK TABLE events IN EXCLUSIVE MODE",
    "CREATE TABLE mine ()",
    "CREATE TEMPORARY TABLE events (position bigint)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1",
    "CREATE OR REPLACE FUNCTION lock_ledger_head() RETURNS int LANGUAGE sql RETURN 1",
    "ALTER FUNCTION lock_ledger_head() OWNER TO CURRENT_USER",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "CREATE EXTENSION pg_trgm",
    "ALTER ROLE ledger_auditor SUPERUSER",
    "ALTER SYSTEM SET fsync = off",
    "SELECT lo_import('/etc/passwd')",
    "SELECT dblink('', 'SELECT 1')",
];

/// What the database answers with a warning, and does not do.
pub(crate) const WITHOUT_EFFECT: &[&str] = &[
    "GRANT ALL ON events TO PUBLIC",
    "GRANT ALL ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC",
    "REVOKE ALL ON events FROM ledger_auditor",
];
