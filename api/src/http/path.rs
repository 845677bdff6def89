//! Ids in paths, and queries, read so that what is wrong is named.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use domain::value::Digest;
use uuid::Uuid;

use super::problem::Problem;

/// The `{id}` of a path.
pub(super) struct Id(pub(super) Uuid);

/// The `{id}` of a path and the second id that follows it.
pub(super) struct Ids(pub(super) Uuid, pub(super) Uuid);

/// The `{sha256}` of a path.
pub(super) struct Sha256(pub(super) Digest);

impl<S: Send + Sync> FromRequestParts<S> for Sha256 {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| super::guard::no_such_path())?;
        let (name, text) = params.iter().next().ok_or_else(super::guard::no_such_path)?;
        let digest = text.parse().map_err(|_| {
            let form = "the digest in the path is none: give 64 hexadecimal digits in lower case";
            Problem::bad_request("invalid-digest", form).at(name)
        })?;
        Ok(Self(digest))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(nth(parts, state, 0).await?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Ids {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(nth(parts, state, 0).await?, nth(parts, state, 1).await?))
    }
}

/// The parameter of that rank as a UUID. Anything else is refused with 400, without repeating the text.
async fn nth<S: Send + Sync>(parts: &mut Parts, state: &S, rank: usize) -> Result<Uuid, Problem> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    let params = params.map_err(|_| super::guard::no_such_path())?;
    let (name, text) = params.iter().nth(rank).ok_or_else(super::guard::no_such_path)?;
    Uuid::try_parse(text)
        .map_err(|_| Problem::bad_request("invalid-id", "the id in the path is no UUID").at(name))
}

/// The query of a URL.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query whose parameters are all `known` and come once.
    ///
    /// # Errors
    ///
    /// 422 naming the parameter, if its name is one that may be repeated.
    pub(super) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let known = known.iter().find(|known| **known == name).ok_or_else(|| {
                let reason =
                    format!("unknown parameter; this operation takes {}", known.join(", "));
                Problem::unprocessable("unknown-parameter", reason)
            })?;
            if parameters.iter().any(|(given, _)| given == known) {
                let reason = "the parameter is given more than once";
                return Err(Problem::unprocessable("repeated-parameter", reason).at(*known));
            }
            let value = decode(value).ok_or_else(|| unreadable(known))?;
            parameters.push(((*known).to_owned(), value));
        }
        Ok(Self(parameters))
    }

    /// One parameter, if it is given.
    ///
    /// # Errors
    ///
    /// 422 naming it when it does not read as a `T`.
    pub(super) fn get<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let found = self.0.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.parse().map_err(|_| unreadable(name))).transpose()
    }
}

fn unreadable(name: &str) -> Problem {
    let expected = match name {
        "practitioner" | "patient" | "actor" => "expected a UUID",
        "from" | "to" => "expected an RFC 3339 time, as in 2026-03-02T09:30:00Z",
        "limit" => "expected a whole number",
        _ => "cannot be read",
    };
    Problem::unprocessable("invalid-parameter", expected).at(name)
}

/// Undoes percent-encoding. A plus stays a plus: in a time it is the sign of the offset.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_strictly() {
        let query =
            Query::parse(Some("from=2026-03-02T09%3A30%3A00%2B01:00&limit=5"), &["from", "limit"]);
        let query = query.unwrap_or_else(|problem| panic!("{}", problem.detail));
        let from: jiff::Timestamp = query.get("from").ok().flatten().expect("from");
        assert_eq!(from.to_string(), "2026-03-02T08:30:00Z");
        assert_eq!(query.get::<u32>("limit").ok().flatten(), Some(5));
        assert_eq!(query.get::<u32>("after").ok().flatten(), None);
        for (text, code) in [
            ("name=Meyer", "unknown-parameter"),
            ("limit=1&limit=2", "repeated-parameter"),
            ("limit=%2", "invalid-parameter"),
            ("limit=%ff", "invalid-parameter"),
        ] {
            let problem = Query::parse(Some(text), &["limit"]).err().expect(text);
            assert_eq!(problem.code, code, "{text}");
            assert!(!problem.detail.contains("Meyer"));
        }
        let query = Query::parse(Some("limit=many"), &["limit"]);
        let query = query.unwrap_or_else(|problem| panic!("{}", problem.detail));
        let problem = query.get::<u32>("limit").expect_err("no number");
        assert_eq!(problem.field.as_deref(), Some("limit"));
    }
}
