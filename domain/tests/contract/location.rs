//! Locations: given/when/then, and that none is above itself.

use domain::location::{
    ClosingReason, DeactivateLocation, EditLocation, LocationCommand, LocationDeactivated,
    LocationEdited, LocationEvent, LocationKind, LocationReactivated, LocationRegistered, Place,
    ReactivateLocation, RegisterLocation,
};
use domain::{Location, LocationId, Refusal, Standing, Stream};

use crate::support::{Refused, accepts, address, given, now, refuses, uuid, val};

fn site(n: u128) -> LocationId {
    LocationId::from_uuid(uuid(0x800 + n))
}

fn room() -> Place {
    Place {
        name: val("Room 2"),
        parent_id: Some(site(1)),
        address: Some(address()),
        zone: Some(val("America/Chicago")),
    }
}

fn house() -> Place {
    Place { parent_id: None, ..room() }
}

/// A sample of every event, with every optional field filled.
pub(crate) fn location_events() -> Vec<LocationEvent> {
    vec![
        LocationEvent::LocationRegistered(LocationRegistered {
            kind: LocationKind::Room,
            place: room(),
        }),
        LocationEvent::LocationEdited(Box::new(LocationEdited {
            before: Place { name: val("Room 1"), parent_id: None, address: None, zone: None },
            after: room(),
            reason: val("has moved"),
        })),
        LocationEvent::LocationDeactivated(LocationDeactivated {
            reason: ClosingReason::Other,
            note: Some(val("the heating has failed")),
        }),
        LocationEvent::LocationReactivated(LocationReactivated { reason: val("is warm again") }),
    ]
}

fn register(kind: LocationKind, place: Place) -> LocationCommand {
    let Place { name, parent_id, address, zone } = place;
    LocationCommand::Register(RegisterLocation { kind, name, parent_id, address, zone })
}

fn edit(place: Place) -> LocationCommand {
    let Place { name, parent_id, address, zone } = place;
    let reason = val("as it is");
    LocationCommand::Edit(EditLocation { name, parent_id, address, zone, reason })
}

fn deactivate(reason: ClosingReason) -> LocationCommand {
    LocationCommand::Deactivate(DeactivateLocation { reason, note: None })
}

fn reactivate() -> LocationCommand {
    LocationCommand::Reactivate(ReactivateLocation { reason: val("is open again") })
}

fn of_kind(kind: LocationKind) -> Location {
    let place = if kind == LocationKind::Site { house() } else { room() };
    given(&[accepts(&Location::default(), now(), register(kind, place))])
}

#[test]
fn before_it_is_registered_nothing_but_a_registration_is_possible() {
    let fresh = Location::default();
    let nowhere = Place { zone: Some(val("Mars/Olympus")), ..room() };
    let timeless = Place { parent_id: None, zone: None, ..room() };
    let table: Vec<Refused<Location>> = vec![
        ("edit", edit(room()), "not-registered", None),
        ("deactivate", deactivate(ClosingReason::Closed), "not-registered", None),
        ("reactivate", reactivate(), "not-registered", None),
        (
            "a site at a site",
            register(LocationKind::Site, room()),
            "site-with-parent",
            Some("parent_id"),
        ),
        (
            "a room without a clock",
            register(LocationKind::Room, timeless.clone()),
            "time-zone-required",
            Some("zone"),
        ),
        (
            "a site without a clock",
            register(LocationKind::Site, timeless),
            "time-zone-required",
            Some("zone"),
        ),
        (
            "a zone that there is not",
            register(LocationKind::Room, nowhere),
            "unknown-time-zone",
            Some("zone"),
        ),
    ];
    refuses(&fresh, now(), table);
    let at_a_site = Place { zone: None, ..room() };
    accepts(&fresh, now(), register(LocationKind::Room, at_a_site));
    accepts(&fresh, now(), register(LocationKind::Vehicle, house()));
}

