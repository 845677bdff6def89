//! The whole product in one process, for tests: its own Postgres database, its own Mongo database, its own
//! prefix in Redis, captures in a temporary folder, fresh keys, projectors running, a server on a free port.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::config::Http;
use api::http;
use api::state::{AppState, Parts};
use api::witness::Witnesses;
use audit::note::NoteVerifier;
use audit::postgres::{DataKeys, LogReader};
use audit::proof::{Receipt, VerifiedReceipt, verify_receipt};
use commands::database::{self, Login};
use commands::{
    Actor, Blobs, Clock, Context, Keys, Ledger, LedgerConfig, PurposeOfUse, log_policy,
};
use domain::account::{AccountKind, GrantRole, LoginName, PasswordHash, RegisterAccount, Role};
use domain::value::Line;
use domain::{
    Account, AccountCommand, Location, LocationCommand, PatientId, Practitioner,
    PractitionerCommand,
};
use jiff::SignedDuration;
use projections::cache::Cache;
use projections::event::EventLog;
use projections::read_models::ReadModels;
use projections::runtime::{Projector, RunConfig, Runtime};
use projections::tags::Tags;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The origin of every test's log.
pub(crate) const ORIGIN: &str = "test.example/ledger";
/// Has the form of a hash, and no password.
const NO_PASSWORD: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The roles, in the order of the matrix.
pub(crate) const ROLES: &[Role] = Role::ALL;

/// The running product.
pub(crate) struct TestApp {
    /// Where it listens, `http://127.0.0.1:…`.
    pub(crate) base: String,
    /// What the server holds, to reach behind it.
    pub(crate) state: AppState,
    /// The ledger, past the door through which faces have it.
    pub(crate) ledger: Ledger,
    /// The read models, past the door through which the server reads them.
    pub(crate) read_models: ReadModels,
    /// The captures, the same way.
    pub(crate) store: Blobs,
    /// The log's database, by the server's login.
    pub(crate) pool: PgPool,
    /// The folder of captures.
    pub(crate) blobs: tempfile::TempDir,
    tokens: BTreeMap<Role, (Uuid, String)>,
    client: reqwest::Client,
    pub(crate) keys: Keys,
    runtime: Runtime,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body as it came.
    pub(crate) text: String,
    /// The body as JSON; null if it is none.
    pub(crate) body: Value,
}

/// A client with, or without, a token.
#[derive(Clone)]
pub(crate) struct Caller {
    base: String,
    client: reqwest::Client,
    token: Option<String>,
    headers: Vec<(String, String)>,
}

impl TestApp {
    /// Starts everything over a migrated, empty database.
    pub(crate) async fn start(options: PgConnectOptions) -> TestApp {
        TestApp::start_with(options, Http::default()).await
    }

    /// As [`TestApp::start`], with other limits.
    pub(crate) async fn start_with(options: PgConnectOptions, limits: Http) -> TestApp {
        TestApp::over(options, limits, Keys::ephemeral()).await
    }

    /// Starts everything over a database that these keys belong to.
    pub(crate) async fn over(options: PgConnectOptions, limits: Http, keys: Keys) -> TestApp {
        TestApp::open(options, limits, keys, LedgerConfig::new(ORIGIN)).await
    }

    /// As [`TestApp::start`], with looks alike counted for so long; where that is zero, each is an event.
    pub(crate) async fn counting_looks_for(
        options: PgConnectOptions,
        looks_alike_within: SignedDuration,
    ) -> TestApp {
        let config = LedgerConfig { looks_alike_within, ..LedgerConfig::new(ORIGIN) };
        TestApp::open(options, Http::default(), Keys::ephemeral(), config).await
    }

