//! Looks alike, within a short time: one event stands for several.

use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How a look relates to others alike: by the same account, for the same purpose, at the same thing, with the same outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repeats {
    /// It is the first. Those that follow until this time have no event of their own: one that says so counts them.
    Until(Timestamp),
    /// These are the ones that followed the look in the stream with this id.
    Of(Uuid),
}

/// For how many looks an event stands: one, unless it says otherwise.
pub const ONE: NonZeroU32 = NonZeroU32::MIN;

pub(crate) fn one() -> NonZeroU32 {
    ONE
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks of such a function")]
pub(crate) fn is_one(count: &NonZeroU32) -> bool {
    *count == ONE
}
