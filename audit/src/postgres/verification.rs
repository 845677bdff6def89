//! Verification of a whole database: the log itself, and every column and table beside it.

use std::collections::{BTreeSet, HashMap};

use sqlx::{Connection as _, PgConnection, PgPool, Row as _};
use uuid::Uuid;

use super::bounds::without_checkpoint;
use super::examine::columns;
use super::{DatabaseError, Head, LogRow, PAGE, head, rows, signed, tiles, unsigned};
use crate::statement::Statement;
use crate::system;
use crate::tiles::{Tile, TileBuilder};
use crate::verify::{FindingKind, LogEntry, Options, Report, Trust, Verifier};

#[cfg(feature = "seal")]
type Keys<'a> = Option<&'a super::DataKeys>;
#[cfg(not(feature = "seal"))]
type Keys<'a> = Option<std::marker::PhantomData<&'a ()>>;

/// How far a long read has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Positions done.
    pub done: u64,
    /// Positions there are.
    pub total: u64,
}

/// A command's events, contiguous by construction.
#[derive(Clone, Copy)]
struct Run {
    /// The command's id, and whose it is.
    command: (Uuid, Uuid),
    first: u64,
    count: u64,
    /// The log's own events may have no command row: no client sent the genesis.
    own: bool,
}

struct Audit {
    verifier: Verifier,
    tiles: TileBuilder,
    /// Set once a position was not where it belongs: tiles cannot be compared after that.
    shifted: bool,
    sizes: BTreeSet<u64>,
    run: Option<Run>,
    commands: u64,
    last: Option<jiff::Timestamp>,
    latest: Option<jiff::Timestamp>,
    /// Whose data keys are gone, and the first event that each has sealed.
    lost: HashMap<Uuid, u64>,
}

/// Verifies everything that can be verified without the key-encryption key: the log, and every
/// column of `events`, `checkpoints`, `tiles`, `commands` and `ledger_head` (but for
/// `commands.request_mac`, which is keyed). With data keys, plaintexts are compared with their
/// commitments as well, where the keys survive.
///
/// The database is read in one snapshot, so it may be written to meanwhile.
pub async fn verify_database(
    pool: &PgPool,
    trust: &Trust,
    options: Options,
    keys: Keys<'_>,
    progress: impl FnMut(Progress),
) -> Result<Report, DatabaseError> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *transaction)
        .await?;
    let report = verify_snapshot(&mut transaction, trust, options, keys, progress).await?;
    transaction.rollback().await?;
    Ok(report)
}

/// As [`verify_database`], in the caller's transaction, which must be one snapshot: whatever else the caller compares there is
/// of the same moment.
pub async fn verify_snapshot(
    connection: &mut PgConnection,
    trust: &Trust,
    options: Options,
    keys: Keys<'_>,
    mut progress: impl FnMut(Progress),
) -> Result<Report, DatabaseError> {
    let head = head(connection).await?;
    let total = head.as_ref().map_or(0, |head| head.size);
    let seen: Vec<u64> = options.seen.iter().map(|seen| seen.checkpoint().size).collect();
    let missing = without_checkpoint(connection, total, &seen).await?;
    let sizes: Vec<i64> =
        sqlx::query_scalar("SELECT coalesce(size, $1) FROM checkpoints ORDER BY size")
            .bind(i64::MAX)
            .fetch_all(&mut *connection)
            .await?;
    let mut audit = Audit {
        verifier: Verifier::new(trust.clone(), options),
        tiles: TileBuilder::new(),
        shifted: false,
        // With the missing ones, so that they are reported once and not by each command they covered.
        sizes: sizes.into_iter().map(unsigned).chain(missing.iter().copied()).collect(),
        run: None,
        commands: 0,
        last: None,
        latest: None,
        lost: HashMap::new(),
    };
    let mut next = 0;
    loop {
        let page = rows(connection, next, u64::MAX).await?;
        let Some(last) = page.last().map(|row| row.position) else { break };
        audit.announce_checkpoints(connection, next, last).await?;
        audit.take(connection, &page, keys).await?;
        progress(Progress { done: (last + 1).min(total), total });
        if last >= i64::MAX as u64 {
            break;
        }
        next = last + 1;
    }
    audit.compare_end(total);
    audit.report_missing_checkpoints(&missing);
    audit.compare_lost();
    let run = audit.run.take();
    audit.compare_commands(connection, run.as_slice()).await?;
    audit.other_commands(connection, total).await?;
    audit.other_tiles(connection).await?;
    audit.other_checkpoints();
    let note = audit.compare_head(head.as_ref(), connection).await?;
    Ok(audit.verifier.finish(&note))
}

