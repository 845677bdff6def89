//! Claims: what each event takes and releases, and that a calendar kept by them never overlaps.

use std::collections::{BTreeMap, BTreeSet};

use cqrs_es::Aggregate;
use domain::appointment::{
    AppointmentCommand, AppointmentStatus, BookAppointment, CancelAppointment, CancellationReason,
    CheckIn, EnteredInError, Fulfil, MarkNoShow, RescheduleAppointment,
};
use domain::patient::{EditIdentifiers, PatientCommand, RegisterPatient};
use domain::value::RequestedTime;
use domain::{Appointment, Claim, ClaimChange, Now, Patient, Resource, ResourceKind, Stream};
use insta::assert_snapshot;
use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use crate::events::{every_event, in_snapshots};
use crate::support::{at, mrn, name, patient, practitioner, requested, room, uuid, val};

#[test]
fn the_table_of_claims() {
    let change = |change: &ClaimChange| match change {
        ClaimChange::Take(Claim::Unique { kind, .. }) => format!("take {kind}"),
        ClaimChange::Take(Claim::Busy { resource, .. }) => {
            format!("take the {}'s time", resource.kind.as_str())
        }
        ClaimChange::ReleaseUnique { kind, .. } => format!("release {kind}"),
        ClaimChange::ReleaseBusy => "release all time".to_owned(),
    };
    let mut table = String::new();
    for event in every_event() {
        let changes: Vec<String> = event.claims(uuid(1)).iter().map(change).collect();
        let changes = if changes.is_empty() { "nothing".to_owned() } else { changes.join(", ") };
        table.push_str(&format!("{:<26} {changes}\n", event.event_type()));
    }
    in_snapshots(|| assert_snapshot!("claims", table));
}

/// What the sequencer does with claims, in memory: all changes of a command, or none.
#[derive(Clone, Default)]
struct Calendar {
    busy: Vec<(Uuid, Resource, Timestamp, Timestamp)>,
}

impl Calendar {
    fn grant(&mut self, stream: Uuid, changes: Vec<ClaimChange>) -> bool {
        let mut next = self.clone();
        for change in changes {
            match change {
                ClaimChange::ReleaseBusy => next.busy.retain(|(holder, ..)| *holder != stream),
                ClaimChange::Take(Claim::Busy { resource, from, until }) => {
                    assert!(from < until, "an empty time claims nothing");
                    let taken = next.busy.iter().any(|(_, held, held_from, held_until)| {
                        *held == resource && *held_from < until && from < *held_until
                    });
                    if taken {
                        return false;
                    }
                    next.busy.push((stream, resource, from, until));
                }
                ClaimChange::Take(Claim::Unique { .. }) | ClaimChange::ReleaseUnique { .. } => {
                    panic!("an appointment claims time only")
                }
            }
        }
        *self = next;
        true
    }
}

/// Whom and what an appointment needs, told by its state alone.
fn needs(appointment: &Appointment) -> Vec<Resource> {
    let (Some(slot), Some(patient)) = (appointment.slot(), appointment.patient_id()) else {
        return Vec::new();
    };
    let mut needs = vec![
        Resource { kind: ResourceKind::Practitioner, id: slot.practitioner_id.as_uuid() },
        Resource { kind: ResourceKind::Patient, id: patient.as_uuid() },
    ];
    needs
        .extend(slot.room_id.map(|room| Resource { kind: ResourceKind::Room, id: room.as_uuid() }));
    needs
}

/// Whether the appointment's time is in use: it is agreed, under way, or was used.
fn holds(appointment: &Appointment) -> bool {
    use AppointmentStatus::{Booked, CheckedIn, Fulfilled};
    matches!(appointment.status(), Some(Booked | CheckedIn | Fulfilled))
}

fn clash(one: &Appointment, other: &Appointment) -> bool {
    let overlap = match (one.slot(), other.slot()) {
        (Some(one), Some(other)) => one.time.overlaps(&other.time),
        _ => false,
    };
    let shared = needs(one).iter().any(|need| needs(other).contains(need));
    holds(one) && holds(other) && overlap && shared
}

fn command_strategy() -> impl Strategy<Value = AppointmentCommand> {
    // Few people, few rooms and one morning, so that most commands meet another.
    let time = (0u32..16, 1u32..5).prop_map(|(quarter, quarters)| {
        let start = format!("2026-03-10T{:02}:{:02}", 8 + quarter / 4, quarter % 4 * 15);
        requested(&start, "America/Chicago", quarters * 15)
    });
    let who = (0u128..3, 0u128..3, proptest::option::of(0u128..2));
    let book = (who.clone(), time.clone()).prop_map(
        |((patient_n, practitioner_n, room_n), time): (_, RequestedTime)| {
            AppointmentCommand::Book(BookAppointment {
                patient_id: patient(patient_n),
                practitioner_id: practitioner(practitioner_n),
                room_id: room_n.map(room),
                time,
                reason: None,
                requested_at: None,
            })
        },
    );
    let reschedule = (who, time).prop_map(|((_, practitioner_n, room_n), time)| {
        AppointmentCommand::Reschedule(RescheduleAppointment {
            time,
            practitioner_id: Some(practitioner(practitioner_n)),
            room_id: room_n.map(room),
            reason: None,
        })
    });
    let cancel = CancelAppointment { reason: CancellationReason::Weather, note: None };
    prop_oneof![
        6 => book,
        3 => reschedule,
        1 => Just(AppointmentCommand::Cancel(cancel)),
        1 => Just(AppointmentCommand::CheckIn(CheckIn {})),
        1 => Just(AppointmentCommand::Fulfil(Fulfil {})),
        1 => Just(AppointmentCommand::MarkNoShow(MarkNoShow {})),
        1 => Just(AppointmentCommand::EnteredInError(EnteredInError { reason: val("slip") })),
    ]
}

