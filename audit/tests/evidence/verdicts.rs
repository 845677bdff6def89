//! What a verdict rests on where something is missing or unread: which keys count, which gaps are excused, in which
//! order and words it is told.

use audit::checkpoint::Checkpoint;
use audit::keyring::{Keyring, KeyringError};
use audit::merkle::{CompactRange, Hash};
use audit::note::{MAX_NOTE, NoteError, NoteVerifier};
use audit::proof::{MAX_RECEIPT, MAX_RECEIPT_EVENTS, ProofError, Receipt};
use audit::statement::Statement;
use audit::verify::{
    FindingKind, LogEntry, Options, Report, Seen, SeenError, Trust, Verifier, verify_log,
};
use jiff::SignedDuration;

use crate::world::{
    FIRST_KEY_UNTIL, ORIGIN, SECOND_KEY_FROM, SEEDS, World, entry, keys, leaf, patient_event,
    recorded_at, trust, verifiers, world,
};

/// The entries without leaf hashes kept apart, so that only the log itself tells.
fn entries(world: &World) -> Vec<LogEntry> {
    world.entries.iter().cloned().map(|entry| LogEntry { leaf_hash: None, ..entry }).collect()
}

fn note_of(entries: &[LogEntry], seed: &[u8; 32]) -> String {
    let mut tree = CompactRange::new();
    tree.append(&entries.iter().map(leaf).collect::<Vec<_>>());
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: tree.size(), root: tree.root() };
    checkpoint.to_note(&keys(seed).notes).expect("signed")
}

fn second_key() -> Trust {
    Trust::new(ORIGIN, keys(&SEEDS[1]).events.public()).expect("a name")
}

fn both_keys() -> Trust {
    Trust::any_of(ORIGIN, verifiers())
}

fn found(report: &Report) -> Vec<(u64, FindingKind)> {
    report.findings.iter().map(|finding| (finding.position, finding.kind)).collect()
}

fn kinds(report: &Report) -> Vec<FindingKind> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn keys_of_two_logs_are_refused_together() {
    let [first, second] = [0, 1].map(|at| verifiers()[at].to_string());
    let other = audit::note::NoteSigner::new("other.example/log", &SEEDS[1]).expect("a name");
    let other = other.verifier().to_string();
    let both = Trust::parse_all([&*first, &*second, &*first]).expect("keys of one log");
    assert_eq!((both.origin(), both.keys()), (ORIGIN, &*verifiers()));
    let refused = Err(NoteError::VerifierKey("the keys are of different logs"));
    for vkeys in [[&*first, &*other], [&*other, &*first]] {
        assert_eq!(Trust::parse_all(vkeys).map(|trust| trust.keys().to_vec()), refused);
    }
    let none: [&str; 0] = [];
    let refused = Trust::parse_all(none).map(|trust| trust.keys().to_vec());
    assert_eq!(refused, Err(NoteError::VerifierKey("there is none")));
    let strangers = vec![NoteVerifier::parse(&other).expect("a key")];
    assert!(Trust::any_of(ORIGIN, strangers).keys().is_empty());
}

/// At one position what is wrong with an event comes before what is wrong with a tile, whichever was told first.
#[test]
fn findings_are_told_in_one_order() {
    let told = [
        (FindingKind::Stray, 0, None),
        (FindingKind::Tile, 7, None),
        (FindingKind::Column, 7, None),
        (FindingKind::Column, 7, Some(9)),
        (FindingKind::Tile, 7, Some(9)),
        (FindingKind::Tile, 3, None),
    ];
    let order = [
        (FindingKind::Tile, 3, None),
        (FindingKind::Column, 7, Some(9)),
        (FindingKind::Tile, 7, Some(9)),
        (FindingKind::Column, 7, None),
        (FindingKind::Tile, 7, None),
        (FindingKind::Stray, 0, None),
    ];
    let world = world(12);
    let reversed: Vec<_> = told.iter().rev().copied().collect();
    for told in [&told[..], &reversed] {
        let mut verifier = Verifier::new(trust(), Options::default());
        for (kind, position, last) in told {
            verifier.report_span(*position, last.unwrap_or(*position), *kind, "so it is");
        }
        verifier.push(&world.entries);
        let report = verifier.finish(world.note());
        let found: Vec<_> =
            report.findings.iter().map(|one| (one.kind, one.position, one.last)).collect();
        assert_eq!(found, order);
    }
}

