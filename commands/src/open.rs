//! Opening a log: beginning it, or making sure that it ends where this ledger left off.

mod error;

use std::sync::Arc;

use audit::checkpoint::Checkpoint;
use audit::merkle::verify_consistency;
use audit::note::is_key_name;
use audit::postgres::{DatabaseError, LogReader, ReadError, StoredKeyring, keyring};
use audit::system::{self, SystemContext};
use sqlx::{PgConnection, PgPool, Row};

use crate::actor::Actor;
use crate::checkpoints::CheckpointFolder;
use crate::claims::{ClaimTags, ClaimsState, ClaimsWrite, damaged, rebuild};
use crate::clock::Clock;
use crate::config::LedgerConfig;
use crate::context::PurposeOfUse;
use crate::data_keys::{bind_wraps, destroy_again};
use crate::key_encryption::KeyEncryption;
use crate::keys::Keys;
use crate::log::{
    Advance, Append, LogTree, Published, StrayError, TreeError, advance, set_aside, unsigned,
};
use crate::policy::{Permission, Policy, Request};
use crate::random;
use crate::recorded::CommandTags;
use crate::seal::{Sealer, acting, sign};
use crate::sequencer::{Statements, Write};
use crate::signing::{Signing, SigningKey};
use crate::streams::{event_tags, log_policy};
use audit::chain;

pub use error::OpenError;

/// A log that is as it should be, and what it takes to append to it.
pub(crate) struct Opened {
    pub(crate) sealer: Sealer,
    pub(crate) keyring: StoredKeyring,
    pub(crate) published: Published,
    pub(crate) tree: LogTree,
    pub(crate) folder: Option<CheckpointFolder>,
    pub(crate) claims: Arc<ClaimsState>,
}

pub(crate) async fn open(
    pool: &PgPool,
    keys: &Keys,
    clock: &Clock,
    policy: &Policy,
    config: &LedgerConfig,
) -> Result<Opened, OpenError> {
    let origin = config.origin.clone();
    let bad = |reason| OpenError::BadOrigin { origin: origin.clone(), reason };
    if !is_key_name(&origin) {
        return Err(bad("it must have no spaces and no `+`, like `ledger.example.org/clinic`"));
    }
    // Read before the database: what is published later is in the database already.
    let folder = config
        .checkpoints
        .as_deref()
        .map(|folder| CheckpointFolder::new(folder, &origin))
        .transpose()?;
    let kept = folder.as_ref().map(CheckpointFolder::read).transpose()?.flatten();
    let mut connection = pool.acquire().await?;
    let is_empty =
        sqlx::query("SELECT 1 FROM ledger_head").fetch_optional(&mut *connection).await?.is_none();
    if is_empty {
        not_behind(0, kept.as_ref(), config)?;
        begin(&mut connection, &origin, keys, clock, policy).await?;
    }
    // Before anything is moved: a head that was put back is not repaired by moving the rows that it has lost.
    let size: i64 =
        sqlx::query_scalar("SELECT size FROM ledger_head").fetch_one(&mut *connection).await?;
    not_behind(unsigned(size), kept.as_ref(), config)?;
    set_strays_aside(&mut connection, &origin, keys).await?;
    // Before anything is read: keys restored from an old backup must not bring an erased record back.
    let tags = event_tags(keys, &origin);
    let reader = LogReader::with_tags(&origin, log_policy(), tags.clone());
    proved(destroy_again(&mut connection, &reader).await, "erased records")?;
    let (published, keyring, tree) = check(&mut connection, &origin).await?;
    not_behind(published.size, kept.as_ref(), config)?;
    if let Some(kept) = kept
        && audit::postgres::root(&mut connection, kept.size).await.map_err(right_edge_error)?
            != kept.root
    {
        let by = IN_THE_FOLDER.to_owned();
        return Err(OpenError::Forked { published: kept.size, by });
    }
    if let Some(folder) = &folder {
        folder.publish(&published.checkpoint)?;
    }
    let signing = Signing::of_log(&origin, keys, &keyring.keyring, published.size)?;
    if !is_vouched_for(&mut connection, keys, &keyring, &published).await? {
        let reason = "none of the keys at hand began this log or signed a checkpoint of it";
        return Err(OpenError::ForeignKey(reason.into()));
    }
    drop(connection);
    // What is bound is wrapped again, by the current key-encryption key.
    KeyEncryption::new(pool.clone(), keys.clone()).learn().await?;
    // Before the claims: to make them again, keys of before must open.
    proved(bind_wraps(pool, &reader, &*keys.key_wrap()).await, "data keys of before")?;
    let claims = claims(pool, keys, &origin).await?;
    let sealer = Sealer { origin, signing: Arc::new(signing), tags };
    Ok(Opened { sealer, keyring, published, tree, folder, claims })
}

