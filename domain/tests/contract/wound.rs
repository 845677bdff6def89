//! Episodes of wounds: given/when/then.

use cqrs_es::Aggregate;
use domain::value::{Digest, Note};
use domain::wound::{
    AnatomicalSite, Boundary, CaptureRef, CloseReason, CloseWound, ConfirmMeasurement, Etiology,
    Laterality, MAX_RESULTS, MAX_SCANS, Measurement, MeasurementParts, MediaType, OpenWound,
    RecordMeasurement, RecordScan, RejectScan, RejectionReason, TissuePermille,
    WithdrawMeasurement, WithdrawalReason, WoundCommand, WoundEvent, codes,
};
use domain::{MediaRef, Stream, WoundEpisode};

use crate::support::{
    Refused, accepts, at, capture, given, measurement, measurement_id, measurement_parts, now,
    patient, refuses, scan, uuid, val,
};

const MODEL: Digest = Digest([0xAA; 32]);
const OTHER_MODEL: Digest = Digest([0xBB; 32]);

fn open() -> OpenWound {
    OpenWound {
        patient_id: patient(1),
        site: AnatomicalSite::Heel,
        laterality: Some(Laterality::Left),
        etiology: Etiology::DiabeticFootUlcer,
        onset: Some(val("2025-11")),
        note: None,
    }
}

fn record_scan(n: u8) -> RecordScan {
    RecordScan {
        scan_id: scan(n.into()),
        capture: capture(n),
        captured_at: at("2026-03-01T11:00:00Z"),
    }
}

fn measure(scan_n: u128, id: u128, model: Digest, boundary: Boundary) -> WoundCommand {
    WoundCommand::RecordMeasurement(RecordMeasurement {
        scan_id: scan(scan_n),
        measurement_id: measurement_id(id),
        model_digest: model,
        measurement: measurement(boundary),
    })
}

fn reject(n: u128, model_digest: Option<Digest>, reason: RejectionReason) -> WoundCommand {
    WoundCommand::RejectScan(RejectScan { scan_id: scan(n), model_digest, reason, detail: None })
}

fn confirm(id: u128) -> WoundCommand {
    WoundCommand::ConfirmMeasurement(ConfirmMeasurement { measurement_id: measurement_id(id) })
}

fn withdraw(id: u128, reason: WithdrawalReason) -> WoundCommand {
    let measurement_id = measurement_id(id);
    WoundCommand::WithdrawMeasurement(WithdrawMeasurement { measurement_id, reason })
}

fn close(reason: CloseReason) -> WoundCommand {
    WoundCommand::Close(CloseWound { reason, note: None })
}

fn after(commands: Vec<WoundCommand>) -> WoundEpisode {
    commands.into_iter().fold(WoundEpisode::default(), |mut state, command| {
        let event = accepts(&state, now(), command);
        state.apply(event);
        state
    })
}

/// An episode with scan 1, which `MODEL` measured as measurement 1.
fn measured() -> Vec<WoundCommand> {
    vec![
        WoundCommand::Open(open()),
        WoundCommand::RecordScan(record_scan(1)),
        measure(1, 1, MODEL, Boundary::Network),
    ]
}

fn and(mut commands: Vec<WoundCommand>, more: WoundCommand) -> Vec<WoundCommand> {
    commands.push(more);
    commands
}

#[test]
fn what_is_not_open_refuses() {
    let sideless = OpenWound { laterality: None, ..open() };
    let tomorrow = OpenWound { onset: Some(val("2027")), ..open() };
    #[rustfmt::skip]
    let table: Vec<Refused<WoundEpisode>> = vec![
        ("no side", WoundCommand::Open(sideless), "laterality-required", Some("laterality")),
        ("not yet there", WoundCommand::Open(tomorrow), "onset-in-future", Some("onset")),
        ("scan", WoundCommand::RecordScan(record_scan(1)), "not-opened", None),
        ("measure", measure(1, 1, MODEL, Boundary::Network), "not-opened", None),
        ("reject", reject(1, None, RejectionReason::WrongWound), "not-opened", None),
        ("confirm", confirm(1), "not-opened", None),
        ("withdraw", withdraw(1, WithdrawalReason::EnteredInError), "not-opened", None),
        ("close", close(CloseReason::Healed), "not-opened", None),
    ];
    refuses(&WoundEpisode::default(), now(), table);
    let middle = OpenWound { site: AnatomicalSite::Sacrum, laterality: None, ..open() };
    accepts(&WoundEpisode::default(), now(), WoundCommand::Open(middle));
}

