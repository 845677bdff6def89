//! Properties, checked against other implementations.

use audit::merkle::{self, CompactRange, Hash, HashSource, MAX_SIZE, MerkleError};
use audit::note::{self, NoteSigner, NoteVerifier};
use audit::tiles::{TileBuilder, TileNeeds, tile_path};
use proptest::prelude::*;
use tlog_tiles::HashReader;

struct Stored(Vec<tlog_tiles::Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

fn other(size: u64) -> Stored {
    let mut stored = Stored(Vec::new());
    for position in 0..size {
        let hashes =
            tlog_tiles::stored_hashes(position, &position.to_be_bytes(), &stored).expect("hashes");
        stored.0.extend(hashes);
    }
    stored
}

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|position| merkle::leaf_hash(&position.to_be_bytes())).collect()
}

fn ours(hashes: Vec<tlog_tiles::Hash>) -> Vec<Hash> {
    hashes.into_iter().map(|hash| Hash(hash.0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn proofs_equal_those_of_tlog_tiles(size in 1u64..700, a in any::<u64>(), b in any::<u64>()) {
        let (leaves, stored) = (leaves(size), other(size));
        let root = Hash(tlog_tiles::tree_hash(size, &stored).expect("a root").0);
        let mut range = CompactRange::new();
        range.append(&leaves);
        prop_assert_eq!(range.root(), root);

        let index = a % size;
        let proof = merkle::inclusion_proof(index, size, leaves.as_slice()).expect("a proof");
        let theirs = tlog_tiles::prove_record(size, index, &stored).expect("a proof");
        prop_assert_eq!(&proof, &ours(theirs));
        merkle::verify_inclusion(&leaves[index as usize], index, size, &proof, &root)
            .expect("holds");

        let old = b % size + 1;
        let proof = merkle::consistency_proof(old, size, leaves.as_slice()).expect("a proof");
        let theirs = tlog_tiles::prove_tree(size, old, &stored).expect("a proof");
        prop_assert_eq!(&proof, &ours(theirs));
        let old_root = Hash(tlog_tiles::tree_hash(old, &stored).expect("a root").0);
        merkle::verify_consistency(old, size, &proof, &old_root, &root).expect("holds");
    }

    #[test]
    fn a_changed_proof_never_holds(size in 2u64..300, at in any::<u64>(), bit in any::<usize>()) {
        let leaves = leaves(size);
        let mut range = CompactRange::new();
        let appended = range.append(&leaves);
        let index = at % size;
        let leaf = &leaves[index as usize];
        let mut proof = appended.proofs[index as usize].clone();
        let bit = bit % (proof.len() * 256);
        proof[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
        prop_assert!(merkle::verify_inclusion(leaf, index, size, &proof, &appended.root).is_err());
        let good = &appended.proofs[index as usize];
        let neighbour = if index == 0 { 1 } else { index - 1 };
        prop_assert!(
            merkle::verify_inclusion(leaf, neighbour, size, good, &appended.root).is_err()
        );
        prop_assert!(
            merkle::verify_inclusion(leaf, index, size, &good[1..], &appended.root).is_err()
        );
    }

    #[test]
    fn appending_in_batches_proves_every_new_leaf(
        batches in prop::collection::vec(0usize..40, 1..20),
    ) {
        let all = leaves(batches.iter().sum::<usize>() as u64);
        let (mut range, mut tiles, mut at) = (CompactRange::new(), TileBuilder::new(), 0);
        let mut completed = Vec::new();
        for batch in batches {
            let batch = &all[at..at + batch];
            let appended = range.append(batch);
            completed.extend(tiles.append(batch));
            prop_assert_eq!(appended.proofs.len(), batch.len());
            for (leaf, (index, proof)) in batch.iter().zip((at as u64..).zip(&appended.proofs)) {
                let expected = merkle::inclusion_proof(index, appended.size, all.as_slice());
                prop_assert_eq!(Ok(proof), expected.as_ref());
                merkle::verify_inclusion(leaf, index, appended.size, proof, &appended.root)
                    .expect("holds");
            }
            at += batch.len();
            let restored = CompactRange::from_bytes(range.size(), &range.to_bytes());
            prop_assert_eq!(restored, Ok(range.clone()));
            prop_assert_eq!(tiles.compact_range(), Some(range.clone()));
        }
        // The tiles at hand are what a restart needs.
        let needs = TileNeeds::of(range.size());
        let roots = needs.tiles.iter().zip(0u8..).map(|(indices, level)| {
            indices.clone().map(|index| {
                completed.iter().find(|tile| (tile.level, tile.index) == (level, index))
                    .and_then(audit::tiles::Tile::root).expect("a stored tile")
            }).collect()
        }).collect();
        let own = all[needs.leaves.start as usize..needs.leaves.end as usize].to_vec();
        prop_assert_eq!(TileBuilder::restore(range.size(), own, roots), Ok(tiles));
    }

    #[test]
    fn tile_paths_equal_those_of_tlog_tiles(level in 0u8..6, index in 0u64..1 << 40, width in 1u32..=256) {
        let theirs = tlog_tiles::Tile::new(8, level, index, width, false).path();
        let ours = tile_path(&format!("tile/{level}"), index, width as usize);
        // Theirs has the tile's height in its path, as the format's older form had.
        prop_assert_eq!(ours, theirs.replacen("tile/8/", "tile/", 1));
    }

    #[test]
    fn notes_equal_those_of_signed_note(seed in any::<[u8; 32]>(), text in "[ -~\n]{0,80}") {
        use signed_note::{Note, StandardVerifier, VerifierList};

        let text = format!("{text}\n");
        let signer = NoteSigner::new("log.example/a", &seed).expect("a name");
        let note = signer.sign(&text).expect("signed");
        let opened = note::open(&note, std::slice::from_ref(signer.verifier())).expect("opens");
        prop_assert_eq!(opened.text, &text);
        let vkey = signer.verifier().to_string();
        prop_assert_eq!(&NoteVerifier::parse(&vkey).expect("a key"), signer.verifier());
        let theirs = StandardVerifier::new(&vkey).expect("their key");
        let known = VerifierList::new(vec![Box::new(theirs)]);
        let parsed = Note::from_bytes(note.as_bytes()).expect("their note");
        prop_assert_eq!(parsed.verify(&known).expect("verified").0.len(), 1);
        prop_assert_eq!(parsed.to_bytes(), note.as_bytes());
    }

    /// Whatever is read is refused or understood; nothing panics.
    #[test]
    fn parsers_take_anything(bytes in prop::collection::vec(any::<u8>(), 0..600), text in "\\PC{0,300}") {
        let key = NoteSigner::new("log.example", &[1; 32]).expect("a name").verifier().clone();
        let lossy = String::from_utf8_lossy(&bytes);
        for text in [lossy.as_ref(), &text] {
            prop_assert!(note::open(text, std::slice::from_ref(&key)).is_err());
            prop_assert!(NoteVerifier::parse(text).is_err());
            prop_assert!(audit::jws::parse_compact(text).is_err());
            prop_assert!(audit::proof::TlogProof::parse(text).is_err());
            prop_assert!(audit::checkpoint::Checkpoint::from_text(text).is_err());
        }
        prop_assert!(audit::statement::Statement::parse(&bytes).is_err());
        prop_assert!(audit::jws::kid(&bytes).is_err());
        let _ = audit::tiles::hashes_from_bytes(&bytes);
        let _ = CompactRange::from_bytes(bytes.len() as u64, &bytes);
    }
}

#[test]
fn every_small_tree_is_proved() {
    for size in 0..=40u64 {
        let leaves = leaves(size);
        let mut range = CompactRange::new();
        let mut roots = vec![range.root()];
        for leaf in &leaves {
            range.push(*leaf);
            roots.push(range.root());
        }
        let root = &roots[size as usize];
        for (index, leaf) in (0..).zip(&leaves) {
            let proof = merkle::inclusion_proof(index, size, leaves.as_slice()).expect("a proof");
            merkle::verify_inclusion(leaf, index, size, &proof, root).expect("holds");
        }
        for old in 1..=size {
            let proof = merkle::consistency_proof(old, size, leaves.as_slice()).expect("a proof");
            merkle::verify_consistency(old, size, &proof, &roots[old as usize], root)
                .expect("holds");
        }
    }
    assert!(<[Hash]>::node(&[], merkle::Node { level: 63, index: u64::MAX }).is_err());
}

/// A perfect subtree stands where its leaves would, makes the tree that they make, and is refused anywhere else.
#[test]
fn subtrees_make_the_tree_of_their_leaves() {
    let leaves = leaves(80);
    let range = |leaves: &[Hash]| {
        let mut range = CompactRange::new();
        range.append(leaves);
        range
    };
    for (size, height) in (0..=64).flat_map(|size| (0..=4u8).map(move |height| (size, height))) {
        let width = 1 << height;
        let mut tree = range(&leaves[..size]);
        let pushed = tree.push_subtree(height, range(&leaves[size..size + width]).root());
        if size % width == 0 {
            assert_eq!((pushed, tree), (Ok(()), range(&leaves[..size + width])));
        } else {
            let refused = MerkleError::OutOfRange { index: size as u64, size: width as u64 };
            assert_eq!((pushed, tree), (Err(refused), range(&leaves[..size])));
        }
    }
    let too_large = Err(MerkleError::TooLarge(u64::MAX));
    for height in [53, 63, 64, u8::MAX] {
        assert_eq!(CompactRange::new().push_subtree(height, leaves[0]), too_large, "{height}");
    }
    let nodes = vec![7; 32 * 52];
    let mut largest = CompactRange::from_bytes(MAX_SIZE - 1, &nodes).expect("a range");
    assert_eq!(largest.push_subtree(0, leaves[0]), Ok(()));
    assert_eq!(largest.size(), MAX_SIZE);
    assert_eq!(largest.push_subtree(0, leaves[0]), too_large);
    let mut half = CompactRange::new();
    assert_eq!(half.push_subtree(52, leaves[0]), Ok(()));
    assert_eq!(half.push_subtree(52, leaves[0]), too_large);
}