/// Where no more are kept, an earlier position takes the place of a later one, and of the same place the first told stays.
#[test]
fn of_too_many_findings_the_lowest_are_kept() {
    let world = world(12);
    let kept = |told: &[(u64, FindingKind)]| {
        let options = Options { max_findings: 2, ..Options::default() };
        let mut verifier = Verifier::new(trust(), options);
        for (position, kind) in told {
            verifier.report(*position, *kind, "so it is");
        }
        verifier.push(&world.entries);
        let report = verifier.finish(world.note());
        (found(&report), report.more_findings)
    };
    let (one, other) = (FindingKind::Column, FindingKind::Signature);
    let both = vec![(5, one), (7, one)];
    assert_eq!(kept(&[(5, one), (7, one), (7, other)]), (both.clone(), 1));
    let lower = vec![(5, one), (6, other)];
    assert_eq!(kept(&[(7, one), (5, one), (6, other), (9, one)]), (lower, 2));
    assert_eq!(kept(&[(9, one), (7, one), (5, one)]), (both, 1));
}

#[test]
fn a_wrong_root_is_told_beside_what_others_miss() {
    let world = world(12);
    let mut verifier = Verifier::new(trust(), Options::default());
    verifier.report(12, FindingKind::Missing, "the right edge says there is more");
    verifier.push(&world.entries);
    let other = Checkpoint { origin: ORIGIN.to_owned(), size: 12, root: Hash([7; 32]) };
    let note = other.to_note(&keys(&SEEDS[0]).notes).expect("signed");
    let report = verifier.finish(&note);
    assert_eq!(found(&report), [(0, FindingKind::Root), (12, FindingKind::Missing)]);
}

#[test]
fn a_missing_end_that_was_named_before_is_named_once() {
    let world = world(12);
    let longer = Checkpoint { origin: ORIGIN.to_owned(), size: 13, root: Hash([7; 32]) };
    let note = longer.to_note(&keys(&SEEDS[0]).notes).expect("signed");
    for named in [true, false] {
        let mut verifier = Verifier::new(trust(), Options::default());
        if named {
            verifier.report(12, FindingKind::Missing, "the right edge says there is more");
        }
        verifier.push(&world.entries);
        assert_eq!(found(&verifier.finish(&note)), [(12, FindingKind::Missing)]);
    }
}

#[test]
fn how_much_is_missing_in_the_midst_is_said() {
    let world = world(12);
    let mut entries = entries(&world);
    entries.drain(5..7);
    let report = verify_log(&entries, world.note(), trust(), Options::default());
    let missing = report.findings.iter().find(|finding| finding.kind == FindingKind::Missing);
    let missing = missing.expect("noticed");
    let said = "2 positions are missing from here";
    assert_eq!((missing.position, &*missing.detail), (5, said));
}

/// Without its beginning a log has no key for any event. That is said once, of the log.
#[test]
fn that_the_beginning_is_missing_is_said_once() {
    let world = world(12);
    let report = verify_log(&entries(&world)[3..], world.note(), trust(), Options::default());
    let named = report.findings.iter().filter(|finding| finding.kind == FindingKind::Genesis);
    let named: Vec<_> = named.map(|finding| (finding.position, &*finding.detail)).collect();
    assert_eq!(named, [(0, "the log does not begin at position 0")]);
}

/// That the auditor trusts a key is not enough for a checkpoint after the key's retirement.
#[test]
fn what_was_seen_is_signed_by_a_key_of_its_time() {
    let world = world(300);
    let (size, note) = world.checkpoints.iter().find(|(size, _)| *size > 250).expect("later");
    let checkpoint = Checkpoint::peek(note).expect("a checkpoint");
    for (seed, expected) in [(&SEEDS[1], vec![]), (&SEEDS[0], vec![(size - 1, FindingKind::Seen)])]
    {
        let note = checkpoint.to_note(&keys(seed).notes).expect("signed");
        let seen = vec![Seen::parse("before", note.as_bytes()).expect("it reads")];
        let options = Options { seen, ..Options::default() };
        let report = verify_log(&entries(&world), world.note(), both_keys(), options);
        assert_eq!(found(&report), expected);
    }
}

#[test]
fn of_an_empty_log_nothing_is_missing() {
    let note = note_of(&[], &SEEDS[0]);
    let seen = vec![Seen::parse("before", note.as_bytes()).expect("it reads")];
    let options = Options { seen, ..Options::default() };
    let report = verify_log(&[], &note, trust(), options);
    assert!(!kinds(&report).contains(&FindingKind::Missing), "{:?}", report.findings);
}