    async fn open(
        options: PgConnectOptions,
        limits: Http,
        keys: Keys,
        config: LedgerConfig,
    ) -> TestApp {
        let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let login = database::trial(&options, Login::Serve).await.expect("the rights are given");
        let pool = database::connect_with(login).await.expect("Postgres answers");
        let clock = Clock::system();
        let ledger = Ledger::open(pool.clone(), keys.clone(), clock.clone(), config);
        let ledger = ledger.await.expect("the log opens");

        let own = format!("api_{}", Uuid::now_v7().simple());
        let tags = Tags::new(keys.mac_key("read-model/v1"), ORIGIN);
        let ttl = Duration::from_secs(600);
        let cache = Cache::new(&env("REDIS_URL"), own.clone(), ttl, tags.clone());
        let cache = cache.expect("a Redis URL");
        let reader = LogReader::new(ORIGIN, log_policy());
        let data_keys = DataKeys::new(pool.clone(), keys.key_wrap(), reader.clone());
        let log = EventLog::new(pool.clone(), data_keys, reader);
        let (uri, tagged) = (env("MONGODB_URI"), tags.clone());
        let read_models = ReadModels::connect(&uri, &own, Some(cache), tagged, log.clone()).await;
        let read_models = read_models.expect("a Mongo URI");
        let blobs = tempfile::tempdir().expect("a temporary folder");
        let store = Blobs::new(blobs.path().to_str().expect("a UTF-8 path")).expect("a store");

        let config = RunConfig { poll: Duration::from_millis(100), ..RunConfig::default() };
        let runtime = Runtime::new(pool.clone(), log, read_models.database(), tags, config);
        let projectors = read_models.projectors();

        let parts = Parts {
            ledger: ledger.clone(),
            read_models: read_models.clone(),
            blobs: store.clone(),
            pool: pool.clone(),
            keys: keys.clone(),
            clock,
            witnesses: Witnesses::new(Vec::new()).expect("no witnesses"),
        };
        let state = AppState::new(parts, limits).expect("the state");
        let listener = api::edge::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let served = http::serve(state.clone(), listener, shutdown.clone());
        tasks.spawn(served);

        let mut app = TestApp {
            base,
            state,
            ledger,
            read_models,
            store,
            pool,
            blobs,
            tokens: BTreeMap::new(),
            client: reqwest::Client::new(),
            keys,
            runtime,
            shutdown,
            tasks,
        };
        for projector in projectors {
            app.run(projector);
        }
        for role in ROLES {
            let id = app.account(&[*role]).await;
            let token = app.token(id, &[*role]);
            app.tokens.insert(*role, (id, token));
        }
        app
    }

    /// Runs one more projector.
    pub(crate) fn run(&mut self, projector: Arc<dyn Projector>) {
        let (runtime, shutdown) = (self.runtime.clone(), self.shutdown.clone());
        self.tasks.spawn(async move {
            runtime.run(projector, shutdown).await.expect("the projector goes on");
        });
    }

    /// The log, as a worker reads it.
    pub(crate) fn log(&self) -> EventLog {
        let reader = LogReader::new(ORIGIN, log_policy());
        let wrap = self.keys.key_wrap();
        let data_keys = DataKeys::new(self.pool.clone(), wrap, reader.clone());
        EventLog::new(self.pool.clone(), data_keys, reader)
    }

    /// Registers an account with these roles, past the HTTP edge.
    pub(crate) async fn account(&self, roles: &[Role]) -> Uuid {
        let kind =
            if roles.contains(&Role::Service) { AccountKind::Service } else { AccountKind::User };
        let id = self.ledger.new_id();
        let hash = PasswordHash::new(NO_PASSWORD).expect("the form of a hash");
        let register = AccountCommand::Register(RegisterAccount {
            login: LoginName::new(&format!("u{}", id.simple())).expect("a login"),
            display_name: Line::new("Test").expect("a name"),
            password_hash: (kind == AccountKind::User).then_some(hash),
            kind,
        });
        let commands =
            roles.iter().map(|role| AccountCommand::GrantRole(GrantRole { role: *role }));
        for command in std::iter::once(register).chain(commands) {
            let context = Context::new(Actor::bootstrap(), PurposeOfUse::Sysadmin);
            let done = self.ledger.execute::<Account>(id, command, &context).await;
            done.expect("the account is registered");
        }
        id
    }

    /// Has a practitioner and a room in the directory, past the HTTP edge.
    pub(crate) async fn list(&self, practitioner: Uuid, room: Option<Uuid>) {
        let context = || Context::new(Actor::importer(), PurposeOfUse::Hoperat);
        let who = json!({ "register": { "name": { "family": "Behandler" } } });
        let who: PractitionerCommand = serde_json::from_value(who).expect("a command");
        let ledger = &self.ledger;
        let done = ledger.execute::<Practitioner>(practitioner, who, &context()).await;
        done.expect("the practitioner is registered");
        if let Some(room) = room {
            let place =
                json!({ "register": { "kind": "room", "name": "Zimmer 1", "zone": "UTC" } });
            let place: LocationCommand = serde_json::from_value(place).expect("a command");
            let done = ledger.execute::<Location>(room, place, &context()).await;
            done.expect("the room is registered");
        }
    }

