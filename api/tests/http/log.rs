//! The signed log over HTTP: checkpoint and keys for everybody, proofs and tiles for whoever may read the log.

use audit::checkpoint::Checkpoint;
use audit::jws::{JwkSet, PublicKey, parse_compact};
use audit::merkle::{self, Hash};
use audit::note::NoteVerifier;
use audit::proof::TlogProof;
use domain::account::Role;
use jiff::SignedDuration;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::common::{Caller, TestApp};

async fn bytes(caller: &Caller, path: &str) -> Vec<u8> {
    let reply = caller.get_bytes(path).await;
    assert_eq!(reply.0, 200, "{path}");
    reply.1
}

fn entries(mut bundle: &[u8]) -> Vec<String> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(String::from_utf8(entry.to_vec()).expect("ASCII"));
        bundle = rest;
    }
    entries
}

#[sqlx::test(migrations = "../migrations")]
async fn everybody_may_see_the_checkpoint_and_the_keys(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = TestApp::start(options).await;
    app.patient().await;
    let anybody = app.anonymous();
    let note = anybody.get("/v1/log/checkpoint").await.expect_status(200);
    assert_eq!(note.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(note.header("cache-control"), "public, max-age=2");
    let set = anybody.get("/v1/log/keys").await.expect_status(200);
    assert_eq!(set.header("content-type"), "application/jwk-set+json");
    assert_eq!(set.header("cache-control"), "public, max-age=2");
    let set = JwkSet::parse(set.body.to_string().as_bytes()).expect("a JWK Set");
    assert_eq!(set.keys.len(), 1);
    let key = PublicKey::from_jwk(&set.keys[0]).expect("a key");
    assert_eq!(set.keys[0].kid.as_deref(), Some(key.thumbprint()));
    let verifier = NoteVerifier::new(crate::common::ORIGIN, key.to_bytes()).expect("a verifier");
    assert_eq!(verifier.to_string(), app.ledger.verifier_key());
    let checkpoint = Checkpoint::from_note(&note.text, &[verifier]).expect("signed");
    assert_eq!(checkpoint.size, u64::try_from(app.footprint().await.0).expect("a size"));
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn tiles_bundles_and_proofs_make_the_checkpoint(_: PgPoolOptions, options: PgConnectOptions) {
    // Whoever reads the log writes to it: once, and then no more while this lasts.
    let app = TestApp::counting_looks_for(options, SignedDuration::from_hours(1)).await;
    app.role(Role::Auditor).get("/v1/log/tile/0/000.p/1").await.expect_status(200);
    let key = [NoteVerifier::parse(&app.ledger.verifier_key()).expect("a key")];
    let early = app.anonymous().get("/v1/log/checkpoint").await.expect_status(200).text;
    let early = Checkpoint::from_note(&early, &key).expect("signed");
    // Past a whole tile.
    while app.footprint().await.0 <= 260 {
        let batch = (0..20).map(|_| app.patient());
        futures::future::join_all(batch).await;
    }
    let auditor = app.role(Role::Auditor);
    let note = app.anonymous().get("/v1/log/checkpoint").await.expect_status(200).text;
    let head = Checkpoint::from_note(&note, &key).expect("signed");
    assert!(head.size > 260);
    let rest = head.size - 256;

    let mut leaves = Vec::new();
    let mut jws = Vec::new();
    for (tile, bundle, width) in [
        ("/v1/log/tile/0/000".to_owned(), "/v1/log/tile/entries/000".to_owned(), 256),
        (
            format!("/v1/log/tile/0/001.p/{rest}"),
            format!("/v1/log/tile/entries/001.p/{rest}"),
            rest,
        ),
    ] {
        let tile = bytes(&auditor, &tile).await;
        let tile = audit::tiles::hashes_from_bytes(&tile).expect("hashes");
        let bundle = entries(&bytes(&auditor, &bundle).await);
        assert_eq!((tile.len() as u64, bundle.len() as u64), (width, width));
        for (hash, entry) in tile.iter().zip(&bundle) {
            assert_eq!(*hash, merkle::leaf_hash(entry.as_bytes()));
            parse_compact(entry).expect("a compact JWS");
        }
        leaves.extend(tile);
        jws.extend(bundle);
    }
    let root = merkle::tree_root(head.size, leaves.as_slice()).expect("whole");
    assert_eq!(root, head.root, "the tiles make the root");
    let above = bytes(&auditor, "/v1/log/tile/1/000.p/1").await;
    assert_eq!(above, merkle::tree_root(256, &leaves[..]).expect("whole").as_bytes());
    // A part of a tile that is complete by now, as a client may still ask for.
    assert_eq!(
        bytes(&auditor, "/v1/log/tile/0/000.p/7").await,
        audit::tiles::hashes_to_bytes(&leaves[..7])
    );

    let reply = auditor.get("/v1/log/tile/0/000").await.expect_status(200);
    assert_eq!(reply.header("cache-control"), "private, max-age=31536000, immutable");
    assert_eq!(reply.header("content-type"), "application/octet-stream");
    for path in [
        "/v1/log/tile/0/001",
        &format!("/v1/log/tile/0/001.p/{}", rest + 1),
        &format!("/v1/log/tile/entries/001.p/{}", rest + 1),
        "/v1/log/tile/1/000",
        "/v1/log/tile/1/000.p/2",
        "/v1/log/tile/2/000.p/1",
        "/v1/log/tile/6/000.p/1",
        "/v1/log/tile/7/000",
        "/v1/log/tile/00/000",
        "/v1/log/tile/0/0",
        "/v1/log/tile/0/000.p/256",
        "/v1/log/tile/0/x000/000",
        "/v1/log/tile/0/999",
        "/v1/log/tile/data/000",
    ] {
        let reply = auditor.get(path).await;
        assert_eq!((reply.status, reply.code()), (404, "no-such-tile"), "{path}");
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
    }

    for position in [0, 1, 255, 256, head.size - 1] {
        let reply = auditor.get(&format!("/v1/log/inclusion?position={position}")).await;
        let proof = TlogProof::parse(&reply.expect_status(200).text).expect("a proof");
        let leaf = merkle::leaf_hash(jws[usize::try_from(position).expect("small")].as_bytes());
        assert_eq!(
            (proof.index, proof.verify(&leaf, &key).expect("holds").size),
            (position, head.size)
        );
    }
    let path = format!("/v1/log/inclusion?position=0&size={}", early.size);
    let proof = TlogProof::parse(&auditor.get(&path).await.expect_status(200).text);
    let verified = proof.expect("a proof").verify(&leaves[0], &key).expect("holds");
    assert_eq!(verified, early);
    for (old, new) in [(early.size, head.size), (1, 256), (head.size, head.size)] {
        let path = format!("/v1/log/consistency?old={old}&new={new}");
        let reply = auditor.get(&path).await.expect_status(200);
        let proof: Vec<Hash> = serde_json::from_value(reply.body["proof"].clone()).expect("hashes");
        let root = |size| merkle::tree_root(size, leaves.as_slice()).expect("whole");
        merkle::verify_consistency(old, new, &proof, &root(old), &root(new)).expect("holds");
    }
    let beyond = head.size + 1;
    for (path, code) in [
        ("/v1/log/inclusion".to_owned(), "missing-parameter"),
        ("/v1/log/inclusion?position=first".to_owned(), "invalid-parameter"),
        (format!("/v1/log/inclusion?position={}", head.size), "beyond-the-log"),
        (format!("/v1/log/inclusion?position=0&size={beyond}"), "beyond-the-log"),
        ("/v1/log/inclusion?position=0&size=0".to_owned(), "no-such-checkpoint"),
        ("/v1/log/inclusion?at=0".to_owned(), "unknown-parameter"),
        ("/v1/log/consistency".to_owned(), "missing-parameter"),
        ("/v1/log/consistency?old=0".to_owned(), "invalid-parameter"),
        ("/v1/log/consistency?old=5&new=4".to_owned(), "invalid-parameter"),
        (format!("/v1/log/consistency?old=1&new={beyond}"), "beyond-the-log"),
    ] {
        let reply = auditor.get(&path).await;
        assert_eq!((reply.status, reply.code()), (422, code), "{path}: {}", reply.text);
    }
    app.stop().await;
}
