//! The door: who is calling, and may they. Default is no.

use axum::RequestExt as _;
use axum::extract::{RawPathParams, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use commands::actor::{Actor, ActorKind};
use commands::policy::{Permission, RuleId};
use domain::AccountId;
use domain::account::{AccountKind, Role};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

use super::call::Call;
use super::operations::{Access, Concerns, Operation};
use super::problem::Problem;
use super::trace::{Account, Ids};
use crate::edge::Line;
use crate::identity::token::TokenError;
use crate::records::{Asking, RecordOf};
use crate::state::AppState;

/// An operation behind the guard.
#[derive(Clone)]
pub(super) struct Guarded {
    pub(super) state: AppState,
    pub(super) operation: Arc<Operation>,
}

/// Checks every request to an operation before anything else is read of it.
pub(super) async fn guard(
    State(Guarded { state, operation }): State<Guarded>,
    mut request: Request,
    next: Next,
) -> Response {
    let permission = match operation.access {
        Access::Public => return next.run(request).await,
        Access::Authenticated => None,
        Access::Needs(permission) => Some(permission),
    };
    let actor = match authenticate(&state, request.headers()).await {
        Ok(actor) => actor,
        Err(problem) => return problem.into_response(),
    };
    if let Some(line) = request.extensions().get::<Arc<Line>>() {
        // A connection with a valid token does not give way to those without.
        line.signed_in();
    }
    let account = Account(actor.id.as_uuid());
    let denied = match permission {
        Some(permission) => {
            // As the door of the records asks about the same request.
            let of = record_named(operation.concerns, &mut request).await;
            let asking = asking(&actor, &request);
            let decision =
                state.ledger.policy().decide(&asking.asks(permission).about(of.subject()));
            (!decision.is_allowed()).then_some((permission, decision.because(), of, asking))
        }
        None => None,
    };
    let mut response = match denied {
        Some((permission, because, of, asking)) => {
            deny(&state, permission, because, of, &asking).await.into_response()
        }
        None => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
    };
    // A response to an authenticated request is not to be stored, unless the
    // handler knows better.
    const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    response.extensions_mut().insert(account);
    state.experience.note(&operation, &response);
    response
}

async fn authenticate(state: &AppState, headers: &HeaderMap) -> Result<Actor, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| {
        // Without credentials, a challenge without an error (RFC 6750, 3.1).
        const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Bearer realm="ledger""#);
        Problem::unauthenticated("send an access token as `Authorization: Bearer …`")
            .with_header(header::WWW_AUTHENTICATE, CHALLENGE)
    })?;
    let malformed = || Problem::unauthenticated(TokenError::Malformed.to_string());
    if values.next().is_some() {
        return Err(malformed());
    }
    let value = value.to_str().map_err(|_| malformed())?;
    let (scheme, token) = value.split_once(' ').ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(malformed());
    }
    let claims = state
        .tokens
        .verify(token.trim(), state.clock.now())
        .map_err(|error| Problem::unauthenticated(error.to_string()))?;
    let id = AccountId::from_uuid(claims.sub);
    let standing = state.accounts.standing(id).await?;
    let standing = standing.filter(|standing| standing.active);
    let standing =
        standing.ok_or_else(|| Problem::unauthenticated("the account may not be used any more"))?;
    // A role granted since needs a new token; a role revoked since is gone at once.
    let issued: BTreeSet<Role> = claims.roles.iter().filter_map(|role| role.parse().ok()).collect();
    let roles = standing.roles.intersection(&issued).copied().collect();
    let kind = match standing.kind {
        AccountKind::User => ActorKind::User,
        AccountKind::Service => ActorKind::Service,
    };
    Ok(Actor { id, kind, roles })
}

/// 403, after the denial has been recorded.
async fn deny(
    state: &AppState,
    permission: Permission,
    because: RuleId,
    of: RecordOf,
    asking: &Asking,
) -> Problem {
    metrics::counter!("ledger_denials_total", "permission" => permission.as_str()).increment(1);
    tracing::warn!(account = %asking.actor.id, permission = permission.as_str(), %because, "denied");
    match state.records.denied(asking, permission, of).await {
        Ok(()) => Problem::denied(permission.as_str()),
        Err(unrecorded) => unrecorded.into(),
    }
}

/// Who asks, and why. A header that cannot be read is for the handler to refuse; until then nothing was said, and it does not
/// keep a denial from being recorded.
fn asking(actor: &Actor, request: &Request) -> Asking {
    let ids = request.extensions().get::<Ids>();
    let call = Call::read(actor.clone(), ids, request.headers());
    call.unwrap_or_else(|_| Call::silent(actor.clone(), ids)).asking()
}

/// Whose record a request is about, by the id in its path.
async fn record_named(concerns: Concerns, request: &mut Request) -> RecordOf {
    let of = match concerns {
        Concerns::Nobody => return RecordOf::Nobody,
        Concerns::Patient => RecordOf::Patient,
        Concerns::Appointment => RecordOf::Appointment,
        Concerns::Wound => RecordOf::Wound,
    };
    id_in_path(request).await.map_or(RecordOf::Nobody, of)
}

async fn id_in_path(request: &mut Request) -> Option<Uuid> {
    let params = request.extract_parts::<RawPathParams>().await.ok()?;
    let (_, id) = params.iter().find(|(name, _)| *name == "id")?;
    Uuid::try_parse(id).ok()
}