/// What is known of the claims. If what is stored is not under a seal, it is made again from the log; if that cannot be, the
/// log opens all the same, and what needs claims is refused.
async fn claims(pool: &PgPool, keys: &Keys, origin: &str) -> Result<Arc<ClaimsState>, OpenError> {
    let state = Arc::new(ClaimsState::new(ClaimTags::new(keys, origin)));
    let mut connection = pool.acquire().await?;
    if state.refresh(&mut connection).await? {
        return Ok(state);
    }
    drop(connection);
    match rebuild(pool, keys, origin).await {
        Ok(rebuilt) => rebuilt.log(),
        Err(error) => {
            damaged("seal");
            let error = chain(&error);
            tracing::error!(
                error,
                "the claims cannot be made from the log: what needs them is refused"
            );
            return Ok(state);
        }
    }
    let state = Arc::new(ClaimsState::new(ClaimTags::new(keys, origin)));
    let mut connection = pool.acquire().await?;
    if !state.refresh(&mut connection).await? {
        tracing::error!("the claims are not under a seal although they were just made");
    }
    Ok(state)
}

/// What is damaged the watch names, and nothing is decided on it; it does not keep the log from opening.
fn proved<T>(outcome: Result<T, ReadError>, what: &'static str) -> Result<(), OpenError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(ReadError::Sqlx(error)) => Err(error.into()),
        Err(error) => {
            let error = chain(&error);
            tracing::error!(error, what, "the log does not prove what is known of these");
            Ok(())
        }
    }
}

/// Rows beyond the head belong to no append, and would keep the log from opening for good.
async fn set_strays_aside(
    connection: &mut PgConnection,
    origin: &str,
    keys: &Keys,
) -> Result<(), OpenError> {
    let there_are = "SELECT (SELECT max(position) + 1 FROM events) > size
                         OR (SELECT max(size) FROM checkpoints) > size FROM ledger_head";
    // Only a first look, which may meet what was appended just now; the lock decides.
    let there_are: Option<bool> = sqlx::query_scalar(there_are).fetch_one(&mut *connection).await?;
    if there_are != Some(true) {
        return Ok(());
    }
    let verifiers = keys.verifiers(origin).map_err(|error| OpenError::Genesis(Box::new(error)))?;
    match set_aside(connection, &verifiers).await {
        Ok(_) => Ok(()),
        Err(StrayError::Database(error)) => Err(error.into()),
        Err(error) => Err(OpenError::RightEdge { reason: error.to_string() }),
    }
}

/// Who has seen the checkpoint in our own folder.
const IN_THE_FOLDER: &str = "the folder LEDGER_CHECKPOINTS";

/// Whatever was published of this log must still be in it: a restored backup must not fork the log.
fn not_behind(
    found: u64,
    kept: Option<&Checkpoint>,
    config: &LedgerConfig,
) -> Result<(), OpenError> {
    let kept = kept.map(|kept| (IN_THE_FOLDER, kept.size, true));
    let seen = config.seen.iter().map(|seen| (seen.by.as_str(), seen.size, seen.consistent));
    for (by, published, consistent) in kept.into_iter().chain(seen) {
        let by = by.to_owned();
        if published > found {
            return Err(OpenError::Behind { found, published, by });
        }
        if !consistent {
            return Err(OpenError::Forked { published, by });
        }
    }
    Ok(())
}

