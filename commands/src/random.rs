//! Randomness and the ids made of it. A machine that cannot give random bytes cannot seal anything,
//! so there is no way to go on without them.

use jiff::Timestamp;
use uuid::{Builder, Uuid};

/// Random bytes from the operating system.
///
/// # Panics
/// When the operating system gives none.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A time-ordered id.
pub(crate) fn uuid_v7(now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &bytes()).into_uuid()
}
