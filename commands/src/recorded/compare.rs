//! How the table `commands` differs from what the signed log tells of commands.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher as _;

use audit::postgres::{LogReader, ReadError};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{Executor as _, PgConnection, PgPool};
use uuid::Uuid;

use super::row::{CommandTags, read_believed};
use super::runs::{Run, Runs};
use crate::keys::Keys;
use crate::log::{CommandKey, signed, unsigned};
use crate::streams::log_policy;
use audit::postgres::column;

/// How many findings are reported one by one; the others are counted.
const FINDINGS_MAX: usize = 1_000;

/// How a row differs from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandDifference {
    /// The log holds a command's events, and no row tells of the command.
    Missing,
    /// A row names events that are not its command's, or says that a command changed nothing and this ledger did not
    /// write that.
    Foreign,
    /// A row of this command says that it has other events.
    Changed,
    /// The row fits the events, and its tag is not the one that this ledger gave it.
    Tag,
    /// The log itself holds events of one command in two places: it was done twice.
    DoneTwice,
}

impl CommandDifference {
    /// As in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            CommandDifference::Missing => "missing",
            CommandDifference::Foreign => "foreign",
            CommandDifference::Changed => "changed",
            CommandDifference::Tag => "tag",
            CommandDifference::DoneTwice => "done-twice",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CommandFinding {
    /// Where the command's events begin by the log; of a foreign row, where it says that they do.
    pub position: u64,
    /// What differs.
    pub difference: CommandDifference,
    /// Whose command it is.
    pub actor_id: Uuid,
    /// Its id.
    pub command_id: Uuid,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CommandsReport {
    /// The size of the log, as of which it was compared.
    pub size: u64,
    /// How many commands the log tells of.
    pub commands: u64,
    /// What differs, by position; at most 1,000.
    pub findings: Vec<CommandFinding>,
    /// How many more there are.
    pub more: u64,
}

impl CommandsReport {
    /// Whether there is one row for each command of the log, as this ledger wrote it, and no other.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }

    /// Logs and counts each finding. Positions and ids name no person.
    pub fn log(&self) {
        for CommandFinding { position, difference, actor_id, command_id } in &self.findings {
            let what = difference.as_str();
            metrics::counter!("ledger_commands_damaged_total", "kind" => what).increment(1);
            tracing::error!(
                position,
                difference = what,
                command.id = %command_id,
                actor.id = %actor_id,
                "what is on record of a command is not as the log tells it"
            );
        }
        if self.more > 0 {
            tracing::error!(more = self.more, "and more commands are not as the log tells them");
        }
    }

    fn push(&mut self, position: u64, difference: CommandDifference, key: CommandKey) {
        if self.findings.len() >= FINDINGS_MAX {
            self.more += 1;
            return;
        }
        let CommandKey { actor, id } = key;
        self.findings.push(CommandFinding {
            position,
            difference,
            actor_id: actor,
            command_id: id,
        });
    }

    /// A row that was moved is missing where it belongs and foreign where it says: that is one change, of the place in
    /// the log.
    fn pair(&mut self) {
        use CommandDifference::{Changed, Foreign, Missing};
        let key = |finding: &CommandFinding| (finding.actor_id, finding.command_id);
        let foreign = self.findings.iter().filter(|finding| finding.difference == Foreign);
        let mut foreign: BTreeMap<_, usize> = foreign.fold(BTreeMap::new(), |mut all, finding| {
            *all.entry(key(finding)).or_default() += 1;
            all
        });
        let mut moved = HashSet::new();
        for finding in &mut self.findings {
            if finding.difference == Missing
                && let Some(count) = foreign.get_mut(&key(finding)).filter(|count| **count > 0)
            {
                *count -= 1;
                finding.difference = Changed;
                moved.insert(key(finding));
            }
        }
        self.findings.retain(|finding| {
            finding.difference != Foreign || !moved.remove(&(finding.actor_id, finding.command_id))
        });
        self.findings.sort();
    }
}

/// A row as it is compared.
struct Stored {
    key: CommandKey,
    first: i64,
    count: i64,
    is_tagged: bool,
}

impl Stored {
    fn read(row: &PgRow, tags: &CommandTags) -> Stored {
        let id = |index| column(row, index).unwrap_or_else(Uuid::max);
        let key = CommandKey { actor: id(5), id: id(6) };
        let is_tagged = read_believed(row, tags, key, 0).is_some();
        let number = |index| column(row, index).unwrap_or(-1);
        Stored { key, first: number(1), count: number(2), is_tagged }
    }

    /// Where it says that its events begin.
    fn position(&self) -> u64 {
        unsigned(self.first.max(0))
    }
}

/// The rows in the order of the log, a page at a time.
struct Rows<'a> {
    tags: &'a CommandTags,
    page: std::collections::VecDeque<Stored>,
    ended: bool,
}

impl Rows<'_> {
    const PAGE: &'static str = "FETCH 1000 FROM all_commands";

