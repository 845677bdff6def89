//! Changes of rows, made of what the live catalog says: every table, every column, every kind of value; rows removed,
//! doubled, exchanged, put back older, and whole tables emptied. A new table or column is attacked without a line here.

use std::collections::{BTreeMap, BTreeSet};

use commands::database::Login;
use serde_json::{Value, json};
use sqlx::postgres::PgDatabaseError;
use sqlx::{Executor as _, PgPool};

use super::catalog::{Row, Table, insertion, literal};
use super::scene::Scene;
use crate::support::Random;

/// What somebody does to the databases, and where the audit must say so.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Names it for `ATTACK_ONLY`.
    pub(crate) name: String,
    pub(crate) sql: String,
    /// By whose login; nobody's: with every right, past all triggers.
    pub(crate) login: Option<Login>,
    pub(crate) place: Place,
    /// Why it need not be noticed, where it means nothing.
    pub(crate) harmless: Option<&'static str>,
    /// Changes what the database is and not what it holds.
    pub(crate) of_catalog: bool,
}

/// Where something is wrong: at one of these positions, or at an object that is called one of `words`, and by one of its `ids`
/// where it has any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) positions: BTreeSet<u64>,
    pub(crate) words: Vec<String>,
    pub(crate) ids: BTreeSet<String>,
}

impl Place {
    pub(crate) fn called(words: &[&str]) -> Place {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Place { words, ..Place::default() }
    }

    pub(crate) fn at(positions: impl IntoIterator<Item = u64>) -> Place {
        Place { positions: positions.into_iter().collect(), ..Place::default() }
    }

    /// The same, of a log that has grown: what stands at its old end stands at its new one.
    pub(crate) fn after_growth(&self, size: u64, by: u64) -> Place {
        let moved = |position: &u64| if *position == size { size + by } else { *position };
        Place { positions: self.positions.iter().map(moved).collect(), ..self.clone() }
    }

    /// Whether what the audit printed says so, of the log or of what lies beside it.
    pub(crate) fn is_named(&self, report: &Value) -> bool {
        if !report.is_object() || report["findings"].is_null() {
            // It could not be read to its end: then the reason must name the object.
            return self.says(&report.to_string(), true);
        }
        findings(report).any(|(of, finding)| {
            let position = finding["position"].as_u64();
            position.is_some_and(|position| self.positions.contains(&position))
                || self.says(&format!("{of} {finding}"), false)
        })
    }

    fn says(&self, text: &str, whoever: bool) -> bool {
        let text = text.to_lowercase();
        let is_of_one = || self.ids.iter().any(|id| text.contains(id.as_str()));
        self.words.iter().any(|word| text.contains(word))
            && (whoever || self.ids.is_empty() || is_of_one())
    }

    fn also(mut self, other: Place) -> Place {
        self.positions.extend(other.positions);
        self.ids.extend(other.ids);
        self
    }
}

/// What the audit has found: in the log, and in each part of what lies beside it, with the name of the part.
pub(crate) fn findings(report: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let of_log = report["findings"].as_array().into_iter().flatten();
    let beside = report["beside"].as_array().into_iter().flatten().flat_map(|part| {
        let what = part["what"].as_str().unwrap_or_default();
        part["findings"].as_array().into_iter().flatten().map(move |finding| (what, finding))
    });
    of_log.map(|finding| ("", finding)).chain(beside)
}

/// What the audit calls the objects of a table.
fn words(table: &str) -> &'static [&'static str] {
    match table.rsplit('.').next().unwrap_or_default() {
        "claims_unique" | "claims_busy" | "claims_buckets" | "claims_seal" => &["claim"],
        "commands" => &["command"],
        "checkpoints" => &["checkpoint"],
        "data_keys" | "holders" | "key_encryption" => &["key"],
        "ledger_head" => &["head", "right edge"],
        "snapshots" => &["snapshot"],
        "stray_checkpoints" | "stray_events" | "stray_tiles" => &["stray"],
        "tiles" => &["tile"],
        _ => &["event"],
    }
}

/// Whether it was said what the audit calls what is in this table.
pub(crate) fn is_known(table: &str) -> bool {
    words(table) != ["event"] || ["public.events", "public._sqlx_migrations"].contains(&table)
}

