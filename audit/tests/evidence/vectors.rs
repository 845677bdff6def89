//! Vectors others published: accepted or refused exactly as they say.
//!
//! | folder | from | consumed by |
//! | --- | --- | --- |
//! | `merkle/inclusion`, `merkle/consistency` | transparency-dev | every file, here |
//! | `tlog/tessera-log` | Tessera | every checkpoint, tile and bundle, here |
//! | `tlog/skylight` | Sunlight | checkpoint, cosignatures of witness and mirror, hash tiles, here |
//! | `wycheproof/ed25519_test`, `aes_gcm_test` | C2SP | here (AES-GCM with the format's 256-bit keys and 96-bit nonces) |
//! | `wycheproof/hmac_sha256_test` | C2SP | `commands/tests/ledger/vectors.rs`, whose crate has the keyed hash |
//! | `cctv/ed25519vectors` | C2SP | every case, here |
//!
//! What does not apply: the mirror's bundles of entries, which hold a placeholder; `merkle/subtreeinclusion` and `merkle/subtreeconsistency` are proofs of draft
//! Merkle-tree certificates about ranges of a log, which this format has not. Of Wycheproof, ChaCha20-Poly1305,
//! XChaCha20-Poly1305, AES-GCM-SIV, HKDF, X25519 and ECDSA are algorithms that neither format nor product use; a
//! verifier key with another algorithm than Ed25519 is refused where it is read.

use std::path::{Path, PathBuf};

use audit::checkpoint::Checkpoint;
use audit::merkle::{self, Hash};
use audit::note::{self, NoteVerifier};
use audit::tiles::hashes_from_bytes;
use serde::Deserialize;

/// The folder of the vectors; says in one line what is left out where it is absent. Where `CI` is set, nothing may be.
#[expect(clippy::print_stderr, reason = "a test that leaves something out says so")]
fn folder(name: &str) -> Option<PathBuf> {
    let data = std::env::var("LEDGER_DATA").map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let folder = data.join("vectors").join(name);
    if !folder.exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "the published vectors {name} are missing (LEDGER_DATA)"
        );
        eprintln!("left out: the published vectors {name}, which are not on this machine");
        return None;
    }
    Some(folder)
}

fn json_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            json_files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("the vectors' JSON")
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}

/// The vectors' roots are opaque bytes; those of another length are stood in for by their digest.
fn root(text: &str) -> Hash {
    let bytes = base64(text);
    Hash::from_slice(&bytes).unwrap_or_else(|| Hash(audit::statement::Digest::of(&bytes).0))
}

