//! What the database is made of, against a reviewed list: a trigger that is gone or a right that was given decides as much as a row.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{Executor as _, PgConnection};

use super::compared::Comparison;

/// One line for each object.
const QUERY: &str = include_str!("../../../migrations/catalog.sql");

/// The lines of a database that was just migrated.
const REVIEWED: &str = include_str!("../../../migrations/catalog.txt");

/// How much of a line is shown in a finding.
const SHOWN_MAX: usize = 240;

/// How an object differs from the reviewed list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// The object, as `class name`.
    pub object: String,
    /// Its attributes by the reviewed list; none if it should not be there.
    pub reviewed: Option<String>,
    /// Its attributes in the database; none if it is not there.
    pub found: Option<String>,
}

/// What a comparison with the reviewed list found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CatalogReport {
    /// How many objects there are.
    pub objects: u64,
    /// Which of them differ, in the order of their names.
    pub divergences: Vec<Divergence>,
}

impl From<CatalogReport> for Comparison {
    fn from(report: CatalogReport) -> Comparison {
        let mut comparison = Comparison::begun("objects of the database");
        comparison.count(report.objects);
        for Divergence { object, reviewed, found } in report.divergences {
            let (kind, detail) = match (&reviewed, &found) {
                (Some(reviewed), Some(found)) => ("changed", differing(reviewed, found)),
                (Some(_), None) => ("missing", "it is not there".to_owned()),
                (None, Some(found)) => {
                    ("foreign", format!("nobody reviewed it: {}", shortened(found)))
                }
                (None, None) => continue,
            };
            comparison.push(None, kind, object, detail);
        }
        comparison
    }
}

/// From where two lines of one object differ.
fn differing(reviewed: &str, found: &str) -> String {
    let words: Vec<&str> = reviewed.split(' ').collect();
    let other: Vec<&str> = found.split(' ').collect();
    let same = words.iter().zip(&other).take_while(|(one, other)| one == other).count();
    let rest = |words: &[&str]| shortened(&words.get(same..).unwrap_or_default().join(" "));
    format!("it has `{}` and should have `{}`", rest(&other), rest(&words))
}

fn shortened(text: &str) -> String {
    let short: String = text.chars().take(SHOWN_MAX).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

/// Compares the objects of the database with the reviewed list. Any login sees the same.
///
/// # Errors
/// When the database fails.
pub async fn compare(connection: &mut PgConnection) -> Result<CatalogReport, sqlx::Error> {
    let found = lines(connection).await?;
    let reviewed = by_object(REVIEWED.lines());
    let actual = by_object(found.iter().map(String::as_str));
    let objects = actual.len() as u64;
    let names: std::collections::BTreeSet<&str> =
        reviewed.keys().chain(actual.keys()).copied().collect();
    let divergences = names.into_iter().filter_map(|name| {
        let (expected, found) = (reviewed.get(name), actual.get(name));
        (expected != found).then(|| Divergence {
            object: name.to_owned(),
            reviewed: expected.cloned(),
            found: found.cloned(),
        })
    });
    Ok(CatalogReport { objects, divergences: divergences.collect() })
}

/// The objects of the database, one a line, in order.
///
/// # Errors
/// When the database fails.
pub async fn lines(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    // In a transaction of its own, or in a part of the caller's, whose search_path is put back.
    let mut part = sqlx::Connection::begin(connection).await?;
    part.execute("SET LOCAL search_path = pg_catalog").await?;
    // One query over small tables: to compile it would take twenty times as long as to run it.
    part.execute("SET LOCAL jit = off").await?;
    let lines = sqlx::query_scalar(QUERY).fetch_all(&mut *part).await?;
    part.rollback().await?;
    Ok(lines)
}

/// Attributes by object. Two lines of one object are compared together, so none can hide behind the other.
fn by_object<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, String> {
    let mut objects: BTreeMap<&str, String> = BTreeMap::new();
    for line in lines {
        let (object, attributes) = line.split_once(": ").unwrap_or((line, ""));
        let told = objects.entry(object).or_default();
        if !told.is_empty() {
            told.push_str(" | ");
        }
        told.push_str(attributes);
    }
    objects
}

/// The superusers: no finding, since the server needs one, and none of them can be kept from lying to us.
pub(super) async fn superusers(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT coalesce(string_agg(quote_ident(rolname), ', ' ORDER BY rolname), 'nobody')
           FROM pg_catalog.pg_roles WHERE rolsuper",
    )
    .fetch_one(connection)
    .await
}