    async fn begin(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        connection
            .execute(
                "DECLARE all_commands CURSOR FOR
                 SELECT request_mac, first_position, event_count::int8, log_size, tag, actor_id, command_id
                   FROM commands ORDER BY first_position, command_id, actor_id",
            )
            .await?;
        Ok(())
    }

    /// The next row, if it says that its events begin before `end`.
    async fn next_before(
        &mut self,
        connection: &mut PgConnection,
        end: Option<i64>,
    ) -> Result<Option<Stored>, sqlx::Error> {
        if self.page.is_empty() && !self.ended {
            let rows = sqlx::query(Rows::PAGE).persistent(false).fetch_all(connection).await?;
            self.ended = rows.is_empty();
            self.page.extend(rows.iter().map(|row| Stored::read(row, self.tags)));
        }
        Ok(self.page.pop_front_if(|row| end.is_none_or(|end| row.first < end)))
    }
}

/// Compares what is on record of commands with the signed log, in one snapshot of the database. Changes nothing.
///
/// # Errors
/// When the database fails, or the log is not what its keys signed.
pub async fn compare(
    pool: &PgPool,
    keys: &Keys,
    origin: &str,
) -> Result<CommandsReport, ReadError> {
    let tags = CommandTags::new(keys, origin);
    let reader = LogReader::new(origin, log_policy());
    let mut connection = pool.acquire().await?;
    let mut snapshot = sqlx::Connection::begin(&mut *connection).await?;
    snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let size = reader.head(&mut snapshot).await?.size;
    let report = compare_in(&mut snapshot, &tags, reader, size).await?;
    snapshot.rollback().await?;
    Ok(report)
}

async fn compare_in(
    connection: &mut PgConnection,
    tags: &CommandTags,
    reader: LogReader,
    size: u64,
) -> Result<CommandsReport, ReadError> {
    let mut report = CommandsReport { size, ..CommandsReport::default() };
    let mut runs = Runs::new(reader, size);
    let mut rows = Rows { tags, page: std::collections::VecDeque::new(), ended: false };
    Rows::begin(connection).await?;
    // By a hash under a key of this process: finding two commands that share one is infeasible.
    let hasher = RandomState::new();
    let mut seen: HashSet<u64> = HashSet::new();
    while let Some(run) = runs.next(connection).await? {
        report.commands += 1;
        if !seen.insert(hasher.hash_one(run.key)) {
            report.push(run.first, CommandDifference::DoneTwice, run.key);
        }
        while let Some(row) = rows.next_before(connection, Some(signed(run.first))).await? {
            stray(&mut report, &row);
        }
        let mut beside = Vec::new();
        while let Some(row) = rows.next_before(connection, Some(signed(run.first) + 1)).await? {
            beside.push(row);
        }
        beside_a_run(&mut report, &run, &beside);
    }
    while let Some(row) = rows.next_before(connection, None).await? {
        stray(&mut report, &row);
    }
    report.pair();
    Ok(report)
}

/// Rows that say that their events begin where those of a command do.
fn beside_a_run(report: &mut CommandsReport, run: &Run, rows: &[Stored]) {
    let mut is_there = false;
    for row in rows {
        if row.key != run.key {
            stray(report, row);
            continue;
        }
        is_there = true;
        if row.count != signed(run.count) {
            report.push(run.first, CommandDifference::Changed, run.key);
        } else if !row.is_tagged {
            report.push(run.first, CommandDifference::Tag, run.key);
        }
    }
    if !is_there {
        report.push(run.first, CommandDifference::Missing, run.key);
    }
}

/// A row that no command of the log is there for: only one that changed nothing, and that under its tag.
fn stray(report: &mut CommandsReport, row: &Stored) {
    if row.count != 0 || !row.is_tagged {
        report.push(row.position(), CommandDifference::Foreign, row.key);
    }
}
