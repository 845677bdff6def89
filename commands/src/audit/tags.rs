//! The tags of events: each the ledger's own on its event. A process that has just started believes an event by its tag.

use audit::merkle::Hash;
use audit::postgres::EventTags;
use futures::TryStreamExt as _;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::compared::Comparison;
use crate::keys::Keys;
use crate::streams::event_tags;
use audit::postgres::column;

const TAGS: &str = "
    SELECT position, leaf_hash, tag FROM public.events
     WHERE position < (SELECT size FROM public.ledger_head) ORDER BY position";

pub(super) async fn compare(
    connection: &mut PgConnection,
    keys: Option<&Keys>,
    origin: &str,
) -> Result<Comparison, sqlx::Error> {
    let Some(keys) = keys else {
        return Ok(Comparison::none("tags of events", "no keys are at hand"));
    };
    let tags = event_tags(keys, origin);
    let mut comparison = Comparison::begun("tags of events");
    let mut begun = false;
    let mut rows = sqlx::query(TAGS).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let tag: Option<&[u8]> = column(&row, 2);
        comparison.count(u64::from(tag.is_some()));
        if let Some((kind, detail)) = wrong(&row, tag, begun, &tags) {
            let position: i64 = column(&row, 0).unwrap_or_default();
            comparison.push(u64::try_from(position).ok(), kind, "event", detail);
        }
        begun |= tag.is_some();
    }
    Ok(comparison)
}

/// What is wrong with a tag. `begun`: whether an event before this one has one.
fn wrong(
    row: &PgRow,
    tag: Option<&[u8]>,
    begun: bool,
    tags: &EventTags,
) -> Option<(&'static str, &'static str)> {
    let Some(tag) = tag else {
        // What an older version appended has none.
        return begun.then_some(("missing", "it has no tag, and events before it have theirs"));
    };
    let leaf = column::<&[u8]>(row, 1).and_then(Hash::from_slice);
    let holds = leaf.is_some_and(|leaf| tags.holds(&leaf, tag));
    (!holds).then_some(("tag", "its tag is not the one that this ledger gave it"))
}
