//! Who is calling, by what they may do. Each of these is the first argument of a handler, and says in the document and to
//! the guard who may use the operation; so an operation that forgets to ask does not compile.

use std::marker::PhantomData;

use axum::RequestPartsExt as _;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use commands::policy::{CommandBody, Needed};
use commands::{Actor, CommandError, Context, Receipt, Unavailable};
use domain::value::{Code, Digest};
use serde_json::json;
use uuid::Uuid;

use axum::http::header::IF_MATCH;

use super::call::{Call, IDEMPOTENCY_KEY, LEDGER_MIN_POSITION, PURPOSE_OF_USE, title_case};
use super::describe::{Caller, Draft, ProblemKind};
use super::ids::GivenId;
use super::operations::Access;
use super::problem::Problem;
use super::schemas::uuid;
use super::trace::Ids;
use crate::records::{Asking, Look, RecordsError};
use crate::state::AppState;

/// Anybody.
pub(super) struct Public;

/// Anybody with an account; the handler decides what they see.
pub(super) struct Anybody {
    /// Who, and why.
    pub(super) asking: Asking,
}

/// An account with a permission, for what is no patient's record. That it looks is recorded before the handler begins.
pub(super) struct Allowed<P>(PhantomData<P>);

/// An account that may give commands of this kind, with what the headers say of the command.
pub(super) struct Command<C> {
    state: AppState,
    context: Context,
    /// The command id, if the client chose one.
    chosen: Option<GivenId>,
    kind: PhantomData<C>,
}

/// Whether what stands in a path names something: by a UUID, or by a digest.
fn is_id(text: &str) -> bool {
    Uuid::try_parse(text).is_ok() || text.parse::<Digest>().is_ok()
}

/// The actor whom the guard has let in.
fn actor(parts: &Parts) -> Result<Actor, Problem> {
    let actor = parts.extensions.get::<Actor>().cloned();
    actor.ok_or_else(|| Problem::unauthenticated("no access token was sent"))
}

fn call(parts: &Parts) -> Result<Call, Problem> {
    Call::read(actor(parts)?, parts.extensions.get::<Ids>(), &parts.headers)
}

/// What may happen to everybody who has to say who they are.
const KNOWN: [ProblemKind; 2] = [ProblemKind::Unauthenticated, ProblemKind::TooMany];

fn purpose_of_use(draft: &mut Draft<'_>) {
    let codes = commands::PurposeOfUse::ALL.map(commands::PurposeOfUse::code);
    draft.header(
        &title_case(&PURPOSE_OF_USE),
        "Why: a code of HL7 v3 `PurposeOfUse`",
        json!({ "type": "string", "enum": codes, "default": "TREAT" }),
    );
}

impl Caller for Public {
    const ACCESS: Access = Access::Public;
}

impl FromRequestParts<AppState> for Public {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        Ok(Self)
    }
}

impl Caller for Anybody {
    const ACCESS: Access = Access::Authenticated;

    fn describe(draft: &mut Draft<'_>) {
        purpose_of_use(draft);
        draft.refuses(&KNOWN);
    }
}

impl FromRequestParts<AppState> for Anybody {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        Ok(Self { asking: call(parts)?.asking() })
    }
}

impl<P: Needed> Caller for Allowed<P> {
    const ACCESS: Access = Access::Needs(P::PERMISSION);

    fn describe(draft: &mut Draft<'_>) {
        purpose_of_use(draft);
        draft.refuses(&KNOWN);
        draft.refuses(&[ProblemKind::Denied]);
    }
}

impl<P: Needed> FromRequestParts<AppState> for Allowed<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let asking = call(parts)?.asking();
        let params = parts.extract::<RawPathParams>().await;
        let named = params.iter().flatten().filter(|(_, value)| is_id(value));
        let what = named.filter_map(|(_, value)| Code::new(value).ok()).collect();
        state.records.allowed(&asking, P::PERMISSION, what).await?;
        Ok(Self(PhantomData))
    }
}

impl<P: Needed> Caller for Look<P> {
    const ACCESS: Access = Access::Needs(P::PERMISSION);

