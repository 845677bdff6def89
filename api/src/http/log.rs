//! The signed log itself: its newest checkpoint and its keys for everybody, proofs and C2SP tlog-tiles for
//! callers who may read the log.

use audit::jws::JwkSet;
use audit::postgres::{DatabaseError, ReadError};
use audit::proof::TlogProof;
use audit::tiles::{MAX_LEVELS, TILE_WIDTH, parse_tile_index};
use axum::Json;
use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use commands::CommandError;
use commands::policy::may;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::{File, Kind, Plain};
use super::caller::{Allowed, Public};
use super::describe::{Answers, Draft, ProblemKind, Reads};
use super::problem::Problem;
use super::query::Query;
use super::routes::Routes;
use crate::state::AppState;

/// What everybody may see, and what is soon out of date.
const FOR_A_MOMENT: &str = "public, max-age=2";
const PLAIN: &str = "text/plain; charset=utf-8";

pub(super) fn add(routes: &mut Routes) {
    routes
        .tag("log")
        .get(
            "/v1/log/checkpoint",
            "checkpoint",
            checkpoint,
            "The log's newest checkpoint. A C2SP signed note, with the cosignatures of witnesses there are for it.",
        )
        .get(
            "/v1/log/keys",
            "keys",
            keys,
            "All public keys the log ever had, in the order of their activation, as a JWK Set. Each has its RFC 7638 \
             thumbprint as `kid`.",
        )
        .get(
            "/v1/log/inclusion",
            "inclusion",
            inclusion,
            "Proves that a position is in the log. A C2SP tlog-proof file, whose leaf is the event's compact JWS.",
        )
        .get(
            "/v1/log/consistency",
            "consistency",
            consistency,
            "Proves that the log of one size is the beginning of the log of another. To be checked with the two checkpoints.",
        )
        .get(
            "/v1/log/tile/{level}/{*index}",
            "tile",
            tile,
            "A hash tile (`0`, `1`, …) or a bundle of entries (`entries`) of C2SP tlog-tiles, below the prefix `/v1/log`. The \
             index is written in groups of three digits, as in `x001/x234/067`; `.p/<width>` asks for the first `width` \
             hashes or entries only.",
        );
}

/// A checkpoint.
struct Checkpoint;

impl Kind for Checkpoint {
    const MEDIA_TYPE: &'static str = PLAIN;
    const CACHE_CONTROL: Option<&'static str> = Some(FOR_A_MOMENT);
    const IS_TEXT: bool = true;
    const DESCRIPTION: &'static str = "Origin, size, root and signatures";
}

async fn checkpoint(_: Public, State(state): State<AppState>) -> Result<File<Checkpoint>, Problem> {
    Ok(File::of(state.witnesses.cosigned(state.ledger.checkpoint().await?)))
}

/// The keys of the log.
struct Keys(JwkSet);

impl Keys {
    const MEDIA_TYPE: &str = "application/jwk-set+json";
}

impl Answers for Keys {
    fn describe(draft: &mut Draft<'_>) {
        draft.answer::<JwkSet>(StatusCode::OK, Self::MEDIA_TYPE, "The keys", &[]);
    }
}

impl IntoResponse for Keys {
    fn into_response(self) -> Response {
        let mut response = Json(self.0).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Self::MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOR_A_MOMENT));
        response
    }
}

async fn keys(_: Public, State(state): State<AppState>) -> Result<Keys, Problem> {
    let mut connection = state.pool.acquire().await.map_err(DatabaseError::from)?;
    let stored = state.ledger.reader().keys(&mut connection).await?;
    Ok(Keys(stored.keyring.to_jwks()))
}

/// Which position, in the log of which size.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InclusionQuery {
    /// The position.
    position: u64,
    /// The size of a checkpoint the log has signed; the newest without it.
    size: Option<u64>,
}

/// A C2SP tlog-proof.
struct Proof;

impl Kind for Proof {
    const MEDIA_TYPE: &'static str = PLAIN;
    const IS_TEXT: bool = true;
    const DESCRIPTION: &'static str = "A C2SP tlog-proof";
}

async fn inclusion(
    _: Allowed<may::ReadLog>,
    State(state): State<AppState>,
    Query(InclusionQuery { position, size }): Query<InclusionQuery>,
) -> Result<File<Proof>, Problem> {
    let mut connection = state.pool.acquire().await.map_err(DatabaseError::from)?;
    let reader = state.ledger.reader();
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
    Ok(File::of(proof.to_text()))
}

/// Between which sizes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConsistencyQuery {
    /// The older size.
    #[schemars(range(min = 1))]
    old: u64,
    /// The newer size; that of the newest checkpoint without it.
    new: Option<u64>,
}

/// A proof that the log of one size is the beginning of the log of another.
#[derive(Serialize, JsonSchema)]
struct ConsistencyProof {
    /// The older size.
    old: u64,
    /// The newer size.
    new: u64,
    /// RFC 9162 consistency proof: hashes in base64; none where the sizes are equal.
    proof: Vec<audit::merkle::Hash>,
}

async fn consistency(
    _: Allowed<may::ReadLog>,
    State(state): State<AppState>,
    Query(ConsistencyQuery { old, new }): Query<ConsistencyQuery>,
) -> Result<Plain<ConsistencyProof>, Problem> {
    let mut connection = state.pool.acquire().await.map_err(DatabaseError::from)?;
    let reader = state.ledger.reader();
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
    Ok(Plain(ConsistencyProof { old, new, proof }))
}

/// The name of a tile: its level, and its index with the width of a part.
struct TileName {
    level: String,
    index: String,
}

impl Reads for TileName {
    fn describe(draft: &mut Draft<'_>) {
        let level = json!({ "type": "string", "examples": ["0"] });
        draft.in_path("The level of a hash tile, or `entries`", level);
        let index = json!({ "type": "string", "examples": ["000.p/17"] });
        draft.in_path(
            "The index, in groups of three digits, and for a part of a tile its width",
            index,
        );
        draft.refuses(&[ProblemKind::NotFound]);
    }
}

impl FromRequestParts<AppState> for TileName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| no_such_tile())?;
        let mut values = params.iter().map(|(_, value)| value.to_owned());
        let (Some(level), Some(index)) = (values.next(), values.next()) else {
            return Err(no_such_tile());
        };
        Ok(Self { level, index })
    }
}

/// A tile. What a path names never changes: a partial tile of a width has the same hashes for ever.
struct Tile;

impl Kind for Tile {
    const MEDIA_TYPE: &'static str = "application/octet-stream";
    const CACHE_CONTROL: Option<&'static str> = Some("private, max-age=31536000, immutable");
    const DESCRIPTION: &'static str = "Hashes of 32 bytes, or entries with 16-bit lengths";
}

async fn tile(
    _: Allowed<may::ReadLog>,
    State(state): State<AppState>,
    TileName { level, index }: TileName,
) -> Result<File<Tile>, Problem> {
    let (index, width) = parse_tile_index(&index).ok_or_else(no_such_tile)?;
    let mut connection = state.pool.acquire().await.map_err(DatabaseError::from)?;
    let reader = state.ledger.reader();
    let bytes = match level.as_str() {
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
    Ok(File::of(bytes))
}

fn no_such_tile() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no-such-tile",
        "Not found",
        "a tile is named as in tile/0/x001/234 or tile/entries/000.p/17 (C2SP tlog-tiles)",
    )
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
