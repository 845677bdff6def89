//! A row of `commands`, which is believed only under its tag.

use std::fmt;

use audit::mac::MacKey;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use crate::error::CommandError;
use crate::failpoints::failpoint;
use crate::keys::Keys;
use crate::log::{CommandKey, Recorded, unsigned};
use audit::postgres::column;

/// How many actors' commands of one id are looked at, for a caller that may read them all.
const SAME_ID_MAX: i64 = 64;

/// Makes and checks the tags of rows.
#[derive(Clone)]
pub(crate) struct CommandTags {
    key: MacKey,
    origin: String,
}

impl fmt::Debug for CommandTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommandTags")
    }
}

impl CommandTags {
    pub(crate) fn new(keys: &Keys, origin: &str) -> CommandTags {
        CommandTags { key: keys.mac_key("commands/v1"), origin: origin.to_owned() }
    }

    /// The tag over everything in a row.
    pub(crate) fn tag(&self, key: CommandKey, recorded: &Recorded) -> [u8; 32] {
        self.with(key, recorded, |parts| self.key.tag(parts))
    }

    /// Whether a row has the tag that this ledger gave it. Takes the same time whatever differs.
    pub(crate) fn holds(&self, key: CommandKey, recorded: &Recorded, tag: Option<&[u8]>) -> bool {
        let tag = tag.unwrap_or_default();
        self.with(key, recorded, |parts| self.key.verify(parts, tag))
    }

    fn with<T>(&self, key: CommandKey, recorded: &Recorded, then: impl FnOnce(&[&[u8]]) -> T) -> T {
        let Recorded { request_mac, first, count, log_size } = recorded;
        then(&[
            b"command",
            self.origin.as_bytes(),
            key.actor.as_bytes(),
            key.id.as_bytes(),
            request_mac,
            &first.to_be_bytes(),
            &count.to_be_bytes(),
            &log_size.to_be_bytes(),
        ])
    }
}

/// What a look into the table found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No row.
    Nothing,
    /// A row under its tag.
    Row(Recorded),
    /// A row that this ledger did not write.
    Damaged,
}

/// What is on record of a command.
pub(crate) async fn find(
    pool: &PgPool,
    tags: &CommandTags,
    key: CommandKey,
) -> Result<Found, CommandError> {
    failpoint!("repeated.before");
    let row = sqlx::query(
        "SELECT request_mac, first_position, event_count::int8, log_size, tag FROM commands
          WHERE command_id = $1 AND actor_id = $2",
    )
    .bind(key.id)
    .bind(key.actor)
    .fetch_optional(pool)
    .await?;
    failpoint!("repeated.after");
    let Some(row) = row else { return Ok(Found::Nothing) };
    Ok(read_believed(&row, tags, key, 0).map_or(Found::Damaged, Found::Row))
}

/// What is on record of the commands of this id, by any actor: a few at most.
pub(crate) async fn find_all(
    pool: &PgPool,
    tags: &CommandTags,
    id: Uuid,
) -> Result<Vec<(CommandKey, Found)>, CommandError> {
    let rows = sqlx::query(
        "SELECT request_mac, first_position, event_count::int8, log_size, tag, actor_id FROM commands
          WHERE command_id = $1 ORDER BY actor_id LIMIT $2",
    )
    .bind(id)
    .bind(SAME_ID_MAX)
    .fetch_all(pool)
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let key = CommandKey { actor: row.try_get(5)?, id };
        let recorded = read_believed(row, tags, key, 0);
        found.push((key, recorded.map_or(Found::Damaged, Found::Row)));
    }
    Ok(found)
}

/// The row whose five columns (request MAC, first position, count as `int8`, log size, tag) begin at `at`; none if its
/// tag is not the one that this ledger gave it.
pub(crate) fn read_believed(
    row: &PgRow,
    tags: &CommandTags,
    key: CommandKey,
    at: usize,
) -> Option<Recorded> {
    let mac: &[u8] = column(row, at).unwrap_or_default();
    let number = |index| column(row, index).unwrap_or(-1_i64);
    let (first, count, size) = (number(at + 1), number(at + 2), number(at + 3));
    let (Ok(request_mac), true) = (mac.try_into(), first >= 0 && count >= 0 && size >= 0) else {
        return None;
    };
    let recorded = Recorded {
        request_mac,
        first: unsigned(first),
        count: unsigned(count),
        log_size: unsigned(size),
    };
    tags.holds(key, &recorded, column(row, at + 4)).then_some(recorded)
}

/// Counts and tells that a row is not what this ledger wrote. Ids of actors and commands name no person.
pub(crate) fn damaged(key: CommandKey, what: &'static str) {
    metrics::counter!("ledger_commands_damaged_total", "kind" => what).increment(1);
    tracing::error!(
        command.id = %key.id,
        actor.id = %key.actor,
        what,
        "what is on record of a command is not what this ledger wrote: run `ledger audit verify`"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_binds_everything_in_a_row() {
        let tags = CommandTags::new(&Keys::ephemeral(), "ledger.example.org/test");
        let key = CommandKey { actor: Uuid::from_u128(1), id: Uuid::from_u128(2) };
        let row = Recorded { request_mac: [1; 32], first: 4, count: 1, log_size: 7 };
        let tag = tags.tag(key, &row);
        assert!(tags.holds(key, &row, Some(&tag)));
        assert!(!tags.holds(key, &row, None));
        assert!(!tags.holds(key, &row, Some(&tag[..31])));
        for other in [
            CommandKey { actor: Uuid::from_u128(3), ..key },
            CommandKey { id: Uuid::from_u128(3), ..key },
            CommandKey { actor: key.id, id: key.actor },
        ] {
            assert!(!tags.holds(other, &row, Some(&tag)), "{other:?}");
        }
        for other in [
            Recorded { request_mac: [2; 32], ..row },
            Recorded { first: 5, ..row },
            Recorded { count: 0, ..row },
            Recorded { log_size: 8, ..row },
        ] {
            assert!(!tags.holds(key, &other, Some(&tag)), "{other:?}");
        }
        let elsewhere = CommandTags { origin: "another".to_owned(), ..tags.clone() };
        assert!(!elsewhere.holds(key, &row, Some(&tag)));
        let foreign = CommandTags::new(&Keys::ephemeral(), "ledger.example.org/test");
        assert!(!foreign.holds(key, &row, Some(&tag)));
    }
}
