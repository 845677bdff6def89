//! States as snapshots keep them: their form is reviewed for each version, and a state that was kept and read back goes
//! on like one that was never put down.

use domain::{
    Account, Appointment, Custody, Disclosure, Event, ModelRegistry, Patient, Stream, WoundEpisode,
};
use insta::assert_snapshot;
use proptest::prelude::*;

use crate::events::{every_event, in_snapshots};
use crate::support::given;

/// The samples of one aggregate's events.
fn samples<E>(pick: impl Fn(Event) -> Option<E>) -> Vec<E> {
    every_event().into_iter().filter_map(pick).collect()
}

macro_rules! samples {
    ($variant:ident) => {
        samples(|event| match event {
            Event::$variant(event) => Some(event),
            _ => None,
        })
    };
}

/// A form that differs from the reviewed one needs another `STATE_VERSION`, and with it another file.
fn reviewed<A: Stream>(events: &[A::Event]) {
    let state: A = given(events);
    let form = serde_json::to_string_pretty(&state).expect("serialisable");
    in_snapshots(|| assert_snapshot!(format!("state.{}.v{}", A::TYPE, A::STATE_VERSION), form));
}

#[test]
fn the_form_of_every_state_is_reviewed() {
    reviewed::<Patient>(&samples!(Patient));
    reviewed::<Appointment>(&samples!(Appointment));
    reviewed::<WoundEpisode>(&samples!(Wound));
    reviewed::<Account>(&samples!(Account));
    reviewed::<Disclosure>(&samples!(Disclosure));
    reviewed::<Custody>(&samples!(Custody));
    reviewed::<ModelRegistry>(&samples!(Model));
}

/// Folds some of the events in some order, once straight and once from a state that was kept after each.
fn goes_on_alike<A: Stream + PartialEq>(samples: &[A::Event], picks: &[prop::sample::Index]) {
    let events: Vec<A::Event> =
        picks.iter().map(|pick| samples[pick.index(samples.len())].clone()).collect();
    let whole: A = given(&events);
    for version in 0..=events.len() {
        let kept = serde_json::to_vec(&given::<A>(&events[..version])).expect("serialisable");
        let mut state: A = serde_json::from_slice(&kept).expect("readable");
        for event in &events[version..] {
            state.apply(event.clone());
        }
        assert!(state == whole, "{} from version {version} on", A::TYPE);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_state_that_was_kept_goes_on_like_one_that_was_not(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
    ) {
        goes_on_alike::<Patient>(&samples!(Patient), &picks);
        goes_on_alike::<Appointment>(&samples!(Appointment), &picks);
        goes_on_alike::<WoundEpisode>(&samples!(Wound), &picks);
        goes_on_alike::<Account>(&samples!(Account), &picks);
        goes_on_alike::<Disclosure>(&samples!(Disclosure), &picks);
        goes_on_alike::<Custody>(&samples!(Custody), &picks);
        goes_on_alike::<ModelRegistry>(&samples!(Model), &picks);
    }
}

/// Whoever reads the log goes by this table: a stream about a person is sealed, and none that decides about access or
/// about an erasure is believed from a snapshot.
#[test]
fn what_is_sealed_and_what_may_be_kept_is_fixed_for_each_kind_of_stream() {
    let table = [
        ("patient", true, true),
        ("appointment", true, true),
        ("wound", true, true),
        ("account", true, false),
        ("disclosure", true, true),
        ("custody", false, false),
        ("model", false, false),
    ];
    let kinds =
        domain::STREAM_KINDS.map(|kind| (kind.stream_type, kind.sealed, kind.keeps_snapshots));
    assert_eq!(kinds, table);
}
