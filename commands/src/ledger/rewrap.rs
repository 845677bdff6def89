//! One key-encryption key takes the place of another: first for what is wrapped from now on, then for what was wrapped
//! before.

use audit::postgres::StoredKey;
use audit::seal::SubjectKey;
use domain::RefusalKind;
use serde::Serialize;

use super::Ledger;
use crate::context::Context;
use crate::error::{CommandError, Unavailable};
use crate::key_encryption::{KeyEncryptionState, KeyHolder};
use crate::random;

/// How many data keys are re-wrapped in one transaction.
const REWRAP_PAGE: i64 = 500;

/// Result of re-wrapping the data keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rewrapped {
    /// The key that wraps all of them now.
    pub kek_id: String,
    /// How often the key that wraps has changed.
    pub epoch: i64,
    /// Data keys that it wraps since.
    pub rewrapped: u64,
    /// Data keys that were under it before.
    pub current: u64,
    /// The living processes that lack it: the old one may not be removed before they hold it.
    pub waits_for: Vec<KeyHolder>,
}

impl Rewrapped {
    /// Whether the old key is needed by nothing that is stored and by no running process.
    pub fn is_done(&self) -> bool {
        self.waits_for.is_empty()
    }
}

impl Ledger {
    /// How the key-encryption keys stand: which one wraps, what each wraps, who holds which.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn key_encryption(&self) -> Result<KeyEncryptionState, CommandError> {
        self.inner.key_encryption.state().await
    }

    /// Makes the newest available key-encryption key the one that wraps, for every process, and wraps by it every data key that
    /// another one wraps. No event is touched, and what is cut short goes on where it was.
    ///
    /// # Errors
    /// When the actor may not, a living process lacks that key (then nothing was changed), the database fails, or a data key
    /// does not unwrap.
    pub async fn rewrap_data_keys(
        &self,
        context: &Context,
        mut progress: impl FnMut(u64),
    ) -> Result<Rewrapped, CommandError> {
        self.may_manage_keys(context)?;
        let keys = &self.inner.keys;
        keys.refresh_key_encryption().map_err(|error| Unavailable::Keys(Box::new(error)))?;
        let target = keys.newest_kek_id();
        let epoch = self.change_key_encryption(&target).await?;
        let wrap = keys.key_wrap();
        let current: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM keyring.data_keys WHERE kek_id = $1 AND wrapped IS NOT NULL",
        )
        .bind(&target)
        .fetch_one(&self.inner.pool)
        .await?;
        let left = format!(
            "SELECT {} FROM keyring.data_keys k
              WHERE k.kek_id <> $1 AND k.wrapped IS NOT NULL AND k.wrap_version = 2 ORDER BY k.key_id LIMIT $2",
            StoredKey::COLUMNS
        );
        let mut rewrapped = 0;
        // No process wraps by another key any more, so what is left becomes less with each page.
        loop {
            let rows = sqlx::query(&left)
                .bind(&target)
                .bind(REWRAP_PAGE)
                .fetch_all(&self.inner.pool)
                .await?;
            if rows.is_empty() {
                break;
            }
            let (mut ids, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
            for row in &rows {
                let stored = StoredKey::read(row);
                let SubjectKey { id, key, .. } = stored.open(&*wrap, self.origin())?;
                let place = stored.place(self.origin())?;
                let new = wrap.wrap(&place, random::bytes(), &key).map_err(Unavailable::from)?;
                if new.kek_id != target {
                    return Err(moved());
                }
                ids.push(id);
                before.push(stored.wrapped().unwrap_or_default().to_vec());
                after.push(new.bytes);
            }
            // What was erased or re-wrapped meanwhile is not the wrap it was, and is left alone.
            let done: i64 = sqlx::query_scalar("SELECT rewrap_data_keys($1, $2, $3, $4)")
                .bind(&ids)
                .bind(&before)
                .bind(&target)
                .bind(&after)
                .fetch_one(&self.inner.pool)
                .await?;
            rewrapped += u64::try_from(done).unwrap_or(0);
            progress(rewrapped);
        }
        // Another rotation may have begun meanwhile: then what was said of this one is not so.
        if self.inner.key_encryption.learn().await? != (target.clone(), epoch) {
            return Err(moved());
        }
        let waits_for = self.inner.key_encryption.lacking(&target).await?;
        let current = u64::try_from(current).unwrap_or(0);
        Ok(Rewrapped { kek_id: target, epoch, rewrapped, current, waits_for })
    }

    /// Makes a key the one that wraps, unless a living process lacks it; answers the epoch.
    async fn change_key_encryption(&self, target: &str) -> Result<i64, CommandError> {
        let own = &self.inner.key_encryption;
        own.tell().await?;
        let (present, epoch) = own.learn().await?;
        if present == target {
            return Ok(epoch);
        }
        not_without(target, &own.lacking(target).await?)?;
        let changed: Option<i64> = sqlx::query_scalar("SELECT change_key_encryption($1, $2)")
            .bind(&present)
            .bind(target)
            .fetch_one(&self.inner.pool)
            .await?;
        let (present, epoch) = own.learn().await?;
        if changed.is_none() {
            // Another process came, or was quicker.
            not_without(target, &own.lacking(target).await?)?;
        }
        if present == target { Ok(epoch) } else { Err(moved()) }
    }
}

fn not_without(target: &str, lacking: &[KeyHolder]) -> Result<(), CommandError> {
    if lacking.is_empty() {
        return Ok(());
    }
    let who: Vec<String> = lacking
        .iter()
        .map(|holder| format!("{} ({}, process {})", holder.name, holder.login, holder.process))
        .collect();
    Err(CommandError::Refused {
        kind: RefusalKind::Conflict,
        code: "key-not-everywhere",
        field: None,
        detail: format!(
            "nothing was changed: the new key-encryption key {target} is not yet held by {}; add its line to their key files, \
             wait some seconds, and run this again",
            who.join(", ")
        ),
    })
}

fn moved() -> CommandError {
    CommandError::Refused {
        kind: RefusalKind::Conflict,
            code: "key-encryption-moved",
        field: None,
        detail: "another key was made the current one meanwhile: look at `ledger keys status`, and run this again"
            .to_owned(),
    }
}