/// Where the audit must say that this row is not as it was.
fn place(row: &Row) -> Place {
    let mut place = Place::called(words(&row.table));
    let positions: Vec<i64> = match row.table.rsplit('.').next().unwrap_or_default() {
        "events" => row.number("position").into_iter().collect(),
        "commands" => row.number("first_position").into_iter().collect(),
        "checkpoints" => {
            row.number("size").map(|size| [size - 1, size]).into_iter().flatten().collect()
        }
        _ => Vec::new(),
    };
    place.positions = positions.into_iter().filter_map(|at| u64::try_from(at).ok()).collect();
    if place.words.iter().any(|word| ["claim", "key", "snapshot"].contains(&word.as_str())) {
        let ids = row.columns.values().filter_map(Value::as_str);
        place.ids = ids.filter(|id| id.len() == 36).map(str::to_owned).collect();
    }
    place
}

/// Values of a column's type that are not its own, each as SQL.
fn values(kind: &str, column: &str, bit: u64) -> Vec<(&'static str, String)> {
    let column = format!("\"{column}\"");
    let mut values = match kind {
        "bytea" => vec![
            ("empty", "'\\x'::bytea".to_owned()),
            ("zero", format!("decode(repeat('00', octet_length({column})), 'hex')")),
            ("flipped", {
                let bit = format!("({bit} % (octet_length({column}) * 8))::int");
                format!("set_bit({column}, {bit}, 1 - get_bit({column}, {bit}))")
            }),
            ("mine", "convert_to('{\"roles\":[\"admin\"],\"disabled\":false}', 'UTF8')".to_owned()),
        ],
        "smallint" | "integer" | "bigint" => vec![
            ("zero", "0".to_owned()),
            ("next", format!("{column} + 1")),
            ("negative", "-1".to_owned()),
            ("far", if kind == "smallint" { "32000" } else { "1000000000" }.to_owned()),
        ],
        "uuid" => vec![
            ("nil", "'00000000-0000-0000-0000-000000000000'::uuid".to_owned()),
            ("last", "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid".to_owned()),
            ("flipped", {
                let bytes = format!("uuid_send({column})");
                let flipped =
                    format!("set_bit({bytes}, {FLIPPED}, 1 - get_bit({bytes}, {FLIPPED}))");
                format!("encode({flipped}, 'hex')::uuid")
            }),
        ],
        "text" => vec![("empty", "''".to_owned()), ("mine", "'attacker'".to_owned())],
        "timestamp with time zone" => vec![
            ("next", format!("{column} + interval '1 second'")),
            ("first", "'epoch'::timestamptz".to_owned()),
            ("far", "'9999-12-31'::timestamptz".to_owned()),
        ],
        "tstzrange" => vec![
            ("longer", format!("tstzrange(lower({column}), upper({column}) + interval '1 hour')")),
            ("moved", {
                let day = "interval '1 day'";
                format!("tstzrange(lower({column}) + {day}, upper({column}) + {day})")
            }),
            ("empty", "'empty'::tstzrange".to_owned()),
        ],
        "boolean" => vec![("turned", format!("NOT {column}"))],
        _ => Vec::new(),
    };
    values.push(("null", format!("NULL::{kind}")));
    values
}

/// Rows on which something is decided, where a table has many.
fn telling<'a>(scene: &Scene, rows: &[&'a Row]) -> Vec<&'a Row> {
    const TYPES: [&str; 8] = [
        "AccountRegistered",
        "RoleGranted",
        "AccountDisabled",
        "HoldPlaced",
        "LegalHoldPlaced",
        "SubjectErased",
        "PatientRegistered",
        "AppointmentBooked",
    ];
    let ids = [&scene.ids.patient, &scene.ids.held, &scene.ids.erased, &scene.ids.visit];
    let tells = |row: &&&Row| {
        TYPES.contains(&row.text("event_type"))
            || row.table != "public.events"
                && row.columns.values().any(|value| ids.iter().any(|id| value == id.as_str()))
    };
    let found: Vec<&Row> = rows.iter().filter(tells).copied().collect();
    if found.is_empty() { rows.to_vec() } else { found }
}