#[test]
fn an_open_episode_refuses() {
    let state = after(measured());
    let again = RecordScan { scan_id: scan(9), ..record_scan(1) };
    let ahead = RecordScan { captured_at: at("2026-03-01T12:10:01Z"), ..record_scan(2) };
    #[rustfmt::skip]
    let table: Vec<Refused<WoundEpisode>> = vec![
        ("opened twice", WoundCommand::Open(open()), "already-opened", None),
        ("one scan id twice", WoundCommand::RecordScan(record_scan(1)), "scan-already-recorded", Some("scan_id")),
        ("one capture twice", WoundCommand::RecordScan(again), "capture-already-recorded", Some("capture")),
        ("a capture of the future", WoundCommand::RecordScan(ahead), "capture-in-future", Some("captured_at")),
        ("measured twice", measure(1, 2, MODEL, Boundary::Network), "already-measured", Some("model_digest")),
        ("rejected after measuring", reject(1, Some(MODEL), RejectionReason::NoWoundFound), "already-measured", Some("model_digest")),
        ("one measurement id twice", measure(1, 1, OTHER_MODEL, Boundary::Network), "measurement-already-recorded", Some("measurement_id")),
        ("a scan there is not", measure(7, 2, MODEL, Boundary::Network), "unknown-scan", Some("scan_id")),
        ("a scan there is not, rejected", reject(7, None, RejectionReason::WrongWound), "unknown-scan", Some("scan_id")),
        ("rejected for another reason, unsaid", reject(1, None, RejectionReason::Other), "detail-required", Some("detail")),
        ("a measurement there is not", confirm(7), "unknown-measurement", Some("measurement_id")),
        ("a measurement there is not, withdrawn", withdraw(7, WithdrawalReason::ModelWithdrawn), "unknown-measurement", Some("measurement_id")),
        ("closed for another reason, unsaid", close(CloseReason::Other), "note-required", Some("note")),
    ];
    refuses(&state, now(), table);
}

#[test]
fn another_model_and_a_person_may_measure_the_same_scan() {
    let state = after(measured());
    accepts(&state, now(), measure(1, 2, OTHER_MODEL, Boundary::Network));
    accepts(&state, now(), measure(1, 2, MODEL, Boundary::Outline));
    accepts(&state, now(), reject(1, Some(OTHER_MODEL), RejectionReason::NoWoundFound));
}

#[test]
fn a_scan_a_model_rejected_may_be_measured_by_another_and_by_nobody_once_a_person_did() {
    let scanned = vec![WoundCommand::Open(open()), WoundCommand::RecordScan(record_scan(1))];
    let state = after(and(scanned, reject(1, Some(MODEL), RejectionReason::LowConfidenceDepth)));
    let again = reject(1, Some(MODEL), RejectionReason::NoWoundFound);
    refuses(&state, now(), vec![("again", again, "already-measured", Some("model_digest"))]);
    accepts(&state, now(), measure(1, 1, OTHER_MODEL, Boundary::Network));

    let state = after(and(measured(), reject(1, None, RejectionReason::WrongWound)));
    #[rustfmt::skip]
    let table: Vec<Refused<WoundEpisode>> = vec![
        ("measured", measure(1, 2, OTHER_MODEL, Boundary::Network), "scan-rejected", Some("scan_id")),
        ("rejected twice", reject(1, None, RejectionReason::WrongWound), "scan-rejected", Some("scan_id")),
        ("confirmed", confirm(1), "scan-rejected", Some("scan_id")),
    ];
    refuses(&state, now(), table);
    let same_capture = RecordScan { scan_id: scan(2), ..record_scan(1) };
    accepts(&state, now(), WoundCommand::RecordScan(same_capture));
}

