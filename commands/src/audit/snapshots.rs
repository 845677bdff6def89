//! Stored states: each of a stream that may have one, under the ledger's tag, bound to the event it ends with.

use audit::mac::MacKey;
use audit::seal::SnapshotIdentity;
use domain::STREAM_KINDS;
use futures::TryStreamExt as _;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::compared::Comparison;
use crate::keys::Keys;
use crate::snapshots::{TAG_KEY, is_tagged};
use audit::postgres::column;

const SNAPSHOTS: &str = "
    SELECT s.aggregate_type, s.aggregate_id, s.state_version, s.version, s.subject, s.key_id, s.sealed, s.mac,
           e.position, e.event_id, e.leaf_hash, k.subject AS holder, k.wrapped IS NOT NULL AS held
      FROM public.snapshots s
      LEFT JOIN public.events e ON e.aggregate_type = s.aggregate_type AND e.aggregate_id = s.aggregate_id AND e.sequence = s.version
                               AND e.position < (SELECT size FROM public.ledger_head)
      LEFT JOIN keyring.data_keys k ON k.key_id = s.key_id
     ORDER BY s.aggregate_type, s.aggregate_id, s.state_version";

pub(super) async fn compare(
    connection: &mut PgConnection,
    keys: Option<&Keys>,
    origin: &str,
) -> Result<Comparison, sqlx::Error> {
    let mut comparison = Comparison::begun("snapshots");
    let tag = keys.map(|keys| keys.mac_key(TAG_KEY));
    if tag.is_none() {
        comparison.not_compared = Some("their tags: no keys are at hand".to_owned());
    }
    let mut rows = sqlx::query(SNAPSHOTS).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        comparison.count(1);
        let stream_type: String = column(&row, 0).unwrap_or_default();
        // Without its id a row is still about a person.
        let stream_id = column(&row, 1).or_else(|| column(&row, 4)).unwrap_or_else(Uuid::max);
        let position: Option<i64> = column(&row, 8);
        let position = position.and_then(|position| u64::try_from(position).ok());
        if let Some((kind, detail)) = wrong(&row, (&stream_type, stream_id), tag.as_ref(), origin) {
            comparison.push(position, kind, format!("{stream_type}/{stream_id}"), detail);
        }
    }
    Ok(comparison)
}

/// What is wrong with a row, the first thing only.
fn wrong(
    row: &PgRow,
    (stream_type, stream_id): (&str, Uuid),
    key: Option<&MacKey>,
    origin: &str,
) -> Option<(&'static str, &'static str)> {
    let is_kept =
        STREAM_KINDS.iter().any(|kind| kind.keeps_snapshots && kind.stream_type == stream_type);
    if !is_kept {
        return Some(("foreign", "there are no snapshots of such streams"));
    }
    let state_version = column(row, 2).unwrap_or(-1_i32);
    let version = column(row, 3).unwrap_or(-1_i64);
    let (subject, key_id): (Option<Uuid>, Option<Uuid>) = (column(row, 4), column(row, 5));
    let (sealed, mac): (Option<&[u8]>, Option<&[u8]>) = (column(row, 6), column(row, 7));
    let (event_id, leaf): (Option<Uuid>, Option<&[u8]>) = (column(row, 9), column(row, 10));
    let (holder, held): (Option<Uuid>, bool) = (column(row, 11), column(row, 12).unwrap_or(false));
    let (Some(subject), Some(key_id), Some(sealed), Some(mac)) = (subject, key_id, sealed, mac)
    else {
        return Some(("foreign", "it is not sealed for anybody, or has no tag"));
    };
    let (Some(event_id), Some(leaf)) = (event_id, leaf) else {
        return Some(("foreign", "the log has no such event of the stream as it ends with"));
    };
    if holder != Some(subject) || !held {
        return Some((
            "foreign",
            "it is sealed with a key that its subject does not have, or no more",
        ));
    }
    let (Ok(version), Ok(state_version)) = (u64::try_from(version), u32::try_from(state_version))
    else {
        return Some(("foreign", "it has no such version"));
    };
    let key = key?;
    let identity =
        SnapshotIdentity { origin, stream_type, stream_id, event_id, version, state_version };
    if is_tagged(key, &identity, (subject, key_id), leaf, sealed, mac) {
        return None;
    }
    Some(("forged", "its tag is not the ledger's: somebody else wrote or changed it"))
}
