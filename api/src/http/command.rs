//! Most commands: a body, given to what the path names, or one that creates something.

use axum::extract::MatchedPath;
use commands::policy::CommandBody;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::answer::{Created, Done};
use super::body::{Body, New};
use super::caller::Command;
use super::path::{Id, PathId};
use super::problem::Problem;

/// A command to what the path names.
pub(super) async fn change<I, C>(
    by: Command<C>,
    Id(id): Id<I>,
    Body(body): Body<C>,
) -> Result<Done, Problem>
where
    I: PathId,
    C: CommandBody + DeserializeOwned + JsonSchema,
{
    Ok(Done(by.execute(id.into(), body).await?))
}

/// A command that creates something, found below the path under its id.
pub(super) async fn create<C>(
    by: Command<C>,
    path: MatchedPath,
    New { id, body }: New<C>,
) -> Result<Created, Problem>
where
    C: CommandBody + DeserializeOwned + JsonSchema,
{
    let id = by.new_id(C::STREAM_TYPE, id);
    let receipt = by.execute(id, body).await.map_err(Problem::of_creation)?;
    Ok(Created { receipt, at: format!("{}/{id}", path.as_str()) })
}
