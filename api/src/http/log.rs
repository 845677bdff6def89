//! The signed log itself: its newest checkpoint and its keys for everybody, proofs and C2SP tlog-tiles for
//! whoever may read the log.

use audit::postgres::{DatabaseError, ReadError};
use audit::proof::TlogProof;
use audit::tiles::{MAX_LEVELS, TILE_WIDTH, parse_tile_index};
use axum::Json;
use axum::extract::{RawPathParams, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use commands::CommandError;
use serde::Serialize;
use utoipa::ToSchema;

use super::path::Query;
use super::problem::Problem;
use super::schema;
use crate::state::AppState;

/// What never changes again may be kept for good, by the caller alone.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// What everybody may see, and what is soon out of date.
const FOR_A_MOMENT: HeaderValue = HeaderValue::from_static("public, max-age=2");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
const JWKS: HeaderValue = HeaderValue::from_static("application/jwk-set+json");

/// The log's newest checkpoint: a C2SP signed note, with the cosignatures of witnesses there are for it.
#[utoipa::path(
    get, path = "/v1/log/checkpoint", tag = "log", security(()),
    responses(
        (status = 200, description = "Origin, size, root and signatures", body = String,
         content_type = "text/plain"),
    )
)]
pub(super) async fn checkpoint(State(state): State<AppState>) -> Result<Response, Problem> {
    let note = state.witnesses.cosigned(state.ledger.checkpoint().await?);
    let headers = [(header::CONTENT_TYPE, PLAIN), (header::CACHE_CONTROL, FOR_A_MOMENT)];
    Ok((headers, note).into_response())
}

/// All public keys the log ever had, in the order of their activation, as a JWK Set.
#[utoipa::path(
    get, path = "/v1/log/keys", tag = "log", security(()),
    responses(
        (status = 200, description = "Each with its RFC 7638 thumbprint as `kid`", body = schema::JwkSet,
         content_type = "application/jwk-set+json"),
    )
)]
pub(super) async fn keys(State(state): State<AppState>) -> Result<Response, Problem> {
    let mut connection = state.pool.acquire().await.map_err(DatabaseError::from)?;
    let stored = state.ledger.watch().reader().keys(&mut connection).await?;
    let headers = [(header::CONTENT_TYPE, JWKS), (header::CACHE_CONTROL, FOR_A_MOMENT)];
    Ok((headers, Json(stored.keyring.to_jwks()).into_response().into_body()).into_response())
}

/// Proves that a position is in the log: a C2SP tlog-proof file, whose leaf is the event's compact JWS.
#[utoipa::path(
    get, path = "/v1/log/inclusion", tag = "log", params(schema::InclusionQuery),
    responses(
        (status = 200, description = "A C2SP tlog-proof", body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn inclusion(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["position", "size"])?;
    let position: u64 = required(&query, "position")?;
    let size: Option<u64> = query.get("size")?;
    let mut connection = state.pool.acquire().await.map_err(DatabaseError::from)?;
    let reader = state.ledger.watch().reader();
    let head = reader.head(&mut connection).await?;
    let size = size.unwrap_or(head.size);
    if size > head.size {
        return Err(beyond("size"));
    }
    let no_checkpoint = || {
        let detail = "there is no checkpoint of this size; leave it out for the newest";
        Problem::unprocessable("no-such-checkpoint", detail).at("size")
    };
    if size == 0 {
        return Err(no_checkpoint());
    }
    if position >= size {
        return Err(beyond("position"));
    }
    let proved = reader.inclusion(&mut connection, &head, position, size).await?;
    let (hashes, checkpoint) = proved.ok_or_else(no_checkpoint)?;
    let proof = TlogProof { extra: None, index: position, hashes, checkpoint };
    Ok(([(header::CONTENT_TYPE, PLAIN)], proof.to_text()).into_response())
}

/// A proof that the log of one size is the beginning of the log of another.
#[derive(Serialize, ToSchema)]
pub(super) struct ConsistencyProof {
    /// The older size.
    old: u64,
    /// The newer size.
    new: u64,
    /// RFC 9162 consistency proof: hashes in base64; none where the sizes are equal.
    #[schema(value_type = Vec<String>)]
    proof: Vec<audit::merkle::Hash>,
}

/// Proves that the log of one size is the beginning of the log of another: to be checked with the two checkpoints.
#[utoipa::path(
    get, path = "/v1/log/consistency", tag = "log", params(schema::ConsistencyQuery),
    responses((status = 200, description = "The proof", body = ConsistencyProof))
)]
pub(super) async fn consistency(
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["old", "new"])?;
    let old: u64 = required(&query, "old")?;
    let new: Option<u64> = query.get("new")?;
    let mut connection = state.pool.acquire().await.map_err(DatabaseError::from)?;
    let reader = state.ledger.watch().reader();
    let head = reader.head(&mut connection).await?;
    let new = new.unwrap_or(head.size);
    if new > head.size {
        return Err(beyond("new"));
    }
    if old == 0 || old > new {
        let detail = "give a size of at least 1 and at most the newer one";
        return Err(Problem::unprocessable("invalid-parameter", detail).at("old"));
    }
    let proof = reader.consistency(&mut connection, &head, old, new).await?;
    Ok(Json(ConsistencyProof { old, new, proof }).into_response())
}

