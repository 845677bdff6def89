//! Appointments: given/when/then.

use cqrs_es::Aggregate;
use domain::appointment::{
    AppointmentCommand, AppointmentEvent, AppointmentStatus, BookAppointment, CancelAppointment,
    CancellationReason, CheckIn, EnteredInError, Fulfil, MarkNoShow, RecordVisit,
    RescheduleAppointment, VisitStatus,
};
use domain::value::Fold;
use domain::{Appointment, AppointmentError, Now, Refusal, Reliance, Standing, Stream};
use uuid::Uuid;

use crate::support::{
    Refused, accepts, at, book, booking, chicago, coding, given, now, patient, practitioner,
    refuses, requested, reschedule, room, uuid, val,
};

fn cancel(reason: CancellationReason) -> AppointmentCommand {
    AppointmentCommand::Cancel(CancelAppointment { reason, note: None })
}

fn visit() -> RecordVisit {
    RecordVisit {
        patient_id: patient(1),
        practitioner_id: Some(practitioner(1)),
        room_id: None,
        started_at: at("2019-06-01T08:00:00Z"),
        ended_at: Some(at("2019-06-01T08:15:00Z")),
        class: val("AMB"),
        visit_type: Some(coding("http://snomed.info/sct", "185349003", "Check up")),
        reason: None,
        status: VisitStatus::Finished,
    }
}

/// The steps an appointment can take, each with the status it leads to.
fn steps() -> [(AppointmentStatus, AppointmentCommand); 5] {
    [
        (AppointmentStatus::CheckedIn, AppointmentCommand::CheckIn(CheckIn {})),
        (AppointmentStatus::Fulfilled, AppointmentCommand::Fulfil(Fulfil {})),
        (AppointmentStatus::Cancelled, cancel(CancellationReason::PatientRequest)),
        (AppointmentStatus::NoShow, AppointmentCommand::MarkNoShow(MarkNoShow {})),
        (
            AppointmentStatus::EnteredInError,
            AppointmentCommand::EnteredInError(EnteredInError { reason: val("wrong patient") }),
        ),
    ]
}

/// After the visit's start.
fn later() -> Now {
    Now(at("2026-03-10T20:30:00Z"))
}

fn booked() -> Appointment {
    given(&[accepts(&Appointment::default(), now(), book(chicago("15:00", 30)))])
}

/// An appointment brought to a status.
fn standing(status: AppointmentStatus) -> Appointment {
    let path: &[AppointmentStatus] = match status {
        AppointmentStatus::Booked => &[],
        AppointmentStatus::Recorded => {
            let command = AppointmentCommand::RecordVisit(visit());
            return given(&[accepts(&Appointment::default(), now(), command)]);
        }
        AppointmentStatus::Fulfilled => {
            &[AppointmentStatus::CheckedIn, AppointmentStatus::Fulfilled]
        }
        _ => &[status],
    };
    path.iter().fold(booked(), |mut state, wanted| {
        let (_, command) =
            steps().into_iter().find(|(to, _)| to == wanted).expect("a step to every status");
        let event = accepts(&state, later(), command);
        state.apply(event);
        state
    })
}

#[test]
fn only_legal_steps_are_taken() {
    use AppointmentStatus::{Booked, Cancelled, CheckedIn, EnteredInError, Fulfilled, NoShow};
    let legal = [
        (Booked, CheckedIn),
        (Booked, Cancelled),
        (Booked, NoShow),
        (Booked, EnteredInError),
        (CheckedIn, Fulfilled),
        (CheckedIn, Cancelled),
        (CheckedIn, EnteredInError),
        (Fulfilled, EnteredInError),
        (Cancelled, EnteredInError),
        (NoShow, EnteredInError),
        (AppointmentStatus::Recorded, EnteredInError),
    ];
    for &from in AppointmentStatus::ALL {
        let state = standing(from);
        assert_eq!(state.status(), Some(from));
        for (to, command) in steps() {
            if legal.contains(&(from, to)) {
                let mut after = state.clone();
                after.apply(accepts(&state, later(), command));
                assert_eq!(after.status(), Some(to), "{from} to {to}");
            } else {
                refuses(&state, later(), vec![("step", command, "illegal-transition", None)]);
            }
        }
        if from != Booked {
            let command = reschedule(chicago("16:00", 30));
            refuses(&state, later(), vec![("move", command, "not-movable", None)]);
        }
    }
}