    /// A token for an account.
    pub(crate) fn token(&self, account: Uuid, roles: &[Role]) -> String {
        let roles = roles.iter().map(ToString::to_string).collect();
        let issued = self.state.tokens.issue(account, roles, self.state.clock.now());
        issued.expect("a token").token
    }

    /// A client that carries this token, or none.
    pub(crate) fn caller(&self, token: Option<String>) -> Caller {
        let (base, client) = (self.base.clone(), self.client.clone());
        Caller { base, client, token, headers: Vec::new() }
    }

    /// A client without a token.
    pub(crate) fn anonymous(&self) -> Caller {
        self.caller(None)
    }

    /// A client with this role.
    pub(crate) fn role(&self, role: Role) -> Caller {
        self.caller(Some(self.tokens[&role].1.clone()))
    }

    /// A clinician's client.
    pub(crate) fn clinician(&self) -> Caller {
        self.role(Role::Clinician)
    }

    /// The front desk's client.
    pub(crate) fn front_desk(&self) -> Caller {
        self.role(Role::FrontDesk)
    }

    /// An administrator's client.
    pub(crate) fn admin(&self) -> Caller {
        self.role(Role::Admin)
    }

    /// How many events of a type of stream the log holds.
    pub(crate) async fn events(&self, stream_type: &str) -> i64 {
        let query = "SELECT count(*) FROM events WHERE aggregate_type = $1";
        let count = sqlx::query_scalar(query).bind(stream_type).fetch_one(&self.pool).await;
        count.expect("Postgres answers")
    }

    /// The number of events that are no looks, of claims and of captures: what a refused request must not change.
    pub(crate) async fn footprint(&self) -> (i64, i64, i64, usize) {
        let query = "SELECT (SELECT count(*) FROM events
                               WHERE aggregate_type NOT IN ('disclosure', 'access')),
                            (SELECT count(*) FROM claims_busy),
                            (SELECT count(*) FROM claims_unique)";
        let (size, busy, unique) =
            sqlx::query_as(query).fetch_one(&self.pool).await.expect("Postgres answers");
        (size, busy, unique, files(self.blobs.path()))
    }

    /// Checks a receipt with nothing but the log's public key.
    pub(crate) fn verify(&self, receipt: &Value) -> VerifiedReceipt {
        let receipt: Receipt = serde_json::from_value(receipt.clone()).expect("a receipt");
        let key = NoteVerifier::parse(&self.ledger.verifier_key()).expect("the log's key");
        verify_receipt(&receipt, &[key]).expect("the receipt holds")
    }

    /// Registers a patient and answers its id and the position of the event.
    pub(crate) async fn patient(&self) -> (PatientId, u64) {
        let body = json!({ "name": { "family": "Probe", "given": ["Petra"] }, "gender": "female" });
        let reply = self.front_desk().post("/v1/patients", &body).await.expect_status(201);
        let id: Uuid = serde_json::from_value(reply.body["stream_id"].clone()).expect("an id");
        (id.into(), reply.position())
    }

    /// Stops everything and removes what it left in Mongo.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no task panics");
        }
        self.read_models.database().drop().await.expect("Mongo answers");
        self.ledger.clone().close().await;
    }
}

impl Caller {
    /// The same client, sending one more header each time.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Caller {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sends a request with a body as it is.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Reply {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some((kind, bytes)) = body {
            request = request.header("content-type", kind).body(bytes);
        }
        let answer = request.send().await.expect("the server answers");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply { status, headers, text, body }
    }

    /// GET of what is no text.
    pub(crate) async fn get_bytes(&self, path: &str) -> (u16, Vec<u8>) {
        let mut request = self.client.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.expect("the server answers");
        (answer.status().as_u16(), answer.bytes().await.expect("a body").to_vec())
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    /// POST of JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, Some(("application/json", body.to_string().into()))).await
    }

    /// PUT of JSON.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::PUT, path, Some(("application/json", body.to_string().into()))).await
    }

    /// DELETE with JSON.
    pub(crate) async fn delete(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::DELETE, path, Some(("application/json", body.to_string().into()))).await
    }
}

impl Reply {
    /// The reply, if it has this status.
    #[track_caller]
    pub(crate) fn expect_status(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The problem's code.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The position in a receipt.
    #[track_caller]
    pub(crate) fn position(&self) -> u64 {
        self.body["position"].as_u64().expect("a receipt with a position")
    }

    /// The id of the stream in a receipt.
    #[track_caller]
    pub(crate) fn stream_id(&self) -> &str {
        self.body["stream_id"].as_str().expect("a receipt with a stream")
    }
}

/// The files below a folder.
fn files(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names the service to test against"))
}
