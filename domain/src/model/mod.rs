//! The models that measure wounds: which are registered, which one is active, which were withdrawn.
//!
//! There is one registry, in one stream under a fixed id. Its events are about no person and are not sealed.

mod card;
mod command;
mod error;
mod event;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use card::{CardError, CardMetrics, CardParts, ContourError, ModelCard, Reference, TENTHS};
pub use command::{ActivateModel, ModelCommand, RegisterModel, RollBackModel};
pub use error::ModelError;
pub use event::{ModelActivated, ModelEvent, ModelRegistered, ModelRolledBack};

use crate::clock::Now;
use crate::stream::{ClaimChange, MediaRef, Stream, aggregate};
use crate::value::{Digest, coded};

/// The most models that may ever be registered, withdrawn ones included. A scan takes as many answers.
pub const MAX_MODELS: usize = 100;

/// The largest weights, in bytes.
pub const MAX_WEIGHTS_SIZE: u64 = 64 * 1024 * 1024;

coded! {
    /// How a model stands.
    ModelStatus {
        /// Registered, and not active.
        Registered = "registered",
        /// It answers scans.
        Active = "active",
        /// Withdrawn for good.
        Withdrawn = "withdrawn",
    }
}

/// A registered model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The size of its weights in bytes.
    pub size: u64,
    /// Its card.
    pub card: ModelCard,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// When it was activated last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
    /// When it was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Timestamp>,
}

/// The registry of models as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRegistry {
    models: BTreeMap<Digest, Model>,
    /// Models that were active and are not withdrawn, each once, by their last activation. The last one is active.
    activated: Vec<Digest>,
}

aggregate!(ModelRegistry, "model", ModelCommand, ModelEvent, ModelError);

impl ModelRegistry {
    /// The id of the one registry (`UUIDv8`).
    pub const ID: Uuid = Uuid::from_u128(0x6d6f_6465_6c73_8000_8000_0000_0000_0001);

    /// Every model there is, by the digest of its weights.
    pub fn models(&self) -> impl Iterator<Item = (&Digest, &Model)> {
        self.models.iter()
    }

    /// A model.
    pub fn model(&self, weights: &Digest) -> Option<&Model> {
        self.models.get(weights)
    }

    /// The model that answers scans; none before the first activation.
    pub fn active(&self) -> Option<Digest> {
        self.activated.last().copied()
    }

    /// The models that were withdrawn.
    pub fn withdrawn(&self) -> impl Iterator<Item = Digest> {
        let withdrawn = self.models.iter().filter(|(_, model)| model.withdrawn_at.is_some());
        withdrawn.map(|(weights, _)| *weights)
    }

    /// How a model stands.
    pub fn status(&self, weights: &Digest) -> Option<ModelStatus> {
        let model = self.models.get(weights)?;
        Some(match () {
            () if model.withdrawn_at.is_some() => ModelStatus::Withdrawn,
            () if self.active() == Some(*weights) => ModelStatus::Active,
            () => ModelStatus::Registered,
        })
    }

    fn fold(&mut self, event: ModelEvent) {
        match event {
            ModelEvent::ModelRegistered(event) => {
                let ModelRegistered { weights_sha256, size, card, at } = *event;
                let model =
                    Model { size, card, registered_at: at, activated_at: None, withdrawn_at: None };
                self.models.insert(weights_sha256, model);
            }
            ModelEvent::ModelActivated(ModelActivated { weights_sha256, at, .. }) => {
                self.activated.retain(|activated| *activated != weights_sha256);
                self.activated.push(weights_sha256);
                if let Some(model) = self.models.get_mut(&weights_sha256) {
                    model.activated_at = Some(at);
                }
            }
            ModelEvent::ModelRolledBack(ModelRolledBack { withdrawn, at, .. }) => {
                self.activated.retain(|activated| *activated != withdrawn);
                if let Some(model) = self.models.get_mut(&withdrawn) {
                    model.withdrawn_at = Some(at);
                }
            }
        }
    }

    fn register(&self, command: RegisterModel, now: &Now) -> Result<ModelEvent, ModelError> {
        let RegisterModel { weights_sha256, size, card } = command;
        if self.models.contains_key(&weights_sha256) {
            return Err(ModelError::AlreadyRegistered);
        }
        if self.models.len() >= MAX_MODELS {
            return Err(ModelError::TooManyModels { max: MAX_MODELS });
        }
        if !(1..=MAX_WEIGHTS_SIZE).contains(&size) {
            return Err(ModelError::Size { max: MAX_WEIGHTS_SIZE });
        }
        let registered = ModelRegistered { weights_sha256, size, card, at: now.0 };
        Ok(ModelEvent::ModelRegistered(Box::new(registered)))
    }

    fn activate(&self, command: ActivateModel, now: &Now) -> Result<ModelEvent, ModelError> {
        let ActivateModel { weights_sha256, reason } = command;
        let model = self.models.get(&weights_sha256).ok_or(ModelError::UnknownModel)?;
        if model.withdrawn_at.is_some() {
            return Err(ModelError::Withdrawn);
        }
        let replaced = self.active();
        if replaced == Some(weights_sha256) {
            return Err(ModelError::AlreadyActive);
        }
        let activated = ModelActivated { weights_sha256, replaced, reason, at: now.0 };
        Ok(ModelEvent::ModelActivated(activated))
    }

    fn roll_back(&self, command: RollBackModel, now: &Now) -> Result<ModelEvent, ModelError> {
        let RollBackModel { reason } = command;
        let [.., active, withdrawn] = self.activated.as_slice() else {
            return Err(ModelError::NothingToRollBackTo);
        };
        let (withdrawn, active) = (*withdrawn, *active);
        Ok(ModelEvent::ModelRolledBack(ModelRolledBack { withdrawn, active, reason, at: now.0 }))
    }
}

impl Stream for ModelRegistry {
    const STATE_VERSION: u32 = 1;
    const SEALED: bool = false;
    const KEEPS_SNAPSHOTS: bool = false;
    const SINGLETON: Option<Uuid> = Some(ModelRegistry::ID);

    fn decide(&self, command: ModelCommand, now: &Now) -> Result<Vec<ModelEvent>, ModelError> {
        let event = match command {
            ModelCommand::Register(command) => self.register(*command, now),
            ModelCommand::Activate(command) => self.activate(command, now),
            ModelCommand::RollBack(command) => self.roll_back(command, now),
        }?;
        Ok(vec![event])
    }

    /// No data key: a model is about no person.
    fn subject(&self, _id: Uuid) -> Option<Uuid> {
        None
    }

    fn claims(_id: Uuid, _event: &ModelEvent) -> Vec<ClaimChange> {
        vec![]
    }

    fn media(event: &ModelEvent) -> Vec<MediaRef> {
        match event {
            ModelEvent::ModelRegistered(registered) => vec![MediaRef {
                sha256: *registered.weights_sha256.as_bytes(),
                size: registered.size,
                media_type: ModelRegistered::MEDIA_TYPE.to_owned(),
            }],
            _ => Vec::new(),
        }
    }
}
