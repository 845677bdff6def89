//! What happened to the models that measure wounds.
//!
//! These events are stored in the clear: they are about no person, and an auditor should be able to read which
//! model was trusted when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ModelCard;
use crate::stream::domain_event;
use crate::value::{Digest, Note};

/// What happened to the models that measure wounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelEvent {
    /// A model was registered.
    ModelRegistered(Box<ModelRegistered>),
    /// A model was activated.
    ModelActivated(ModelActivated),
    /// The active model was withdrawn.
    ModelRolledBack(ModelRolledBack),
}

domain_event!(ModelEvent { ModelRegistered: "1", ModelActivated: "1", ModelRolledBack: "1" });

/// A model was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRegistered {
    /// The SHA-256 of its weights.
    pub weights_sha256: Digest,
    /// Their size in bytes.
    pub size: u64,
    /// Its card.
    pub card: ModelCard,
    /// When.
    pub at: Timestamp,
}

impl ModelRegistered {
    /// The media type of weights, as statements name it.
    pub const MEDIA_TYPE: &'static str = "application/vnd.coherency.weights";
}

/// A model was activated: it answers scans from now on, the earlier ones too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelActivated {
    /// The SHA-256 of its weights.
    pub weights_sha256: Digest,
    /// The model that was active until now; none before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Digest>,
    /// Why.
    pub reason: Note,
    /// When.
    pub at: Timestamp,
}

/// The active model was withdrawn for good, and the one before is active again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRolledBack {
    /// The SHA-256 of the withdrawn model's weights.
    pub withdrawn: Digest,
    /// The SHA-256 of the weights of the model that is active again.
    pub active: Digest,
    /// Why.
    pub reason: Note,
    /// When.
    pub at: Timestamp,
}