#[test]
fn nothing_happens_to_what_is_not_booked() {
    for (_, command) in steps() {
        refuses(&Appointment::default(), now(), vec![("step", command, "not-booked", None)]);
    }
    let command = reschedule(chicago("16:00", 30));
    refuses(&Appointment::default(), now(), vec![("move", command, "not-booked", None)]);
}

#[test]
fn booking_is_refused_without_sense() {
    let time = |start, minutes| book(requested(start, "America/Chicago", minutes));
    let folded = |start, fold| {
        let mut time = requested(start, "America/Chicago", 30);
        time.fold = Some(fold);
        book(time)
    };
    let asked = |when| {
        let requested_at = Some(at(when));
        AppointmentCommand::Book(BookAppointment { requested_at, ..booking(chicago("15:00", 30)) })
    };
    #[rustfmt::skip]
    let table: Vec<Refused<Appointment>> = vec![
        ("a zone there is not", book(requested("2026-03-10T15:00", "America/Sampleton", 30)), "unknown-time-zone", Some("time.zone")),
        ("the machine's own zone", book(requested("2026-03-10T15:00", "local", 30)), "unknown-time-zone", Some("time.zone")),
        ("in the spring gap", time("2026-03-08T02:30", 30), "time-in-gap", Some("time.start")),
        ("in the gap, with a fold", folded("2026-03-08T02:30", Fold::Later), "time-in-gap", Some("time.start")),
        ("in the autumn fold", time("2026-11-01T01:30", 30), "time-ambiguous", Some("time.fold")),
        ("a fold where there is none", folded("2026-03-10T15:00", Fold::Earlier), "fold-not-needed", Some("time.fold")),
        ("no duration", time("2026-03-10T15:00", 0), "duration-out-of-range", Some("time.duration_minutes")),
        ("longer than a day", time("2026-03-10T15:00", 1441), "duration-out-of-range", Some("time.duration_minutes")),
        ("at some second", time("2026-03-10T15:00:07", 30), "time-not-on-minute", Some("time.start")),
        ("in the ninth century", time("0815-03-10T15:00", 30), "time-out-of-range", Some("time.start")),
        ("in another age", time("9999-12-31T23:59", 30), "time-out-of-range", Some("time.start")),
        ("asked for after its start", AppointmentCommand::Book(BookAppointment { requested_at: Some(at("2026-02-20T12:00:00Z")), ..booking(requested("2026-02-20T05:59", "America/Chicago", 30)) }), "requested-after-start", Some("requested_at")),
        ("asked for tomorrow", asked("2026-03-02T12:00:00Z"), "request-in-future", Some("requested_at")),
    ];
    refuses(&Appointment::default(), now(), table);
}

#[test]
fn a_booked_appointment_refuses() {
    let same = AppointmentCommand::Reschedule(RescheduleAppointment {
        time: chicago("15:00", 30),
        practitioner_id: Some(practitioner(1)),
        room_id: None,
        reason: None,
    });
    let early = Now(at("2026-03-10T19:59:59Z"));
    let no_show = || AppointmentCommand::MarkNoShow(MarkNoShow {});
    #[rustfmt::skip]
    let table: Vec<Refused<Appointment>> = vec![
        ("booked twice", book(chicago("15:00", 30)), "already-booked", None),
        ("recorded too", AppointmentCommand::RecordVisit(visit()), "already-booked", None),
        ("moved to where it is", same, "nothing-changed", None),
        ("moved into the gap", reschedule(requested("2026-03-08T02:30", "America/Chicago", 30)), "time-in-gap", Some("time.start")),
        ("a no-show before the start", no_show(), "not-begun", None),
        ("cancelled, other, unsaid", cancel(CancellationReason::Other), "note-required", Some("note")),
    ];
    refuses(&booked(), early, table);
    accepts(&booked(), Now(at("2026-03-10T20:00:00Z")), no_show());
}