#[test]
fn whoever_measures_is_told_the_rule_by_which_answers_are_refused() {
    let awaits = |state: &WoundEpisode, n: u128| {
        [MODEL, OTHER_MODEL].map(|model| state.awaits_answer(scan(n), &model))
    };
    let scanned = vec![WoundCommand::Open(open()), WoundCommand::RecordScan(record_scan(1))];
    let by_model = reject(1, Some(MODEL), RejectionReason::NoWoundFound);
    let by_person = reject(1, None, RejectionReason::WrongWound);
    for (case, commands, expected) in [
        ("not opened", vec![], [false, false]),
        ("not answered", scanned.clone(), [true, true]),
        ("measured by a model", measured(), [false, true]),
        ("rejected by a model", and(scanned.clone(), by_model), [false, true]),
        ("rejected by a person", and(measured(), by_person), [false, false]),
        ("closed since", and(scanned, close(CloseReason::Healed)), [true, true]),
    ] {
        let state = after(commands);
        assert_eq!(awaits(&state, 1), expected, "{case}");
        assert_eq!(awaits(&state, 7), [false, false], "{case}: a scan there is not");
    }
}

#[test]
fn a_measurement_is_confirmed_once() {
    let state = after(and(measured(), confirm(1)));
    assert!(state.is_confirmed(measurement_id(1)));
    let table = vec![("twice", confirm(1), "already-confirmed", Some("measurement_id"))];
    refuses(&state, now(), table);
}

#[test]
fn a_measurement_is_withdrawn_once_and_counts_no_more() {
    use WithdrawalReason::{EnteredInError, ModelWithdrawn};
    let state = after(and(measured(), withdraw(1, ModelWithdrawn)));
    assert!(state.is_withdrawn(measurement_id(1)));
    #[rustfmt::skip]
    refuses(&state, now(), vec![
        ("withdrawn twice", withdraw(1, ModelWithdrawn), "already-withdrawn", Some("measurement_id")),
        ("withdrawn twice, for another reason", withdraw(1, EnteredInError), "already-withdrawn", Some("measurement_id")),
        ("confirmed once withdrawn", confirm(1), "measurement-withdrawn", None),
        ("measured anew by the same model", measure(1, 2, MODEL, Boundary::Network), "already-measured", Some("model_digest")),
    ]);
    // Another model, or a person, may still answer.
    accepts(&state, now(), measure(1, 2, OTHER_MODEL, Boundary::Network));
    accepts(&state, now(), measure(1, 2, MODEL, Boundary::Outline));
}

#[test]
fn what_a_clinician_confirmed_only_a_clinician_takes_back() {
    use WithdrawalReason::{EnteredInError, ModelWithdrawn};
    let confirmed = and(measured(), confirm(1));
    let state = after(confirmed.clone());
    refuses(
        &state,
        now(),
        vec![("with its model", withdraw(1, ModelWithdrawn), "measurement-confirmed", None)],
    );
    let state = after(and(confirmed.clone(), withdraw(1, EnteredInError)));
    assert!(state.is_withdrawn(measurement_id(1)) && state.is_confirmed(measurement_id(1)));
    refuses(&state, now(), vec![("confirmed again", confirm(1), "measurement-withdrawn", None)]);
    let closed = and(confirmed, close(CloseReason::Healed));
    accepts(&after(closed), now(), withdraw(1, EnteredInError));
}

