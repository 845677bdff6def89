//! The practitioners and locations that the lines of a file name: registered before any line is executed, each once.

use std::collections::{BTreeMap, HashMap};

use commands::policy::Authorised;
use commands::{CommandError, Ledger};
use domain::location::{Location, LocationCommand, LocationError};
use domain::practitioner::{Practitioner, PractitionerCommand, PractitionerError};
use domain::{Refusal, Stream};
use futures::{StreamExt, stream};
use serde::Serialize;
use uuid::Uuid;

use super::plan::{LineRefusal, Named, Plan};
use super::runner::{ImportError, LANES_AT_ONCE, context, line_refusal, patiently};

/// What became of them.
#[derive(Default)]
pub(super) struct Registered {
    /// Each that is in the directory now: what it is counted as, and whether it was there before.
    pub(super) done: Vec<(&'static str, bool)>,
    refused: HashMap<Uuid, LineRefusal>,
}

impl Registered {
    /// Why a line cannot be executed, if something that it names could not be registered.
    pub(super) fn refusal_of(&self, plan: &Plan) -> Option<LineRefusal> {
        plan.named.iter().find_map(|named| self.refused.get(&named.id())).cloned()
    }
}

/// Registers what the plans name, sites before their rooms. What two lines say differently of one of them, the first says.
pub(super) async fn register(ledger: &Ledger, plans: &[Plan]) -> Result<Registered, ImportError> {
    let mut distinct: BTreeMap<Uuid, &Named> = BTreeMap::new();
    for named in plans.iter().flat_map(|plan| &plan.named) {
        distinct.entry(named.id()).or_insert(named);
    }
    let (first, then): (Vec<&Named>, Vec<&Named>) =
        distinct.into_values().partition(|named| named.comes_first());
    let mut registered = Registered::default();
    for named in [first, then] {
        let mut outcomes = stream::iter(named)
            .map(|named| async move { (named, one(ledger, named).await) })
            .buffer_unordered(LANES_AT_ONCE);
        while let Some((named, outcome)) = outcomes.next().await {
            match outcome {
                Ok(was_there) => registered.done.push((named.kind(), was_there)),
                Err(error) => {
                    registered.refused.insert(named.id(), line_refusal(error)?);
                }
            }
        }
    }
    Ok(registered)
}

/// Registers one, and answers whether it was there before. What the directory says of it then, stays: the user who
/// maintains it has said more than a file that names it in passing.
async fn one(ledger: &Ledger, named: &Named) -> Result<bool, CommandError> {
    match named.clone() {
        Named::Practitioner(id, register) => {
            let command = PractitionerCommand::Register(register);
            let there = PractitionerError::AlreadyRegistered.code();
            execute::<Practitioner>(ledger, id.as_uuid(), command, there).await
        }
        Named::Location(id, register) => {
            let command = LocationCommand::Register(register);
            let there = LocationError::AlreadyRegistered.code();
            execute::<Location>(ledger, id.as_uuid(), command, there).await
        }
    }
}

async fn execute<A>(
    ledger: &Ledger,
    id: Uuid,
    command: A::Command,
    there: &str,
) -> Result<bool, CommandError>
where
    A: Stream + 'static,
    A::Command: Authorised + Serialize + Clone,
{
    if ledger.exists::<A>(id).await? {
        return Ok(true);
    }
    let context = context(ledger, id, &command);
    match patiently(|| ledger.execute::<A>(id, command.clone(), &context)).await {
        Ok(receipt) => Ok(receipt.replayed),
        Err(CommandError::Refused { code, .. }) if code == there => Ok(true),
        Err(error) => Err(error),
    }
}
