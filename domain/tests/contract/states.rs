//! States as snapshots keep them: their form is reviewed for each version, and a state that was kept and read back goes
//! on like one that was never put down.

use domain::wound::{ScanRecorded, WoundEvent};
use domain::{
    Access, Account, Appointment, Custody, Disclosure, Event, Location, ModelRegistry, Patient,
    Practitioner, STREAM_KINDS, Stream, StreamKind, WoundEpisode,
};
use insta::assert_snapshot;
use proptest::prelude::*;

use crate::events::{every_event, in_snapshots};
use crate::support::{given, uuid};

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
    reviewed::<Practitioner>(&samples!(Practitioner));
    reviewed::<Location>(&samples!(Location));
    reviewed::<Access>(&samples!(Access));
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
        goes_on_alike::<Practitioner>(&samples!(Practitioner), &picks);
        goes_on_alike::<Location>(&samples!(Location), &picks);
        goes_on_alike::<Access>(&samples!(Access), &picks);
    }
}

#[test]
fn an_episode_is_made_of_all_its_events_at_once_as_of_one_after_the_other() {
    let events = samples!(Wound);
    let whole: WoundEpisode = events.iter().cloned().collect();
    assert!(whole.opening().is_some());
    assert!(whole == given(&events));
}

/// Whoever reads the log goes by this table: a stream about a person is sealed, none that decides about access or about
/// an erasure is believed from a snapshot, an id is that of one kind of subject, and claims are taken by sealed streams
/// alone. The columns: sealed, may be kept, begins a subject, has claims.
#[test]
fn what_each_kind_of_stream_is_is_fixed() {
    let table = [
        ("patient", true, true, true, true),
        ("appointment", true, true, false, true),
        ("wound", true, true, false, false),
        ("account", true, false, true, true),
        ("disclosure", true, true, false, false),
        ("custody", false, false, false, false),
        ("model", false, false, false, false),
        ("practitioner", true, true, true, true),
        ("location", false, false, false, false),
        ("access", false, true, false, false),
    ];
    let kinds = STREAM_KINDS.map(|kind| {
        let StreamKind { stream_type, sealed, keeps_snapshots, begins_subject, has_claims, .. } =
            kind;
        (stream_type, sealed, keeps_snapshots, begins_subject, has_claims)
    });
    assert_eq!(kinds, table);
    assert!(STREAM_KINDS.iter().all(|kind| kind.sealed || !kind.has_claims));
    assert_eq!(domain::RECORD, "patient");
    assert_eq!(domain::ERASURE, ("custody", "SubjectErased"));
}

#[test]
fn only_streams_that_are_said_to_have_claims_have_some() {
    for event in every_event() {
        let kind = STREAM_KINDS.iter().find(|kind| kind.stream_type == event.stream_type());
        let has_claims = kind.expect("a kind of its own").has_claims;
        assert!(has_claims || event.claims(uuid(1)).is_empty(), "{}", event.event_type());
    }
}

/// The write side finds stored captures by this reference alone, and removes what no event names.
#[test]
fn every_event_with_a_capture_names_it_where_the_reference_points() {
    let reference = WoundEpisode::BLOB_REFERENCE.expect("scans name captures");
    let mut found = 0;
    for event in samples!(Wound) {
        let payload = serde_json::to_value(&event).expect("serialisable");
        let named = payload.pointer(reference.pointer).and_then(serde_json::Value::as_str);
        match &event {
            WoundEvent::ScanRecorded(ScanRecorded { capture, .. }) => {
                assert_eq!(named, Some(capture.blob_id.to_string().as_str()));
                assert_eq!(cqrs_es::DomainEvent::event_type(&event), reference.event_type);
                found += 1;
            }
            other => {
                assert_eq!(named, None);
                assert!(WoundEpisode::media(other).is_empty());
            }
        }
    }
    assert!(found > 0);
    let others = STREAM_KINDS.iter().filter(|kind| kind.blob_reference.is_some());
    assert_eq!(others.count(), 1);
}