#[test]
fn a_recorded_visit_lies_in_the_past_and_ends_after_it_began() {
    let with = |change: fn(&mut RecordVisit)| {
        let mut command = visit();
        change(&mut command);
        AppointmentCommand::RecordVisit(command)
    };
    #[rustfmt::skip]
    let table: Vec<Refused<Appointment>> = vec![
        ("tomorrow", with(|c| { c.started_at = at("2026-03-02T12:00:00Z"); c.ended_at = None; }), "visit-in-future", Some("started_at")),
        ("ends before it begins", with(|c| c.ended_at = Some(at("2019-06-01T07:59:59Z"))), "end-before-start", Some("ended_at")),
    ];
    refuses(&Appointment::default(), now(), table);
}

#[test]
fn an_instant_a_local_time_and_a_zone_are_kept() {
    let book = book(requested("2025-03-09T15:00", "america/chicago", 30));
    let command = match book {
        AppointmentCommand::Book(book) => {
            AppointmentCommand::Book(BookAppointment { requested_at: None, ..book })
        }
        other => other,
    };
    let state: Appointment = given(&[accepts(&Appointment::default(), now(), command)]);
    let time = &state.slot().expect("a booked appointment has a slot").time;
    assert_eq!(time.starts_at(), at("2025-03-09T20:00:00Z"));
    assert_eq!(time.ends_at(), at("2025-03-09T20:30:00Z"));
    assert_eq!(time.start(), val("2025-03-09T15:00"));
    assert_eq!(time.zone(), "America/Chicago");
    assert_eq!(state.subject(uuid(1)), Some(patient(1).as_uuid()));
}

#[test]
fn a_move_keeps_both_slots_and_what_is_left_out() {
    let event = accepts(&booked(), now(), reschedule(chicago("16:00", 45)));
    let AppointmentEvent::AppointmentRescheduled(moved) = event else {
        panic!("a reschedule makes that event");
    };
    assert_eq!(moved.patient_id, patient(1));
    assert_eq!(Some(&moved.before), booked().slot());
    assert_eq!(moved.after.practitioner_id, moved.before.practitioner_id);
    assert_eq!(moved.after.room_id, moved.before.room_id);
    assert_eq!(moved.after.time.starts_at(), at("2026-03-10T21:00:00Z"));
}

#[test]
fn a_visit_takes_a_minute_to_a_day_in_a_year_of_our_calendars() {
    let time = |start: &str, minutes| book(requested(start, "UTC", minutes));
    let unasked = |command| match command {
        AppointmentCommand::Book(book) => {
            AppointmentCommand::Book(BookAppointment { requested_at: None, ..book })
        }
        other => other,
    };
    for (start, minutes) in [
        ("2026-03-10T15:00", 1),
        ("2026-03-10T15:00", 1440),
        ("1900-01-01T00:00", 30),
        ("2200-12-31T23:59", 30),
    ] {
        accepts(&Appointment::default(), now(), unasked(time(start, minutes)));
    }
    let (range, field) = ("duration-out-of-range", Some("time.duration_minutes"));
    let (age, start) = ("time-out-of-range", Some("time.start"));
    #[rustfmt::skip]
    let table: Vec<Refused<Appointment>> = vec![
        ("no minute", unasked(time("2026-03-10T15:00", 0)), range, field),
        ("a minute more than a day", unasked(time("2026-03-10T15:00", 1441)), range, field),
        ("the most a number holds", unasked(time("2026-03-10T15:00", u32::MAX)), range, field),
        ("before 1900", unasked(time("1899-12-31T23:59", 30)), age, start),
        ("after 2200", unasked(time("2201-01-01T00:00", 30)), age, start),
        ("at a second", unasked(time("2026-03-10T15:00:01", 30)), "time-not-on-minute", start),
        ("at a nanosecond", unasked(time("2026-03-10T15:00:00.000000001", 30)), "time-not-on-minute", start),
        ("in no zone at all", unasked(book(requested("2026-03-10T15:00", "Etc/Unknown", 30))), "unknown-time-zone", Some("time.zone")),
    ];
    refuses(&Appointment::default(), now(), table);
}

