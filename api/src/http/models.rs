//! The models that measure wounds: handing one in, activating it, going back. Nothing here is PHI.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use commands::{CommandError, Loaded};
use domain::model::{ActivateModel, Model, ModelStatus, RegisterModel, RollBackModel};
use domain::value::{Digest, Note};
use domain::{ModelCard, ModelCommand, ModelRegistry, Now, Stream as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wound::network::{
    MAX_PACKAGE_BYTES, ModelPackage, PACKAGE_MEDIA_TYPE, PackageError, Segmenter,
};
use wound::pipeline;

use super::body::{Fields, media_type, unsupported};
use super::call::Call;
use super::intake::{Received, Upload};
use super::path::Sha256;
use super::problem::Problem;
use super::{answer, schema};
use crate::state::AppState;

/// Hands in a model: a package of its card and its weights (`ledger model pack`).
///
/// The network must load from the weights before they are stored; they are stored before the event is recorded. A
/// registered model measures nothing until it is activated. Handing in the package of a registered model again is refused,
/// and puts its weights back where the store has lost them.
#[utoipa::path(
    post, path = "/v1/models", tag = "models",
    params(schema::IdempotencyKey, schema::IfMatch),
    request_body(
        content((schema::PackageBytes = "application/vnd.coherency.model+tar")),
        description = "The package, at most 64 MiB",
    ),
    responses(
        (status = 201, description = "Registered", body = schema::Receipt,
         headers(("Location" = String, description = "The model"))),
    )
)]
pub(super) async fn register(
    State(state): State<AppState>,
    call: Call,
    headers: HeaderMap,
    upload: Upload,
) -> Result<Response, Problem> {
    if media_type(&headers).is_none_or(|kind| kind != PACKAGE_MEDIA_TYPE) {
        return Err(unsupported(&[PACKAGE_MEDIA_TYPE]));
    }
    let Received { bytes, permit: _permit } = upload.receive(MAX_PACKAGE_BYTES).await?;
    let taken = tokio::task::spawn_blocking(move || take(&bytes)).await.map_err(|_| {
        tracing::error!("a package could not be checked: its task ended");
        Problem::internal()
    })?;
    let (digest, package) = taken?;
    let weights = Bytes::from(package.weights);
    let command = ModelCommand::Register(Box::new(RegisterModel {
        weights_sha256: digest,
        size: weights.len() as u64,
        card: package.card,
    }));
    let registry = registry(&state).await?.aggregate;
    let registered = registry.model(&digest).is_some();
    if registered || registry.decide(command.clone(), &Now(state.clock.now())).is_ok() {
        state.weights.put(weights).await.map_err(|error| {
            tracing::error!(error = %audit::chain(&error), "weights could not be stored");
            Problem::unavailable("the store of weights is not available; nothing was recorded")
        })?;
    }
    let receipt = execute(&state, command, &call).await?;
    Ok(answer::created(&receipt, &format!("/v1/models/{digest}")))
}

/// Reads a package, and loads the network from it to see that it does.
fn take(bytes: &[u8]) -> Result<(Digest, ModelPackage), Problem> {
    let package = ModelPackage::read(bytes).map_err(|error| refused(&error))?;
    let segmenter = Segmenter::from_bytes(package.weights.clone()).map_err(|error| {
        Problem::unprocessable("weights-unusable", audit::chain(&error)).at("weights.bpk")
    })?;
    Ok((Digest::from(segmenter.digest()), package))
}

fn refused(error: &PackageError) -> Problem {
    Problem::unprocessable(error.code(), audit::chain(error)).at(error.field())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    reason: Note,
}

/// Activates a model: from now on it answers scans. The worker has it answer the earlier ones too; what other models
/// have measured stays beside it.
#[utoipa::path(
    post, path = "/v1/models/{sha256}/activate", tag = "models",
    params(schema::ModelPath, schema::IdempotencyKey, schema::IfMatch),
    request_body = schema::ModelReason,
    responses((status = 200, description = "Activated", body = schema::Receipt))
)]
pub(super) async fn activate(
    State(state): State<AppState>,
    call: Call,
    Sha256(weights_sha256): Sha256,
    fields: Fields,
) -> Result<Response, Problem> {
    let Reason { reason } = fields.read()?;
    let command = ModelCommand::Activate(ActivateModel { weights_sha256, reason });
    Ok(answer::done(&execute(&state, command, &call).await?))
}