fn right_edge_error(error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::Sqlx(error) => OpenError::Database(error),
        other => OpenError::RightEdge { reason: other.to_string() },
    }
}

/// Writes the genesis event, unless another process is quicker: the head is one row, and the process that
/// inserts it second waits for the first and then finds it there.
async fn begin(
    connection: &mut PgConnection,
    origin: &str,
    keys: &Keys,
    clock: &Clock,
    policy: &Policy,
) -> Result<(), OpenError> {
    let key: SigningKey = Signing::newest(origin, keys)?;
    let genesis = |error| OpenError::Genesis(error);
    let now = clock.now();
    let command_id = random::uuid_v7(now);
    // The first key is activated by the genesis, so this is what has to be allowed.
    let actor = Actor::beginning();
    let asked = Request::new(&actor, Permission::ManageKeys);
    let asked = asked.with_purpose(PurposeOfUse::Hoperat);
    let grant = policy.decide(&asked).granted().map_err(|error| genesis(Box::new(error)))?;
    let context = SystemContext {
        event_id: random::uuid_v7(now),
        command_id,
        correlation_id: command_id,
        actor: acting(&actor, &grant),
        grounds: grant.grounds(),
        recorded_at: now,
    };
    let jwk = key.event.public().to_jwk();
    let (statement, payload) =
        system::genesis(origin, jwk, context).map_err(|error| genesis(Box::new(error)))?;
    let event = sign(&key, &event_tags(keys, origin), system::STREAM_TYPE, statement, payload)
        .map_err(|error| genesis(Box::new(error)))?;
    let mut tree = LogTree::default();
    let expected_frontier = tree.frontier();
    let (appended, tiles) = tree.append(&[event.leaf]);
    let checkpoint =
        Checkpoint { origin: origin.to_owned(), size: appended.size, root: appended.root }
            .to_note(&key.note)
            .map_err(|error| genesis(Box::new(error)))?;
    let append = Append {
        actor: actor.id.as_uuid(),
        command_id,
        request_mac: keys.index(&[b"genesis", origin.as_bytes()]),
        expected: Vec::new(),
        relied_on: Vec::new(),
        absent: Vec::new(),
        events: vec![event],
        claims: Vec::new(),
        new_keys: Vec::new(),
        erase: None,
    };
    let statements = Statements::of(&Write {
        first: 0,
        accepted: vec![&append],
        commands: &CommandTags::new(keys, origin),
        claims: &ClaimsWrite::default(),
        tiles,
        size: appended.size,
        checkpoint: &checkpoint,
    })?;

    let mut transaction = sqlx::Connection::begin(connection).await?;
    let is_first: bool = sqlx::query_scalar("SELECT begin_log($1)")
        .bind(origin)
        .fetch_one(&mut *transaction)
        .await?;
    if !is_first {
        transaction.rollback().await?;
        return Ok(());
    }
    statements.execute(&mut transaction).await?;
    let moved = Advance {
        expected_size: 0,
        expected_frontier,
        expected_epoch: 0,
        size: appended.size,
        frontier: tree.frontier(),
        checkpoint,
        last_recorded_at: now,
        claims_tag: None,
        moves_epoch: false,
    };
    advance(&mut transaction, &moved).await?;
    transaction.commit().await?;
    tracing::info!(origin, "the log has begun");
    Ok(())
}