fn proof(hashes: Option<&Vec<String>>) -> Option<Vec<Hash>> {
    hashes.into_iter().flatten().map(|hash| Hash::from_slice(&base64(hash))).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inclusion {
    leaf_idx: u64,
    tree_size: u64,
    root: String,
    leaf_hash: String,
    proof: Option<Vec<String>>,
    want_err: bool,
}

#[test]
fn inclusion_proofs_of_transparency_dev() {
    let Some(folder) = folder("merkle/inclusion") else { return };
    let mut files = Vec::new();
    json_files(&folder, &mut files);
    assert!(files.len() > 30);
    for file in files {
        let case: Inclusion = read(&file);
        // An empty leaf or root is refused where it is read: a hash has 32 bytes.
        let leaf = Hash::from_slice(&base64(&case.leaf_hash));
        let held = leaf.zip(proof(case.proof.as_ref())).is_some_and(|(leaf, proof)| {
            let root = root(&case.root);
            merkle::verify_inclusion(&leaf, case.leaf_idx, case.tree_size, &proof, &root).is_ok()
        });
        assert_eq!(held, !case.want_err, "{}", file.display());
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Consistency {
    size1: u64,
    size2: u64,
    root1: String,
    root2: String,
    proof: Option<Vec<String>>,
    want_err: bool,
}

#[test]
fn consistency_proofs_of_transparency_dev() {
    let Some(folder) = folder("merkle/consistency") else { return };
    let mut files = Vec::new();
    json_files(&folder, &mut files);
    assert!(files.len() > 30);
    for file in files {
        let case: Consistency = read(&file);
        let held = proof(case.proof.as_ref()).is_some_and(|proof| {
            let (old, new) = (root(&case.root1), root(&case.root2));
            merkle::verify_consistency(case.size1, case.size2, &proof, &old, &new).is_ok()
        });
        assert_eq!(held, !case.want_err, "{}", file.display());
    }
}

#[test]
fn checkpoints_tiles_and_entries_of_tessera() {
    let Some(folder) = folder("tlog") else { return };
    let vkey = std::fs::read_to_string(folder.join("tessera-log.vkey")).expect("a key");
    let key = NoteVerifier::parse(vkey.trim()).expect("a verifier key");
    assert_eq!(key.to_string(), vkey.trim());
    let folder = folder.join("tessera-log");
    let mut tree = merkle::CompactRange::new();
    for size in 0u64..=8 {
        let note =
            std::fs::read_to_string(folder.join(format!("checkpoint.{size}"))).expect("note");
        let checkpoint = Checkpoint::from_note(&note, std::slice::from_ref(&key)).expect("signed");
        if size > 0 {
            let tile = std::fs::read(folder.join(format!("tile/0/000.p/{size}"))).expect("a tile");
            let tile = hashes_from_bytes(&tile).expect("hashes");
            let entries =
                std::fs::read(folder.join(format!("tile/entries/000.p/{size}"))).expect("entries");
            let mut rest = entries.as_slice();
            let mut leaves = Vec::new();
            while let Some((length, after)) = rest.split_first_chunk::<2>() {
                let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
                leaves.push(merkle::leaf_hash(entry));
                rest = after;
            }
            assert_eq!(tile, leaves);
            tree.append(&leaves[leaves.len() - 1..]);
        }
        assert_eq!(checkpoint.size, tree.size());
        assert_eq!(checkpoint.root, tree.root());
        for at in 0..note.len() {
            let mut flipped = note.clone().into_bytes();
            flipped[at] ^= 1;
            let refused = String::from_utf8(flipped).map_or(true, |note| {
                Checkpoint::from_note(&note, std::slice::from_ref(&key)).is_err()
            });
            assert!(refused, "byte {at} of checkpoint {size} can be changed");
        }
    }
}

#[test]
fn a_cosigned_checkpoint_of_sunlight() {
    let Some(folder) = folder("tlog/skylight/witness") else { return };
    let log = folder.join("000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706");
    let note = std::fs::read_to_string(log.join("checkpoint")).expect("a note");
    let settings: serde_json::Value = read(&folder.join("witness.v0.json"));
    let vkey = settings["verifier_keys"][0].as_str().expect("a key");
    let witness = NoteVerifier::parse(vkey).expect("a witness's key");
    assert_eq!(witness.to_string(), vkey);
    let opened = note::open(&note, std::slice::from_ref(&witness)).expect("cosigned");
    assert_eq!((opened.signed_by.len(), opened.unknown), (1, 1));
    // A witness's word is not the log's own.
    assert!(Checkpoint::from_note(&note, std::slice::from_ref(&witness)).is_err());
    let changed = note.replacen("300", "301", 1);
    assert!(note::open(&changed, &[witness]).is_err());
}

#[test]
fn the_mirrored_log_of_sunlight() {
    let Some(folder) = folder("tlog/skylight/witness/mirror") else { return };
    let log = folder.join("000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706");
    let settings: serde_json::Value = read(&folder.join("mirror.v0.json"));
    let vkey = settings["verifier_keys"][0].as_str().expect("a key");
    let mirror = NoteVerifier::parse(vkey).expect("a mirror's key");
    let note = std::fs::read_to_string(log.join("checkpoint")).expect("a note");
    let opened = note::open(&note, std::slice::from_ref(&mirror)).expect("cosigned");
    let checkpoint = Checkpoint::from_text(opened.text).expect("a checkpoint");
    assert_eq!(checkpoint.size, 300);
    let mut tiles = audit::tiles::TileBuilder::new();
    let mut complete = Vec::new();
    for (index, width) in [(0, 256), (1, 44)] {
        let path = log.join(audit::tiles::tile_path("tile/0", index, width));
        let leaves = hashes_from_bytes(&std::fs::read(path).expect("a tile")).expect("hashes");
        assert_eq!(leaves.len(), width);
        complete.extend(tiles.append(&leaves));
    }
    assert_eq!(tiles.compact_range().expect("a tree").root(), checkpoint.root);
    assert_eq!(complete.len(), 1);
    let above = std::fs::read(log.join("tile/1/000.p/1")).expect("a tile");
    assert_eq!(hashes_from_bytes(&above), Some(tiles.partial()[1].clone()));
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wycheproof<G> {
    test_groups: Vec<G>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignatureGroup {
    public_key: WycheproofKey,
    tests: Vec<SignatureCase>,
}

#[derive(Deserialize)]
struct WycheproofKey {
    pk: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignatureCase {
    tc_id: u32,
    msg: String,
    sig: String,
    result: String,
}

/// Strict Ed25519 as the notes do it.
fn verifies(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (
        <&[u8; 32]>::try_from(key)
            .map_err(|_| ())
            .and_then(|key| ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|_| ())),
        ed25519_dalek::Signature::from_slice(signature),
    ) else {
        return false;
    };
    key.verify_strict(message, &signature).is_ok()
}

#[test]
fn wycheproof_ed25519() {
    let Some(folder) = folder("wycheproof") else { return };
    let vectors: Wycheproof<SignatureGroup> = read(&folder.join("ed25519_test.json"));
    let unhex = |text: &str| hex::decode(text).expect("hexadecimal");
    let mut count = 0;
    for group in vectors.test_groups {
        let key = unhex(&group.public_key.pk);
        for case in group.tests {
            let held = verifies(&key, &unhex(&case.msg), &unhex(&case.sig));
            assert_eq!(held, case.result == "valid", "case {}", case.tc_id);
            count += 1;
        }
    }
    assert!(count > 50);
}

#[derive(Deserialize)]
struct EdgeCase {
    number: u32,
    key: String,
    sig: String,
    msg: String,
    flags: Option<Vec<String>>,
}

/// Strict verification refuses keys and commitments of small order and whatever is not canonical.
/// The remaining edge cases (a component of small order) leave implementations a choice: strict
/// verification has no cofactor, so it accepts exactly those without a residue.
#[test]
fn cctv_ed25519() {
    let Some(folder) = folder("cctv") else { return };
    let cases: Vec<EdgeCase> = read(&folder.join("ed25519vectors.json"));
    assert!(cases.len() > 400);
    for case in cases {
        let unhex = |text: &str| hex::decode(text).expect("hexadecimal");
        let held = verifies(&unhex(&case.key), case.msg.as_bytes(), &unhex(&case.sig));
        let refused_for = [
            "low_order_A",
            "low_order_R",
            "non_canonical_A",
            "non_canonical_R",
            "low_order_residue",
        ];
        let flags = case.flags.unwrap_or_default();
        let acceptable = !flags.iter().any(|flag| refused_for.contains(&flag.as_str()));
        assert_eq!(held, acceptable, "case {} {flags:?}", case.number);
        let weak = unhex(&case.key)
            .try_into()
            .is_ok_and(|key: [u8; 32]| audit::jws::PublicKey::from_bytes(&key).is_err());
        assert_eq!(weak, flags.iter().any(|flag| flag == "low_order_A"), "case {}", case.number);
    }
}

#[cfg(feature = "seal")]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CipherGroup {
    key_size: u32,
    iv_size: u32,
    tests: Vec<CipherCase>,
}

#[cfg(feature = "seal")]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CipherCase {
    tc_id: u32,
    key: String,
    iv: String,
    aad: String,
    msg: String,
    ct: String,
    tag: String,
    result: String,
}

/// The cipher beneath sealing: 256-bit keys and 96-bit nonces are what the format has.
#[cfg(feature = "seal")]
#[test]
fn wycheproof_aes_256_gcm() {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    let Some(folder) = folder("wycheproof") else { return };
    let vectors: Wycheproof<CipherGroup> = read(&folder.join("aes_gcm_test.json"));
    let unhex = |text: &str| hex::decode(text).expect("hexadecimal");
    let mut count = 0;
    let applies = |group: &CipherGroup| group.key_size == 256 && group.iv_size == 96;
    for case in vectors.test_groups.into_iter().filter(applies).flat_map(|group| group.tests) {
        let key = UnboundKey::new(&AES_256_GCM, &unhex(&case.key)).expect("a key");
        let nonce = Nonce::try_assume_unique_for_key(&unhex(&case.iv)).expect("a nonce");
        let mut sealed = [unhex(&case.ct), unhex(&case.tag)].concat();
        let opened =
            LessSafeKey::new(key).open_in_place(nonce, Aad::from(unhex(&case.aad)), &mut sealed);
        let held = opened.is_ok_and(|plain| *plain == unhex(&case.msg));
        assert_eq!(held, case.result == "valid", "case {}", case.tc_id);
        count += 1;
    }
    assert!(count > 30);
}
