//! Accounts and their roles.

use axum::extract::State;
use axum::response::Response;
use commands::Receipt;
use domain::account::{
    AccountKind, DisableAccount, GrantRole, LoginName, PasswordHash, RegisterAccount, RevokeRole,
    Role,
};
use domain::value::Line;
use domain::{Account, AccountCommand, AccountId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::answer;
use super::body::Fields;
use super::call::Call;
use super::path::Id;
use super::problem::Problem;
use super::schema;
use crate::identity::password::{PasswordError, Passwords};
use crate::state::AppState;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAccount {
    login: LoginName,
    display_name: Line<100>,
    #[serde(default)]
    password: Option<SecretString>,
    #[serde(default)]
    kind: Option<AccountKind>,
}

/// Registers an account. It has no role yet.
#[utoipa::path(
    post, path = "/v1/accounts", tag = "accounts",
    params(schema::IdempotencyKey),
    request_body = schema::NewAccount,
    responses(
        (status = 201, description = "Registered", body = schema::Receipt,
         headers(("Location" = String, description = "The account"))),
    )
)]
pub(super) async fn register(
    State(state): State<AppState>,
    call: Call,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let chosen = fields.take_id()?;
    let new: NewAccount = fields.read()?;
    let context = call.context();
    let id = call.new_id(&state, "account", chosen);
    let password_hash = match new.password {
        None => None,
        Some(password) => {
            Passwords::check_policy(&password).map_err(|error| password_problem(&error))?;
            // Of the command id, so that a repeated command is the same command to the ledger.
            let source = context.command_id.to_string();
            let salt = state.ledger.derived_id("password-salt", &source).into_bytes();
            let hash = state.passwords.hash(password, salt).await;
            let hash = hash.map_err(|error| password_problem(&error))?;
            Some(PasswordHash::new(&hash).map_err(|_| Problem::internal())?)
        }
    };
    let command = AccountCommand::Register(RegisterAccount {
        login: new.login,
        display_name: new.display_name,
        password_hash,
        kind: new.kind.unwrap_or(AccountKind::User),
    });
    let receipt = state.ledger.execute::<Account>(id, command, &context).await?;
    Ok(answer::created(&receipt, &format!("/v1/accounts/{id}")))
}

fn password_problem(error: &PasswordError) -> Problem {
    match error {
        PasswordError::TooShort | PasswordError::TooLong => {
            Problem::unprocessable("password-unsuitable", error.to_string()).at("password")
        }
        PasswordError::Hash(_) | PasswordError::Stopped => {
            tracing::error!(%error, "a password could not be hashed");
            Problem::internal()
        }
    }
}

#[derive(Serialize)]
struct AccountView {
    id: Uuid,
    login: String,
    display_name: String,
    kind: AccountKind,
    roles: Vec<Role>,
    active: bool,
    version: u64,
}

/// One account.
#[utoipa::path(
    get, path = "/v1/accounts/{id}", tag = "accounts",
    params(schema::AccountPath),
    responses(
        (status = 200, description = "The account", body = schema::AccountDocument,
         headers(("ETag" = String, description = "Its version"))),
    )
)]
pub(super) async fn show(
    State(state): State<AppState>,
    _call: Call,
    Id(id): Id,
) -> Result<Response, Problem> {
    let loaded = state.ledger.load::<Account>(id).await?;
    let loaded = loaded.ok_or_else(|| Problem::not_found("account"))?;
    let account = &loaded.aggregate;
    let missing = || Problem::not_found("account");
    let registration = account.registration().ok_or_else(missing)?;
    let view = AccountView {
        id,
        login: registration.login.to_string(),
        display_name: registration.display_name.to_string(),
        kind: registration.kind,
        roles: account.roles().iter().copied().collect(),
        active: account.is_active(),
        version: loaded.version,
    };
    answer::document(&view, loaded.version)
}

/// Grants a role. It counts from the next log-in.
#[utoipa::path(
    post, path = "/v1/accounts/{id}/roles", tag = "accounts",
    params(schema::AccountPath, schema::IdempotencyKey, schema::IfMatch),
    request_body = schema::GrantRole,
    responses(
        (status = 200, description = "Granted", body = schema::Receipt),
    )
)]
pub(super) async fn grant_role(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    let command = AccountCommand::GrantRole(fields.read::<GrantRole>()?);
    change(&state, &call, id, command).await
}

/// Revokes a role. It is gone with the next request, at the latest 20 seconds later.
#[utoipa::path(
    delete, path = "/v1/accounts/{id}/roles", tag = "accounts",
    params(schema::AccountPath, schema::IdempotencyKey, schema::IfMatch),
    request_body = schema::RevokeRole,
    responses(
        (status = 200, description = "Revoked", body = schema::Receipt),
    )
)]
pub(super) async fn revoke_role(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    let command = AccountCommand::RevokeRole(fields.read::<RevokeRole>()?);
    change(&state, &call, id, command).await
}

/// Disables an account. Its tokens are refused from the next request on, at the latest 20 seconds later.
#[utoipa::path(
    post, path = "/v1/accounts/{id}/disable", tag = "accounts",
    params(schema::AccountPath, schema::IdempotencyKey, schema::IfMatch),
    request_body = schema::DisableAccount,
    responses(
        (status = 200, description = "Disabled", body = schema::Receipt),
    )
)]
pub(super) async fn disable(
    State(state): State<AppState>,
    call: Call,
    Id(id): Id,
    fields: Fields,
) -> Result<Response, Problem> {
    let command = AccountCommand::Disable(fields.read::<DisableAccount>()?);
    change(&state, &call, id, command).await
}

async fn change(
    state: &AppState,
    call: &Call,
    id: Uuid,
    command: AccountCommand,
) -> Result<Response, Problem> {
    let done: Result<Receipt, _> =
        state.ledger.execute::<Account>(id, command, &call.context()).await;
    // Whatever came of it: what is remembered of the account may be old now.
    state.accounts.forget(AccountId::from_uuid(id));
    Ok(answer::done(&done?))
}
