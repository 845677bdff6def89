//! A restored backup through the binary, and witnesses: what they cosign, and what they keep a ledger from.

use std::path::Path;
use std::time::Duration;

use api::witness::{StateError, Witness, WitnessState, Witnesses, router};
use audit::checkpoint::Checkpoint;
use audit::merkle::empty_root;
use audit::note::{self, NoteSigner, NoteVerifier};
use audit::postgres::consistency;
use audit::witness::AddCheckpoint;
use commands::database::{self, Login};
use commands::{Actor, Clock, Context, Ledger, PurposeOfUse};
use domain::{Patient, PatientCommand};
use serde_json::json;
use sqlx::Executor as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::instance::ORIGIN;
use crate::support::{Instance, Process, free_port, until};

async fn register(ledger: &Ledger, count: usize) {
    for number in 0..count {
        let command = json!({ "register": { "name": { "family": format!("Fork-{number}") } } });
        let command: PatientCommand = serde_json::from_value(command).expect("a command");
        let context = Context::new(Actor::importer(), PurposeOfUse::Hoperat);
        let done = ledger.execute::<Patient>(ledger.new_id(), command, &context).await;
        done.expect("registered");
    }
}

const TABLES: [&str; 4] = ["events", "commands", "checkpoints", "ledger_head"];

/// Keeps the log's tables; `restore` puts them back, as a restored backup does.
async fn back_up(instance: &Instance) {
    for table in TABLES {
        let sql = format!("CREATE TABLE kept_{table} AS TABLE {table}");
        instance.pool.execute(sql.as_str()).await.expect("backed up");
    }
}

async fn restore(instance: &Instance) {
    let tables = TABLES.map(|t| format!("DELETE FROM {t}; INSERT INTO {t} TABLE kept_{t};"));
    let script = tables.concat();
    let script = format!("BEGIN; SET LOCAL session_replication_role = replica; {script} COMMIT");
    instance.pool.execute(script.as_str()).await.expect("restored");
}

fn log_key(instance: &Instance) -> NoteVerifier {
    instance.verifiers()[0].clone()
}

fn signer(instance: &Instance) -> NoteSigner {
    NoteSigner::new(ORIGIN, &instance.keys.event_signing_seeds()[0]).expect("a name")
}

