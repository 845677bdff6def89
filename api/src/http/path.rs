//! Ids in paths, read so that what is wrong is named.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use domain::value::Digest;
use domain::{AccountId, AppointmentId, HoldId, MeasurementId, PatientId, ScanId, WoundId};
use serde_json::json;
use uuid::Uuid;

use super::describe::{Draft, ProblemKind, Reads};
use super::operations::Concerns;
use super::problem::Problem;
use super::schemas::uuid;
use crate::state::AppState;

/// An id that a path may name.
pub(super) trait PathId: From<Uuid> + Into<Uuid> + Send + 'static {
    /// What it is the id of.
    const WHAT: &'static str;

    /// Whose record an operation is about that names it first.
    const CONCERNS: Concerns = Concerns::Nobody;
}

/// The id of a command.
pub(super) struct CommandId(Uuid);

impl From<Uuid> for CommandId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl From<CommandId> for Uuid {
    fn from(id: CommandId) -> Uuid {
        id.0
    }
}

impl PathId for AccountId {
    const WHAT: &'static str = "The account";
}

impl PathId for PatientId {
    const WHAT: &'static str = "The patient";
    const CONCERNS: Concerns = Concerns::Patient;
}

impl PathId for HoldId {
    const WHAT: &'static str = "The hold";
}

impl PathId for AppointmentId {
    const WHAT: &'static str = "The appointment";
    const CONCERNS: Concerns = Concerns::Appointment;
}

impl PathId for WoundId {
    const WHAT: &'static str = "The episode of the wound";
    const CONCERNS: Concerns = Concerns::Wound;
}

impl PathId for ScanId {
    const WHAT: &'static str = "The scan";
}

impl PathId for MeasurementId {
    const WHAT: &'static str = "The measurement";
}

impl PathId for CommandId {
    const WHAT: &'static str =
        "The id of the command: its `Idempotency-Key`, or the `command_id` of its receipt";
}

/// The one id of a path.
pub(super) struct Id<A>(pub(super) A);

/// The two ids of a path.
pub(super) struct Ids<A, B>(pub(super) A, pub(super) B);

/// The `{sha256}` of a path.
pub(super) struct Sha256(pub(super) Digest);

impl<A: PathId> Reads for Id<A> {
    fn describe(draft: &mut Draft<'_>) {
        draft.in_path(A::WHAT, uuid());
        draft.concerns = A::CONCERNS;
        draft.refuses(&[ProblemKind::NotFound]);
    }
}

impl<A: PathId, B: PathId> Reads for Ids<A, B> {
    fn describe(draft: &mut Draft<'_>) {
        Id::<A>::describe(draft);
        draft.in_path(B::WHAT, uuid());
    }
}

impl Reads for Sha256 {
    fn describe(draft: &mut Draft<'_>) {
        let form = json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
        draft.in_path("The SHA-256 of its weights, in hexadecimal", form);
        draft.refuses(&[ProblemKind::NotFound]);
    }
}

impl FromRequestParts<AppState> for Sha256 {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let (name, text) = nth(parts, state, 0).await?;
        let digest = text.parse().map_err(|_| {
            let form = "the digest in the path is none: give 64 hexadecimal digits in lower case";
            Problem::bad_request("invalid-digest", form).at(name)
        })?;
        Ok(Self(digest))
    }
}

impl<A: PathId> FromRequestParts<AppState> for Id<A> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        Ok(Self(id(parts, state, 0).await?.into()))
    }
}

impl<A: PathId, B: PathId> FromRequestParts<AppState> for Ids<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        Ok(Self(id(parts, state, 0).await?.into(), id(parts, state, 1).await?.into()))
    }
}

/// The parameter of that rank, with its name.
async fn nth(
    parts: &mut Parts,
    state: &AppState,
    rank: usize,
) -> Result<(String, String), Problem> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    let params = params.map_err(|_| Problem::no_such_path())?;
    let found = params.iter().nth(rank).ok_or_else(Problem::no_such_path)?;
    Ok((found.0.to_owned(), found.1.to_owned()))
}

/// The parameter of that rank as a UUID. Anything else is refused with 400, without repeating the text.
async fn id(parts: &mut Parts, state: &AppState, rank: usize) -> Result<Uuid, Problem> {
    let (name, text) = nth(parts, state, rank).await?;
    Uuid::try_parse(&text)
        .map_err(|_| Problem::bad_request("invalid-id", "the id in the path is no UUID").at(name))
}