/// Every change of one row or one table that the catalog gives rise to.
pub(crate) fn changes(scene: &Scene, tables: &[Table], seed: u64) -> Vec<Change> {
    let mut random = Random::new(seed);
    let mut changes = Vec::new();
    for table in tables {
        let rows: Vec<&Row> = scene.rows.iter().filter(|row| row.table == table.name).collect();
        if rows.is_empty() {
            changes.extend(invented(scene, table));
            continue;
        }
        let mut choose = |rows: &[&Row]| rows[random.within(0..rows.len() as u64) as usize].clone();
        let candidates = telling(scene, &rows);
        for (column, kind) in &table.columns {
            let any = choose(&rows);
            for (what, value) in values(kind, column, choose_bit(&any)) {
                changes.push(of_value(table, (column, what, &value), &choose(&candidates)));
            }
            let row = choose(&candidates);
            let own = row.columns.get(column);
            // Of those that are another value, one from the middle.
            let others = rows.iter().filter_map(|other| other.columns.get(column));
            let others: Vec<&Value> = others.filter(|other| Some(*other) != own).collect();
            if let Some(other) = others.get(others.len() / 2) {
                let value = literally(other, kind);
                changes.push(of_value(table, (column, "another's", &value), &row));
            }
        }
        let (one, two) = (choose(&candidates), choose(&rows));
        changes.extend(of_rows(scene, table, &one, &two));
    }
    changes
}

/// Another value in one column of one row.
fn of_value(table: &Table, (column, what, value): (&str, &str, &str), row: &Row) -> Change {
    let mut place = place(row);
    // The row is called by what it says now.
    if !place.ids.is_empty() {
        place.ids.extend(new_id(what, value, row.text(column)));
    }
    Change {
        name: format!("{}.{column} {what} @{}", table.name, row.ordinal),
        sql: format!(
            "UPDATE {} SET \"{column}\" = {value} WHERE ctid = '{}' AND \"{column}\" IS DISTINCT FROM {value}",
            table.name, row.ctid
        ),
        login: None,
        place,
        harmless: harmless(&table.name, column, what).or_else(|| of_nothing(row, column)),
        of_catalog: false,
    }
}

/// The id that one of [`values`] puts in the place of another.
fn new_id(what: &str, value: &str, old: &str) -> Option<String> {
    let mut old = uuid::Uuid::parse_str(old).ok()?.into_bytes();
    match what {
        "nil" => Some(uuid::Uuid::nil().to_string()),
        "last" => Some(uuid::Uuid::max().to_string()),
        "flipped" => {
            // As PostgreSQL counts bits.
            old[FLIPPED / 8] ^= 1 << (FLIPPED % 8);
            Some(uuid::Uuid::from_bytes(old).to_string())
        }
        _ => value.split('\'').nth(1).map(str::to_owned),
    }
}

/// Rows that say nothing: what is left of a key that the log destroyed, and buckets that were emptied.
fn of_nothing(row: &Row, column: &str) -> Option<&'static str> {
    let is_empty =
        |of: &str, empty: &Value| row.columns.get(of).is_some_and(|value| value == empty);
    match row.table.as_str() {
        "keyring.data_keys"
            if is_empty("wrapped", &Value::Null)
                && ["kek_id", "wrap_version", "destroyed_at"].contains(&column) =>
        {
            Some("of a key that is gone: that, and since when, is told by the log alone")
        }
        "public.claims_buckets"
            if is_empty("digest", &json!("\\x")) && ["bucket", "size", ""].contains(&column) =>
        {
            Some("of an emptied bucket: without it there is nothing in it either")
        }
        _ => None,
    }
}

/// The bit of an id that is flipped.
const FLIPPED: usize = 77;

/// A stored value as SQL.
fn literally(value: &Value, kind: &str) -> String {
    let value = match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => literal(text),
        other => other.to_string(),
    };
    format!("{value}::{kind}")
}

/// Repeatable, and another one for each row.
fn choose_bit(row: &Row) -> u64 {
    row.ctid.bytes().fold(7, |bit, byte| (bit * 31 + u64::from(byte)) % 1_000_003)
}

