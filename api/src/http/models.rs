//! The models that measure wounds: handing one in, activating it, going back. Nothing here is PHI.

use axum::body::Bytes;
use axum::extract::State;
use commands::Loaded;
use commands::policy::{CommandBody as _, may};
use domain::model::{ActivateModel, Model, ModelStatus, RegisterModel, RollBackModel};
use domain::value::{Digest, Note};
use domain::{ModelCard, ModelRegistry, Now, Stream as _};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wound::network::{
    MAX_PACKAGE_BYTES, ModelPackage, PACKAGE_MEDIA_TYPE, PackageError, Segmenter,
};
use wound::pipeline;

use super::answer::{Created, Document, Done, Plain};
use super::body::Body;
use super::caller::{Allowed, Command};
use super::intake::{Received, Upload, Uploaded};
use super::path::Sha256;
use super::problem::Problem;
use super::routes::Routes;
use crate::state::AppState;

pub(super) fn add(routes: &mut Routes) {
    routes
        .tag("models")
        .post(
            "/v1/models",
            "register",
            register,
            "Hands in a model. A package of its card and its weights (`ledger model pack`). The network must load from the \
             weights before they are stored; they are stored before the event is recorded. A registered model measures \
             nothing until it is activated. Handing in the package of a registered model again is refused, and puts its \
             weights back where the store has lost them.",
        )
        .get(
            "/v1/models",
            "list",
            list,
            "The registered models, in the order in which they were registered.",
        )
        .get("/v1/models/{sha256}", "show", show, "One model, with its card.")
        .post(
            "/v1/models/{sha256}/activate",
            "activate",
            activate,
            "Activates a model. From now on it answers scans. The worker has it answer the earlier ones too; what other \
             models have measured stays beside it.",
        )
        .post(
            "/v1/models/roll-back",
            "roll_back",
            roll_back,
            "Withdraws the active model for good and goes back to the one that was active before. The worker withdraws \
             every measurement that the withdrawn model made and that no clinician confirmed.",
        );
}

/// The package of a model.
struct Package;

impl Upload for Package {
    const MEDIA_TYPES: &'static [&'static str] = &[PACKAGE_MEDIA_TYPE];
    const BYTES_MAX: usize = MAX_PACKAGE_BYTES;
    const DESCRIPTION: &'static str = "The package";
}

async fn register(
    by: Command<RegisterModel>,
    State(state): State<AppState>,
    upload: Uploaded<Package>,
) -> Result<Created, Problem> {
    let Received { bytes, permit: _permit } = upload.receive().await?;
    let taken = tokio::task::spawn_blocking(move || take(&bytes)).await.map_err(|_| {
        tracing::error!("a package could not be checked: its task ended");
        Problem::internal()
    })?;
    let (digest, package) = taken?;
    let weights = Bytes::from(package.weights);
    let command =
        RegisterModel { weights_sha256: digest, size: weights.len() as u64, card: package.card };
    let registry = state.ledger.models().await?.aggregate;
    let registered = registry.model(&digest).is_some();
    let decided = registry.decide(command.clone().command(), &Now(state.clock.now()));
    if registered || decided.is_ok() {
        state.weights.put(weights).await.map_err(|error| {
            tracing::error!(error = %audit::chain(&error), "weights could not be stored");
            Problem::unavailable("the store of weights is not available; nothing was recorded")
        })?;
    }
    let receipt = by.execute(ModelRegistry::ID, command).await?;
    Ok(Created { receipt, at: format!("/v1/models/{digest}") })
}

/// Reads a package, and loads the network from it to see that it does.
fn take(bytes: &[u8]) -> Result<(Digest, ModelPackage), Problem> {
    let package = ModelPackage::read(bytes).map_err(|error| package_problem(&error))?;
    let segmenter = Segmenter::from_bytes(package.weights.clone()).map_err(|error| {
        Problem::unprocessable("weights-unusable", audit::chain(&error)).at("weights.bpk")
    })?;
    Ok((Digest::from(segmenter.digest()), package))
}

fn package_problem(error: &PackageError) -> Problem {
    Problem::unprocessable(error.code(), audit::chain(error)).at(error.field())
}

/// Why a model is activated or withdrawn.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ModelReason")]
struct Reason {
    /// Why. It is kept in the clear and for good: it must not name a person.
    reason: Note,
}

async fn activate(
    by: Command<ActivateModel>,
    Sha256(weights_sha256): Sha256,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Done, Problem> {
    let command = ActivateModel { weights_sha256, reason };
    Ok(Done(by.execute(ModelRegistry::ID, command).await?))
}

async fn roll_back(
    by: Command<RollBackModel>,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Done, Problem> {
    Ok(Done(by.execute(ModelRegistry::ID, RollBackModel { reason }).await?))
}

/// A registered model.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ModelDocument")]
struct ModelView {
    /// The SHA-256 of its weights, by which it is named.
    weights_sha256: Digest,
    /// How it stands.
    status: ModelStatus,
    /// The size of its weights in bytes.
    size: u64,
    /// What its measurements are marked with, as long as the geometry stays as it is.
    model_digest: Digest,
    /// When it was registered.
    registered_at: Timestamp,
    /// When it was activated last.
    #[serde(skip_serializing_if = "Option::is_none")]
    activated_at: Option<Timestamp>,
    /// When it was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn_at: Option<Timestamp>,
    /// Its card.
    card: ModelCard,
}

impl ModelView {
    fn of(registry: &ModelRegistry, weights: &Digest, model: &Model) -> ModelView {
        ModelView {
            weights_sha256: *weights,
            status: registry.status(weights).unwrap_or(ModelStatus::Registered),
            size: model.size,
            model_digest: pipeline::model_digest(weights),
            registered_at: model.registered_at,
            activated_at: model.activated_at,
            withdrawn_at: model.withdrawn_at,
            card: model.card.clone(),
        }
    }
}

/// The registered models.
#[derive(Serialize, JsonSchema)]
struct ModelList {
    /// All of them, withdrawn ones included, in the order in which they were registered.
    items: Vec<ModelView>,
}

async fn list(
    _: Allowed<may::ReadModels>,
    State(state): State<AppState>,
) -> Result<Plain<ModelList>, Problem> {
    let registry = state.ledger.models().await?.aggregate;
    let models = registry.models().map(|(weights, model)| ModelView::of(&registry, weights, model));
    let mut items: Vec<_> = models.collect();
    items.sort_by_key(|model| (model.registered_at, model.weights_sha256));
    Ok(Plain(ModelList { items }))
}

async fn show(
    _: Allowed<may::ReadModels>,
    State(state): State<AppState>,
    Sha256(weights): Sha256,
) -> Result<Document<ModelView>, Problem> {
    let Loaded { aggregate, version } = state.ledger.models().await?;
    let model = aggregate.model(&weights).ok_or_else(|| Problem::not_found("model"))?;
    Ok(Document { document: ModelView::of(&aggregate, &weights, model), version })
}