impl Audit {
    /// Told before the commands are compared: what is missing explains what they lack.
    fn compare_end(&mut self, size: u64) {
        let end = self.verifier.next_position();
        if end < size {
            let detail = format!("{} positions are missing from here to the log's end", size - end);
            self.verifier.report(end, FindingKind::Missing, detail);
        }
    }

    fn report_missing_checkpoints(&mut self, sizes: &[u64]) {
        for size in sizes {
            let detail =
                format!("the checkpoint of size {size}, where an append ended, is missing");
            self.verifier.report(size.saturating_sub(1), FindingKind::Checkpoint, detail);
        }
    }

    /// A key may be gone only if the log erases its subject, which it says after what the key has sealed.
    fn compare_lost(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        let mut lost: Vec<_> =
            lost.into_iter().filter(|(subject, _)| !self.verifier.is_erased(*subject)).collect();
        lost.sort_by_key(|(_, position)| *position);
        for (subject, position) in lost {
            let detail = format!(
                "the data key of {subject} is gone, and the log does not erase its subject"
            );
            self.verifier.report(position, FindingKind::Commitment, detail);
        }
    }

    async fn announce_checkpoints(
        &mut self,
        connection: &mut PgConnection,
        first: u64,
        last: u64,
    ) -> Result<(), DatabaseError> {
        let notes: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT size, coalesce(note, '') FROM checkpoints WHERE size > $1 AND size <= $2 ORDER BY size LIMIT $3",
        )
        .bind(signed(first))
        .bind(signed(last.saturating_add(1).min(first + PAGE as u64)))
        .bind(PAGE)
        .fetch_all(connection)
        .await?;
        for (size, note) in notes {
            match String::from_utf8(note) {
                Ok(note) => self.verifier.expect_checkpoint(unsigned(size), note),
                Err(_) => self.verifier.report(
                    unsigned(size - 1),
                    FindingKind::Checkpoint,
                    format!("the checkpoint of size {size} is not text"),
                ),
            }
        }
        Ok(())
    }

    async fn take(
        &mut self,
        connection: &mut PgConnection,
        page: &[LogRow],
        keys: Keys<'_>,
    ) -> Result<(), DatabaseError> {
        let entries: Vec<LogEntry> = page.iter().map(LogRow::to_entry).collect();
        let expected = self.verifier.size();
        let checked = self.verifier.push(&entries);
        let mut runs = Vec::new();
        let mut completed = Vec::new();
        for (at, (row, checked)) in page.iter().zip(&checked).enumerate() {
            self.shifted |= row.position != expected + at as u64;
            if !self.shifted {
                completed.extend(self.tiles.push(checked.leaf_hash));
            }
            let Some(statement) = &checked.statement else { continue };
            self.compare_columns(row, statement);
            self.last = Some(statement.recorded_at);
            self.latest = self.latest.max(self.last);
            self.extend_run(row.position, statement, &mut runs);
        }
        self.compare_tiles(connection, &completed).await?;
        self.compare_commands(connection, &runs).await?;
        #[cfg(feature = "seal")]
        if let Some(keys) = keys {
            self.compare_plaintexts(page, &checked, keys).await?;
        }
        #[cfg(not(feature = "seal"))]
        let _ = keys;
        Ok(())
    }

    fn compare_columns(&mut self, row: &LogRow, statement: &Statement) {
        let signature = row.signature.len() == 64 && row.leaf_hash.len() == 32;
        let columns =
            columns(row, statement).into_iter().chain([("signature or leaf_hash", signature)]);
        for (column, _) in columns.filter(|(_, agrees)| !agrees) {
            let detail = format!("the column {column} says something else than the statement");
            self.verifier.report(row.position, FindingKind::Column, detail);
        }
    }

    fn extend_run(&mut self, position: u64, statement: &Statement, runs: &mut Vec<Run>) {
        match &mut self.run {
            Some(run) if run.command == (statement.command_id, statement.actor.id) => {
                run.count += 1;
            }
            run => {
                runs.extend(run.replace(Run {
                    command: (statement.command_id, statement.actor.id),
                    first: position,
                    count: 1,
                    own: statement.stream_type == system::STREAM_TYPE,
                }));
            }
        }
    }

    async fn compare_tiles(
        &mut self,
        connection: &mut PgConnection,
        completed: &[Tile],
    ) -> Result<(), DatabaseError> {
        for tile in completed {
            let span = 256u64.pow(u32::from(tile.level));
            let first = tile.index * 256 * span;
            let found = tiles(connection, tile.level, tile.index, tile.index + 1).await;
            let (level, index) = (tile.level, tile.index);
            let stored = match found {
                Ok(mut tiles) => tiles.pop(),
                Err(DatabaseError::Malformed { .. }) => None,
                Err(error) => return Err(error),
            };
            let Some(stored) = stored else {
                let detail = format!("tile {level}/{index} is missing or malformed");
                self.verifier.report(first, FindingKind::Tile, detail);
                continue;
            };
            let differs = stored.hashes.iter().zip(&tile.hashes).position(|(a, b)| a != b);
            if let Some(at) = differs {
                let detail =
                    format!("hash {at} of tile {level}/{index} is not that of the entries");
                self.verifier.report(first + at as u64 * span, FindingKind::Tile, detail);
            }
        }
        Ok(())
    }

    async fn compare_commands(
        &mut self,
        connection: &mut PgConnection,
        runs: &[Run],
    ) -> Result<(), DatabaseError> {
        if runs.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = runs.iter().map(|run| run.command.0).collect();
        let rows = sqlx::query(
            "SELECT command_id, coalesce(actor_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff') AS actor_id, \
             coalesce(first_position, -1) AS first_position, coalesce(event_count, -1) AS event_count, \
             coalesce(log_size, -1) AS log_size FROM commands \
             WHERE command_id = ANY($1)",
        )
        .bind(ids)
        .fetch_all(connection)
        .await?;
        let mut found: HashMap<(Uuid, Uuid), _> = HashMap::new();
        for row in rows {
            let values: (i64, i32, i64) = (
                row.try_get("first_position")?,
                row.try_get("event_count")?,
                row.try_get("log_size")?,
            );
            found.insert((row.try_get("command_id")?, row.try_get("actor_id")?), values);
        }
        for run in runs {
            let Some((first, count, size)) = found.get(&run.command) else {
                if !run.own {
                    let detail = "the command of this event has no row";
                    self.verifier.report(run.first, FindingKind::Command, detail);
                }
                continue;
            };
            self.commands += 1;
            // One checkpoint per append: the first one that covers the command's events.
            let claimed = u64::try_from(*count).unwrap_or_default();
            let gap = self.verifier.has_gap(run.first..=run.first + run.count.max(claimed));
            let covering = self.sizes.range(run.first + run.count..).next().copied();
            let columns = [
                ("first_position", *first == signed(run.first)),
                ("event_count", claimed == run.count || gap),
                ("log_size", covering == Some(unsigned(*size))),
            ];
            for (column, _) in columns.into_iter().filter(|(_, agrees)| !agrees) {
                let detail = format!("the command's {column} disagrees with its events");
                self.verifier.report(run.first, FindingKind::Command, detail);
            }
        }
        Ok(())
    }

    /// Rows of commands that no event speaks of: only those that changed nothing may exist.
    async fn other_commands(
        &mut self,
        connection: &mut PgConnection,
        size: u64,
    ) -> Result<(), DatabaseError> {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM commands").fetch_one(&mut *connection).await?;
        if unsigned(count) == self.commands {
            return Ok(());
        }
        let orphans: Vec<(i64,)> = sqlx::query_as(
            "SELECT coalesce(first_position, 0) FROM commands c WHERE coalesce(event_count, -1) <> 0 AND NOT EXISTS \
             (SELECT FROM events e WHERE e.position = c.first_position AND e.command_id = c.command_id) \
             ORDER BY first_position LIMIT 100",
        )
        .fetch_all(&mut *connection)
        .await?;
        for (first,) in orphans {
            let detail = "a command claims events that are not its own";
            self.verifier.report(unsigned(first.max(0)).min(size), FindingKind::Command, detail);
        }
        let empty: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT coalesce(first_position, 0), coalesce(log_size, -1) FROM commands c WHERE event_count = 0 \
             AND (first_position IS NULL OR first_position < 0 OR first_position > $1 OR NOT EXISTS \
                  (SELECT FROM checkpoints k WHERE k.size = c.log_size)) LIMIT 100",
        )
        .bind(signed(size))
        .fetch_all(&mut *connection)
        .await?;
        for (first, log_size) in empty {
            let detail = format!("a command without events names the unknown log size {log_size}");
            self.verifier.report(unsigned(first.max(0)).min(size), FindingKind::Command, detail);
        }
        Ok(())
    }

    async fn other_tiles(&mut self, connection: &mut PgConnection) -> Result<(), DatabaseError> {
        if self.shifted {
            return Ok(());
        }
        let stored: Vec<(i16, i64)> =
            sqlx::query_as("SELECT coalesce(level, -1::int2), coalesce(index, -1) FROM tiles")
                .fetch_all(connection)
                .await?;
        for (level, index) in stored {
            let complete = u32::try_from(level)
                .ok()
                .and_then(|level| 256u64.checked_pow(level + 1))
                .map_or(0, |span| self.tiles.size() / span);
            if !(0..signed(complete)).contains(&index) {
                let detail =
                    format!("tile {level}/{index} is stored, but the log has no such tile");
                self.verifier.report(self.tiles.size(), FindingKind::Tile, detail);
            }
        }
        Ok(())
    }

    fn other_checkpoints(&mut self) {
        let end = self.verifier.size();
        if let Some(size) = self.sizes.range(end + 1..).next() {
            let detail = format!("a checkpoint of size {size} is stored, but the log ends before");
            self.verifier.report(end, FindingKind::Checkpoint, detail);
        }
    }

    /// Compares the row of the right edge; gives back the checkpoint in it.
    async fn compare_head(
        &mut self,
        head: Option<&Head>,
        connection: &mut PgConnection,
    ) -> Result<String, DatabaseError> {
        let end = self.verifier.size();
        let mut last = end.saturating_sub(1);
        let Some(head) = head else {
            self.verifier.report(last, FindingKind::Head, "the row of the right edge is missing");
            return Ok(String::new());
        };
        if head.size > self.verifier.next_position() {
            last = self.verifier.next_position();
        }
        let published: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT coalesce(note, '') FROM checkpoints WHERE size = $1")
                .bind(signed(head.size))
                .fetch_optional(connection)
                .await?;
        let time = head.last_recorded_at;
        let time_agrees = time.is_some() && (time == self.last || time == self.latest);
        let columns = [
            ("size", head.size == end),
            ("frontier", head.frontier == self.verifier.tree().to_bytes()),
            ("checkpoint", published.as_ref() == Some(&head.checkpoint)),
            ("last_recorded_at", time_agrees),
        ];
        for (column, _) in columns.into_iter().filter(|(_, agrees)| !agrees) {
            let detail = format!("the right edge's {column} disagrees with the log");
            self.verifier.report(last, FindingKind::Head, detail);
        }
        if self.verifier.keyring().is_some_and(|keyring| keyring.origin() != head.origin) {
            let detail = "the right edge's origin disagrees with the log";
            self.verifier.report(0, FindingKind::Head, detail);
        }
        Ok(String::from_utf8_lossy(&head.checkpoint).into_owned())
    }

    #[cfg(feature = "seal")]
    async fn compare_plaintexts(
        &mut self,
        page: &[LogRow],
        checked: &[crate::verify::Checked],
        keys: &super::DataKeys,
    ) -> Result<(), DatabaseError> {
        use super::DataKeyError;
        use crate::seal::{EventIdentity, open_payload};

        for (row, checked) in page.iter().zip(checked) {
            let Some(statement) = &checked.statement else { continue };
            let said = &statement.payload;
            let Some(commitment) = said.commitment else { continue };
            let key = match keys.named_by(statement).await {
                Ok(Some(key)) => key,
                Ok(None) => continue,
                Err(DataKeyError::Missing { subject }) => {
                    self.lost.entry(subject).or_insert(row.position);
                    continue;
                }
                Err(DataKeyError::Sqlx(error)) => return Err(error.into()),
                Err(error) => {
                    let detail = format!("the payload cannot be opened: {error}");
                    self.verifier.report(row.position, FindingKind::Commitment, detail);
                    continue;
                }
            };
            let identity = EventIdentity::of(statement);
            match open_payload(&key.key, &identity, &row.payload, &commitment.0) {
                Ok(_) => self.verifier.count_plaintexts(1),
                Err(error) => {
                    let detail = error.to_string();
                    self.verifier.report(row.position, FindingKind::Commitment, detail);
                }
            }
        }
        Ok(())
    }
}
