//! The tables of the product as the live database tells them: columns, keys, rows.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::PgPool;

/// A row, wherever it stands: copies of a database have it at the same place.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) table: String,
    pub(crate) ctid: String,
    /// The how manieth of its table, which is the same in each run.
    pub(crate) ordinal: usize,
    pub(crate) columns: BTreeMap<String, Value>,
}

impl Row {
    pub(crate) fn number(&self, column: &str) -> Option<i64> {
        self.columns.get(column).and_then(Value::as_i64)
    }

    pub(crate) fn text(&self, column: &str) -> &str {
        self.columns.get(column).and_then(Value::as_str).unwrap_or_default()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// With its schema.
    pub(crate) name: String,
    /// Name and type of each column.
    pub(crate) columns: Vec<(String, String)>,
    pub(crate) key: Vec<String>,
}

const SCHEMAS: &str = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND n.nspname NOT LIKE 'pg\\_temp%' AND n.nspname NOT LIKE 'pg\\_toast\\_temp%'";

/// Every table that is no part of PostgreSQL.
pub(crate) async fn tables(pool: &PgPool) -> Vec<Table> {
    let sql = format!(
        "SELECT n.nspname || '.' || c.relname, a.attname::text, format_type(a.atttypid, NULL),
                coalesce(a.attnum = ANY(k.conkey), false)
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
           LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
          WHERE c.relkind IN ('r', 'p') AND {SCHEMAS} ORDER BY 1, a.attnum"
    );
    let found: Vec<(String, String, String, bool)> =
        sqlx::query_as(&sql).fetch_all(pool).await.expect("the tables");
    let mut tables: Vec<Table> = Vec::new();
    for (name, column, kind, is_key) in found {
        if tables.last().is_none_or(|table| table.name != name) {
            tables.push(Table { name: name.clone(), columns: Vec::new(), key: Vec::new() });
        }
        let Some(table) = tables.last_mut() else { continue };
        if is_key {
            table.key.push(column.clone());
        }
        table.columns.push((column, kind));
    }
    tables
}

/// Every row of every table.
pub(crate) async fn rows(pool: &PgPool) -> Vec<Row> {
    let mut rows = Vec::new();
    for table in tables(pool).await {
        let sql = format!("SELECT ctid::text, to_jsonb(t) FROM {} t ORDER BY ctid", table.name);
        let found: Vec<(String, Value)> =
            sqlx::query_as(&sql).fetch_all(pool).await.expect("the rows");
        for (ordinal, (ctid, columns)) in found.into_iter().enumerate() {
            let columns = serde_json::from_value(columns).expect("a row is an object");
            rows.push(Row { table: table.name.clone(), ctid, ordinal, columns });
        }
    }
    rows
}

/// Text as a literal of SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The statement that inserts this row.
pub(crate) fn insertion(table: &str, columns: &BTreeMap<String, Value>) -> String {
    let row = literal(&serde_json::to_string(columns).expect("JSON"));
    format!("INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, {row}::jsonb)).*")
}
