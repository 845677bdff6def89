//! The formats at their limits: what is just read, what is just refused, and with which words.

use audit::checkpoint::Checkpoint;
use audit::jws::{self, Jwk, JwsError, PublicKey};
use audit::keyring::{Keyring, KeyringError};
use audit::merkle::{
    self, CompactRange, Hash, HashSource, MAX_PROOF, MAX_SIZE, MerkleError, Node,
    consistency_ranges, inclusion_ranges, tree_root, verify_consistency,
};
use audit::note::{self, Cosigner, MAX_NOTE, MAX_SIGNATURES, NoteError, NoteSigner, NoteVerifier};
use audit::proof::{MAX_RECEIPT_EVENTS, ProofError, Receipt, TlogProof, verify_receipt};
use audit::seal::{
    self, EventIdentity, KeyWrap, LocalKeks, SealError, SnapshotIdentity, open_blob, open_payload,
    open_snapshot, seal_blob, seal_payload, seal_snapshot,
};
use audit::statement::{self, Digest, MAX_STATEMENT, Media, Payload, Statement, StatementError};
use audit::system::{self, SystemError, SystemEvent};
use audit::tiles::{TILE_WIDTH, Tile, TileBuilder, TileNeeds, hashes_from_bytes};
use audit::verify::{Finding, FindingKind, Trust};
use audit::witness::{AddCheckpoint, MAX_LINES, MAX_REQUEST, Refusal};

use crate::snapshots::receipt;
use crate::world::{
    FIRST_KEY_UNTIL, ORIGIN, SECOND_KEY_FROM, SEEDS, data_key, id, keys, patient_event, world,
};

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|position| merkle::leaf_hash(&position.to_be_bytes())).collect()
}

#[test]
fn the_limits_are_those_of_the_page() {
    assert_eq!(MAX_SIZE, 9_007_199_254_740_991);
    assert_eq!((MAX_PROOF, MAX_NOTE, MAX_SIGNATURES), (64, 65_536, 100));
    assert_eq!((jws::MAX_HEADER, jws::MAX_COMPACT), (256, 65_535));
    assert_eq!((MAX_STATEMENT, statement::MAX_MEDIA, statement::MAX_NAME), (48_000, 128, 128));
    assert_eq!((statement::MAX_ACTOR_SIGNATURE, system::MAX_SYSTEM_PAYLOAD), (8_192, 16_384));
    assert_eq!(statement::MAX_RULE, 64);
    assert_eq!((seal::MAX_PAYLOAD, seal::MAX_BLOB), (1_048_576, 268_435_456));
    assert_eq!((seal::MAX_SNAPSHOT, seal::OVERHEAD), (16_777_216, 60));
    assert_eq!((MAX_LINES, MAX_REQUEST), (63, 69_632));
}

#[test]
fn a_key_name_has_1_to_255_bytes_without_blanks_and_plus() {
    for name in ["a", "log.example/a-b_c", "é", &"x".repeat(255)] {
        assert!(note::is_key_name(name), "{name}");
    }
    for name in ["", " ", "a b", "a\tb", "a\u{A0}b", "a+b", "a\u{7}b", "a\nb", &"x".repeat(256)] {
        assert!(!note::is_key_name(name), "{name:?}");
        assert!(NoteSigner::new(name, &[1; 32]).is_err());
    }
}

#[test]
fn a_verifier_key_names_itself_by_its_id() {
    let signer = NoteSigner::new("log.example", &[1; 32]).expect("a name");
    let vkey = signer.verifier().to_string();
    let hexadecimal = format!("{:08x}", signer.verifier().id());
    let parts: Vec<&str> = vkey.splitn(3, '+').collect();
    assert_eq!(parts[..2], ["log.example", hexadecimal.as_str()]);
    let other = NoteSigner::new("log.example", &[2; 32]).expect("a name");
    assert_ne!(signer.verifier().id(), other.verifier().id());

    let refused = |vkey: &str| NoteVerifier::parse(vkey).expect_err(vkey);
    let with_id = |id: &str| format!("{}+{id}+{}", parts[0], parts[2]);
    let id_form = NoteError::VerifierKey("the id is not eight lower-case hexadecimal digits");
    for id in ["", &hexadecimal[1..], &format!("0{hexadecimal}"), "zzzzzzzz"] {
        assert_eq!(refused(&with_id(id)), id_form, "{id}");
    }
    let wrong = NoteError::VerifierKey("the id does not belong to the key");
    assert_eq!(refused(&with_id("00000001")), wrong);
    assert_eq!(refused("log.example"), NoteError::VerifierKey("expected name+id+key"));
    assert_eq!(refused(&"x".repeat(513)), NoteError::VerifierKey("too long"));
    assert_eq!(refused(&"x".repeat(512)), NoteError::VerifierKey("expected name+id+key"));
}