fn change(table: &Table, what: &str, row: &Row, sql: String, place: Place) -> Change {
    Change {
        name: format!("{} {what} @{}", table.name, row.ordinal),
        sql,
        login: None,
        place,
        harmless: harmless(&table.name, "", what).or_else(|| {
            ["deleted", "put back", "put back older"]
                .contains(&what)
                .then(|| of_nothing(row, ""))?
        }),
        of_catalog: false,
    }
}

fn of_rows(scene: &Scene, table: &Table, one: &Row, two: &Row) -> Vec<Change> {
    let name = &table.name;
    let mut made = vec![
        change(
            table,
            "deleted",
            one,
            format!("DELETE FROM {name} WHERE ctid = '{}'", one.ctid),
            place(one),
        ),
        change(
            table,
            "emptied",
            one,
            format!("DELETE FROM {name}"),
            Place::called(words(name)).also(Place::at([0, 1, 2])),
        ),
    ];
    // The same under another key.
    let mut double = one.clone();
    let identity = table.key.iter().find(|key| !matches!(one.columns[*key], Value::Bool(_)));
    let identity = identity.or_else(|| {
        table
            .columns
            .iter()
            .map(|(column, _)| column)
            .find(|column| column.as_str() == "aggregate_id")
    });
    if let Some(column) = identity {
        let new = match &one.columns[column] {
            Value::Number(number) => json!(number.as_i64().unwrap_or_default() + 1_000_003),
            Value::String(text) if text.len() == 36 => json!(scene.ids.admin),
            Value::String(text) if text.starts_with("\\x") => {
                json!(format!("\\x{}", "ab".repeat((text.len() - 2) / 2)))
            }
            _ => json!("attacker"),
        };
        double.columns.insert(column.clone(), new);
        let mut at = place(one).also(place(&double));
        at.positions.insert(u64::try_from(scene.size).unwrap_or_default());
        made.push(change(table, "doubled", one, insertion(name, &double.columns), at));
    }
    // Two rows with each other's keys.
    if one.ctid != two.ctid {
        let keys: Vec<&String> = match table.key.is_empty() {
            true => table
                .columns
                .iter()
                .map(|(column, _)| column)
                .filter(|column| column.as_str() == "aggregate_id")
                .collect(),
            false => table.key.iter().collect(),
        };
        let (mut first, mut second) = (one.clone(), two.clone());
        for key in keys {
            first.columns.insert(key.clone(), two.columns[key].clone());
            second.columns.insert(key.clone(), one.columns[key].clone());
        }
        if first.columns != two.columns {
            let sql = format!(
                "DELETE FROM {name} WHERE ctid IN ('{}', '{}'); {}; {}",
                one.ctid,
                two.ctid,
                insertion(name, &first.columns),
                insertion(name, &second.columns)
            );
            made.push(change(table, "exchanged", one, sql, place(one).also(place(two))));
        }
    }
    made.extend(older(scene, table));
    made
}

/// Rows as they were earlier, in the place of what they are now; and rows that are gone, put back.
fn older(scene: &Scene, table: &Table) -> Vec<Change> {
    let name = &table.name;
    let key = |row: &Row| -> Vec<Value> {
        let all: Vec<&String> = match table.key.is_empty() {
            true => table.columns.iter().map(|(column, _)| column).collect(),
            false => table.key.iter().collect(),
        };
        all.iter().map(|column| row.columns[*column].clone()).collect()
    };
    let of_table = |rows: &[Row]| -> BTreeMap<String, Row> {
        let rows = rows.iter().filter(|row| row.table == *name);
        rows.map(|row| (format!("{:?}", key(row)), row.clone())).collect()
    };
    let (now, then) = (of_table(&scene.rows), of_table(&scene.earlier));
    let mut made = Vec::new();
    let differs = then.iter().find_map(|(key, row)| {
        now.get(key).filter(|current| current.columns != row.columns).map(|current| (current, row))
    });
    if let Some((current, row)) = differs {
        let delete = format!("DELETE FROM {name} WHERE ctid = '{}'", current.ctid);
        let sql = format!("{delete}; {}", insertion(name, &row.columns));
        made.push(change(table, "put back older", current, sql, place(current).also(place(row))));
    }
    if let Some((_, row)) = then.iter().find(|(key, _)| !now.contains_key(*key)) {
        made.push(change(table, "put back", row, insertion(name, &row.columns), place(row)));
    }
    made
}