#[test]
fn a_closed_episode_takes_no_scan_but_the_answers_on_their_way() {
    let state = after(and(measured(), close(CloseReason::Healed)));
    assert!(!state.is_open());
    #[rustfmt::skip]
    let table: Vec<Refused<WoundEpisode>> = vec![
        ("scan", WoundCommand::RecordScan(record_scan(2)), "wound-closed", None),
        ("closed twice", close(CloseReason::Healed), "wound-closed", None),
        ("opened again", WoundCommand::Open(open()), "already-opened", None),
    ];
    refuses(&state, now(), table);
    accepts(&state, now(), measure(1, 2, OTHER_MODEL, Boundary::Network));
    accepts(&state, now(), confirm(1));
}

#[test]
fn an_episode_and_a_scan_are_bounded() {
    let mut state = after(vec![WoundCommand::Open(open())]);
    for n in 0..MAX_SCANS {
        let mut command = record_scan(0);
        command.scan_id = scan(n as u128);
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&(n as u64).to_be_bytes());
        let parts = capture(0);
        command.capture =
            CaptureRef::new(parts.blob_id, Digest(digest), parts.size, parts.media_type.clone())
                .expect("a valid capture");
        let event = accepts(&state, now(), WoundCommand::RecordScan(command));
        state.apply(event);
    }
    let more = WoundCommand::RecordScan(RecordScan { scan_id: scan(5_000), ..record_scan(1) });
    refuses(&state, now(), vec![("one more scan", more, "too-many-scans", None)]);

    let mut state =
        after(vec![WoundCommand::Open(open()), WoundCommand::RecordScan(record_scan(1))]);
    for id in 0..MAX_RESULTS {
        let event = accepts(&state, now(), measure(1, id as u128, MODEL, Boundary::Outline));
        state.apply(event);
    }
    let more = measure(1, 9_999, OTHER_MODEL, Boundary::Network);
    refuses(&state, now(), vec![("one more result", more, "too-many-results", None)]);
}

#[test]
fn a_scan_names_its_capture_for_the_statement() {
    let opened = after(vec![WoundCommand::Open(open())]);
    let event = accepts(&opened, now(), WoundCommand::RecordScan(record_scan(1)));
    let expected = MediaRef {
        sha256: [1; 32],
        size: 1_234_567,
        media_type: "application/vnd.coherency.capture+tar".to_owned(),
    };
    assert_eq!(WoundEpisode::media(&event), vec![expected]);
    assert!(WoundEpisode::claims(uuid(1), &event).is_empty());
    assert_eq!(given::<WoundEpisode>(&[event]).subject(uuid(1)), None);
    assert_eq!(opened.subject(uuid(1)), Some(patient(1).as_uuid()));
}

#[test]
fn an_event_without_its_scan_does_not_break_the_fold() {
    let orphan = WoundEvent::MeasurementConfirmed(domain::wound::MeasurementConfirmed {
        measurement_id: measurement_id(3),
    });
    assert!(given::<WoundEpisode>(&[orphan]).opening().is_none());
}

