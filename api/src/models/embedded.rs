//! The model that comes with the program: registered by every worker that starts, and activated where no model ever was.

use bytes::Bytes;
use commands::{
    Actor, CommandError, Context, Ledger, Loaded, PurposeOfUse, Unavailable, Weights, WeightsError,
};
use domain::model::{ActivateModel, RegisterModel};
use domain::value::{Digest, Note, TextError};
use domain::{ModelCommand, ModelRegistry};
use projections::worker::{DerivedIds, foreign_command};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use wound::network::{embedded_card, embedded_weights};

/// How often the registry may change under the worker that starts.
const ATTEMPTS_MAX: u32 = 16;

/// Why the program's model was not taken into use.
#[derive(Debug, thiserror::Error)]
pub enum IntoUseError {
    /// The ledger did not take the command, or the registry cannot be read.
    #[error("the model of the program could not be registered or activated")]
    Ledger(#[from] CommandError),
    /// The weights could not be stored.
    #[error("the weights of the program could not be stored")]
    Weights(#[from] WeightsError),
    /// The reason is not a valid note.
    #[error("the reason of the activation is not a note")]
    Reason(#[from] TextError),
    /// Others changed the registry each time.
    #[error("the registry of models kept changing")]
    Busy,
}

/// Registers the model that comes with the program unless it is registered, and activates it if no model was ever
/// active. Several workers may do so at once: the command's ids are made from the weights' digest, and each
/// command holds only for the version of the registry that it was decided on.
///
/// # Errors
/// When the ledger or the store of weights fails.
pub async fn take_into_use(
    ledger: &Ledger,
    weights: &Weights,
    ids: &DerivedIds,
) -> Result<(), IntoUseError> {
    let digest = Digest::from(<[u8; 32]>::from(Sha256::digest(embedded_weights())));
    // How many ids were found occupied by something foreign.
    let mut occupied = 0_u32;
    for _ in 0..ATTEMPTS_MAX {
        let loaded = ledger.load::<ModelRegistry>(ModelRegistry::ID).await?;
        let (registry, version) = match loaded {
            Some(Loaded { aggregate, version }) => (aggregate, version),
            None => (ModelRegistry::default(), 0),
        };
        let (what, command) = if registry.model(&digest).is_none() {
            weights.put(Bytes::from_static(embedded_weights())).await?;
            let command = RegisterModel {
                weights_sha256: digest,
                size: embedded_weights().len() as u64,
                card: embedded_card().clone(),
            };
            ("registered", ModelCommand::Register(Box::new(command)))
        } else if registry.active().is_none() {
            let reason = Note::new("No model was active: this one comes with the program.")?;
            ("activated", ModelCommand::Activate(ActivateModel { weights_sha256: digest, reason }))
        } else {
            return Ok(());
        };
        let mut context = Context::new(Actor::ledger(), PurposeOfUse::Sysadmin);
        context.command_id = id_for(ids, what, &digest, occupied);
        let context = context.expecting(version);
        match ledger.execute::<ModelRegistry>(ModelRegistry::ID, command, &context).await {
            Ok(_) => tracing::info!(model = %digest, "{what} the model of the program"),
            // Another process was quicker: look again.
            Err(CommandError::VersionConflict { .. }) => {}
            // Only a worker knows these ids.
            Err(
                error @ (CommandError::CommandIdReused
                | CommandError::Unavailable(Unavailable::CommandDamaged)),
            ) => {
                foreign_command("models", context.command_id, error.code());
                occupied += 1;
            }
            // A full registry takes no more, and whichever model is active in it stays so.
            Err(error @ CommandError::Refused { .. }) if registry.active().is_some() => {
                let error = audit::chain(&error);
                tracing::warn!(model = %digest, error, "the model of the program is not registered");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(IntoUseError::Busy)
}

/// The id of the command that takes these weights into use (`UUIDv8`), after so many that are occupied.
fn id_for(ids: &DerivedIds, what: &str, weights: &Digest, occupied: u32) -> Uuid {
    ids.id("model", &[what.as_bytes(), weights.as_bytes(), &occupied.to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use audit::mac::MacKey;

    use super::*;

    #[test]
    fn ids_follow_from_the_weights() {
        let ids = DerivedIds::new(MacKey::from_bytes([1; 32]));
        let (one, other) = (Digest([1; 32]), Digest([2; 32]));
        let id = id_for(&ids, "registered", &one, 0);
        assert_eq!(id, id_for(&ids, "registered", &one, 0));
        assert_eq!(id.get_version_num(), 8);
        assert_ne!(id, id_for(&ids, "activated", &one, 0));
        assert_ne!(id, id_for(&ids, "registered", &other, 0));
        assert_ne!(id, id_for(&ids, "registered", &one, 1));
    }
}
