//! The audit of a database: the signed log, and beside it everything else that decides, all of one moment.
//!
//! * `moment`: sessions that see the database as it was at one moment;
//! * `compared`: what a comparison says, whatever it compares; `error`: why there is no verdict;
//! * `catalog`: tables, triggers, functions, rights and roles against a reviewed list;
//! * `claims`, `commands`, `keys`, `snapshots`, `strays`, `tags`: what stands beside the log, each against the log;
//! * `replayed`: the list of those that follow from a replay.
//!
//! `compare_all` is the list of what is compared; what a replay of the log is compared with stands in [`Replayed`], and is what the
//! worker compares too.

pub mod catalog;
mod claims;
mod commands;
mod compared;
mod error;
mod keys;
mod moment;
mod replayed;
mod snapshots;
mod strays;
mod tags;

use audit::postgres::{DataKeys, LogReader, Progress, verify_snapshot};
use audit::verify::{Options, Report, Trust};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};

pub use compared::{Comparison, Difference};
pub use error::AuditError;
pub use moment::Moment;
pub use replayed::Replayed;

use crate::keys::Keys;
use crate::streams::log_policy;

/// The verdict on a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseReport {
    /// On the log itself.
    #[serde(flatten)]
    pub log: Report,
    /// On everything beside it, in a fixed order.
    pub beside: Vec<Comparison>,
    /// What is no damage, but a reader of the verdict should know.
    pub notes: Vec<String>,
}

impl DatabaseReport {
    /// Whether nothing is wrong. What was not compared says so in its [`Comparison`].
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.log.is_sound() && self.beside.iter().all(Comparison::is_sound)
    }

    /// What the verdict rests on: as of when, under which keys, compared with what, and what it says nothing about.
    #[must_use]
    pub fn basis(&self) -> Vec<String> {
        let mut lines = self.log.basis();
        let compared = self.beside.iter().filter_map(|comparison| {
            comparison.compared.map(|count| format!("{count} {}", comparison.what))
        });
        lines.push(format!("beside it  {}", compared.collect::<Vec<_>>().join(", ")));
        let left_out = self.beside.iter().filter_map(Comparison::left_out);
        lines.extend(left_out.map(|what| format!("not compared  {what}")));
        lines.extend(self.notes.iter().map(|note| format!("note       {note}")));
        lines
    }

    /// Where the first damage is, in words: in the log if it is damaged, else in what lies beside it.
    #[must_use]
    pub fn first_place(&self) -> Option<String> {
        if let Some(first) = self.log.first_damage() {
            return Some(first.place());
        }
        let beside = self.beside.iter().flat_map(|comparison| {
            comparison.findings.iter().map(move |found| (comparison.what, found))
        });
        let first = beside.min_by_key(|(_, found)| found.position.unwrap_or(u64::MAX));
        first.map(|(what, found)| format!("{what}, {}", found.place()))
    }
}

/// Verifies the log of a database and compares with it everything else in the database that decides, as of one moment.
/// With no keys, what needs them is named as not compared.
///
/// # Errors
/// When the database cannot be read. What is wrong with what was read is in the report.
pub async fn verify(
    pool: &PgPool,
    trust: &Trust,
    options: Options,
    keys: Option<&Keys>,
    progress: impl FnMut(Progress),
) -> Result<DatabaseReport, AuditError> {
    let mut moment = Moment::open(pool).await?;
    let reader = || LogReader::new(trust.origin(), log_policy());
    let data_keys =
        keys.map(|keys| DataKeys::new(moment.pool().clone(), keys.key_wrap(), reader()));
    let catalog = Comparison::from(catalog::compare(moment.connection()).await?);
    let holder = moment.connection();
    let log = verify_snapshot(holder, trust, options, data_keys.as_ref(), progress).await;
    let log = log.map_err(|source| match catalog.findings.first() {
        Some(first) => AuditError::Altered { first: first.to_string(), source },
        None => source.into(),
    })?;
    let beside = compare_all(&mut moment, catalog, keys, trust.origin(), log.is_sound()).await?;
    let superusers = catalog::superusers(moment.connection()).await?;
    let notes = vec![format!("superusers can do anything here, unseen from within: {superusers}")];
    moment.close().await;
    Ok(DatabaseReport { log, beside, notes })
}

/// Compares everything beside the log with it, once the catalog was. `sound`: whether the log itself is, without which no
/// replay of it counts.
async fn compare_all(
    moment: &mut Moment,
    catalog: Comparison,
    keys: Option<&Keys>,
    origin: &str,
    sound: bool,
) -> Result<Vec<Comparison>, AuditError> {
    let holder = moment.connection();
    let mut all = vec![
        catalog,
        guarded(holder, "rows set aside", async |holder| strays::compare(holder).await).await?,
        guarded(holder, "snapshots", async |holder| snapshots::compare(holder, keys, origin).await)
            .await?,
        guarded(holder, "tags of events", async |holder| tags::compare(holder, keys, origin).await)
            .await?,
    ];
    // Each sees the moment's database through the moment's pool.
    for part in Replayed::ALL {
        all.push(match keys {
            Some(keys) => part.compare(moment.pool(), keys, origin, sound).await?,
            None => Comparison::none(part.what(), "no keys are at hand"),
        });
    }
    Ok(all)
}

/// Keeps the moment when a comparison fails because a table is not there, or not as it was made.
async fn guarded(
    holder: &mut PgConnection,
    what: &'static str,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<Comparison, sqlx::Error>,
) -> Result<Comparison, sqlx::Error> {
    let mut part = sqlx::Connection::begin(holder).await?;
    let compared = work(&mut part).await;
    part.rollback().await?;
    compared.or_else(|error| compared::altered(what, error))
}