/// Something in a table that holds nothing.
fn invented(scene: &Scene, table: &Table) -> Option<Change> {
    let name = table.name.strip_prefix("public.stray_")?;
    let origin = format!("public.{name}");
    let row = scene.rows.iter().rfind(|row| row.table == origin)?;
    let mut columns = row.columns.clone();
    columns.insert("found_at".to_owned(), json!("2026-01-01T00:00:00Z"));
    let mut place = place(row);
    place.words.push("stray".to_owned());
    place.ids.clear();
    Some(Change {
        name: format!("{} invented", table.name),
        sql: insertion(&table.name, &columns),
        login: None,
        place,
        harmless: None,
        of_catalog: false,
    })
}

/// What means nothing, with the reason. Whatever stands here may be noticed all the same.
fn harmless(table: &str, column: &str, what: &str) -> Option<&'static str> {
    match (table.rsplit('.').next().unwrap_or_default(), column, what) {
        ("_sqlx_migrations", _, _) => Some(
            "only `ledger migrate` reads it, as the owner: at worst it refuses or runs again what refuses",
        ),
        ("holders", _, _) => Some(
            "what processes say of themselves: at worst `keys rewrap` waits for nobody, or for somebody who is gone",
        ),
        ("key_encryption", _, _) => Some(
            "which key wraps from now on: one that the process holds, or nothing new is sealed; `keys status` shows it",
        ),
        ("ledger_head", "epoch", _) => Some(
            "a hint: a process that sees another epoch reads again what the log says of erasures and keys",
        ),
        ("claims_buckets", "size", _) => {
            Some("a hint: from where another process reads on; what it has then must fit the seal")
        }
        ("events", "tag", "null") => Some(
            "without its tag an event is believed by its signature alone, as what older versions appended is",
        ),
        ("ledger_head", "singleton", _) => Some("says nothing: there is one row"),
        ("claims_seal", "singleton", _) => Some("says nothing: there is one row"),
        ("snapshots", "", "deleted" | "emptied") => {
            Some("a cache: without a snapshot the stream is read whole")
        }
        ("snapshots", "", "put back older" | "put back") => {
            Some("a genuine state of the stream's past: what came after it is read from the log")
        }
        _ => None,
    }
}

/// How an attempt to change something went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Made {
    Done,
    /// It was so already.
    Nothing,
    /// The database does not take it, whatever the rights.
    Refused,
}

/// Does it with every right, past triggers, and past constraints where one is in the way.
pub(crate) async fn make(pool: &PgPool, change: &Change) -> Made {
    let attempt = |loosen: String| {
        let sql = format!(
            "BEGIN; SET LOCAL session_replication_role = replica; {loosen}{}; COMMIT",
            change.sql
        );
        async move {
            let mut connection = pool.acquire().await.expect("a connection");
            let done = connection.execute(sql.as_str()).await;
            if done.is_err() {
                connection.execute("ROLLBACK").await.expect("Postgres answers");
            }
            done
        }
    };
    let done = match attempt(String::new()).await {
        Err(error) => match constrained(&error) {
            Some(table) => attempt(loosened(&table)).await,
            None => Err(error),
        },
        done => done,
    };
    match done {
        Ok(done) if done.rows_affected() == 0 && change.sql.starts_with("UPDATE ") => Made::Nothing,
        Ok(_) => Made::Done,
        Err(_) => Made::Refused,
    }
}

/// The table whose constraint is in the way.
fn constrained(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    let table = format!("{}.{}", error.schema()?, error.table()?);
    error.code().starts_with("23").then_some(table)
}

/// What takes every constraint off a table.
fn loosened(table: &str) -> String {
    format!(
        "DO $$ DECLARE c record; BEGIN
           FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass LOOP
             EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I CASCADE', c.conname);
           END LOOP;
           FOR c IN SELECT attname FROM pg_attribute
                     WHERE attrelid = '{table}'::regclass AND attnum > 0 AND attnotnull AND NOT attisdropped LOOP
             EXECUTE format('ALTER TABLE {table} ALTER %I DROP NOT NULL', c.attname);
           END LOOP;
         END $$; "
    )
}
