//! Accounts and their roles.

use axum::extract::State;
use commands::policy::{CommandBody, may};
use domain::AccountId;
use domain::account::{
    AccountKind, DisableAccount, GrantRole, LoginName, PasswordHash, RegisterAccount, RevokeRole,
    Role,
};
use domain::value::Line;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::answer::{Created, Document, Done};
use super::body::{Body, New};
use super::caller::{Allowed, Command};
use super::path::Id;
use super::problem::Problem;
use super::routes::Routes;
use crate::identity::password::{PasswordError, Passwords};
use crate::state::AppState;

pub(super) fn add(routes: &mut Routes) {
    routes
        .tag("accounts")
        .post("/v1/accounts", "register", register, "Registers an account. It has no role yet.")
        .get("/v1/accounts/{id}", "show", show, "One account.")
        .post(
            "/v1/accounts/{id}/roles",
            "grant_role",
            change::<GrantRole>,
            "Grants a role. It counts from the next log-in.",
        )
        .delete(
            "/v1/accounts/{id}/roles",
            "revoke_role",
            change::<RevokeRole>,
            "Revokes a role. It is gone with the next request, at the latest 20 seconds later.",
        )
        .post(
            "/v1/accounts/{id}/disable",
            "disable",
            change::<DisableAccount>,
            "Disables an account. Its tokens are refused from the next request on, at the latest 20 seconds later.",
        );
}

/// A new account. A user needs a password; a service must not have one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    /// The name to log in with; case does not matter.
    login: LoginName,
    /// The name shown to people.
    display_name: Line<100>,
    /// The password: at least 12 characters, at most 256 bytes.
    #[serde(default)]
    #[schemars(with = "Option<String>", length(min = 12, max = 256))]
    password: Option<SecretString>,
    /// A person or a service; a person without it.
    #[serde(default)]
    kind: Option<AccountKind>,
}

async fn register(
    by: Command<RegisterAccount>,
    State(state): State<AppState>,
    New { id, body: new }: New<NewAccount>,
) -> Result<Created, Problem> {
    let id = by.new_id("account", id);
    let password_hash = match new.password {
        None => None,
        Some(password) => {
            Passwords::check_policy(&password).map_err(|error| password_problem(&error))?;
            // Of the command id, so that a repeated command is the same command to the ledger.
            let source = by.context().command_id.to_string();
            let salt = state.ledger.derived_id("password-salt", &source).into_bytes();
            let hash = state.passwords.hash(password, salt).await;
            let hash = hash.map_err(|error| password_problem(&error))?;
            let hash = PasswordHash::new(&hash).map_err(|_| {
                tracing::error!("a password's hash has not the form of one");
                Problem::internal()
            })?;
            Some(hash)
        }
    };
    let command = RegisterAccount {
        login: new.login,
        display_name: new.display_name,
        password_hash,
        kind: new.kind.unwrap_or(AccountKind::User),
    };
    let receipt = by.execute(id, command).await?;
    Ok(Created { receipt, at: format!("/v1/accounts/{id}") })
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

/// An account.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AccountDocument")]
struct AccountView {
    /// The account.
    id: AccountId,
    /// The name to log in with.
    login: LoginName,
    /// The name shown to people.
    display_name: Line<100>,
    /// A person or a service.
    kind: AccountKind,
    /// The roles it holds.
    roles: Vec<Role>,
    /// Whether it may be used.
    active: bool,
    /// Its version, for `If-Match`.
    version: u64,
}

async fn show(
    _: Allowed<may::ReadAccounts>,
    State(state): State<AppState>,
    Id(id): Id<AccountId>,
) -> Result<Document<AccountView>, Problem> {
    let loaded = state.ledger.account(id).await?;
    let missing = || Problem::not_found("account");
    let loaded = loaded.ok_or_else(missing)?;
    let account = &loaded.aggregate;
    let registration = account.registration().ok_or_else(missing)?;
    let document = AccountView {
        id,
        login: registration.login.clone(),
        display_name: registration.display_name.clone(),
        kind: registration.kind,
        roles: account.roles().iter().copied().collect(),
        active: account.is_active(),
        version: loaded.version,
    };
    Ok(Document { document, version: loaded.version })
}

async fn change<C: CommandBody + DeserializeOwned + JsonSchema>(
    by: Command<C>,
    State(state): State<AppState>,
    Id(id): Id<AccountId>,
    Body(body): Body<C>,
) -> Result<Done, Problem> {
    let done = by.execute(id.as_uuid(), body).await;
    // Whatever came of it: what is remembered of the account may be old now.
    state.accounts.forget(id);
    Ok(Done(done?))
}
