//! What an account may do now: a short memory of its aggregate, so that a disabled account or a revoked
//! role holds within seconds and no request waits for the log.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use commands::CommandError;
use domain::account::{AccountKind, Role};
use domain::{Account, AccountId};

use crate::ledger::ApiLedger;

/// How long an account's state is trusted. A revocation made by another process holds after this
/// time at the latest; one made by this process holds at once.
pub const TRUSTED_FOR: Duration = Duration::from_secs(20);
/// Accounts remembered at most.
const MAX_ACCOUNTS: usize = 10_000;

/// What matters about an account on every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Registered and not disabled.
    pub active: bool,
    /// A person or a program.
    pub kind: AccountKind,
    /// The roles it holds.
    pub roles: BTreeSet<Role>,
}

/// What was read of accounts, and when.
type Known = HashMap<AccountId, (Instant, Option<Standing>)>;

/// Remembers the standing of accounts.
#[derive(Clone)]
pub struct Accounts {
    ledger: ApiLedger,
    known: Arc<Mutex<Known>>,
}

impl Accounts {
    /// Reads accounts out of `ledger`.
    #[must_use]
    pub fn new(ledger: ApiLedger) -> Self {
        Self { ledger, known: Arc::default() }
    }

    /// The account's standing; nothing when there is no such account.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub async fn standing(&self, id: AccountId) -> Result<Option<Standing>, CommandError> {
        let now = Instant::now();
        if let Some((read_at, standing)) = self.lock().get(&id)
            && now.saturating_duration_since(*read_at) < TRUSTED_FOR
        {
            return Ok(standing.clone());
        }
        let loaded = self.ledger.account(id).await?;
        let standing = loaded.and_then(|loaded| standing_of(&loaded.aggregate));
        let mut known = self.lock();
        if known.len() >= MAX_ACCOUNTS {
            known.retain(|_, (at, _)| now.saturating_duration_since(*at) < TRUSTED_FOR);
            if known.len() >= MAX_ACCOUNTS {
                known.clear();
            }
        }
        known.insert(id, (now, standing.clone()));
        Ok(standing)
    }

    /// Forgets an account that has just been changed.
    pub fn forget(&self, id: AccountId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The standing of a registered account.
#[must_use]
pub fn standing_of(account: &Account) -> Option<Standing> {
    let kind = account.kind()?;
    Some(Standing { active: account.is_active(), kind, roles: account.roles().clone() })
}