/// An event that cannot be read may be the next one of any stream, but of one only.
#[test]
fn each_event_that_cannot_be_read_excuses_one_gap_in_a_stream() {
    let signer = keys(&SEEDS[0]).events;
    let unreadable = |position| {
        let signed = signer.sign(b"no statement");
        LogEntry {
            position,
            header: signed.header,
            statement: b"no statement".to_vec(),
            signature: signed.signature,
            payload: None,
            leaf_hash: None,
        }
    };
    let of_patient = |position, subject, sequence| {
        let (statement, payload) = patient_event(position, subject, sequence);
        entry(position, &statement, payload, &signer)
    };
    for (fifth, sixth, wrong) in
        [(2, 1, None), (3, 1, None), (2, 2, None), (3, 2, Some(15)), (4, 1, Some(14))]
    {
        let mut log = entries(&world(12));
        log.extend([of_patient(12, 5, 1), unreadable(13)]);
        log.extend([of_patient(14, 5, fifth), of_patient(15, 6, sixth)]);
        let report = verify_log(&log, &note_of(&log, &SEEDS[0]), trust(), Options::default());
        let mut expected = vec![(13, FindingKind::Statement)];
        expected.extend(wrong.map(|position| (position, FindingKind::Sequence)));
        assert_eq!(found(&report), expected, "{fifth} and {sixth}");
    }
}

#[test]
fn a_clock_may_run_backwards_by_exactly_the_tolerance() {
    let tolerance = SignedDuration::from_secs(60);
    for (back, kinds) in [
        (tolerance, vec![]),
        (tolerance + SignedDuration::from_micros(1), vec![(12, FindingKind::Clock)]),
    ] {
        let mut log = entries(&world(12));
        let (statement, payload) = patient_event(12, 5, 1);
        let at = recorded_at(11).checked_sub(back).expect("in range");
        let statement = Statement { recorded_at: at, ..statement };
        log.push(entry(12, &statement, payload, &keys(&SEEDS[0]).events));
        let options = Options { clock_tolerance: tolerance, ..Options::default() };
        let report = verify_log(&log, &note_of(&log, &SEEDS[0]), trust(), options);
        assert_eq!(found(&report), kinds, "{back}");
    }
}

/// Whoever brought only the newer key along is told what is missing, and not that nobody vouches for the log.
#[test]
fn a_log_cut_off_before_its_newer_key_is_still_known_by_it() {
    let whole = world(120);
    let note = note_of(&whole.entries, &SEEDS[1]);
    let cut = &entries(&whole)[..60];
    let report = verify_log(cut, &note, second_key(), Options::default());
    assert_eq!(found(&report), [(60, FindingKind::Missing)]);
    assert_eq!(report.keys, [verifiers()[1].to_string()]);

    // The same for what was seen before; the size is beyond the end, and everything before it was believed.
    let seen = vec![Seen::parse("newer", note.as_bytes()).expect("it reads")];
    let options = Options { seen, ..Options::default() };
    let report = verify_log(cut, &note_of(cut, &SEEDS[0]), both_keys(), options);
    assert_eq!(found(&report), [(60, FindingKind::Missing)]);
}

/// The event that names the newer key cannot be believed: then the log may have had that key.
#[test]
fn a_newer_key_counts_where_the_event_that_names_it_is_damaged() {
    let whole = world(SECOND_KEY_FROM);
    let at = SECOND_KEY_FROM as usize - 1;
    let mut log = entries(&whole);
    log[at].signature[9] ^= 1;
    let note = note_of(&log, &SEEDS[1]);
    let report = verify_log(&log, &note, second_key(), Options::default());
    assert_eq!(found(&report), [(at as u64, FindingKind::Signature)]);
    assert_eq!(report.keys, [verifiers()[1].to_string()]);

    let seen = vec![Seen::parse("newer", note.as_bytes()).expect("it reads")];
    let options = Options { seen, ..Options::default() };
    let report = verify_log(&log, &note, both_keys(), options);
    assert_eq!(found(&report), [(at as u64, FindingKind::Signature)]);
    assert_eq!(report.compared.len(), 1);

    // Undamaged and complete, the log has no such key at that size, whoever trusts it.
    let mut log = entries(&whole);
    log.truncate(60);
    let note = note_of(&log, &SEEDS[1]);
    let report = verify_log(&log, &note, second_key(), Options::default());
    assert_eq!(kinds(&report), [FindingKind::Checkpoint, FindingKind::Untrusted]);
    assert_eq!(report.keys, [""; 0]);
}

