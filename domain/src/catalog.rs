//! Every aggregate there is, for readers that know nothing else of it.

use crate::stream::StreamKind;
use crate::{Account, Appointment, Custody, Disclosure, ModelRegistry, Patient, WoundEpisode};

/// The streams of every aggregate there is.
pub const STREAM_KINDS: [StreamKind; 7] = [
    StreamKind::of::<Patient>(),
    StreamKind::of::<Appointment>(),
    StreamKind::of::<WoundEpisode>(),
    StreamKind::of::<Account>(),
    StreamKind::of::<Disclosure>(),
    StreamKind::of::<Custody>(),
    StreamKind::of::<ModelRegistry>(),
];