#[test]
fn a_note_may_be_signed_again_by_another_key_and_by_none_twice() {
    let [first, second] = [[1; 32], [2; 32]].map(|seed| NoteSigner::new("log.example", &seed));
    let (first, second) = (first.expect("a name"), second.expect("a name"));
    let note = first.sign("text\n").expect("signed");
    let both = second.add(&note).expect("signed");
    let known = [first.verifier().clone(), second.verifier().clone()];
    assert_eq!(note::open(&both, &known).map(|opened| opened.signed_by.len()), Ok(2));
    let opened = note::open(&both, &known[..1]).expect("signed");
    assert_eq!((opened.signed_by.len(), opened.unknown, opened.text), (1, 1, "text\n"));
    let twice = first.add(&note).expect("signed");
    assert_eq!(note::open(&twice, &known), Err(NoteError::Malformed("one key signed twice")));
    assert!(second.add("no note").is_err());
}

#[test]
fn a_note_is_bounded_in_bytes_and_signatures() {
    let signer = NoteSigner::new("log.example", &[1; 32]).expect("a name");
    let known = [signer.verifier().clone()];
    let of = |length: usize| format!("{}\n", "x".repeat(length - 1));
    assert!(signer.sign(&of(MAX_NOTE)).is_ok() && signer.sign(&of(MAX_NOTE + 1)).is_err());
    assert!(signer.sign("no newline").is_err());
    let longest = |length: usize| {
        let around = signer.sign("\n").expect("signed").len() - 1;
        signer.sign(&of(length - around)).expect("signed")
    };
    assert_eq!(longest(MAX_NOTE).len(), MAX_NOTE);
    assert!(note::open(&longest(MAX_NOTE), &known).is_ok());
    let long = note::open(&longest(MAX_NOTE + 1), &known).map(|_| ());
    assert_eq!(long, Err(NoteError::Malformed("too long")));

    let strangers = |count: usize| {
        (0..count).fold(signer.sign("text\n").expect("signed"), |note, n| {
            let seed = [u8::try_from(n + 2).expect("a small number"); 32];
            NoteSigner::new("other.example", &seed).expect("a name").add(&note).expect("signed")
        })
    };
    let opened = note::open(&strangers(MAX_SIGNATURES - 1), &known).map(|opened| opened.unknown);
    assert_eq!(opened, Ok(MAX_SIGNATURES - 1));
    let more = note::open(&strangers(MAX_SIGNATURES), &known).map(|_| ());
    assert_eq!(more, Err(NoteError::Malformed("too many signatures")));
}

#[test]
fn a_cosignature_names_no_time_beyond_64_bits_with_a_sign() {
    let cosigner = Cosigner::new("witness.example", &[4; 32]).expect("a name");
    let note = |seconds| format!("text\n\n{}", cosigner.line("text\n", seconds));
    let known = [cosigner.verifier().clone()];
    let latest = u64::try_from(i64::MAX).expect("positive");
    assert!(note::open(&note(latest), &known).is_ok());
    assert_eq!(note(latest), note(u64::MAX), "what is later is signed as the latest");
    assert_ne!(note(latest), note(latest - 1));
}

#[test]
fn a_tree_knows_what_is_wrong_with_a_proof() {
    let all = leaves(13);
    let root = |size: u64| tree_root(size, all.as_slice()).expect("a root");
    let proof = merkle::consistency_proof(6, 13, all.as_slice()).expect("a proof");
    let check = |old: u64, new: u64, proof: &[Hash]| {
        verify_consistency(old, new, proof, &root(old), &root(new))
    };
    assert_eq!(check(6, 13, &proof), Ok(()));
    let mut longer = proof.clone();
    longer.push(root(1));
    let (needed, given) = (proof.len(), longer.len());
    let length = |expected, actual| Err(MerkleError::ProofLength { expected, actual });
    assert_eq!(check(6, 13, &longer), length(needed, given));
    assert_eq!(check(6, 13, &proof[..needed - 1]), length(needed, needed - 1));
    assert_eq!(check(6, 13, &[]), length(1, 0));
    assert_eq!(check(6, 6, &proof), length(0, needed));
    assert_eq!(check(6, 6, &[]), Ok(()));
    assert_eq!(check(7, 6, &proof), Err(MerkleError::Shrinks { old: 7, new: 6 }));
    assert_eq!(check(0, 6, &proof), Err(MerkleError::EmptyOld));
    let mismatch = Err(MerkleError::RootMismatch);
    assert_eq!(verify_consistency(6, 13, &proof, &root(5), &root(13)), mismatch);
    assert_eq!(verify_consistency(6, 13, &proof, &root(6), &root(12)), mismatch);

    let out = |index, size| MerkleError::OutOfRange { index, size };
    assert_eq!(inclusion_ranges(13, 13), Err(out(13, 13)));
    assert_eq!(inclusion_ranges(0, 0), Err(out(0, 0)));
    assert_eq!(inclusion_ranges(0, 1), Ok(vec![]));
    assert_eq!(merkle::inclusion_root(&all[0], 13, 13, &[]), Err(out(13, 13)));
    assert_eq!(merkle::inclusion_root(&all[0], 0, 1, &[]), Ok(all[0]));
    for size in [MAX_SIZE, MAX_SIZE + 1] {
        let too_large = size > MAX_SIZE;
        assert_eq!(inclusion_ranges(7, size).is_err(), too_large);
        assert_eq!(consistency_ranges(7, size).is_err(), too_large);
        let refused = tree_root(size, all.as_slice()).expect_err("not that many");
        assert_eq!(refused == MerkleError::TooLarge(size), too_large);
        let bytes = vec![7; size.count_ones() as usize * 32];
        assert_eq!(CompactRange::from_bytes(size, &bytes).is_err(), too_large);
    }
    assert_eq!(consistency_ranges(7, 7), Ok(vec![]));
    assert_eq!(consistency_ranges(0, 0), Ok(vec![]));
    assert_eq!(consistency_ranges(0, 7), Err(MerkleError::EmptyOld));
    assert_eq!(consistency_ranges(8, 7), Err(MerkleError::Shrinks { old: 8, new: 7 }));
}