#[test]
fn a_zone_is_kept_under_the_name_that_the_database_of_zones_has_for_it() {
    let place = Place { zone: Some(val("america/chicago")), ..room() };
    let event = accepts(&Location::default(), now(), register(LocationKind::Room, place));
    let LocationEvent::LocationRegistered(event) = event else { panic!("a registration") };
    assert_eq!(event.place.zone.as_deref(), Some("America/Chicago"));
}

#[test]
fn what_is_registered_is_edited_taken_out_of_use_and_brought_back() {
    let state = of_kind(LocationKind::Room);
    assert_eq!((state.kind(), state.place()), (Some(LocationKind::Room), Some(&room())));
    refuses(
        &state,
        now(),
        vec![
            ("again", register(LocationKind::Room, room()), "already-registered", None),
            ("edit to the same", edit(room()), "nothing-changed", None),
            ("reactivate", reactivate(), "already-active", None),
            ("without saying why", deactivate(ClosingReason::Other), "note-required", Some("note")),
        ],
    );
    refuses(
        &of_kind(LocationKind::Site),
        now(),
        vec![("move a site to a site", edit(room()), "site-with-parent", Some("parent_id"))],
    );
    let events = [
        accepts(&Location::default(), now(), register(LocationKind::Room, room())),
        accepts(&state, now(), deactivate(ClosingReason::Maintenance)),
    ];
    let closed: Location = given(&events);
    assert!(!closed.is_active());
    refuses(
        &closed,
        now(),
        vec![("deactivate again", deactivate(ClosingReason::Closed), "already-inactive", None)],
    );
    accepts(&closed, now(), edit(Place { name: val("Room 3"), ..room() }));
    accepts(&closed, now(), reactivate());
}

/// What a location comes to be at must be a site in use, and what is a site is at nothing: so there is no way round.
#[test]
fn a_location_relies_on_the_site_that_it_comes_to_be_at() {
    let refusals = |event: &LocationEvent| -> Vec<(uuid::Uuid, Vec<&'static str>)> {
        let relies_on = Location::relies_on(event).into_iter();
        let standings = [
            Standing::Unknown,
            Standing::Inactive,
            Standing::InUse("room"),
            Standing::InUse("site"),
        ];
        relies_on
            .map(|on| {
                assert_eq!(on.stream_type, "location");
                let codes = standings.into_iter().filter_map(on.refusal).map(|it| it.code());
                (on.id, codes.collect())
            })
            .collect()
    };
    let codes = vec!["unknown-parent", "inactive-parent", "parent-is-no-site"];
    let [registered, moved, closed, opened] = &location_events()[..] else { panic!("four") };
    assert_eq!(refusals(registered), [(site(1).as_uuid(), codes.clone())]);
    assert_eq!(refusals(moved), [(site(1).as_uuid(), codes)]);
    assert!(refusals(closed).is_empty() && refusals(opened).is_empty());
    // A new name does not ask for the site again: it may be out of use by now.
    let state = of_kind(LocationKind::Room);
    let renamed = accepts(&state, now(), edit(Place { name: val("Room 3"), ..room() }));
    assert!(refusals(&renamed).is_empty());
}

#[test]
fn a_location_stands_as_what_it_is_while_it_is_in_use() {
    for kind in LocationKind::ALL {
        assert_eq!(of_kind(*kind).standing(), Standing::InUse(kind.as_str()));
    }
    let events = location_events();
    assert_eq!(given::<Location>(&[]).standing(), Standing::Unknown);
    assert_eq!(given::<Location>(&events[..3]).standing(), Standing::Inactive);
    assert_eq!(given::<Location>(&events).standing(), Standing::InUse("room"));
}

/// FHIR's `Location.physicalType`.
#[test]
fn each_kind_has_fhirs_code() {
    let codes = LocationKind::ALL.iter().map(|kind| (kind.as_str(), kind.physical_type()));
    assert_eq!(codes.collect::<Vec<_>>(), [("site", "si"), ("room", "ro"), ("vehicle", "ve")]);
}