    fn describe(draft: &mut Draft<'_>) {
        purpose_of_use(draft);
        draft.header(
            &title_case(&LEDGER_MIN_POSITION),
            "A position out of a receipt: the read waits until it can be seen, and fails (503) when that takes too long. It \
             fails at once (409) where the log has no such position.",
            json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX }),
        );
        draft.refuses(&KNOWN);
        draft.refuses(&[
            ProblemKind::Denied,
            ProblemKind::NotFound,
            ProblemKind::Conflict,
            ProblemKind::Gone,
        ]);
    }
}

impl<P: Needed> FromRequestParts<AppState> for Look<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        Ok(Self::new(call(parts)?.asking()))
    }
}

impl<C: CommandBody> Caller for Command<C> {
    const ACCESS: Access = Access::Needs(C::Needs::PERMISSION);

    fn describe(draft: &mut Draft<'_>) {
        draft.header(
            &title_case(&IDEMPOTENCY_KEY),
            "The command id, chosen by the client: the same request with the same key is done once and answered alike; \
             another request with the same key is refused.",
            uuid(),
        );
        draft.header(
            &title_case(&IF_MATCH),
            "The `ETag` of the version the client saw. When it changed since, the command is refused (412).",
            json!({ "type": "string", "format": "entity-tag", "examples": ["\"3\""] }),
        );
        purpose_of_use(draft);
        draft.refuses(&KNOWN);
        draft.refuses(&[
            ProblemKind::Denied,
            ProblemKind::NotFound,
            ProblemKind::Conflict,
            ProblemKind::Gone,
            ProblemKind::VersionConflict,
            ProblemKind::Refused,
        ]);
    }
}

impl<C: CommandBody> FromRequestParts<AppState> for Command<C> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let call = call(parts)?;
        let (context, chosen) = (call.context(), call.command_id);
        Ok(Self { state: state.clone(), context, chosen, kind: PhantomData })
    }
}

impl<C: CommandBody> Command<C> {
    /// The context of the command. Its id stays the same, however often it is asked for.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Who gives it, and why: for what it has to know of a record.
    pub(super) fn asking(&self) -> Asking {
        let Context { actor, purpose, correlation_id, .. } = &self.context;
        let (actor, purpose, correlation_id) = (actor.clone(), *purpose, *correlation_id);
        Asking { actor, purpose, correlation_id, min_position: None }
    }

    /// The id of what the command creates: the client's choice, or derived from the command id so that a repetition means
    /// the same thing, or a new one.
    pub(super) fn new_id(&self, kind: &str, chosen: Option<GivenId>) -> Uuid {
        match (chosen, self.chosen) {
            (Some(id), _) => id.as_uuid(),
            (None, Some(command)) => {
                let source = format!("{}|{}", self.context.actor.id, command.as_uuid());
                self.state.ledger.derived_id(kind, &source)
            }
            (None, None) => self.state.ledger.new_id(),
        }
    }

    /// Whether the command would be done as things stand; the receipt if it was done before.
    pub(super) async fn check(&self, id: Uuid, body: C) -> Result<Option<Receipt>, CommandError> {
        let outcome = self.state.ledger.check::<C::Aggregate>(id, body.command(), &self.context);
        self.told(id, outcome.await).await
    }

    /// Gives the command.
    pub(super) async fn execute(&self, id: Uuid, body: C) -> Result<Receipt, CommandError> {
        let outcome = self.state.ledger.execute::<C::Aggregate>(id, body.command(), &self.context);
        self.told(id, outcome.await).await
    }

    /// What became of the command. Where that tells something of a record, it is told once that is recorded.
    async fn told<T>(&self, id: Uuid, outcome: Result<T, CommandError>) -> Result<T, CommandError> {
        let Err(error) = outcome else { return outcome };
        match self.state.records.record_refusal::<C::Aggregate>(&self.asking(), id, &error).await {
            Ok(()) => Err(error),
            Err(RecordsError::Ledger(unrecorded)) => Err(unrecorded),
            Err(unrecorded) => Err(Unavailable::Append(audit::chain(&unrecorded)).into()),
        }
    }
}