proptest! {
    /// No prefix of a history holds an overlap, a refusal always has an overlap to show for it, and so
    /// what was released can be taken again.
    #[test]
    fn a_calendar_kept_by_claims_never_overlaps(
        commands in proptest::collection::vec((0u128..12, command_strategy()), 1..80),
    ) {
        let now = Now(at("2026-03-10T16:00:00Z"));
        let mut calendar = Calendar::default();
        let mut streams: BTreeMap<Uuid, Appointment> = BTreeMap::new();
        for (n, command) in commands {
            let id = uuid(0x700 + n);
            let state = streams.get(&id).cloned().unwrap_or_default();
            let Ok(events) = state.decide(command, &now) else { continue };
            let changes = events.iter().flat_map(|event| Appointment::claims(id, event)).collect();
            let next = events.into_iter().fold(state, |mut state, event| {
                state.apply(event);
                state
            });
            let clashes = streams.iter().any(|(other, held)| *other != id && clash(held, &next));
            let granted = calendar.grant(id, changes);
            prop_assert_eq!(granted, !clashes, "granted exactly what overlaps nothing");
            if granted {
                streams.insert(id, next);
            }
            // The claims held are exactly what the states need, at every prefix.
            let held = calendar.busy.len();
            let needed: usize =
                streams.values().filter(|held| holds(held)).map(|held| needs(held).len()).sum();
            prop_assert_eq!(held, needed);
        }
    }
}

#[test]
fn a_claim_shows_what_it_is_of_and_not_the_key() {
    let busy = Claim::Busy {
        resource: Resource { kind: ResourceKind::Room, id: uuid(1) },
        from: at("2026-03-10T20:00:00Z"),
        until: at("2026-03-10T20:30:00Z"),
    };
    let unique = Claim::Unique { kind: "login", key: "ada".to_owned() };
    let released = ClaimChange::ReleaseUnique { kind: "login", key: "ada".to_owned() };
    let table = [
        (format!("{:?}", ClaimChange::Take(unique)), "Take(Unique { kind: \"login\", .. })"),
        (format!("{released:?}"), "ReleaseUnique { kind: \"login\", .. }"),
        (format!("{:?}", ClaimChange::ReleaseBusy), "ReleaseBusy"),
        (
            format!("{busy:?}"),
            "Busy { resource: Resource { kind: Room, id: 01900000-0000-7000-8000-000000000001 }, \
             from: 2026-03-10T20:00:00Z, until: 2026-03-10T20:30:00Z }",
        ),
    ];
    for (shown, expected) in table {
        assert_eq!(shown, expected);
    }
}

proptest! {
    /// Whatever a patient's identifiers are edited to: the keys held are those of the record, and none is released that
    /// was not held or taken that was.
    #[test]
    fn a_patients_claims_are_the_identifiers_of_the_record(
        edits in proptest::collection::vec(proptest::collection::btree_set(0u8..6, 0..5), 1..20),
    ) {
        let mut state = Patient::default();
        let mut held = BTreeSet::new();
        for edit in edits {
            let identifiers: Vec<_> = edit.iter().map(|n| mrn(&format!("A-{n}"))).collect();
            let command = if state.is_registered() {
                let reason = val("renumbered");
                PatientCommand::EditIdentifiers(EditIdentifiers { identifiers, reason })
            } else {
                let name = Some(name());
                PatientCommand::Register(RegisterPatient {
                    name,
                    identifiers,
                    ..RegisterPatient::default()
                })
            };
            let Ok(events) = state.decide(command, &crate::support::now()) else { continue };
            for event in events {
                for change in Patient::claims(uuid(1), &event) {
                    match change {
                        ClaimChange::Take(Claim::Unique { kind, key }) => {
                            prop_assert!(held.insert((kind, key)), "taken twice");
                        }
                        ClaimChange::ReleaseUnique { kind, key } => {
                            prop_assert!(held.remove(&(kind, key)), "released unheld");
                        }
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
                state.apply(event);
            }
            let needed: BTreeSet<_> = state
                .identifiers()
                .iter()
                .map(|identifier| ("patient-identifier", identifier.claim_key()))
                .collect();
            prop_assert_eq!(&held, &needed);
        }
    }
}