#[test]
fn a_request_is_made_before_the_start_and_not_in_the_future() {
    // In Chicago on the first of March at noon UTC it is six in the morning.
    let asked = |start: &str, requested_at: &str| {
        let time = requested(start, "America/Chicago", 30);
        let requested_at = Some(at(requested_at));
        AppointmentCommand::Book(BookAppointment { requested_at, ..booking(time) })
    };
    let soon = "2026-03-01T06:00";
    for (start, when) in [
        (soon, "2026-03-01T12:00:00Z"),
        ("2026-03-02T06:00", "2026-03-01T12:10:00Z"),
        ("2026-02-20T06:00", "2026-02-20T12:00:00Z"),
    ] {
        accepts(&Appointment::default(), now(), asked(start, when));
    }
    #[rustfmt::skip]
    let table: Vec<Refused<Appointment>> = vec![
        ("a nanosecond after the start", asked(soon, "2026-03-01T12:00:00.000000001Z"), "requested-after-start", Some("requested_at")),
        ("beyond the skew of a clock", asked("2026-03-02T06:00", "2026-03-01T12:10:00.000000001Z"), "request-in-future", Some("requested_at")),
    ];
    refuses(&Appointment::default(), now(), table);
}

#[test]
fn a_recorded_visit_may_end_as_it_begins_and_begin_as_a_fast_clock_says() {
    let recorded = |started_at: &str, ended_at: Option<&str>| {
        let (started_at, ended_at) = (at(started_at), ended_at.map(at));
        AppointmentCommand::RecordVisit(RecordVisit { started_at, ended_at, ..visit() })
    };
    let start = "2019-06-01T08:00:00Z";
    for command in [
        recorded(start, None),
        recorded(start, Some(start)),
        recorded(start, Some("2019-06-01T08:00:00.000000001Z")),
        recorded("2026-03-01T12:10:00Z", None),
    ] {
        let event = accepts(&Appointment::default(), now(), command);
        assert!(Appointment::claims(uuid(1), &event).is_empty());
        assert!(Appointment::media(&event).is_empty());
        let state: Appointment = given(&[event]);
        assert_eq!(state.patient_id(), Some(patient(1)));
        assert_eq!(state.visit().map(|visit| visit.status), Some(VisitStatus::Finished));
        assert!(state.slot().is_none());
    }
    #[rustfmt::skip]
    let table: Vec<Refused<Appointment>> = vec![
        ("ends a nanosecond early", recorded(start, Some("2019-06-01T07:59:59.999999999Z")), "end-before-start", Some("ended_at")),
        ("begins beyond the skew", recorded("2026-03-01T12:10:00.000000001Z", None), "visit-in-future", Some("started_at")),
    ];
    refuses(&Appointment::default(), now(), table);
    let state: Appointment =
        given(&[accepts(&Appointment::default(), now(), recorded(start, None))]);
    let again = vec![("recorded twice", recorded(start, None), "already-booked", None)];
    refuses(&state, now(), again);
}

