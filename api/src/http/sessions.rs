//! Logging in: a password against a short-lived access token.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::account::LoginName;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::body::Body;
use super::caller::Public;
use super::describe::{Answers, Draft, ProblemKind, Reads};
use super::problem::Problem;
use super::routes::Routes;
use crate::edge::address::{ClientAddress, origin};
use crate::identity::accounts::standing_of;
use crate::identity::queue::{Applicant, QueueFull};
use crate::state::AppState;

pub(super) fn add(routes: &mut Routes) {
    routes.tag("sessions").post(
        "/v1/sessions",
        "log_in",
        log_in,
        "Logs in. The answer to a wrong password and to an unknown name is the same, and takes the same time. Log-ins queue \
         for their turn; the turns are shared between addresses and names.",
    );
}

/// A log-in name and its password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// The log-in name; case does not matter.
    #[schemars(example = &"j.meyer")]
    login: String,
    /// The password.
    #[schemars(with = "String")]
    password: SecretString,
}

/// An access token.
#[derive(Serialize, JsonSchema)]
struct Session {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    #[schemars(example = &"Bearer")]
    token_type: &'static str,
    /// Seconds until it expires.
    #[schemars(example = 900_u64)]
    expires_in: u64,
}

/// The address that a request comes from.
struct Client(Option<ClientAddress>);

impl Reads for Client {
    fn describe(_: &mut Draft<'_>) {}
}

impl FromRequestParts<AppState> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        Ok(Self(parts.extensions.get::<ClientAddress>().copied()))
    }
}

impl Answers for Session {
    fn describe(draft: &mut Draft<'_>) {
        draft.answer::<Self>(StatusCode::OK, "application/json", "An access token", &[]);
        draft.refuses(&[ProblemKind::Unauthenticated, ProblemKind::TooMany]);
    }
}

impl IntoResponse for Session {
    fn into_response(self) -> Response {
        let mut response = Json(self).into_response();
        const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
        response
    }
}

async fn log_in(
    _: Public,
    State(state): State<AppState>,
    Client(client): Client,
    Body(credentials): Body<Credentials>,
) -> Result<Session, Problem> {
    let now = Instant::now();
    let login = LoginName::new(&credentials.login).ok();
    let name = login.as_ref().map_or(credentials.login.as_str(), LoginName::as_str);
    let address = client.map_or(String::new(), |client| origin(client.0).to_string());
    let throttled = ThrottleKeys::of(&state, name, &address, now);
    throttled.attempt(&state, now).map_err(too_many)?;
    // Everything that takes a while is done within a turn.
    let turn = state.queue.turn(throttled.applicant()).await.map_err(|QueueFull| {
        throttled.withdraw(&state);
        crowded()
    })?;

    let account = match &login {
        Some(login) => state.ledger.account_named(login).await?,
        None => None,
    };
    let stored = account.as_ref().and_then(|(_, account)| account.password_hash());
    let stored = stored.map(|hash| hash.as_str().to_owned());
    let matches = state
        .passwords
        .verify(stored, credentials.password)
        .await
        .map_err(|_| Problem::unavailable("the server is stopping"))?;
    drop(turn);

    // A disabled account gets the same response as a wrong password.
    let usable = account.filter(|(_, account)| matches && account.is_active());
    let Some((id, standing)) =
        usable.and_then(|(id, account)| standing_of(&account).map(|standing| (id, standing)))
    else {
        metrics::counter!("ledger_logins_total", "outcome" => "refused").increment(1);
        tracing::warn!("a log-in was refused");
        return Err(wrong());
    };
    throttled.succeeded(&state, now);
    metrics::counter!("ledger_logins_total", "outcome" => "accepted").increment(1);
    tracing::info!(account = %id, "logged in");
    state.accounts.forget(id);

    let roles = standing.roles.iter().map(ToString::to_string).collect();
    let issued = state.tokens.issue(id.into(), roles, state.clock.now()).map_err(|error| {
        tracing::error!(%error, "no access token could be issued");
        Problem::internal()
    })?;
    Ok(Session {
        access_token: issued.token,
        token_type: "Bearer",
        expires_in: issued.expires_in.as_secs(),
    })
}

/// The keys under which a log-in attempt is counted.
struct ThrottleKeys {
    login: [u8; 32],
    address: [u8; 32],
    pair: [u8; 32],
    /// Whether this name has logged in from this address before.
    known: bool,
}

impl ThrottleKeys {
    fn of(state: &AppState, login: &str, address: &str, now: Instant) -> Self {
        let (login, address) = (key("login", login), key("address", address));
        let pair = Sha256::new().chain_update(login).chain_update(address).finalize().into();
        Self { login, address, pair, known: state.known_log_ins.contains(&pair, now) }
    }

    fn applicant(&self) -> Applicant {
        Applicant { address: self.address, login: self.login, known: self.known }
    }

    /// Counts the try as failed beforehand. Where the name has logged in before it is counted apart, so that guessing
    /// at it elsewhere, or at other names from here, keeps no user from their work.
    fn attempt(&self, state: &AppState, now: Instant) -> Result<(), Duration> {
        if self.known {
            return state.pairs.attempt(self.pair, now);
        }
        state.addresses.attempt(self.address, now)?;
        state.log_ins.attempt(self.login, now)
    }

    /// The try was not made.
    fn withdraw(&self, state: &AppState) {
        if self.known {
            state.pairs.withdraw(&self.pair);
        } else {
            state.addresses.withdraw(&self.address);
            state.log_ins.withdraw(&self.login);
        }
    }

    fn succeeded(&self, state: &AppState, now: Instant) {
        state.pairs.succeeded(&self.pair);
        if !self.known {
            state.log_ins.succeeded(&self.login);
            state.addresses.succeeded(&self.address);
        }
        state.known_log_ins.remember(self.pair, now);
    }
}

fn key(kind: &str, text: &str) -> [u8; 32] {
    Sha256::new().chain_update(kind).chain_update([0]).chain_update(text).finalize().into()
}

fn wrong() -> Problem {
    const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Bearer realm="ledger""#);
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "wrong-credentials",
        "Not authenticated",
        "the log-in name or the password is wrong, or the account may not be used any more",
    )
    .with_header(header::WWW_AUTHENTICATE, CHALLENGE)
}

fn crowded() -> Problem {
    metrics::counter!("ledger_logins_total", "outcome" => "crowded-out").increment(1);
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "log-ins-queue",
        "Too many log-ins at once",
        "too many log in at the moment; nothing was tried, send it again after the time in Retry-After",
    )
    .retry_after(Duration::from_secs(1))
}

fn too_many(wait: Duration) -> Problem {
    metrics::counter!("ledger_logins_total", "outcome" => "throttled").increment(1);
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many-log-ins",
        "Too many tries",
        "too many log-ins have failed; wait for the time in Retry-After",
    )
    .retry_after(wait)
}