/// Withdraws the active model for good and goes back to the one that was active before.
///
/// The worker withdraws every measurement that the withdrawn model made and that no clinician confirmed.
#[utoipa::path(
    post, path = "/v1/models/roll-back", tag = "models",
    params(schema::IdempotencyKey, schema::IfMatch),
    request_body = schema::ModelReason,
    responses((status = 200, description = "Rolled back", body = schema::Receipt))
)]
pub(super) async fn roll_back(
    State(state): State<AppState>,
    call: Call,
    fields: Fields,
) -> Result<Response, Problem> {
    let Reason { reason } = fields.read()?;
    let command = ModelCommand::RollBack(RollBackModel { reason });
    Ok(answer::done(&execute(&state, command, &call).await?))
}

#[derive(Serialize)]
struct ModelView<'a> {
    weights_sha256: Digest,
    status: ModelStatus,
    size: u64,
    /// What its measurements are marked with, as long as the geometry stays as it is.
    model_digest: Digest,
    registered_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    activated_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn_at: Option<Timestamp>,
    card: &'a ModelCard,
}

impl<'a> ModelView<'a> {
    fn of(registry: &ModelRegistry, weights: &Digest, model: &'a Model) -> ModelView<'a> {
        ModelView {
            weights_sha256: *weights,
            status: registry.status(weights).unwrap_or(ModelStatus::Registered),
            size: model.size,
            model_digest: pipeline::model_digest(weights),
            registered_at: model.registered_at,
            activated_at: model.activated_at,
            withdrawn_at: model.withdrawn_at,
            card: &model.card,
        }
    }
}

#[derive(Serialize)]
struct ModelList<'a> {
    items: Vec<ModelView<'a>>,
}

/// The registered models, in the order in which they were registered.
#[utoipa::path(
    get, path = "/v1/models", tag = "models",
    responses((status = 200, description = "All of them", body = schema::ModelList))
)]
pub(super) async fn list(State(state): State<AppState>, _call: Call) -> Result<Response, Problem> {
    let registry = registry(&state).await?.aggregate;
    let models = registry.models().map(|(weights, model)| ModelView::of(&registry, weights, model));
    let mut items: Vec<_> = models.collect();
    items.sort_by_key(|model| (model.registered_at, model.weights_sha256));
    Ok(Json(ModelList { items }).into_response())
}

/// One model, with its card.
#[utoipa::path(
    get, path = "/v1/models/{sha256}", tag = "models",
    params(schema::ModelPath),
    responses(
        (status = 200, description = "The model", body = schema::ModelDocument,
         headers(("ETag" = String, description = "The registry's version, for If-Match"))),
    )
)]
pub(super) async fn show(
    State(state): State<AppState>,
    _call: Call,
    Sha256(weights): Sha256,
) -> Result<Response, Problem> {
    let Loaded { aggregate, version } = registry(&state).await?;
    let model = aggregate.model(&weights).ok_or_else(|| Problem::not_found("model"))?;
    answer::document(&ModelView::of(&aggregate, &weights, model), version)
}

async fn execute(
    state: &AppState,
    command: ModelCommand,
    call: &Call,
) -> Result<commands::Receipt, CommandError> {
    state.ledger.execute::<ModelRegistry>(ModelRegistry::ID, command, &call.context()).await
}

/// The registry as the log tells it; one that nothing happened to is empty.
async fn registry(state: &AppState) -> Result<Loaded<ModelRegistry>, CommandError> {
    let loaded = state.ledger.load::<ModelRegistry>(ModelRegistry::ID).await?;
    Ok(loaded.unwrap_or_else(|| Loaded { aggregate: ModelRegistry::default(), version: 0 }))
}
