//! Custody: given/when/then, and that nothing erases what is held.

use cqrs_es::{Aggregate, DomainEvent};
use domain::custody::{
    Authority, CaseReference, CustodyCommand, CustodyEvent, Erase, ErasureReason, HoldReason,
    MAX_HOLDS, PlaceHold, RecordPurge, ReleaseHold, ReleaseReason, Store, StorePurge,
    SubjectErased,
};
use domain::{Custody, HoldId, Stream};
use proptest::prelude::*;

use crate::support::{accepts, given, now, refuses, uuid, val};

fn hold(n: u128) -> HoldId {
    HoldId::from_uuid(uuid(0x700 + n))
}

fn place(n: u128) -> CustodyCommand {
    CustodyCommand::PlaceHold(PlaceHold {
        hold_id: hold(n),
        reason: HoldReason::Litigation,
        authority: Authority::Counsel,
        case_reference: val("2026/CV-0815"),
    })
}

fn release(n: u128) -> CustodyCommand {
    CustodyCommand::ReleaseHold(ReleaseHold {
        hold_id: hold(n),
        reason: ReleaseReason::MatterClosed,
        authority: Authority::Court,
    })
}

fn erase() -> CustodyCommand {
    CustodyCommand::Erase(Erase {
        reason: ErasureReason::PatientRequest,
        authority: Authority::PersonConcerned,
        case_reference: val("DSR-42"),
    })
}

fn purge(stores: &[Store]) -> CustodyCommand {
    let stores = stores.iter().map(|store| StorePurge { store: *store, entries: 3 }).collect();
    CustodyCommand::RecordPurge(RecordPurge { stores })
}

/// The events of commands that are all accepted.
fn after(commands: Vec<CustodyCommand>) -> Vec<CustodyEvent> {
    let mut events = Vec::new();
    for command in commands {
        let state: Custody = given(&events);
        events.push(accepts(&state, now(), command));
    }
    events
}

#[test]
fn without_a_hold_the_record_is_erased_once_and_its_purge_recorded_once() {
    let fresh = Custody::default();
    refuses(
        &fresh,
        now(),
        vec![
            ("release what was never placed", release(1), "unknown-hold", Some("hold_id")),
            ("purge before the erasure", purge(&[Store::Cache]), "not-erased", None),
        ],
    );
    let erased = after(vec![erase()]);
    let state: Custody = given(&erased);
    assert_eq!(state.erasure().map(|erasure| erasure.at), Some(now().0));
    refuses(
        &state,
        now(),
        vec![
            ("erase again", erase(), "already-erased", None),
            ("hold what is gone", place(1), "already-erased", None),
            ("no store", purge(&[]), "stores-not-distinct", Some("stores")),
            (
                "one store twice",
                purge(&[Store::Cache, Store::Captures, Store::Cache]),
                "stores-not-distinct",
                Some("stores"),
            ),
        ],
    );
    let purged = after(vec![erase(), purge(Store::ALL)]);
    let state: Custody = given(&purged);
    assert_eq!(state.purge().map(|purge| purge.stores.len()), Some(3));
    refuses(
        &state,
        now(),
        vec![("purge again", purge(Store::ALL), "purge-already-recorded", None)],
    );
}

#[test]
fn every_hold_must_be_released_before_the_record_is_erased() {
    let state: Custody = given(&after(vec![place(1), place(2)]));
    assert_eq!(state.in_force(), 2);
    refuses(
        &state,
        now(),
        vec![
            ("erase under two holds", erase(), "on-hold", None),
            ("the same hold again", place(1), "hold-already-placed", Some("hold_id")),
            ("another's hold", release(3), "unknown-hold", Some("hold_id")),
        ],
    );
    let state: Custody = given(&after(vec![place(1), place(2), release(1)]));
    refuses(
        &state,
        now(),
        vec![
            ("erase under one hold", erase(), "on-hold", None),
            ("release again", release(1), "hold-already-released", None),
            ("the id of a released hold", place(1), "hold-already-placed", Some("hold_id")),
        ],
    );
    let events = after(vec![place(1), place(2), release(1), release(2), erase()]);
    let state: Custody = given(&events);
    assert_eq!((state.in_force(), state.holds().count()), (0, 2));
    assert!(state.erasure().is_some());
}