#[test]
fn a_measurement_holds_no_nonsense() {
    type Change = fn(&mut MeasurementParts);
    let with = |change: Change| {
        let mut parts = measurement_parts(Boundary::Network);
        change(&mut parts);
        Measurement::try_from(parts).err().map(|error| error.to_string())
    };
    assert_eq!(with(|_| ()), None);
    assert_eq!(with(|m| m.outline.clear()), None);
    assert_eq!(with(|m| m.tissue = None), None);
    let two = TissuePermille {
        granulation: 850,
        slough: 150,
        necrosis: None,
        epithelium: None,
        sd: Some(200),
    };
    let tissue = |tissue: TissuePermille| {
        let mut parts = measurement_parts(Boundary::Network);
        parts.tissue = Some(tissue);
        Measurement::try_from(parts).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(tissue(two), "", "what is not told apart is not part of the sum");
    for nonsense in [
        TissuePermille { slough: 149, ..two },
        TissuePermille { epithelium: Some(1), ..two },
        TissuePermille { granulation: u16::MAX, slough: u16::MAX, ..two },
        TissuePermille { sd: Some(1001), ..two },
    ] {
        assert!(tissue(nonsense).contains("tissue"), "{nonsense:?}");
    }
    #[rustfmt::skip]
    let refused: Vec<(Change, &str)> = vec![
        (|m| m.area_um2 = 0, "area is zero"),
        (|m| m.area_um2 = Measurement::MAX_AREA_UM2 + 1, "area_um2"),
        (|m| m.perimeter_um = u32::MAX, "perimeter_um"),
        (|m| m.length_um = u32::MAX, "length_um"),
        (|m| m.width_sd_um = u32::MAX, "width_sd_um"),
        (|m| m.max_depth_um = u32::MAX, "max_depth_um"),
        (|m| m.volume_nl = u64::MAX, "volume_nl"),
        (|m| m.wound_probability_permille = 1001, "wound_probability_permille"),
        (|m| m.outline.truncate(2), "outline"),
        (|m| m.outline = vec![[0, 0]; Measurement::MAX_OUTLINE_POINTS + 1], "outline"),
    ];
    for (change, named) in refused {
        let text = with(change).unwrap_or_else(|| panic!("{named}: must be refused"));
        assert!(text.contains(named), "{named}: {text}");
    }
}

#[test]
fn a_capture_holds_no_nonsense() {
    for media_type in ["", "ply", "application/", "/ply", "a b/c", "text/html; charset=utf-8"] {
        assert!(MediaType::new(media_type).is_err(), "{media_type}");
    }
    let ply = MediaType::new("Application/PLY").expect("a media type");
    assert_eq!(ply.as_str(), "application/ply");
    for size in [0, CaptureRef::MAX_SIZE + 1] {
        assert!(CaptureRef::new(uuid(1), MODEL, size, ply.clone()).is_err());
    }
}

#[test]
fn units_are_converted_for_people() {
    let measurement = measurement(Boundary::Network);
    let close_to = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert!(close_to(measurement.area_cm2(), 12.5));
    assert!(close_to(measurement.perimeter_cm(), 13.1));
    assert!(close_to(measurement.length_cm(), 4.5));
    assert!(close_to(measurement.width_cm(), 3.5));
    assert!(close_to(measurement.max_depth_cm(), 0.42));
    assert!(close_to(measurement.volume_cm3(), 2.1));
}

#[test]
fn the_codes_are_pinned() {
    let expected = [
        ("http://loinc.org", "72287-6", "wound assessment panel"),
        ("http://loinc.org", "89260-4", "area, cm2"),
        ("http://loinc.org", "39126-8", "length, cm"),
        ("http://loinc.org", "39125-0", "width, cm"),
        ("http://loinc.org", "39127-6", "depth, cm"),
        ("http://loinc.org", "94083-3", "volume, cm3"),
        ("http://loinc.org", "72370-0", "tissue, %"),
        ("http://loinc.org", "72293-4", "undermining"),
        ("http://loinc.org", "72296-7", "tunnelling"),
        ("http://snomed.info/sct", "225541009", "granulation"),
        ("http://snomed.info/sct", "449746002", "slough"),
        ("http://snomed.info/sct", "449743005", "epithelialisation"),
        ("http://snomed.info/sct", "421306004", "eschar"),
    ];
    assert_eq!(codes::TABLE, expected);
    assert_ne!(codes::AREA, "39126-8", "39126-8 is the length");
}

#[test]
fn a_note_may_be_long_but_not_endless() {
    assert!(Note::new(&"x".repeat(Note::MAX)).is_ok());
    assert!(Note::new(&"x".repeat(Note::MAX + 1)).is_err());
}

#[test]
fn a_limb_has_sides_and_the_trunk_has_none() {
    use AnatomicalSite::{Abdomen, Back, Chest, HeadNeck, Other, Perineum, Sacrum};
    for &site in AnatomicalSite::ALL {
        let sided = ![HeadNeck, Chest, Abdomen, Back, Sacrum, Perineum, Other].contains(&site);
        assert_eq!(site.has_sides(), sided, "{site}");
        let sideless = WoundCommand::Open(OpenWound { site, laterality: None, ..open() });
        if sided {
            let table = vec![("no side", sideless, "laterality-required", Some("laterality"))];
            refuses(&WoundEpisode::default(), now(), table);
        } else {
            accepts(&WoundEpisode::default(), now(), sideless);
        }
        accepts(&WoundEpisode::default(), now(), WoundCommand::Open(OpenWound { site, ..open() }));
    }
}

#[test]
fn an_onset_and_a_capture_may_be_as_late_as_a_fast_clock_says() {
    let since = |onset: &str| WoundCommand::Open(OpenWound { onset: Some(val(onset)), ..open() });
    accepts(&WoundEpisode::default(), now(), since("2026-03-02"));
    let table = vec![("in two days", since("2026-03-03"), "onset-in-future", Some("onset"))];
    refuses(&WoundEpisode::default(), now(), table);

    let state = after(measured());
    let taken = |captured_at: &str| {
        WoundCommand::RecordScan(RecordScan { captured_at: at(captured_at), ..record_scan(2) })
    };
    accepts(&state, now(), taken("2026-03-01T12:10:00Z"));
    let ahead = taken("2026-03-01T12:10:00.000000001Z");
    refuses(&state, now(), vec![("ahead", ahead, "capture-in-future", Some("captured_at"))]);
}

#[test]
fn only_the_reason_other_needs_to_be_explained() {
    let state = after(measured());
    for &reason in CloseReason::ALL {
        let note = Some(val("moved to another ward"));
        accepts(&state, now(), WoundCommand::Close(CloseWound { reason, note }));
        if reason != CloseReason::Other {
            accepts(&state, now(), close(reason));
        }
    }
    for &reason in RejectionReason::ALL {
        let detail = Some(val("a finger before the lens"));
        let said = RejectScan { scan_id: scan(1), model_digest: None, reason, detail };
        accepts(&state, now(), WoundCommand::RejectScan(said));
        if reason != RejectionReason::Other {
            accepts(&state, now(), reject(1, None, reason));
        }
    }
}

#[test]
fn a_rejection_counts_towards_the_bound_of_a_scan() {
    let mut state =
        after(vec![WoundCommand::Open(open()), WoundCommand::RecordScan(record_scan(1))]);
    for n in 0..MAX_RESULTS {
        let model = Digest([u8::try_from(n).expect("a small number"); 32]);
        let event = accepts(&state, now(), reject(1, Some(model), RejectionReason::TooFar));
        state.apply(event);
    }
    let more = reject(1, Some(MODEL), RejectionReason::TooFar);
    refuses(&state, now(), vec![("one more result", more, "too-many-results", None)]);
}

#[test]
fn an_episode_shows_what_its_events_say() {
    let nothing = WoundEpisode::default();
    assert!(!nothing.is_open() && nothing.opening().is_none() && nothing.scan(scan(1)).is_none());
    let state = after(measured());
    assert!(state.is_open() && state.opening().is_some());
    let recorded = state.scan(scan(1)).expect("a scan");
    assert_eq!(recorded.measurements, [measurement_id(1)]);
    assert!(!recorded.rejected && state.scan(scan(2)).is_none());
    for id in [1, 2] {
        assert!(!state.is_confirmed(measurement_id(id)) && !state.is_withdrawn(measurement_id(id)));
    }
    let state = after(and(measured(), confirm(1)));
    assert!(!state.is_confirmed(measurement_id(2)) && !state.is_withdrawn(measurement_id(1)));
    let state = after(and(measured(), reject(1, None, RejectionReason::WrongWound)));
    assert!(state.scan(scan(1)).is_some_and(|scan| scan.rejected));
    let closed = after(and(measured(), close(CloseReason::Healed)));
    assert!(closed.opening().is_some());
}

#[test]
fn a_measurement_may_be_as_large_as_its_limits() {
    let limits = (
        Measurement::MAX_AREA_UM2,
        Measurement::MAX_LENGTH_UM,
        Measurement::MAX_VOLUME_NL,
        Measurement::MAX_OUTLINE_POINTS,
    );
    assert_eq!(limits, (2_000_000_000_000, 10_000_000, 10_000_000_000, 512));
    let whole = TissuePermille {
        granulation: 1000,
        slough: 0,
        necrosis: None,
        epithelium: None,
        sd: Some(1000),
    };
    let largest = || MeasurementParts {
        area_um2: limits.0,
        area_sd_um2: limits.0,
        perimeter_um: limits.1,
        perimeter_sd_um: limits.1,
        length_um: limits.1,
        length_sd_um: limits.1,
        width_um: limits.1,
        width_sd_um: limits.1,
        max_depth_um: limits.1,
        max_depth_sd_um: limits.1,
        volume_nl: limits.2,
        volume_sd_nl: limits.2,
        wound_probability_permille: 1000,
        tissue: Some(whole),
        outline: vec![[u16::MAX, u16::MAX]; limits.3],
        ..measurement_parts(Boundary::Network)
    };
    assert!(Measurement::try_from(largest()).is_ok());
    type Change = fn(&mut MeasurementParts);
    #[rustfmt::skip]
    let beyond: Vec<(Change, &str)> = vec![
        (|m| m.area_um2 += 1, "area_um2"),
        (|m| m.area_sd_um2 += 1, "area_sd_um2"),
        (|m| m.perimeter_um += 1, "perimeter_um"),
        (|m| m.perimeter_sd_um += 1, "perimeter_sd_um"),
        (|m| m.length_um += 1, "length_um"),
        (|m| m.length_sd_um += 1, "length_sd_um"),
        (|m| m.width_um += 1, "width_um"),
        (|m| m.width_sd_um += 1, "width_sd_um"),
        (|m| m.max_depth_um += 1, "max_depth_um"),
        (|m| m.max_depth_sd_um += 1, "max_depth_sd_um"),
        (|m| m.volume_nl += 1, "volume_nl"),
        (|m| m.volume_sd_nl += 1, "volume_sd_nl"),
        (|m| m.wound_probability_permille += 1, "wound_probability_permille"),
        (|m| m.tissue = m.tissue.map(|tissue| TissuePermille { sd: Some(1001), ..tissue }), "tissue.sd"),
        (|m| m.tissue = m.tissue.map(|tissue| TissuePermille { slough: 1, ..tissue }), "tissue shares"),
        (|m| m.outline.push([0, 0]), "outline"),
    ];
    for (change, named) in beyond {
        let mut parts = largest();
        change(&mut parts);
        let error = Measurement::try_from(parts).expect_err(named).to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
    let smallest = MeasurementParts {
        area_um2: 1,
        outline: vec![[0, 0]; 3],
        ..measurement_parts(Boundary::Outline)
    };
    assert!(Measurement::try_from(smallest).is_ok());
}

#[test]
fn a_capture_has_a_byte_to_256_mebibytes_and_a_media_type() {
    assert_eq!(CaptureRef::MAX_SIZE, 268_435_456);
    let ply = MediaType::new("application/ply").expect("a media type");
    for size in [1, CaptureRef::MAX_SIZE] {
        let capture = CaptureRef::new(uuid(1), MODEL, size, ply.clone()).expect("a capture");
        assert_eq!(capture.size, size);
        let json = serde_json::to_string(&capture).expect("serialisable");
        assert!(serde_json::from_str::<CaptureRef>(&json).is_ok_and(|again| again == capture));
    }
    let of = |length: usize| format!("{:x<length$}", "a/");
    for media_type in ["a/b", "x-y/z!#$&-^_.+9", &of(100)] {
        let kept = MediaType::new(media_type).expect(media_type);
        assert_eq!((kept.as_str(), kept.to_string().as_str()), (media_type, media_type));
        assert_eq!(media_type.parse(), Ok(kept));
    }
    for media_type in [&of(101), "a", "a/", "/b", "a/b/c", "a/b,c", "a(b/c", "é/a", "a/é"] {
        assert!(MediaType::new(media_type).is_err(), "{media_type}");
    }
}
