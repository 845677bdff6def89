//! What may be asked of the registry of models.

use serde::{Deserialize, Serialize};

use super::ModelCard;
use crate::value::{Digest, Note};

/// What may be asked of the registry of models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelCommand {
    /// Registers a model.
    Register(Box<RegisterModel>),
    /// Activates a model.
    Activate(ActivateModel),
    /// Goes back to the model before.
    RollBack(RollBackModel),
}

/// Registers a model: its weights lie in the store already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterModel {
    /// The SHA-256 of its weights, by which it is named.
    pub weights_sha256: Digest,
    /// Their size in bytes.
    pub size: u64,
    /// Its card.
    pub card: ModelCard,
}

/// Activates a model: from now on it answers scans, the earlier ones too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivateModel {
    /// The SHA-256 of its weights.
    pub weights_sha256: Digest,
    /// Why. It is kept in the clear, so it must not name a person.
    pub reason: Note,
}

/// Withdraws the active model for good and goes back to the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollBackModel {
    /// Why. It is kept in the clear, so it must not name a person.
    pub reason: Note,
}
