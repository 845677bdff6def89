//! Why a command on the registry of models is refused.

use crate::stream::{Refusal, RefusalKind};

/// Why a command on the registry of models is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// These weights are registered.
    #[error("a model with these weights is registered already: activate it, or register others")]
    AlreadyRegistered,
    /// No such model.
    #[error("no model with these weights is registered: register it first")]
    UnknownModel,
    /// The model is active.
    #[error("this model is active already: there is nothing to do")]
    AlreadyActive,
    /// The model was withdrawn.
    #[error("this model was withdrawn for good: register and activate another one")]
    Withdrawn,
    /// No other model was active before.
    #[error("no other model was active before: activate another one instead of rolling back")]
    NothingToRollBackTo,
    /// More models than a registry may have.
    #[error("too many models are registered: at most {max} are allowed, withdrawn ones included")]
    TooManyModels {
        /// The limit.
        max: usize,
    },
    /// Weights of no size, or too large.
    #[error("the size of the weights is out of range: 1 to {max} bytes are possible")]
    Size {
        /// The limit, in bytes.
        max: u64,
    },
}

impl Refusal for ModelError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::UnknownModel => RefusalKind::Missing("model"),
            Self::AlreadyRegistered
            | Self::AlreadyActive
            | Self::Withdrawn
            | Self::NothingToRollBackTo
            | Self::TooManyModels { .. } => RefusalKind::Conflict,
            Self::Size { .. } => RefusalKind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyRegistered => "model-already-registered",
            Self::UnknownModel => "unknown-model",
            Self::AlreadyActive => "already-active",
            Self::Withdrawn => "model-withdrawn",
            Self::NothingToRollBackTo => "nothing-to-roll-back-to",
            Self::TooManyModels { .. } => "too-many-models",
            Self::Size { .. } => "weights-size",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::AlreadyRegistered | Self::UnknownModel => Some("weights_sha256"),
            Self::Size { .. } => Some("size"),
            Self::AlreadyActive
            | Self::Withdrawn
            | Self::NothingToRollBackTo
            | Self::TooManyModels { .. } => None,
        }
    }
}
