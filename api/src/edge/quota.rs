//! Shares of what is limited. No request waits for a share: there is one, or the answer says when to come back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// Whose share it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Anybody who has not said who they are.
    Public,
    /// An account.
    Account(Uuid),
}

/// Why no share is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Everything is taken.
    All,
    /// This holder has taken what one may.
    Share,
}

/// A number of things, of which each holder may have a part.
#[derive(Clone)]
pub struct Quota(Arc<Inner>);

struct Inner {
    total: u64,
    share: u64,
    taken: Mutex<Shares>,
}

#[derive(Default)]
struct Shares {
    sum: u64,
    by_holder: HashMap<Holder, u64>,
}

/// A share, given back when it is dropped.
pub struct Taken {
    quota: Arc<Inner>,
    holder: Holder,
    amount: u64,
}

impl Quota {
    /// `total` things, of which one holder may have `share`.
    #[must_use]
    pub fn new(total: u64, share: u64) -> Self {
        let (total, share) = (total.max(1), share.clamp(1, total.max(1)));
        Self(Arc::new(Inner { total, share, taken: Mutex::default() }))
    }

    /// Takes so many for `holder`, if they are there.
    ///
    /// # Errors
    /// What is used up.
    pub fn take(&self, holder: Holder, amount: u64) -> Result<Taken, Full> {
        let mut taken = Taken { quota: Arc::clone(&self.0), holder, amount: 0 };
        taken.grow(amount)?;
        Ok(taken)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Shares> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Takes more for the same holder.
    ///
    /// # Errors
    /// What is used up; the share stays as it was.
    pub fn grow(&mut self, more: u64) -> Result<(), Full> {
        let quota = Arc::clone(&self.quota);
        let mut shares = quota.lock();
        let own = shares.by_holder.get(&self.holder).copied().unwrap_or(0);
        let (sum, own) = (shares.sum.saturating_add(more), own.saturating_add(more));
        if sum > quota.total {
            return Err(Full::All);
        }
        if own > quota.share {
            return Err(Full::Share);
        }
        shares.sum = sum;
        if own > 0 {
            shares.by_holder.insert(self.holder, own);
        }
        self.amount += more;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut shares = self.quota.lock();
        shares.sum = shares.sum.saturating_sub(self.amount);
        if let Some(own) = shares.by_holder.get_mut(&self.holder) {
            *own = own.saturating_sub(self.amount);
            if *own == 0 {
                shares.by_holder.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Holder = Holder::Account(Uuid::from_u128(1));
    const TWO: Holder = Holder::Account(Uuid::from_u128(2));

    #[test]
    fn one_holder_leaves_something_for_the_others_and_all_comes_back() {
        let quota = Quota::new(10, 6);
        let mut own = quota.take(ONE, 4).expect("a share");
        assert_eq!(own.grow(3), Err(Full::Share));
        own.grow(2).expect("up to the share");
        assert_eq!(quota.take(ONE, 1).err(), Some(Full::Share));
        let other = quota.take(TWO, 4).expect("what is left");
        assert_eq!(quota.take(Holder::Public, 1).err(), Some(Full::All));
        drop(own);
        assert_eq!(quota.take(ONE, 7).err(), Some(Full::All));
        drop(quota.take(ONE, 6).expect("given back"));
        drop(other);
        assert!(quota.0.lock().by_holder.is_empty());
        assert_eq!(quota.0.lock().sum, 0);
    }
}