#[test]
fn holds_are_bounded() {
    let most = u128::try_from(MAX_HOLDS).expect("a small number");
    let state: Custody = given(&after((0..most).map(place).collect()));
    refuses(&state, now(), vec![("one too many", place(most), "too-many-holds", None)]);
}

#[test]
fn custody_needs_no_key_follows_the_patient_and_only_an_erasure_erases() {
    let id = uuid(1);
    let events = after(vec![place(1), release(1), erase(), purge(&[Store::ReadModels])]);
    let erasing: Vec<bool> =
        events.iter().map(|event| Custody::erases(id, event) == Some(id)).collect();
    assert_eq!(erasing, [false, false, true, false]);
    assert!(events.iter().all(|event| Custody::claims(id, event).is_empty()));
    assert!(events.iter().all(|event| Custody::media(event).is_empty()));
    assert_eq!(events[2].event_type(), SubjectErased::EVENT_TYPE);
    let state: Custody = given(&events);
    assert_eq!(state.subject(id), None, "the record's key will not be there to open these");
    assert_eq!(Custody::follows(id), Some(("patient", id)));
}

#[test]
fn a_case_reference_leaves_no_room_for_prose() {
    for good in ["1", "2026/CV-0815", "DSR_42.1", &"x".repeat(64)] {
        assert_eq!(CaseReference::new(good).map(|case| case.to_string()), Ok(good.to_owned()));
    }
    for bad in ["", "Müller", "Anna Probe", "a@b.example", "1952-11-19 Probe", &"x".repeat(65)] {
        let error = CaseReference::new(bad).expect_err(bad);
        assert!(bad.is_empty() || !error.to_string().contains(bad), "the text is repeated");
    }
}

proptest! {
    /// Whatever is asked in whatever order: nothing erases under a hold, nothing is done after an erasure but
    /// recording its purge, and what is refused changes nothing.
    #[test]
    fn no_sequence_of_commands_erases_under_a_hold(
        asked in proptest::collection::vec((0u8..8, 0u128..4), 1..60),
    ) {
        let mut state = Custody::default();
        let (mut held, mut ever, mut erased, mut purged) = (Vec::new(), Vec::new(), false, false);
        for (what, n) in asked {
            let (command, may) = match what {
                0..=2 => (place(n), !erased && !ever.contains(&n)),
                3..=5 => (release(n), held.contains(&n)),
                6 => (erase(), !erased && held.is_empty()),
                _ => (purge(Store::ALL), erased && !purged),
            };
            let decided = state.decide(command, &now());
            prop_assert_eq!(decided.is_ok(), may);
            let Ok(events) = decided else { continue };
            for event in events {
                match &event {
                    CustodyEvent::HoldPlaced(_) => { held.push(n); ever.push(n); }
                    CustodyEvent::HoldReleased(_) => held.retain(|held| *held != n),
                    CustodyEvent::SubjectErased(_) => {
                        prop_assert!(held.is_empty() && !erased);
                        erased = true;
                    }
                    CustodyEvent::PurgeRecorded(_) => purged = true,
                }
                state.apply(event);
            }
            prop_assert_eq!(state.in_force(), held.len());
            prop_assert_eq!(state.erasure().is_some(), erased);
        }
    }
}

#[test]
fn a_refused_erasure_says_how_many_holds_there_are() {
    for holds in 1..=3 {
        let state: Custody = given(&after((0..holds).map(place).collect()));
        let refusal = state.decide(erase(), &now()).expect_err("held").to_string();
        assert!(refusal.contains(&format!("under {holds} legal hold")), "{refusal}");
        assert_eq!(state.in_force() as u128, holds);
    }
}

#[test]
fn what_was_never_held_or_erased_says_so() {
    let fresh = Custody::default();
    assert_eq!((fresh.in_force(), fresh.holds().count()), (0, 0));
    assert!(fresh.erasure().is_none() && fresh.purge().is_none());
    let state: Custody = given(&after(vec![place(1), place(2), release(1)]));
    let in_force: Vec<bool> = state.holds().map(domain::custody::Hold::is_in_force).collect();
    assert_eq!(in_force, [false, true]);
    let case = CaseReference::new("2026/CV-0815").expect("a case reference");
    assert_eq!(case.as_str(), "2026/CV-0815");
}

#[test]
fn the_last_hold_that_fits_is_placed() {
    let last = u128::try_from(MAX_HOLDS).expect("a small number") - 1;
    let state: Custody = given(&after((0..last).map(place).collect()));
    accepts(&state, now(), place(last));
}