/// A witness on a free port: its settings for the ledger, and the task it runs in.
async fn witness(folder: &Path, keys: Vec<NoteVerifier>) -> (String, JoinHandle<()>) {
    let state = WitnessState::open(folder, "witness.example/test", keys, Clock::system());
    let state = state.expect("the state opens");
    let key = state.verifier().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let served = tokio::spawn(async move {
        axum::serve(listener, router(state)).await.expect("the witness serves");
    });
    (format!("{key}@http://{address}"), served)
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_refuses_a_restored_backup_and_says_what_to_do() {
    let instance = Instance::new().await;
    instance.run(["migrate"]).await.succeeded();
    let key = log_key(&instance);
    back_up(&instance).await;
    let admin = |login: &'static str| {
        let mut command = instance.command(["account", "create-admin", "--login", login]);
        command.env("LEDGER_ADMIN_PASSWORD", "correct horse battery");
        command
    };
    instance.finish(admin("first")).await.succeeded();
    let kept = instance.path("checkpoints/checkpoint");
    let published = std::fs::read_to_string(&kept).expect("kept beside the keys");
    let checkpoint = Checkpoint::from_note(&published, &[key]).expect("signed");
    assert_eq!(checkpoint.size, u64::try_from(instance.events().await).expect("a size"));

    // As a backup of the database alone puts things: everything derived is older, too.
    restore(&instance).await;
    instance.pool.execute("DELETE FROM claims_unique").await.expect("restored");
    for arguments in [["serve"].as_slice(), &["worker"], &["migrate"]] {
        let mut command = instance.command(arguments);
        command.env("LEDGER_LISTEN", format!("127.0.0.1:{}", free_port()));
        let ran = instance.finish(command).await;
        assert_eq!(ran.status, 1, "{arguments:?}: {}", ran.stdout);
        for told in ["has 1 events", "published checkpoint of 3", "Restore a newer backup"] {
            assert!(ran.stderr.contains(told), "{arguments:?}: {told}: {}", ran.stderr);
        }
    }
    assert_eq!(instance.finish(admin("second")).await.status, 1);
    assert_eq!(instance.events().await, 1, "nothing was signed");
    // The audit compares with the same checkpoint without being told to.
    let ran = instance.run(["--json", "audit", "verify"]).await;
    let report = ran.json();
    let first = &report["findings"][0];
    assert_eq!((ran.status, &first["kind"], &first["position"]), (3, &json!("missing"), &json!(1)));
    assert_eq!(std::fs::read_to_string(&kept).expect("the file"), published);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_answers_as_the_protocol_says_and_never_for_two_histories() {
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    register(&ledger, 5).await;
    let early = ledger.checkpoint().await.expect("a checkpoint");
    register(&ledger, 5).await;
    let late = ledger.checkpoint().await.expect("a checkpoint");
    ledger.close().await;
    let mut connection = instance.pool.acquire().await.expect("a connection");
    let proof = consistency(&mut connection, 6, 11).await.expect("a proof");

    let folder = instance.path("witness");
    let other = NoteSigner::new("other.example", &[9; 32]).expect("a name");
    let keys = vec![log_key(&instance), other.verifier().clone()];
    let (address, served) = witness(&folder, keys.clone()).await;
    let (vkey, url) = address.split_once("@").expect("VKEY@URL");
    let known = [NoteVerifier::parse(vkey).expect("a key")];
    let client = reqwest::Client::new();
    let post = |url: String, body: String| {
        let client = client.clone();
        async move {
            let answer = client.post(format!("{url}/add-checkpoint")).body(body).send().await;
            let answer = answer.expect("an answer");
            let kind = answer.headers().get("content-type").cloned();
            let kind = kind.map(|kind| kind.to_str().expect("text").to_owned());
            let status = answer.status().as_u16();
            (status, kind.unwrap_or_default(), answer.text().await.expect("a body"))
        }
    };
    let add = |old: u64, proof: &[audit::merkle::Hash], note: &str| {
        AddCheckpoint { old, proof: proof.to_vec(), note: note.to_owned() }.to_text()
    };
    let at = url.to_owned();

    let unknown = NoteSigner::new("unknown.example", &[8; 32]).expect("a name");
    let nothing =
        |origin: &str| Checkpoint { origin: origin.to_owned(), size: 0, root: empty_root() };
    let unknown = nothing("unknown.example").to_note(&unknown).expect("signed");
    let forged = NoteSigner::new(ORIGIN, &[8; 32]).expect("a name");
    let forged = nothing(ORIGIN).to_note(&forged).expect("signed");
    for (body, status) in [
        ("nonsense".to_owned(), 400),
        (add(7, &[], &early), 400),
        (add(0, &[], &forged), 403),
        (add(0, &[], &unknown), 404),
        (add(0, &proof, &early), 422),
    ] {
        let answer = post(at.clone(), body).await;
        assert_eq!(answer.0, status, "{}", answer.2);
    }
    assert_eq!(post(at.clone(), "x".repeat(80_000)).await.0, 413);

    let (status, _, line) = post(at.clone(), add(0, &[], &early)).await;
    assert_eq!(status, 200, "{line}");
    note::open(&format!("{early}{line}"), &known).expect("a cosignature");
    // Where it stands, in plain decimal.
    let (status, kind, size) = post(at.clone(), add(0, &[], &late)).await;
    assert_eq!((status, kind.as_str(), size.as_str()), (409, "text/x.tlog.size", "6\n"));
    // A fork of the same size, signed by the log's own key; and one that has grown.
    let fork = Checkpoint { root: empty_root(), ..Checkpoint::peek(&early).expect("one") };
    let fork = fork.to_note(&signer(&instance)).expect("signed");
    assert_eq!(post(at.clone(), add(6, &[], &fork)).await.0, 409);
    let fork = Checkpoint { root: empty_root(), ..Checkpoint::peek(&late).expect("one") };
    let fork = fork.to_note(&signer(&instance)).expect("signed");
    assert_eq!(post(at.clone(), add(6, &proof, &fork)).await.0, 422);

    let (status, _, line) = post(at.clone(), add(6, &proof, &late)).await;
    assert_eq!(status, 200, "{line}");
    note::open(&format!("{late}{line}"), &known).expect("a cosignature");
    assert_eq!(post(at.clone(), add(11, &[], &late)).await.0, 200, "the same once more");
    assert_eq!(post(at.clone(), add(6, &[], &early)).await.2, "11\n", "never back");

    // Nobody else may run on the same state; and what it has seen outlives it, with its key.
    let second = WitnessState::open(&folder, "witness.example/test", keys.clone(), Clock::system());
    assert!(matches!(second, Err(StateError::InUse(_))));
    served.abort();
    let _ended = served.await;
    let restarted = async {
        loop {
            match WitnessState::open(&folder, "witness.example/test", keys.clone(), Clock::system())
            {
                Ok(state) => return state,
                // A connection that is still open holds the state.
                Err(StateError::InUse(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    drop(client);
    let state =
        tokio::time::timeout(Duration::from_secs(30), restarted).await.expect("it restarts");
    assert_eq!(state.verifier(), &known[0]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router(state)).await });
    let request = add(0, &[], &late);
    let answer = reqwest::Client::new().post(format!("{at}/add-checkpoint")).body(request).send();
    let answer = answer.await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), answer.text().await.expect("a body")),
        (409, "11\n".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_witness_alone_keeps_a_restored_backup_from_being_continued() {
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    register(&ledger, 2).await;
    back_up(&instance).await;
    register(&ledger, 3).await;
    ledger.close().await;
    let (address, _served) = witness(&instance.path("witness"), vec![log_key(&instance)]).await;
    let pool = database::connect(instance.login(Login::Serve)).await.expect("a pool");
    let witnesses = Witnesses::new(vec![address.parse::<Witness>().expect("VKEY@URL")]);
    let witnesses = witnesses.expect("a client");
    let seen = witnesses.seen(&pool, &signer(&instance)).await;
    assert_eq!((seen.len(), seen[0].size, seen[0].consistent), (1, 6, true));

    restore(&instance).await;
    let serve = |witness: &str| {
        let mut command = instance.command(["serve"]);
        command.env("LEDGER_WITNESSES", witness);
        command.env("LEDGER_LISTEN", format!("127.0.0.1:{}", free_port()));
        command
    };
    assert!(!instance.path("checkpoints").exists(), "there is nothing but the witness");
    let ran = instance.finish(serve(&address)).await;
    assert_eq!(ran.status, 1, "{}", ran.stdout);
    for told in ["has 3 events", "the witness witness.example/test", "checkpoint of 6"] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }

    // Continued by somebody who did not ask: the witness has cosigned another history.
    let ledger = instance.ledger().await;
    register(&ledger, 5).await;
    ledger.close().await;
    let ran = instance.finish(serve(&address)).await;
    assert_eq!(ran.status, 1, "{}", ran.stdout);
    assert!(ran.stderr.contains("one of the two is a fork"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_served_checkpoint_is_cosigned_and_a_dead_witness_stops_nobody() {
    let instance = Instance::new().await;
    instance.run(["migrate"]).await.succeeded();
    let (address, _served) = witness(&instance.path("witness"), vec![log_key(&instance)]).await;
    let (vkey, _) = address.split_once('@').expect("VKEY@URL");
    let dead = format!("{vkey}@http://127.0.0.1:{}", free_port());
    let port = free_port();
    let mut command = instance.command(["serve"]);
    command.env("LEDGER_WITNESSES", format!("{dead},{address}"));
    command.env("LEDGER_LISTEN", format!("127.0.0.1:{port}"));
    let mut server = Process::spawn(&instance, command, "serve");
    let known = [NoteVerifier::parse(vkey).expect("a key"), log_key(&instance)];
    let url = format!("http://127.0.0.1:{port}");
    let cosigned = || async {
        let Ok(answer) = reqwest::get(format!("{url}/v1/log/checkpoint")).await else {
            return false;
        };
        let note = answer.text().await.expect("a note");
        note::open(&note, &known).is_ok_and(|opened| opened.signed_by.len() == 2)
    };
    until("the checkpoint is cosigned", Duration::from_secs(60), cosigned).await;
    assert!(server.is_running());
    let figures = reqwest::get(format!("{url}/metrics")).await.expect("an answer");
    let figures = figures.text().await.expect("text");
    assert!(figures.contains("ledger_witness_failures_total"), "{figures}");
    assert!(figures.contains("ledger_witnessed_size"), "{figures}");
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_witness_of_the_binary_keeps_its_key_and_its_word_through_a_crash() {
    let instance = Instance::new().await;
    let ledger = instance.ledger().await;
    let early = ledger.checkpoint().await.expect("a checkpoint");
    register(&ledger, 2).await;
    let late = ledger.checkpoint().await.expect("a checkpoint");
    ledger.close().await;
    let port = free_port();
    let (key, state) = (instance.verifier_key(), instance.path("witness"));
    let start = || {
        let mut command = instance.command(["--json", "witness", "--name", "witness.example/own"]);
        command.args(["--log", &key, "--listen", &format!("127.0.0.1:{port}"), "--state"]);
        command.arg(&state);
        Process::spawn(&instance, command, "witness")
    };
    let post = |note: String| async move {
        let body = AddCheckpoint { old: 0, proof: Vec::new(), note }.to_text();
        let url = format!("http://127.0.0.1:{port}/add-checkpoint");
        let answer = reqwest::Client::new().post(url).body(body).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    };
    let answers = || async { post("nothing".to_owned()).await.is_some() };
    let mut process = start();
    until("the witness answers", Duration::from_secs(60), answers).await;
    let (status, line) = post(late).await.expect("an answer");
    assert_eq!(status, 200, "{line}");
    process.kill();
    let mut process = start();
    until("the witness answers again", Duration::from_secs(60), answers).await;
    let expected = Some((409, "3\n".to_owned()));
    assert_eq!(post(early).await, expected, "it remembers what it cosigned before the crash");
    process.kill();
    let log = std::fs::read_to_string(instance.logs().join("witness.log")).expect("a log");
    let said = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let keys: Vec<String> =
        said.filter_map(|said| Some(said["vkey"].as_str()?.to_owned())).collect();
    assert_eq!(keys.len(), 2, "printed at each start: {log}");
    assert_eq!(keys[0], keys[1], "the same key");
    assert_eq!(line.split(' ').nth(1), Some("witness.example/own"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_compares_with_what_is_kept_and_with_witnesses_without_being_told() {
    let instance = Instance::new().await;
    instance.run(["migrate"]).await.succeeded();
    let (address, served) = witness(&instance.path("witness"), vec![log_key(&instance)]).await;
    let audit = async |address: &str| {
        let mut command = instance.command(["--json", "audit", "verify"]);
        command.env("LEDGER_WITNESSES", address);
        let ran = instance.finish(command).await;
        (ran.status, ran.json())
    };
    let of_witnesses = |report: &serde_json::Value| {
        let beside = report["beside"].as_array().expect("a list").iter();
        beside.clone().find(|one| one["what"] == "witnesses").expect("told of").clone()
    };
    back_up(&instance).await;
    let ledger = instance.ledger().await;
    register(&ledger, 3).await;
    ledger.close().await;
    let (_, report) = audit(&address).await;
    let compared: Vec<&str> = report["compared"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(compared.len(), 2, "{report}");
    assert!(compared.iter().any(|name| name.ends_with("checkpoints/checkpoint")), "{compared:?}");
    assert!(compared.contains(&"that the witness witness.example/test cosigned"), "{compared:?}");

    // Database and kept checkpoint are put back together: the witness is not.
    restore(&instance).await;
    std::fs::remove_dir_all(instance.path("checkpoints")).expect("removed");
    let (status, report) = audit(&address).await;
    let told = of_witnesses(&report);
    assert_eq!((status, &told["findings"][0]["kind"]), (3, &json!("missing")), "{told}");
    assert_eq!(report["compared"], json!([]), "{report}");
    served.abort();
    let (_, report) = audit(&address).await;
    let told = of_witnesses(&report);
    assert!(
        told["not_compared"].as_str().is_some_and(|why| why.contains("witness.example")),
        "{told}"
    );
}