#[test]
fn only_the_reason_other_needs_a_note() {
    for &reason in CancellationReason::ALL {
        let cancel = |note: Option<&str>| {
            AppointmentCommand::Cancel(CancelAppointment { reason, note: note.map(val) })
        };
        accepts(&booked(), now(), cancel(Some("a strike")));
        if reason == CancellationReason::Other {
            let table = vec![("unsaid", cancel(None), "note-required", Some("note"))];
            refuses(&booked(), now(), table);
        } else {
            accepts(&booked(), now(), cancel(None));
        }
    }
}

#[test]
fn each_part_of_a_slot_may_be_moved_alone() {
    let moved = |time, practitioner_n: Option<u128>, room_n: Option<u128>| {
        let command = AppointmentCommand::Reschedule(RescheduleAppointment {
            time,
            practitioner_id: practitioner_n.map(practitioner),
            room_id: room_n.map(room),
            reason: None,
        });
        let mut state = booked();
        let event = accepts(&state, now(), command);
        state.apply(event);
        assert_eq!(state.status(), Some(AppointmentStatus::Booked));
        let slot = state.slot().expect("a slot");
        (slot.practitioner_id, slot.room_id, slot.time.duration_minutes())
    };
    let same = || chicago("15:00", 30);
    assert_eq!(moved(same(), Some(2), None), (practitioner(2), Some(room(1)), 30));
    assert_eq!(moved(same(), None, Some(2)), (practitioner(1), Some(room(2)), 30));
    assert_eq!(moved(chicago("15:00", 31), None, None), (practitioner(1), Some(room(1)), 31));
}

#[test]
fn nothing_is_known_of_what_is_not_booked() {
    let nothing = Appointment::default();
    assert!(nothing.slot().is_none() && nothing.visit().is_none() && nothing.status().is_none());
    assert_eq!((nothing.patient_id(), nothing.subject(uuid(1))), (None, None));
    assert!(booked().visit().is_none());
}

#[test]
fn what_is_booked_or_moved_relies_on_its_practitioner_and_its_room() {
    let refusals = |event: &AppointmentEvent| -> Vec<(&'static str, Uuid, Vec<&'static str>)> {
        let standings = [
            Standing::Unknown,
            Standing::Inactive,
            Standing::InUse("practitioner"),
            Standing::InUse("room"),
            Standing::InUse("vehicle"),
            Standing::InUse("site"),
        ];
        let codes = |on: &Reliance<AppointmentError>| {
            standings.into_iter().filter_map(on.refusal).map(|refusal| refusal.code()).collect()
        };
        let relies_on = Appointment::relies_on(event);
        relies_on.iter().map(|on| (on.stream_type, on.id, codes(on))).collect()
    };
    let with = |n| {
        let codes = vec!["unknown-practitioner", "inactive-practitioner"];
        ("practitioner", practitioner(n).as_uuid(), codes)
    };
    let at =
        |n| ("location", room(n).as_uuid(), vec!["unknown-room", "inactive-room", "room-is-site"]);
    let booked = accepts(&Appointment::default(), now(), book(chicago("15:00", 30)));
    assert_eq!(refusals(&booked), [with(1), at(1)]);
    let state: Appointment = given(std::slice::from_ref(&booked));
    let moved = |practitioner_n: Option<u128>, room_n: Option<u128>| {
        let command = RescheduleAppointment {
            time: chicago("16:00", 30),
            practitioner_id: practitioner_n.map(practitioner),
            room_id: room_n.map(room),
            reason: None,
        };
        refusals(&accepts(&state, now(), AppointmentCommand::Reschedule(command)))
    };
    // Who stays is asked for again: the appointment may be of a time when nobody was.
    assert_eq!(moved(None, None), [with(1), at(1)]);
    assert_eq!(moved(Some(2), Some(3)), [with(2), at(3)]);
    // Nothing else asks: whoever has left since is still cancelled with, and seen.
    for event in
        [AppointmentCommand::CheckIn(CheckIn {}), cancel(CancellationReason::PatientRequest)]
    {
        assert!(refusals(&accepts(&state, now(), event)).is_empty());
    }
}