#[test]
fn a_refusal_is_told_with_its_causes() {
    let world = world(12);
    let note = note_of(&world.entries, &[77; 32]);
    let report = verify_log(&world.entries, &note, trust(), Options::default());
    let told: Vec<&str> = report.findings.iter().map(|finding| &*finding.detail).collect();
    let cause = "the checkpoint's note is not valid: the note carries no signature by a known key";
    assert_eq!(told, [format!("the final checkpoint: {cause}")]);
    let seen = vec![Seen::parse("theirs", note.as_bytes()).expect("it reads")];
    let options = Options { seen, ..Options::default() };
    let report = verify_log(&world.entries, world.note(), trust(), options);
    let told: Vec<&str> = report.findings.iter().map(|finding| &*finding.detail).collect();
    assert!(
        told.len() == 1 && told[0].starts_with("theirs: ") && told[0].ends_with(cause),
        "{told:?}"
    );
}

/// A checkpoint seen before may be as long as any note, and not a byte longer.
#[test]
fn a_checkpoint_seen_before_is_bounded() {
    let note = world(12).note().to_owned();
    // Four lines of strangers, of which the last fills the rest: in base64 four characters make three bytes.
    let padded = |length: usize| {
        let name = |more: usize| format!("— other{} ", "x".repeat(more));
        let rest = length - note.len() - name(0).len() - 1;
        let line = format!("{}{}\n", name(rest % 4), "A".repeat(rest - rest % 4));
        format!("{note}{line}")
    };
    let longest = padded(MAX_NOTE);
    assert_eq!(longest.len(), MAX_NOTE);
    let seen = Seen::parse("longest", longest.as_bytes()).expect("just short enough");
    assert_eq!((seen.name(), seen.checkpoint().size, seen.is_receipt()), ("longest", 12, false));
    let longer = Seen::parse("longer", padded(MAX_NOTE + 1).as_bytes()).map(|_| ());
    assert!(matches!(longer, Err(SeenError::Note(NoteError::Malformed("too long")))));
}

#[test]
fn a_receipt_has_no_more_bytes_and_events_than_it_may() {
    let with = |count: usize| {
        let events = vec!["0"; count].join(",");
        let id = "01970000-0000-7000-8000-000000000001";
        let text = format!(
            r#"{{"command_id":"{id}","stream_type":"patient","stream_id":"{id}","version":1,"position":null,"events":[{events}],"checkpoint":"","replayed":false}}"#
        );
        Receipt::parse(text.as_bytes()).map(|_| ())
    };
    for more in [1, 2, 300] {
        let count = MAX_RECEIPT_EVENTS + more;
        assert!(matches!(with(count), Err(ProofError::TooLong(found)) if found == count));
    }
    for more in [1, 2] {
        let refused = Receipt::parse(&vec![b'x'; MAX_RECEIPT + more]).map(|_| ());
        assert!(matches!(refused, Err(ProofError::Field { field: "size", .. })), "{refused:?}");
    }
    let no_json = Receipt::parse(&vec![b'x'; MAX_RECEIPT]).map(|_| ());
    assert!(matches!(no_json, Err(ProofError::Json(_))), "{no_json:?}");
    // These are numbers and no events, which is all that is wrong with them.
    assert!(matches!(with(MAX_RECEIPT_EVENTS), Err(ProofError::Json(_))));
}

/// The keys begin with the first event of the log's own stream, and with no other event of it.
#[test]
fn only_the_first_event_of_the_stream_ledger_is_a_genesis() {
    let world = world(SECOND_KEY_FROM);
    let payload = world.entries[0].payload.clone().expect("a payload");
    let genesis = &world.statements[0];
    assert!(Keyring::genesis(genesis, &payload).is_ok());
    let second = Statement { sequence: 2, ..genesis.clone() };
    let other = Statement { stream_type: "patient".to_owned(), ..genesis.clone() };
    for statement in [second, other] {
        let refused = Keyring::genesis(&statement, &payload);
        let why = "it is not the first event of the stream `ledger`";
        assert!(matches!(refused, Err(KeyringError::Genesis(said)) if said == why));
    }
}

#[test]
fn one_of_two_keys_may_be_retired_and_never_the_last() {
    let world = world(FIRST_KEY_UNTIL + 1);
    let payload = |at: usize| world.entries[at].payload.clone().expect("a payload");
    let (activated, retired) = (SECOND_KEY_FROM - 1, FIRST_KEY_UNTIL);
    let mut ring = Keyring::genesis(&world.statements[0], &payload(0)).expect("a genesis");
    let retire = &world.statements[retired as usize];
    let alone = ring.apply(retired, retire, &payload(retired as usize));
    assert!(matches!(alone, Err(KeyringError::LastKey)), "{alone:?}");
    let activate = &world.statements[activated as usize];
    ring.apply(activated, activate, &payload(activated as usize)).expect("a second key");
    ring.apply(retired, retire, &payload(retired as usize)).expect("one of two");
}
