//! What may be shown: the look at it is on record.

use std::ops::Deref;

/// Something of a patient that may be shown, because the look at it is durably recorded. Only [`Records`](super::Records)
/// makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<T>(T);

impl<T> Shown<T> {
    /// What a look was recorded at.
    pub(super) fn recorded(what: T) -> Shown<T> {
        Shown(what)
    }

    /// Another view of the same, such as a chart of it.
    pub fn map<U>(self, view: impl FnOnce(T) -> U) -> Shown<U> {
        Shown(view(self.0))
    }
}

impl<T> Deref for Shown<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
