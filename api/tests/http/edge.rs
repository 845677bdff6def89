//! Slow, silent and many clients, over real sockets: what they cost, and that nobody else pays for it.

use std::time::{Duration, Instant};

use api::config::Http;
use api::edge::{self, Connections};
use domain::account::Role;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::common::TestApp;

/// Longer than anything here may take, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection on which these bytes were sent.
async fn sent(base: &str, bytes: &str) -> TcpStream {
    let address = base.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes.as_bytes()).await.expect("sent");
    stream
}

/// What comes until the server closes the connection, and how long that takes.
async fn until_closed(mut stream: TcpStream) -> (String, Duration) {
    let begin = Instant::now();
    let mut bytes = Vec::new();
    // Closed with an error is closed.
    let _end =
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("closed");
    (String::from_utf8_lossy(&bytes).into_owned(), begin.elapsed())
}

fn log_in_head(length: usize) -> String {
    format!(
        "POST /v1/sessions HTTP/1.1\r\nHost: ledger\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

fn short() -> Connections {
    Connections { header_seconds: 1, stall_seconds: 1, ..Connections::default() }
}

#[sqlx::test(migrations = "../migrations")]
async fn bodies_that_do_not_come_hold_nothing(_: PgPoolOptions, options: PgConnectOptions) {
    let limits = Http {
        max_requests: 4,
        max_requests_per_account: 4,
        max_public_requests: 4,
        max_arriving_uploads: 40,
        connections: Connections { stall_seconds: 3, ..Connections::default() },
        ..Http::default()
    };
    let app = TestApp::start_with(options, limits).await;
    let (patient, position) = app.patient().await;
    let token = app.token(app.account(&[Role::FrontDesk]).await, &[Role::FrontDesk]);
    let mut held = JoinSet::new();
    for number in 0..40 {
        // Half without a token, half with one: neither may use up what others need.
        let head = match number % 2 {
            0 => log_in_head(100),
            _ => format!(
                "POST /v1/patients HTTP/1.1\r\nHost: ledger\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
            ),
        };
        held.spawn(until_closed(sent(&app.base, &format!("{head}{{\"log")).await));
    }
    let reader = app.front_desk().with("Ledger-Min-Position", position);
    for _ in 0..10 {
        reader.get(&format!("/v1/patients/{patient}")).await.expect_status(200);
        app.anonymous().get("/v1/log/checkpoint").await.expect_status(200);
        let nobody = json!({ "login": "nobody.here", "password": "wrong horse battery" });
        app.anonymous().post("/v1/sessions", &nobody).await.expect_status(401);
    }
    for (answer, after) in held.join_all().await {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("body-too-slow"), "{answer}");
        assert!(after < PATIENCE, "{after:?}");
    }
    // A body that trickles is one that does not come.
    let mut trickle = sent(&app.base, &log_in_head(1000)).await;
    let begin = Instant::now();
    while trickle.write_all(b" ").await.is_ok() {
        assert!(begin.elapsed() < PATIENCE, "a byte now and then keeps it open");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_large_is_refused_before_it_comes(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options).await;
    for (head, expected) in [
        (log_in_head(4097), "413"),
        // Who is unknown is told so, without a byte of the body being read.
        (
            "POST /v1/wounds/0/scans HTTP/1.1\r\nHost: ledger\r\nContent-Length: 30000000\r\n\r\n"
                .to_owned(),
            "401",
        ),
    ] {
        let begin = Instant::now();
        let mut stream = sent(&app.base, &head).await;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer[9..], expected.as_bytes(), "{head}");
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn answers_that_nobody_takes_are_cut(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start_with(options, Http { connections: short(), ..Http::default() }).await;
    const PAGES: usize = 60;
    let page = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: ledger\r\n\r\n";
    let size = app.anonymous().get("/docs/swagger-ui-bundle.js").await.text.len();
    let greedy = sent(&app.base, &page.repeat(PAGES)).await;
    // Reads nothing for longer than it may, and then everything that was on its way.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (taken, _) = until_closed(greedy).await;
    assert!(taken.len() < PAGES * size, "{} of {} bytes", taken.len(), PAGES * size);
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn one_address_does_not_crowd_out_itself(_: PgPoolOptions, options: PgConnectOptions) {
    let connections = Connections { max_connections_per_address: 16, ..Connections::default() };
    let app = TestApp::start_with(options, Http { connections, ..Http::default() }).await;
    let (patient, position) = app.patient().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(sent(&app.base, "GET /v1/log/keys HTTP/1.1\r\nHost: led").await);
        if silent.len() % 10 == 0 {
            let reader = app.front_desk().with("Ledger-Min-Position", position);
            reader.get(&format!("/v1/patients/{patient}")).await.expect_status(200);
        }
    }
    // The oldest have given way; nobody waited for that.
    let (answer, after) = until_closed(silent.remove(0)).await;
    assert_eq!(answer, "");
    assert!(after < Duration::from_secs(5), "{after:?}");
    app.stop().await;
}

#[tokio::test]
async fn half_a_head_and_an_idle_connection_are_cut_and_a_stop_is_not_held_up() {
    let listener = edge::bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let router = axum::Router::new().route("/", axum::routing::get(|| async { "here" }));
    let (shutdown, settings) =
        (CancellationToken::new(), Connections { idle_seconds: 2, ..short() });
    let grace = Duration::from_secs(20);
    let served = tokio::spawn(edge::serve(listener, router, settings, shutdown.clone(), grace));

    let begin = Instant::now();
    let mut trickle = sent(&base, "GET / HTTP/1.1\r\n").await;
    while trickle.write_all(b"X: y\r\n").await.is_ok() {
        assert!(begin.elapsed() < PATIENCE, "a head may go on for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (answer, after) = until_closed(sent(&base, "").await).await;
    assert_eq!(answer, "");
    assert!(after >= Duration::from_millis(900), "cut too early: {after:?}");
    let (answer, after) =
        until_closed(sent(&base, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await).await;
    assert!(answer.ends_with("here"), "{answer}");
    assert!(after >= Duration::from_millis(1900), "kept too short: {after:?}");
    // A head without an end.
    let endless = format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(40_000));
    let (answer, _) = until_closed(sent(&base, &endless).await).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");

    let _silent = sent(&base, "GET / HT").await;
    shutdown.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(10), served).await;
    stopped.expect("it stops before the grace is over").expect("no panic");
}

#[sqlx::test(migrations = "../migrations")]
async fn three_hundred_log_ins_do_not_keep_anybody_out(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = TestApp::start(options).await;
    let new =
        json!({ "login": "j.meyer", "display_name": "J", "password": "correct horse battery" });
    app.admin().post("/v1/accounts", &new).await.expect_status(201);
    let honest = json!({ "login": "j.meyer", "password": "correct horse battery" });
    app.anonymous().post("/v1/sessions", &honest).await.expect_status(200);
    let mut crowd = JoinSet::new();
    for number in 0..300 {
        let caller = app.anonymous();
        let guess = json!({ "login": format!("guess{number}"), "password": "wrong horse battery" });
        crowd.spawn(async move { caller.post("/v1/sessions", &guess).await });
    }
    tokio::task::yield_now().await;
    let begin = Instant::now();
    // From the same address as the crowd.
    app.anonymous().post("/v1/sessions", &honest).await.expect_status(200);
    let waited = begin.elapsed();
    let replies = crowd.join_all().await;
    let all = begin.elapsed();
    let turned_away: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!(turned_away.iter().all(|reply| !reply.header("retry-after").is_empty()));
    assert!(turned_away.len() > 100, "{} of 300", turned_away.len());
    // A second where the cores are free; never a good part of what the crowd takes.
    assert!(waited < Duration::from_secs(1).max(all * 3 / 4), "{waited:?} of {all:?}");

    // Guessing at the name from elsewhere does not lock it out where it is at home; from here it does.
    for _ in 0..12 {
        let guess = json!({ "login": "j.meyer", "password": "wrong horse battery" });
        app.anonymous().post("/v1/sessions", &guess).await;
    }
    let locked = app.anonymous().post("/v1/sessions", &honest).await;
    assert_eq!((locked.status, locked.code()), (429, "too-many-log-ins"));
    app.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn readiness_says_what_stands_in_the_way(_: PgPoolOptions, options: PgConnectOptions) {
    let app = TestApp::start(options.clone()).await;
    let anybody = app.anonymous();
    anybody.get("/health/ready").await.expect_status(200);
    let name = options.get_database().expect("a database").to_owned();
    let mut maintenance =
        PgConnection::connect_with(&options.clone().database("postgres")).await.expect("Postgres");
    let close = format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS false");
    sqlx::query(&close).execute(&mut maintenance).await.expect("closed");
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    sqlx::query(end).bind(&name).execute(&mut maintenance).await.expect("ended");

    let begin = Instant::now();
    let away = loop {
        let reply = anybody.get("/health/ready").await;
        if reply.status == 503 {
            break reply;
        }
        assert!(begin.elapsed() < PATIENCE, "{}", reply.text);
    };
    for what in ["commands", "reads"] {
        let reason = away.body[what].as_str().expect("a reason");
        assert!(["database-unreachable", "no-answer-in-time"].contains(&reason), "{}", away.text);
    }
    assert_eq!(away.body["checks"]["mongodb"], "ok");
    anybody.get("/health/live").await.expect_status(200);

    let open = format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS true");
    sqlx::query(&open).execute(&mut maintenance).await.expect("opened");
    while anybody.get("/health/ready").await.status != 200 {
        assert!(begin.elapsed() < 2 * PATIENCE, "it does not recover");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    app.stop().await;
}
