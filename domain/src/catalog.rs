//! Every aggregate there is, for readers that know nothing else of it.

use cqrs_es::Aggregate;

use crate::stream::{Stream, StreamKind};
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

/// The type of the streams that begin a record: the subjects that may be erased, and whose captures are kept outside the
/// log.
pub const RECORD: &str = <Patient as Aggregate>::TYPE;

/// The type of the streams, and of the event in them, by which a record is erased.
pub const ERASURE: (&str, &str) = match Custody::ERASURE_EVENT {
    Some(event_type) => (<Custody as Aggregate>::TYPE, event_type),
    None => panic!("an erasure has an event"),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_is_of_one_kind_of_subject_and_a_record_is_one() {
        let subjects = STREAM_KINDS.iter().filter(|kind| kind.begins_subject);
        let subjects: Vec<_> = subjects.map(|kind| (kind.stream_type, kind.sealed)).collect();
        assert_eq!(subjects, [("patient", true), ("account", true)]);
        assert_eq!(RECORD, "patient");
        assert_eq!(ERASURE, ("custody", "SubjectErased"));
    }

    #[test]
    fn claims_are_taken_by_sealed_streams_alone() {
        let claiming = STREAM_KINDS.iter().filter(|kind| kind.has_claims);
        let claiming: Vec<_> = claiming.map(|kind| (kind.stream_type, kind.sealed)).collect();
        assert_eq!(claiming, [("patient", true), ("appointment", true), ("account", true)]);
    }
}