#[test]
fn a_right_edge_has_a_node_for_each_bit_of_its_size() {
    let mut range = CompactRange::new();
    assert_eq!((range.nodes(), range.size()), (&[][..], 0));
    range.append(&leaves(13));
    let all = leaves(13);
    let expected = [(3, 0), (2, 2), (0, 12)]
        .map(|(level, index)| all.as_slice().node(Node { level, index }).expect("in the tree"));
    assert_eq!((range.nodes(), range.size()), (&expected[..], 13));
    let short = CompactRange::from_bytes(13, &[7; 64]);
    let problem = MerkleError::RangeLength { size: 13, expected: 96, actual: 64 };
    assert_eq!(short, Err(problem));
    for (level, index) in [(0, 13), (1, 6), (4, 0), (63, 0), (62, u64::MAX)] {
        let missing = Err(MerkleError::MissingNode { level, index });
        assert_eq!(all.as_slice().node(Node { level, index }), missing);
    }
    assert_eq!(merkle::subtree_nodes(0, 0), vec![]);
    let none = std::collections::BTreeMap::<Node, Hash>::new();
    let node = Node { level: 2, index: 5 };
    assert_eq!(none.node(node), Err(MerkleError::MissingNode { level: 2, index: 5 }));
}

#[test]
fn a_tile_builder_is_restored_from_exactly_what_it_needs() {
    let size = 2 * 65_536 + 3 * 256 + 5;
    let needs = TileNeeds::of(size);
    assert_eq!(needs.leaves, 131_840..131_845);
    assert_eq!(needs.tiles, [512..515, 0..2]);
    let hashes = |count: usize| vec![Hash([7; 32]); count];
    let restored = |leaves: usize, roots: &[usize]| {
        let roots = roots.iter().map(|count| hashes(*count)).collect();
        TileBuilder::restore(size, hashes(leaves), roots)
    };
    let builder = restored(5, &[3, 2]).expect("what it needs");
    assert_eq!(builder.size(), size);
    let widths: Vec<usize> = builder.partial().iter().map(Vec::len).collect();
    assert_eq!(widths, [5, 3, 2]);
    assert_eq!(restored(5, &[3, 2, 9]).expect("more is cut").partial().len(), 3);
    let missing = |level, index| Err(MerkleError::MissingNode { level, index });
    assert_eq!(restored(4, &[3, 2]), missing(0, 131_844));
    assert_eq!(restored(6, &[3, 2]), missing(0, 131_846));
    assert_eq!(restored(5, &[2, 2]), missing(8, 514));
    assert_eq!(restored(5, &[3, 1]), missing(16, 1));
    assert_eq!(restored(5, &[3]), missing(16, 0));
    let large = TileBuilder::restore(MAX_SIZE + 1, vec![], vec![]);
    assert_eq!(large, Err(MerkleError::TooLarge(MAX_SIZE + 1)));
    assert_eq!(TileBuilder::restore(0, vec![], vec![]), Ok(TileBuilder::new()));
    assert_eq!(TileNeeds::of(0), TileNeeds { leaves: 0..0, tiles: vec![] });
    assert_eq!(TileNeeds::of(255), TileNeeds { leaves: 0..255, tiles: vec![] });
    let one = std::iter::once(0..1).collect();
    assert_eq!(TileNeeds::of(256), TileNeeds { leaves: 256..256, tiles: one });
}