/// A hash tile (`0`, `1`, …) or a bundle of entries (`entries`) of C2SP tlog-tiles, below the prefix `/v1/log`.
///
/// The index is written in groups of three digits, as in `x001/x234/067`; `.p/<width>` asks for the first
/// `width` hashes or entries only.
#[utoipa::path(
    get, path = "/v1/log/tile/{level}/{*index}", tag = "log", params(schema::TilePath),
    responses(
        (status = 200, description = "Hashes of 32 bytes, or entries with 16-bit lengths", body = Vec<u8>,
         content_type = "application/octet-stream"),
    )
)]
pub(super) async fn tile(
    State(state): State<AppState>,
    params: RawPathParams,
) -> Result<Response, Problem> {
    let mut values = params.iter().map(|(_, value)| value);
    let (Some(level), Some(index)) = (values.next(), values.next()) else {
        return Err(no_such_tile());
    };
    let (index, width) = parse_tile_index(index).ok_or_else(no_such_tile)?;
    let mut connection = state.pool.acquire().await.map_err(DatabaseError::from)?;
    let reader = state.ledger.watch().reader();
    let bytes = match level {
        "entries" => reader.entry_bundle(&mut connection, index, width).await?,
        level => {
            let known = (0..MAX_LEVELS).find(|known| known.to_string() == level);
            let level = known.ok_or_else(no_such_tile)?;
            reader.hash_tile(&mut connection, level, index, width).await?
        }
    };
    let bytes = bytes.ok_or_else(|| {
        let whole = if width == TILE_WIDTH {
            "it is not complete yet; ask for `.p/<width>` with what the checkpoint's size says there is"
        } else {
            "the log does not reach that far; the checkpoint's size says what there is"
        };
        Problem::new(StatusCode::NOT_FOUND, "no-such-tile", "Not found", whole)
    })?;
    // What a path names never changes: a partial tile of a width has the same hashes for ever.
    let headers = [(header::CONTENT_TYPE, BYTES), (header::CACHE_CONTROL, FOR_GOOD)];
    Ok((headers, bytes).into_response())
}

fn no_such_tile() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no-such-tile",
        "Not found",
        "a tile is named as in tile/0/x001/234 or tile/entries/000.p/17 (C2SP tlog-tiles)",
    )
}

fn required<T: std::str::FromStr>(query: &Query, name: &str) -> Result<T, Problem> {
    let missing =
        || Problem::unprocessable("missing-parameter", "the parameter is needed").at(name);
    query.get(name)?.ok_or_else(missing)
}

fn beyond(name: &'static str) -> Problem {
    let detail = "the log does not reach that far; the checkpoint says its size";
    Problem::unprocessable("beyond-the-log", detail).at(name)
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        CommandError::from(error).into()
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        tracing::error!(error = %audit::chain(&error), "the log could not be read");
        match error {
            DatabaseError::Sqlx(_) => Self::unavailable("the log is not available; ask again"),
            _ => Self::internal(),
        }
    }
}
