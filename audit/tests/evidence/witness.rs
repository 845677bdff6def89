//! What a witness cosigns, and what it does not.

use audit::checkpoint::Checkpoint;
use audit::merkle::{Hash, consistency_proof, empty_root};
use audit::note::{self, Cosigner, NoteError};
use audit::witness::{AddCheckpoint, MAX_LINES, Refusal, cosignatures};

use crate::world::{ORIGIN, SEEDS, World, keys, verifiers, world};

fn cosigner() -> Cosigner {
    Cosigner::new("witness.example/test", &[4; 32]).expect("a name")
}

fn head(world: &World, size: u64) -> Checkpoint {
    let leaves = world.leaves();
    let root = audit::merkle::tree_root(size, leaves.as_slice()).expect("in the world");
    Checkpoint { origin: ORIGIN.to_owned(), size, root }
}

fn request(world: &World, old: u64, new: u64) -> AddCheckpoint {
    let leaves = world.leaves();
    let proof = match old {
        0 => Vec::new(),
        old => consistency_proof(old, new, leaves.as_slice()).expect("a proof"),
    };
    let note = head(world, new).to_note(&keys(&SEEDS[0]).notes).expect("signed");
    AddCheckpoint { old, proof, note }
}

#[test]
fn a_request_reads_back() {
    let world = world(60);
    for (old, new) in [(0, 0), (0, 7), (1, 2), (17, 60), (60, 60)] {
        let request = request(&world, old, new);
        assert_eq!(AddCheckpoint::parse(&request.to_text()).as_ref(), Ok(&request));
    }
    let good = request(&world, 17, 60).to_text();
    for wrong in [
        String::new(),
        good.replacen("old 17", "old 017", 1),
        good.replacen("old 17", "Old 17", 1),
        good.replacen("old 17", "old -1", 1),
        good.replacen("old 17", "old 99999999999999999999", 1),
        good.replacen("old 17\n", "old 17\nAAAA\n", 1),
        good.replacen("\n\n", "\n", 2),
        format!("{}{good}", " ".repeat(300_000)),
    ] {
        let refused = AddCheckpoint::parse(&wrong).expect_err("malformed");
        assert_eq!(refused.status(), 400, "{wrong}");
    }
    let mut long = request(&world, 17, 60);
    long.proof = vec![empty_root(); MAX_LINES + 1];
    assert_eq!(AddCheckpoint::parse(&long.to_text()).expect_err("too long").status(), 400);
}

#[test]
fn only_what_continues_is_cosigned() {
    let world = world(60);
    let known = verifiers();
    let (first, last) = (head(&world, 17), head(&world, 60));
    // First use, growth, and the same once more.
    assert_eq!(request(&world, 0, 17).consider(&known, None), Ok(first.clone()));
    assert_eq!(request(&world, 17, 60).consider(&known, Some(&first)), Ok(last.clone()));
    assert_eq!(request(&world, 60, 60).consider(&known, Some(&last)), Ok(last.clone()));

    let refused = |request: AddCheckpoint, latest: Option<&Checkpoint>| {
        request.consider(&known, latest).expect_err("refused")
    };
    // The witness stands elsewhere, and says where.
    assert_eq!(refused(request(&world, 0, 60), Some(&first)), Refusal::OtherSize { size: 17 });
    assert_eq!(refused(request(&world, 17, 60), None), Refusal::OtherSize { size: 0 });
    // A log that has shrunk.
    assert_eq!(refused(request(&world, 17, 17), Some(&last)), Refusal::OtherSize { size: 60 });
    // A fork of the same size, and a fork that has grown.
    let fork = Checkpoint { root: empty_root(), ..last.clone() };
    assert_eq!(refused(request(&world, 60, 60), Some(&fork)), Refusal::OtherRoot { size: 60 });
    let other = Checkpoint { root: empty_root(), ..first.clone() };
    assert_eq!(refused(request(&world, 17, 60), Some(&other)), Refusal::Inconsistent);
    let mut changed = request(&world, 17, 60);
    changed.proof[0] = Hash([7; 32]);
    assert_eq!(refused(changed, Some(&first)), Refusal::Inconsistent);
    let mut proved = request(&world, 0, 17);
    proved.proof.push(empty_root());
    assert_eq!(refused(proved, None), Refusal::Inconsistent, "from nothing there is no proof");
    let larger = AddCheckpoint { old: 61, ..request(&world, 17, 60) };
    assert_eq!(refused(larger, None).status(), 400);
    // Unknown logs and keys, unsigned and changed.
    let unknown = request(&world, 0, 17).consider(&[], None);
    assert_eq!(unknown, Err(Refusal::UnknownLog));
    let stranger = head(&world, 17).to_note(&keys(&[77; 32]).notes).expect("signed");
    assert_eq!(
        refused(AddCheckpoint { old: 0, proof: vec![], note: stranger }, None).status(),
        403
    );
    let mut edited = request(&world, 0, 17);
    edited.note = edited.note.replacen("\n17\n", "\n18\n", 1);
    assert_eq!(refused(edited, None), Refusal::NotSigned);
    let garbage = AddCheckpoint { old: 0, proof: vec![], note: "nothing\n".to_owned() };
    assert_eq!(refused(garbage, None).status(), 400);
    let statuses = [Refusal::UnknownLog, Refusal::OtherRoot { size: 1 }, Refusal::Inconsistent];
    assert_eq!(statuses.map(|refusal| refusal.status()), [404, 409, 422]);
}

#[test]
fn a_cosignature_is_bound_to_note_time_and_key() {
    let world = world(9);
    let (note, cosigner) = (world.note(), cosigner());
    let text = head(&world, 9).to_text();
    let line = cosigner.line(&text, 1_795_000_000);
    let witness = cosigner.verifier().clone();
    assert_eq!(note::NoteVerifier::parse(&witness.to_string()).as_ref(), Ok(&witness));
    let known = [keys(&SEEDS[0]).notes.verifier().clone(), witness.clone()];
    let opened = note::open(note, &known).map(|opened| opened.signed_by.len());
    assert_eq!(opened, Ok(1), "the log's own");
    let both = format!("{note}{line}");
    assert_eq!(note::open(&both, &known).map(|opened| opened.signed_by.len()), Ok(2));
    // A cosignature is not the log's signature.
    assert!(
        Checkpoint::from_note(&format!("{text}\n{line}"), std::slice::from_ref(&witness)).is_err()
    );

    let only = std::slice::from_ref(&witness);
    let stranger = Cosigner::new("witness.example/other", &[5; 32]).expect("a name");
    let answer = format!("{}{line}", stranger.line(&text, 1));
    assert_eq!(cosignatures(note, &answer, only), Ok(vec![line.clone()]), "unknown ones are left");
    assert_eq!(cosignatures(note, &stranger.line(&text, 1), only), Err(NoteError::Unsigned));
    assert_eq!(cosignatures(note, "", only), Err(NoteError::Unsigned));
    let elsewhere = cosigner.line(&head(&world, 8).to_text(), 1_795_000_000);
    assert!(cosignatures(note, &elsewhere, only).is_err(), "of another checkpoint");
    let encoded = line.rsplit_once(' ').expect("a line").1.trim_end();
    for at in 6..encoded.len() - 4 {
        let swap = if encoded.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut changed = encoded.to_owned();
        changed.replace_range(at..=at, swap);
        let changed = line.replace(encoded, &changed);
        assert!(cosignatures(note, &changed, only).is_err(), "character {at}");
    }
}
