//! What a batch writes: one call for each kind of row, whatever the number of commands. The functions stand in
//! `migrations/`, and run with rights that no login of the product has.

use audit::seal::WRAP_VERSION;
use jiff_sqlx::ToSqlx;
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, PgConnection};
use uuid::Uuid;

use crate::claims::{Bucket, ClaimRow, ClaimsWrite, add_rows};
use crate::failpoints::failpoint;
use crate::log::{Advance, Append, NewKey, Recorded, SealedEvent, signed};
use crate::recorded::CommandTags;

/// Everything a batch writes.
pub(crate) struct Write<'a> {
    pub(crate) first: u64,
    pub(crate) accepted: Vec<&'a Append>,
    pub(crate) commands: &'a CommandTags,
    pub(crate) claims: &'a ClaimsWrite,
    pub(crate) tiles: Vec<audit::tiles::Tile>,
    pub(crate) size: u64,
    pub(crate) checkpoint: &'a str,
}

/// What a batch writes, ready to be sent: it borrows nothing, so it can be sent by another task.
pub(crate) struct Statements {
    keys: Option<PgArguments>,
    tiles: Option<PgArguments>,
    log: PgArguments,
    claims: Option<PgArguments>,
}

const CHANGE_CLAIMS: &str = "SELECT change_claims($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
     $15, $16, $17, $18, $19, $20, $21)";

const WRITE_LOG: &str = "
SELECT append_log($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)";

/// The head moves once the log is written: what stands behind FROM is done first.
const WRITE_LOG_AND_ADVANCE: &str = "
SELECT advance_ledger_head($25, $26, $27, $28, $29, $30, $31, $32, $33)
  FROM append_log($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)";

const WRITE_KEYS: &str = "SELECT insert_data_keys($1, $2, $3, $4, $5, $6)";

const WRITE_TILES: &str = "SELECT append_tiles($1, $2, $3)";

impl Statements {
    /// The statements that write a batch.
    pub(crate) fn of(write: &Write<'_>) -> Result<Statements, sqlx::Error> {
        let claims = &write.claims;
        Ok(Statements {
            keys: keys(&write.accepted)?,
            tiles: (!write.tiles.is_empty()).then(|| tiles(&write.tiles)).transpose()?,
            log: rows(write)?,
            claims: (!claims.is_empty()).then(|| changed(write)).transpose()?,
        })
    }

    /// Whether they write nothing but events, their checkpoint and their commands.
    pub(crate) fn is_log_alone(&self) -> bool {
        self.keys.is_none() && self.tiles.is_none() && self.claims.is_none()
    }

    /// Sends what [`Statements::is_log_alone`] and moves the head: one round trip and a transaction by itself, which is
    /// durable once it is answered.
    pub(crate) async fn append_at_once(
        self,
        connection: &mut PgConnection,
        advance: &Advance,
    ) -> Result<(), sqlx::Error> {
        let mut arguments = self.log;
        moved(&mut arguments, advance).map_err(sqlx::Error::Encode)?;
        failpoint!("append-at-once.before");
        sqlx::query_with(WRITE_LOG_AND_ADVANCE, arguments).execute(connection).await?;
        failpoint!("append-at-once.after");
        Ok(())
    }

    /// Sends them. Commits nothing yet.
    pub(crate) async fn execute(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        // The events first: what else is written belongs to one of them, and the database asks for it.
        failpoint!("write.log.before");
        sqlx::query_with(WRITE_LOG, self.log).execute(&mut *connection).await?;
        failpoint!("write.log.after");
        if let Some(arguments) = self.keys {
            failpoint!("write.keys.before");
            sqlx::query_with(WRITE_KEYS, arguments).execute(&mut *connection).await?;
            failpoint!("write.keys.after");
        }
        if let Some(arguments) = self.tiles {
            failpoint!("write.tiles.before");
            sqlx::query_with(WRITE_TILES, arguments).execute(&mut *connection).await?;
            failpoint!("write.tiles.after");
        }
        // After the events: a claim changes only with an event of its stream.
        if let Some(arguments) = self.claims {
            failpoint!("write.claims.before");
            sqlx::query_with(CHANGE_CLAIMS, arguments).execute(&mut *connection).await?;
            failpoint!("write.claims.after");
        }
        Ok(())
    }
}

/// The arguments of a statement, in the order of its parameters.
macro_rules! arguments {
    ($($value:expr),+ $(,)?) => {{
        let mut arguments = PgArguments::default();
        $(arguments.add($value).map_err(sqlx::Error::Encode)?;)+
        Ok(arguments)
    }};
}

