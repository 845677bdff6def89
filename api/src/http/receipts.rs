//! Receipts.

use axum::extract::State;
use commands::Receipt;
use commands::policy::Permission;
use domain::value::Code;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::answer::Plain;
use super::caller::Anybody;
use super::path::{CommandId, Id};
use super::problem::Problem;
use super::query::Query;
use super::routes::Routes;
use crate::state::AppState;

pub(super) fn add(routes: &mut Routes) {
    routes.tag("log").get(
        "/v1/receipts/{command_id}",
        "receipt",
        receipt,
        "The receipt of a command you have sent. To fetch it again, or to learn whether it was done.",
    );
}

/// Whose command, for those who may read the log: several actors may have given a command the same id.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Of {
    /// The actor; without it, you, or else the one actor who gave a command this id.
    actor: Option<domain::AccountId>,
}

async fn receipt(
    by: Anybody,
    State(state): State<AppState>,
    Id(command_id): Id<CommandId>,
    Query(Of { actor }): Query<Of>,
) -> Result<Plain<Receipt>, Problem> {
    let id: Uuid = command_id.into();
    let own = by.asking.actor.id;
    let missing = || Problem::not_found("command of yours");
    if actor.is_none_or(|of| of == own)
        && let Some(receipt) = state.ledger.receipt_of(id, own.as_uuid(), &by.asking.actor).await?
    {
        return Ok(Plain(receipt));
    }
    // Another actor's command is found by those who may read the log, and by them only; that they look is recorded.
    let may_read_log = by.asking.asks(Permission::ReadLog);
    if actor == Some(own) || !state.ledger.policy().decide(&may_read_log).is_allowed() {
        return Err(missing());
    }
    let what = vec![Code::new(&id.to_string()).map_err(|_| Problem::internal())?];
    state.records.allowed(&by.asking, Permission::ReadLog, what).await?;
    let receipt = match actor {
        Some(of) => state.ledger.receipt_of(id, of.as_uuid(), &by.asking.actor).await?,
        None => state.ledger.receipt(id, &by.asking.actor).await?,
    };
    Ok(Plain(receipt.ok_or_else(missing)?))
}