#[test]
fn a_tile_is_256_hashes_and_what_is_cut_is_fewer() {
    let bytes = |count: usize| vec![7; count];
    assert_eq!(hashes_from_bytes(&[]).map(|hashes| hashes.len()), Some(0));
    assert_eq!(hashes_from_bytes(&bytes(32)).map(|hashes| hashes.len()), Some(1));
    assert_eq!(hashes_from_bytes(&bytes(8192)).map(|hashes| hashes.len()), Some(TILE_WIDTH));
    for wrong in [31, 33, 8192 + 32] {
        assert!(hashes_from_bytes(&bytes(wrong)).is_none(), "{wrong}");
    }
    let tile = Tile::from_bytes(1, 2, &bytes(8192)).expect("a tile");
    assert_eq!((tile.level, tile.index, tile.to_bytes()), (1, 2, bytes(8192)));
    assert!(Tile::from_bytes(1, 2, &bytes(8160)).is_none());
    assert!(tile.root().is_some());
    assert!(Tile { hashes: tile.hashes[..255].to_vec(), ..tile }.root().is_none());
}

#[test]
fn what_is_sealed_is_bounded_before_and_after() {
    let identity = EventIdentity {
        origin: ORIGIN,
        event_id: id(1, 1),
        stream_type: "patient",
        stream_id: id(2, 1),
        sequence: 1,
    };
    let key = data_key(1);
    let seal = |length: usize| seal_payload(&key, [1; 12], [2; 32], &identity, &vec![7; length]);
    for length in [0, 1, seal::MAX_PAYLOAD] {
        let sealed = seal(length).expect("within limits");
        assert_eq!(sealed.bytes.len(), length + seal::OVERHEAD);
        let opened = open_payload(&key, &identity, &sealed.bytes, &sealed.commitment);
        assert_eq!(opened.map(|opened| opened.to_vec()), Ok(vec![7; length]));
        let other = open_payload(&key, &identity, &sealed.bytes, &[0; 32]).map(|_| ());
        assert_eq!(other, Err(SealError::Commitment));
    }
    let (beyond, longest) = (seal::MAX_PAYLOAD + 1, seal::MAX_PAYLOAD + seal::OVERHEAD);
    assert_eq!(seal(beyond), Err(SealError::Size(beyond)));
    let opened = |length: usize| open_payload(&key, &identity, &vec![7; length], &[0; 32]).err();
    assert_eq!(opened(seal::OVERHEAD - 1), Some(SealError::Size(seal::OVERHEAD - 1)));
    assert_eq!(opened(seal::OVERHEAD), Some(SealError::Refused));
    assert_eq!(opened(longest), Some(SealError::Refused));
    assert_eq!(opened(longest + 1), Some(SealError::Size(longest + 1)));

    let blob = id(7, 1);
    for length in [0, 1, 1_000] {
        let sealed = seal_blob(&key, [1; 12], blob, &vec![7; length]).expect("within limits");
        assert_eq!(sealed.len(), length + 28);
        let opened = open_blob(&key, blob, &sealed).map(|opened| opened.to_vec());
        assert_eq!(opened, Ok(vec![7; length]));
        assert_eq!(open_blob(&key, id(7, 2), &sealed).map(|_| ()), Err(SealError::Refused));
    }
    // Larger ones are refused by their size alone, before a byte of them is touched.
    let large = vec![0; seal::MAX_BLOB + 29];
    let beyond = seal::MAX_BLOB + 1;
    let sealed = seal_blob(&key, [1; 12], blob, &large[..beyond]);
    assert_eq!(sealed, Err(SealError::Size(beyond)));
    let opened = |bytes: &[u8]| open_blob(&key, blob, bytes).err();
    assert_eq!(opened(&large), Some(SealError::Size(large.len())));
    assert_eq!(opened(&large[..27]), Some(SealError::Size(27)));
    assert_eq!(opened(&large[..28]), Some(SealError::Refused));
}

#[test]
fn a_kept_state_is_bounded_before_and_after() {
    let identity = SnapshotIdentity {
        origin: ORIGIN,
        stream_type: "patient",
        stream_id: id(2, 1),
        event_id: id(1, 1),
        version: 1,
        state_version: 1,
    };
    let key = data_key(1);
    let seal = |length: usize| seal_snapshot(&key, [1; 12], &identity, &vec![7; length]);
    for length in [0, seal::MAX_SNAPSHOT] {
        let sealed = seal(length).expect("within limits");
        assert_eq!(sealed.len(), length + 28);
        let opened = open_snapshot(&key, &identity, &sealed).expect("opens");
        assert!(opened.len() == length && opened.iter().all(|byte| *byte == 7));
    }
    let (beyond, longest) = (seal::MAX_SNAPSHOT + 1, seal::MAX_SNAPSHOT + 28);
    assert_eq!(seal(beyond), Err(SealError::Size(beyond)));
    let opened = |length: usize| open_snapshot(&key, &identity, &vec![7; length]).err();
    assert_eq!(opened(27), Some(SealError::Size(27)));
    assert_eq!(opened(28), Some(SealError::Refused));
    assert_eq!(opened(longest), Some(SealError::Refused));
    assert_eq!(opened(longest + 1), Some(SealError::Size(longest + 1)));
}