fn rows(write: &Write<'_>) -> Result<PgArguments, sqlx::Error> {
    let accepted = &write.accepted;
    let events: Vec<(&SealedEvent, Uuid)> = accepted
        .iter()
        .flat_map(|append| append.events.iter().map(|event| (event, append.command_id)))
        .collect();
    let mut first_positions = Vec::with_capacity(accepted.len());
    let mut tags = Vec::with_capacity(accepted.len());
    let mut next = write.first;
    for append in accepted {
        let recorded = Recorded {
            request_mac: append.request_mac,
            first: next,
            count: append.events.len() as u64,
            log_size: write.size,
        };
        first_positions.push(signed(next));
        tags.push(write.commands.tag(append.key(), &recorded).to_vec());
        next += recorded.count;
    }
    let counts: Vec<i32> = accepted
        .iter()
        .map(|append| i32::try_from(append.events.len()).unwrap_or(i32::MAX))
        .collect();
    macro_rules! column {
        ($event:ident, $value:expr) => {
            events.iter().map(|($event, _)| $value).collect::<Vec<_>>()
        };
    }
    arguments![
        signed(write.first),
        column!(event, event.event_id),
        column!(event, event.stream_type),
        column!(event, event.stream_id),
        column!(event, signed(event.sequence)),
        column!(event, event.event_type.as_str()),
        column!(event, event.event_version.as_str()),
        column!(event, event.subject),
        events.iter().map(|(_, command_id)| *command_id).collect::<Vec<_>>(),
        column!(event, event.recorded_at.to_sqlx()),
        column!(event, event.header.as_slice()),
        column!(event, event.statement.as_slice()),
        column!(event, event.signature.as_slice()),
        column!(event, event.payload.as_slice()),
        column!(event, event.leaf.as_bytes().as_slice()),
        column!(event, event.tag.as_slice()),
        accepted.iter().map(|append| append.actor).collect::<Vec<_>>(),
        accepted.iter().map(|append| append.command_id).collect::<Vec<_>>(),
        accepted.iter().map(|append| append.request_mac.as_slice()).collect::<Vec<_>>(),
        first_positions,
        counts,
        tags,
        signed(write.size),
        write.checkpoint.as_bytes(),
    ]
}

/// The arguments of `advance_ledger_head`.
fn moved(arguments: &mut PgArguments, advance: &Advance) -> Result<(), BoxDynError> {
    arguments.add(signed(advance.expected_size))?;
    arguments.add(advance.expected_frontier.as_slice())?;
    arguments.add(advance.expected_epoch)?;
    arguments.add(signed(advance.size))?;
    arguments.add(advance.frontier.as_slice())?;
    arguments.add(advance.checkpoint.as_bytes())?;
    arguments.add(advance.last_recorded_at.as_microsecond())?;
    arguments.add(i32::from(advance.moves_epoch))?;
    arguments.add(advance.claims_tag.as_ref().map(<[u8; 32]>::as_slice))
}

fn keys(accepted: &[&Append]) -> Result<Option<PgArguments>, sqlx::Error> {
    let keys: Vec<&NewKey> = accepted.iter().flat_map(|append| &append.new_keys).collect();
    if keys.is_empty() {
        return Ok(None);
    }
    let arguments: Result<PgArguments, sqlx::Error> = arguments![
        keys.iter().map(|key| key.key_id).collect::<Vec<_>>(),
        keys.iter().map(|key| key.subject).collect::<Vec<_>>(),
        keys.iter().map(|key| key.kind.as_str()).collect::<Vec<_>>(),
        vec![WRAP_VERSION; keys.len()],
        keys.iter().map(|key| key.kek_id.as_str()).collect::<Vec<_>>(),
        keys.iter().map(|key| key.wrapped.as_slice()).collect::<Vec<_>>(),
    ];
    arguments.map(Some)
}

fn changed(write: &Write<'_>) -> Result<PgArguments, sqlx::Error> {
    let claims = write.claims;
    let gone = &claims.gone;
    let number = |bucket: &Bucket| i32::from(*bucket);
    let arguments: Result<PgArguments, sqlx::Error> = arguments![
        signed(write.first),
        signed(write.size),
        claims.erased,
        gone.iter().map(|(bucket, ..)| number(bucket)).collect::<Vec<_>>(),
        gone.iter().map(|(_, kind, _)| kind.as_str()).collect::<Vec<_>>(),
        gone.iter().map(|(.., key)| key.as_slice()).collect::<Vec<_>>(),
        claims.released.as_slice(),
    ];
    let mut arguments = arguments?;
    let taken: Vec<(Bucket, &ClaimRow)> =
        claims.taken.iter().map(|(bucket, row)| (*bucket, row)).collect();
    add_rows(&mut arguments, &taken).map_err(sqlx::Error::Encode)?;
    let changed = &claims.buckets;
    let digests: Vec<Option<&[u8]>> = changed
        .iter()
        .map(|change| change.digest.as_ref().map(|digest| digest.as_slice()))
        .collect();
    arguments
        .add(changed.iter().map(|change| number(&change.bucket)).collect::<Vec<_>>())
        .map_err(sqlx::Error::Encode)?;
    arguments.add(digests).map_err(sqlx::Error::Encode)?;
    Ok(arguments)
}

fn tiles(tiles: &[audit::tiles::Tile]) -> Result<PgArguments, sqlx::Error> {
    arguments![
        tiles.iter().map(|tile| i16::from(tile.level)).collect::<Vec<_>>(),
        tiles.iter().map(|tile| signed(tile.index)).collect::<Vec<_>>(),
        tiles.iter().map(audit::tiles::Tile::to_bytes).collect::<Vec<_>>(),
    ]
}