/// The stored right edge must be the one that was signed last, by a key of this log: a damaged log must
/// not grow.
async fn check(
    connection: &mut PgConnection,
    origin: &str,
) -> Result<(Published, StoredKeyring, LogTree), OpenError> {
    let wrong = |reason: &str| OpenError::RightEdge { reason: reason.to_owned() };
    // One snapshot for all that is compared, while other processes may be appending.
    let mut transaction = sqlx::Connection::begin(connection).await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *transaction)
        .await?;
    let row = sqlx::query(
        "SELECT origin, size, frontier, checkpoint,
                (SELECT max(position) FROM events), (SELECT max(size) FROM checkpoints)
           FROM ledger_head",
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or_else(|| wrong("there is no head"))?;
    let found: String = row.try_get(0)?;
    if found != origin {
        return Err(OpenError::Origin { expected: origin.to_owned(), found });
    }
    let size = unsigned(row.try_get(1)?);
    let frontier: Vec<u8> = row.try_get(2)?;
    let note: Vec<u8> = row.try_get(3)?;
    let last: Option<i64> = row.try_get(4)?;
    let newest: Option<i64> = row.try_get(5)?;
    if last.map(|last| unsigned(last) + 1) != Some(size) {
        return Err(wrong("the last event is not the one before the head"));
    }
    if newest.map(unsigned) != Some(size) {
        return Err(wrong("the newest checkpoint is not the head's"));
    }
    let note = String::from_utf8(note).map_err(|_| wrong("the checkpoint is not text"))?;
    let keyring = keyring(&mut transaction, origin)
        .await
        .map_err(|error| match error {
            DatabaseError::Sqlx(error) => OpenError::Database(error),
            other => OpenError::ForeignKey(Box::new(other)),
        })?
        .ok_or_else(|| wrong("the log does not begin with its genesis"))?;
    let checkpoint = Checkpoint::from_note(&note, &keyring.keyring.verifiers(size))
        .map_err(|error| OpenError::ForeignKey(Box::new(error)))?;
    let tree = LogTree::recompute(&mut transaction, size).await.map_err(|error| match error {
        TreeError::Database(error) => OpenError::Database(error),
        other => wrong(&other.to_string()),
    })?;
    transaction.rollback().await?;
    if checkpoint.origin != origin || checkpoint.size != size {
        return Err(wrong("the checkpoint is of another size"));
    }
    if tree.frontier() != frontier {
        return Err(wrong("the frontier is not the one of the stored events"));
    }
    if tree.root() != checkpoint.root {
        return Err(wrong("the stored events do not make the root of the checkpoint"));
    }
    Ok((Published { size, checkpoint: Arc::from(note) }, keyring, tree))
}

/// How many of the newest checkpoints are looked through for one that an available key has signed.
const VOUCHED_MAX: i64 = 1_000;

/// Whether an available key began the log, or has signed a checkpoint that is part of it. The keys in a log vouch for each
/// other; that the first of them is not another operator's, no event of the log can tell.
async fn is_vouched_for(
    connection: &mut PgConnection,
    keys: &Keys,
    keyring: &StoredKeyring,
    published: &Published,
) -> Result<bool, OpenError> {
    let foreign = OpenError::ForeignKey;
    let note = &*published.checkpoint;
    let head = Checkpoint::peek(note).map_err(|error| foreign(error.into()))?;
    let held = keys.verifiers(&head.origin).map_err(|error| foreign(error.into()))?;
    let first = keyring.keyring.periods().first().map(|period| period.key.to_bytes());
    let begun = held.iter().any(|key| Some(key.key()) == first);
    if begun || Checkpoint::from_note(note, &held).is_ok() {
        return Ok(true);
    }
    let notes: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT note FROM checkpoints ORDER BY size DESC LIMIT $1")
            .bind(VOUCHED_MAX)
            .fetch_all(&mut *connection)
            .await?;
    let signed = |note: &Vec<u8>| {
        let note = std::str::from_utf8(note).ok()?;
        Checkpoint::from_note(note, &held).ok()
    };
    let Some(seen) = notes.iter().find_map(signed).filter(|seen| seen.size <= head.size) else {
        return Ok(false);
    };
    let proof = audit::postgres::consistency(connection, seen.size, head.size).await;
    let proof = proof.map_err(right_edge_error)?;
    Ok(verify_consistency(seen.size, head.size, &proof, &seen.root, &head.root).is_ok())
}