#[test]
fn the_newest_key_wraps_and_is_named() {
    let (older, newer) = (LocalKeks::new([5; 32], []), LocalKeks::new([6; 32], [[5; 32]]));
    assert!(older.kek_id().starts_with("local-") && older.kek_id().len() == 22);
    assert_ne!(older.kek_id(), newer.kek_id());
    assert_eq!(newer.kek_id(), LocalKeks::new([6; 32], []).kek_id());
}

#[test]
fn a_position_is_signed_by_the_keys_active_there() {
    let world = world(220);
    let payload = |position: usize| world.entries[position].payload.as_deref().expect("kept");
    let mut ring = Keyring::genesis(&world.statements[0], payload(0)).expect("a genesis");
    for position in 1..220_usize {
        let statement = &world.statements[position];
        ring.apply(position as u64, statement, payload(position)).expect("valid");
    }
    let [first, second] = SEEDS.map(|seed| keys(&seed).events.public().clone());
    let both = vec![first.header(), second.header()];
    for (position, headers) in [
        (0, vec![first.header()]),
        (SECOND_KEY_FROM - 1, vec![first.header()]),
        (SECOND_KEY_FROM, both.clone()),
        (FIRST_KEY_UNTIL, both),
        (FIRST_KEY_UNTIL + 1, vec![second.header()]),
    ] {
        assert_eq!(ring.headers(position), headers, "{position}");
        // A checkpoint of that many leaves and one more is signed at that position.
        let verifiers = ring.verifiers(position + 1);
        assert_eq!(verifiers.len(), headers.len(), "{position}");
        assert!(verifiers.iter().all(|verifier| verifier.name() == ORIGIN));
    }
    assert_eq!(ring.verifiers(0).len(), 1, "the empty log's");
    assert_eq!((ring.origin(), ring.periods().len(), ring.to_jwks().keys.len()), (ORIGIN, 2, 2));
    let (kid, other) = (first.thumbprint(), second.thumbprint());
    assert!(ring.active(kid, FIRST_KEY_UNTIL).is_ok());
    assert!(matches!(
        ring.active(kid, FIRST_KEY_UNTIL + 1),
        Err(KeyringError::Retired { at: FIRST_KEY_UNTIL, .. })
    ));
    assert!(ring.active(other, SECOND_KEY_FROM).is_ok());
    assert!(matches!(
        ring.active(other, SECOND_KEY_FROM - 1),
        Err(KeyringError::NotYetActive { from: SECOND_KEY_FROM, .. })
    ));
    assert!(matches!(ring.active("x", 1), Err(KeyringError::Unknown { .. })));
}

#[test]
fn trust_is_in_the_keys_of_one_origin() {
    let own = keys(&SEEDS[0]).notes.verifier().clone();
    let other = NoteSigner::new("other.example", &[1; 32]).expect("a name").verifier().clone();
    let trust = Trust::any_of(ORIGIN, vec![own.clone(), other]);
    assert_eq!((trust.origin(), trust.keys()), (ORIGIN, std::slice::from_ref(&own)));
    assert_eq!(Trust::parse(&own.to_string()).expect("a key").keys(), [own]);
}

#[test]
fn a_finding_says_where_and_what() {
    let finding = Finding {
        position: 7,
        last: None,
        kind: FindingKind::LeafHash,
        detail: "it is another".to_owned(),
    };
    assert_eq!(finding.to_string(), "position 7: leaf-hash: it is another");
    assert_eq!(FindingKind::PayloadMissing.to_string(), "payload-missing");
}

#[test]
fn what_is_shown_for_debugging_names_the_bytes() {
    let (hash, digest) = (Hash([0; 32]), Digest([1; 32]));
    assert_eq!(format!("{hash:?}"), format!("Hash({hash})"));
    assert_eq!(hash.to_string(), format!("{}=", "A".repeat(43)));
    assert_eq!(format!("{digest:?}"), format!("Digest({digest})"));
    assert_eq!(digest.to_string(), "01".repeat(32));
    let key = keys(&SEEDS[0]).events.public().clone();
    assert_eq!(format!("{key:?}"), format!("PublicKey({})", key.thumbprint()));
}

