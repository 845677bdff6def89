//! The life of models in a worker: the one that comes with the program is taken into use ([`take_into_use`]), and the
//! registry is followed, so that the active model answers scans and what a withdrawn one measured is withdrawn
//! ([`ModelWatch`]).

mod embedded;
mod watch;

pub use embedded::{IntoUseError, take_into_use};
pub use watch::{ModelWatch, WatchError};