#[test]
fn a_key_is_ed25519_with_its_own_thumbprint() {
    let good = keys(&SEEDS[0]).events.public().to_jwk();
    let with = |change: fn(&mut Jwk)| {
        let mut jwk = good.clone();
        change(&mut jwk);
        PublicKey::from_jwk(&jwk).err()
    };
    assert_eq!(with(|_| ()), None);
    assert_eq!(with(|jwk| jwk.kid = None), None);
    let kind = Some(JwsError::Jwk("expected kty OKP and crv Ed25519"));
    assert_eq!(with(|jwk| jwk.kty = "EC".to_owned()), kind);
    assert_eq!(with(|jwk| jwk.crv = "X25519".to_owned()), kind);
    let thumbprint = Some(JwsError::Jwk("kid is not the thumbprint"));
    assert_eq!(with(|jwk| jwk.kid = Some("x".repeat(43))), thumbprint);
    assert!(with(|jwk| jwk.x.push('A')).is_some() && with(|jwk| jwk.x.truncate(42)).is_some());
    assert_eq!(PublicKey::from_bytes(&[0; 32]), Err(JwsError::Jwk("a key of small order")));
}

#[test]
fn a_compact_jws_is_bounded_part_by_part() {
    use base64::Engine as _;
    let url =
        |length: usize| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(vec![b'x'; length]);
    let of = |header: usize, statement: usize, signature: usize| {
        jws::parse_compact(&format!("{}.{}.{}", url(header), url(statement), url(signature)))
    };
    let parts = of(jws::MAX_HEADER, MAX_STATEMENT, 64).expect("within limits");
    assert_eq!((parts.header.len(), parts.statement.len()), (jws::MAX_HEADER, MAX_STATEMENT));
    assert!(of(jws::MAX_HEADER + 1, 10, 64).is_err() && of(10, MAX_STATEMENT + 1, 64).is_err());
    assert!(of(10, 10, 63).is_err() && of(10, 10, 65).is_err());
    assert_eq!(jws::parse_compact(&"x".repeat(65_536)), Err(JwsError::Compact("too long")));
    let parts = Err(JwsError::Compact("expected three parts"));
    for wrong in ["", "a", "a.b", "a.b.c.d", &"x".repeat(65_535)] {
        assert_eq!(jws::parse_compact(wrong), parts, "{} bytes", wrong.len());
    }
}

#[test]
fn a_header_has_one_spelling() {
    let header = keys(&SEEDS[0]).events.public().header();
    let text = String::from_utf8(header.clone()).expect("text");
    let kid = keys(&SEEDS[0]).events.public().thumbprint().to_owned();
    assert_eq!(jws::kid(&header).ok(), Some(kid.as_str()));
    let with = |other: &str| text.replace(&kid, other).into_bytes();
    for other in ["A".repeat(43), "-".repeat(43), "_".repeat(43), "9".repeat(43)] {
        assert_eq!(jws::kid(&with(&other)).ok(), Some(other.as_str()));
    }
    for other in ["A".repeat(42), "A".repeat(44), format!("{}+", "A".repeat(42))] {
        assert!(jws::kid(&with(&other)).is_err(), "{other}");
    }
    assert!(jws::kid(text.replace(' ', "").replacen(',', ", ", 1).as_bytes()).is_err());
}

fn valid() -> Statement {
    patient_event(7, 1, 1).0
}

/// Whether a statement with a change is written, and read again.
pub(crate) fn accepted(change: impl Fn(&mut Statement)) -> bool {
    let mut statement = valid();
    change(&mut statement);
    match statement.to_bytes() {
        Ok(bytes) => Statement::parse(&bytes).is_ok_and(|read| read == statement),
        Err(_) => false,
    }
}

#[test]
fn a_statement_is_accepted_up_to_each_limit() {
    let media = || Media { sha256: Digest::of(b""), size: 0, media_type: "a/b".to_owned() };
    type Case = (&'static str, Box<dyn Fn(&mut Statement)>, bool);
    let case =
        |what, accepted, change: Box<dyn Fn(&mut Statement)>| -> Case { (what, change, accepted) };
    let name = |length: usize| "x".repeat(length);
    let mut cases = vec![
        case("as it is", true, Box::new(|_| ())),
        case("sequence 1", true, Box::new(|s| s.sequence = 1)),
        case("sequence 0", false, Box::new(|s| s.sequence = 0)),
        case("the last sequence", true, Box::new(|s| s.sequence = MAX_SIZE)),
        case("beyond it", false, Box::new(|s| s.sequence = MAX_SIZE + 1)),
        case("no origin", false, Box::new(|s| s.origin.clear())),
        case("128 media", true, Box::new(move |s| s.media = vec![media(); 128])),
        case("129 media", false, Box::new(move |s| s.media = vec![media(); 129])),
        case("8 KiB by the actor", true, Box::new(move |s| s.actor_signature = Some(name(8_192)))),
        case("and a byte", false, Box::new(move |s| s.actor_signature = Some(name(8_193)))),
        case(
            "a nanosecond",
            false,
            Box::new(|s| {
                s.recorded_at += jiff::SignedDuration::from_nanos(1);
            }),
        ),
        case(
            "a microsecond",
            true,
            Box::new(|s| {
                s.recorded_at += jiff::SignedDuration::from_micros(1);
            }),
        ),
        case(
            "before all years",
            false,
            Box::new(|s| {
                s.recorded_at = "-000001-12-31T23:59:59.999999Z".parse().expect("an instant");
            }),
        ),
        case("a key alone", false, Box::new(|s| s.payload.commitment = None)),
        case("a commitment alone", false, Box::new(|s| s.payload.key_id = None)),
        case(
            "sealed without both",
            false,
            Box::new(|s| {
                (s.payload.key_id, s.payload.commitment) = (None, None);
            }),
        ),
        case("in the clear with both", false, Box::new(|s| s.payload.encryption = "none".into())),
        case(
            "in the clear",
            true,
            Box::new(|s| {
                (s.payload, s.subject) = (Payload::plain(b"{}"), None);
            }),
        ),
        case("another encryption", false, Box::new(|s| s.payload.encryption = "A128GCM".into())),
    ];
    let fields: [fn(&mut Statement) -> &mut String; 5] = [
        |s| &mut s.stream_type,
        |s| &mut s.event_type,
        |s| &mut s.event_version,
        |s| &mut s.actor.role,
        |s| &mut s.purpose,
    ];
    for field in fields {
        for (text, accepted) in [
            (name(128), true),
            (name(129), false),
            (String::new(), false),
            ("a b".to_owned(), false),
            ("é".to_owned(), false),
        ] {
            cases.push(case("a name", accepted, Box::new(move |s| *field(s) = text.clone())));
        }
    }
    for (line, (what, change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(accepted(change), expected, "{line}: {what}");
    }
}

#[test]
fn a_statement_is_bounded_in_bytes() {
    let mut bytes = valid().to_bytes().expect("valid");
    let read = |bytes: &[u8]| match Statement::parse(bytes) {
        Err(statement::StatementError::TooLong(length)) => Some(length),
        _ => None,
    };
    bytes.resize(MAX_STATEMENT, b' ');
    assert_eq!(read(&bytes), None);
    bytes.push(b' ');
    assert_eq!(read(&bytes), Some(MAX_STATEMENT + 1));
}

/// All its texts together may be longer than a statement is.
#[test]
fn a_statement_is_written_up_to_its_longest() {
    let media = Media {
        sha256: Digest([7; 32]),
        size: MAX_SIZE,
        // Each is written with a backslash before it.
        media_type: "\"".repeat(statement::MAX_NAME),
    };
    let mut longest = Statement { media: vec![media; 126], ..valid() };
    longest.actor_signature = Some("x".to_owned());
    let rest = MAX_STATEMENT - longest.to_bytes().expect("short enough").len();
    longest.actor_signature = Some("x".repeat(1 + rest));
    let bytes = longest.to_bytes().expect("just short enough");
    assert_eq!(bytes.len(), MAX_STATEMENT);
    assert_eq!(Statement::parse(&bytes).expect("it reads"), longest);
    longest.actor_signature = Some("x".repeat(2 + rest));
    let refused = longest.to_bytes();
    assert!(matches!(refused, Err(StatementError::TooLong(48_001))), "{refused:?}");
}

#[test]
fn an_event_of_the_logs_own_is_bounded() {
    let jwk = keys(&SEEDS[0]).events.public().to_jwk();
    let event = SystemEvent::KeyActivated(system::KeyActivatedPayload { jwk });
    let mut payload = event.to_payload().expect("serialisable");
    let parse =
        |version: &str, payload: &[u8]| SystemEvent::parse(event.event_type(), version, payload);
    assert_eq!(parse("1", &payload).ok().flatten().as_ref(), Some(&event));
    assert!(matches!(parse("2", &payload), Err(SystemError::Version(version)) if version == "2"));
    assert!(matches!(SystemEvent::parse("Other", "2", &payload), Ok(None)));
    payload.resize(system::MAX_SYSTEM_PAYLOAD, b' ');
    assert!(!matches!(parse("1", &payload), Err(SystemError::TooLong(_))));
    payload.push(b' ');
    assert!(matches!(parse("1", &payload), Err(SystemError::TooLong(16_385))));
}

#[test]
fn a_request_to_a_witness_is_bounded() {
    let world = world(17);
    let note = world.note().to_owned();
    let request = |lines: usize| AddCheckpoint {
        old: 3,
        proof: vec![Hash([7; 32]); lines],
        note: note.clone(),
    };
    let most = request(MAX_LINES);
    assert_eq!(AddCheckpoint::parse(&most.to_text()).as_ref(), Ok(&most));
    let lines = Err(Refusal::Malformed("the proof has more than 63 lines"));
    assert_eq!(AddCheckpoint::parse(&request(MAX_LINES + 1).to_text()), lines);
    assert_eq!(most.origin().as_deref(), Ok(ORIGIN));
    let old = |old: u64| AddCheckpoint { old, ..request(0) };
    assert!(AddCheckpoint::parse(&old(MAX_SIZE).to_text()).is_ok());
    assert!(AddCheckpoint::parse(&old(MAX_SIZE + 1).to_text()).is_err());
    let too_long = Err(Refusal::Malformed("too long"));
    let mut text = most.to_text();
    text.push_str(&"x".repeat(MAX_REQUEST - text.len()));
    assert_ne!(AddCheckpoint::parse(&text), too_long);
    text.push('x');
    assert_eq!(AddCheckpoint::parse(&text), too_long);
}

#[test]
fn a_proof_file_is_bounded() {
    let world = world(17);
    let proof = |extra: Option<usize>, hashes: usize, index: u64| TlogProof {
        extra: extra.map(|length| vec![7; length]),
        index,
        hashes: vec![Hash([7; 32]); hashes],
        checkpoint: world.note().to_owned(),
    };
    for good in [
        proof(None, 0, 0),
        proof(Some(0), 0, 0),
        proof(Some(65_536), MAX_PROOF, MAX_SIZE - 1),
        proof(None, MAX_PROOF, 7),
    ] {
        assert!(TlogProof::parse(&good.to_text()).is_ok_and(|read| read == good));
    }
    for bad in [proof(Some(65_537), 0, 0), proof(None, MAX_PROOF + 1, 0), proof(None, 0, MAX_SIZE)]
    {
        assert!(TlogProof::parse(&bad.to_text()).is_err());
    }
    let mut text = proof(None, 0, 0).to_text();
    text.push_str(&"x".repeat(MAX_NOTE + 2 * 65_536 - text.len()));
    assert!(TlogProof::parse(&text).is_ok(), "whether the checkpoint holds is asked later");
    text.push('x');
    assert!(matches!(TlogProof::parse(&text), Err(ProofError::Malformed("too long"))));
}

#[test]
fn a_receipt_is_bounded_and_says_what_was_signed() {
    let known = crate::world::verifiers();
    let good = receipt();
    assert!(verify_receipt(&good, &known).is_ok());
    let event = good.events[0].clone();
    let with = |count: usize| {
        let mut receipt = good.clone();
        receipt.events = vec![event.clone(); count];
        verify_receipt(&receipt, &known).err()
    };
    let (most, more) = (MAX_RECEIPT_EVENTS, MAX_RECEIPT_EVENTS + 1);
    assert!(matches!(with(more), Some(ProofError::TooLong(length)) if length == more));
    assert!(!matches!(with(most), Some(ProofError::TooLong(_))));

    // Without an event that says so, a stream is one that an event could name.
    let (name, size) = ("s".repeat(statement::MAX_NAME), MAX_SIZE);
    let empty = |stream_type: &str, version| {
        let empty = Receipt {
            events: Vec::new(),
            position: None,
            stream_type: stream_type.to_owned(),
            version,
            ..good.clone()
        };
        verify_receipt(&empty, &known)
    };
    assert!(empty(&name, size).is_ok() && empty("patient", 0).is_ok());
    for (name, version) in [(&*format!("{name}s"), 0), (&name, size + 1), ("a stream", 0)] {
        let refused = empty(name, version);
        let field = matches!(refused, Err(ProofError::Field { field: "stream", .. }));
        assert!(field, "{name} {version}: {refused:?}");
    }
}

#[test]
fn a_checkpoint_is_of_a_size_the_format_allows() {
    let text =
        |size: u64| Checkpoint { origin: ORIGIN.to_owned(), size, root: Hash([7; 32]) }.to_text();
    for size in [0, 1, MAX_SIZE] {
        assert_eq!(Checkpoint::from_text(&text(size)).map(|checkpoint| checkpoint.size), Ok(size));
    }
    assert!(Checkpoint::from_text(&text(MAX_SIZE + 1)).is_err());
    assert!(Checkpoint::from_text(&text(u64::MAX)).is_err());
    for size in ["00", "01", "+1", "-0", " 1", "1 ", "", "1.0", "1e0", "18446744073709551616"] {
        let text = text(7).replacen("\n7\n", &format!("\n{size}\n"), 1);
        assert!(Checkpoint::from_text(&text).is_err(), "{size}");
    }
}
