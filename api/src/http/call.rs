//! What the headers of an authenticated request say, besides who is calling.

use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, HeaderName};
use commands::actor::Actor;
use commands::context::{Context, PurposeOfUse};
use uuid::Uuid;

use super::ids::{BadId, GivenId, RESERVED, RESERVED_REASON};
use super::problem::Problem;
use super::trace::Ids;
use crate::records::Asking;

/// The command id of a request, chosen by the client so that a repetition is recognised.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Why a user looks or writes: a code of HL7 v3 `PurposeOfUse`.
pub const PURPOSE_OF_USE: HeaderName = HeaderName::from_static("purpose-of-use");
/// The position a read must see.
pub const LEDGER_MIN_POSITION: HeaderName = HeaderName::from_static("ledger-min-position");

/// Who asks, why, under which ids, and what they have seen.
pub struct Call {
    /// Who. The guard has put it there.
    pub actor: Actor,
    /// Why; treatment, unless the caller says otherwise.
    pub purpose: PurposeOfUse,
    /// The command id, when the client chose one.
    pub command_id: Option<GivenId>,
    /// What the request is part of.
    pub correlation_id: Uuid,
    /// The version the caller saw (`If-Match`).
    pub expected_version: Option<u64>,
    /// The position a read must see (`Ledger-Min-Position`).
    pub min_position: Option<u64>,
}

impl Call {
    /// Reads the headers.
    ///
    /// # Errors
    ///
    /// 400 naming the header that cannot be read.
    pub fn read(actor: Actor, ids: Option<&Ids>, headers: &HeaderMap) -> Result<Self, Problem> {
        let command_id = text(headers, &IDEMPOTENCY_KEY)?
            .map(|text| {
                GivenId::parse(text).map_err(|error| match error {
                    BadId::Malformed => {
                        bad(&IDEMPOTENCY_KEY, "invalid-idempotency-key", "give a UUID")
                    }
                    BadId::Reserved => bad(&IDEMPOTENCY_KEY, RESERVED, RESERVED_REASON),
                })
            })
            .transpose()?;
        let expected_version = text(headers, &IF_MATCH)?
            .map(|text| {
                entity_version(text).ok_or_else(|| {
                    let form = "give the ETag of the version you saw, as in \"3\"";
                    bad(&IF_MATCH, "invalid-if-match", form)
                })
            })
            .transpose()?;
        let purpose = text(headers, &PURPOSE_OF_USE)?
            .map(|text| {
                text.parse().map_err(|_| {
                    let codes = PurposeOfUse::ALL.map(PurposeOfUse::code).join(", ");
                    bad(&PURPOSE_OF_USE, "invalid-purpose-of-use", &format!("give one of {codes}"))
                })
            })
            .transpose()?;
        let min_position = text(headers, &LEDGER_MIN_POSITION)?
            .map(|text| {
                number(text).ok_or_else(|| {
                    let form = "give the position out of a receipt, a whole number";
                    bad(&LEDGER_MIN_POSITION, "invalid-min-position", form)
                })
            })
            .transpose()?;
        let silent = Self::silent(actor, ids);
        let purpose = purpose.unwrap_or(silent.purpose);
        Ok(Self { purpose, command_id, expected_version, min_position, ..silent })
    }

    /// A request that says nothing.
    pub(super) fn silent(actor: Actor, ids: Option<&Ids>) -> Self {
        Self {
            actor,
            purpose: PurposeOfUse::Treat,
            command_id: None,
            correlation_id: ids.map_or_else(Uuid::now_v7, |ids| ids.correlation),
            expected_version: None,
            min_position: None,
        }
    }

    /// The context of this request's command.
    #[must_use]
    pub fn context(&self) -> Context {
        Context {
            actor: self.actor.clone(),
            purpose: self.purpose,
            command_id: self.command_id.map_or_else(Uuid::now_v7, GivenId::as_uuid),
            correlation_id: self.correlation_id,
            expected_version: self.expected_version,
        }
    }

    /// Who asks for a look, and why.
    #[must_use]
    pub fn asking(&self) -> Asking {
        Asking {
            actor: self.actor.clone(),
            purpose: self.purpose,
            correlation_id: self.correlation_id,
            min_position: self.min_position,
        }
    }
}

fn bad(name: &HeaderName, code: &'static str, detail: &str) -> Problem {
    Problem::bad_request(code, detail).at(title_case(name))
}

/// `if-match` as people write it: `If-Match`.
pub(super) fn title_case(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{}{rest}", first.to_ascii_uppercase())
    });
    words.collect::<Vec<_>>().join("-")
}

/// The one value of a header.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad(name, "repeated-header", "the header is given more than once"));
    }
    let text = value.to_str().map_err(|_| {
        bad(name, "unreadable-header", "the header holds something else than visible ASCII")
    })?;
    Ok(Some(text.trim()))
}

/// The version in a strong entity tag, `"3"`.
fn entity_version(text: &str) -> Option<u64> {
    number(text.strip_prefix('"')?.strip_suffix('"')?)
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use domain::AccountId;
    use domain::account::Role;

    use super::*;

    fn read(headers: &[(&'static str, &'static str)]) -> Result<Call, Problem> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let actor = Actor::user(AccountId::from_uuid(Uuid::from_u128(1)), [Role::Clinician]);
        Call::read(actor, None, &map)
    }

    #[test]
    fn headers_are_read() {
        let call = read(&[
            ("idempotency-key", "018f2a7e-0000-7000-8000-000000000001"),
            ("if-match", "\"7\""),
            ("purpose-of-use", "HPAYMT"),
            ("ledger-min-position", "0"),
        ])
        .unwrap_or_else(|problem| panic!("{}", problem.detail));
        assert_eq!(call.expected_version, Some(7));
        assert_eq!(call.min_position, Some(0));
        assert_eq!(call.purpose, PurposeOfUse::Hpaymt);
        let chosen = call.command_id.map(GivenId::as_uuid);
        assert_eq!(Some(call.context().command_id), chosen);
        assert_eq!(
            (call.asking().min_position, call.asking().purpose),
            (Some(0), PurposeOfUse::Hpaymt)
        );
    }

    #[test]
    fn unreadable_headers_are_named() {
        for (name, value, field, code) in [
            ("idempotency-key", "soon", "Idempotency-Key", "invalid-idempotency-key"),
            (
                "idempotency-key",
                "00000000-0000-0000-0000-000000000000",
                "Idempotency-Key",
                "reserved-id",
            ),
            (
                "idempotency-key",
                "00000000-0000-8000-8000-000000000003",
                "Idempotency-Key",
                "reserved-id",
            ),
            ("if-match", "7", "If-Match", "invalid-if-match"),
            ("if-match", "W/\"7\"", "If-Match", "invalid-if-match"),
            ("if-match", "*", "If-Match", "invalid-if-match"),
            ("if-match", "\"-1\"", "If-Match", "invalid-if-match"),
            ("purpose-of-use", "curiosity", "Purpose-Of-Use", "invalid-purpose-of-use"),
            ("ledger-min-position", "+5", "Ledger-Min-Position", "invalid-min-position"),
        ] {
            let problem = read(&[(name, value)]).err().expect(value);
            assert_eq!(problem.status, 400);
            assert_eq!(problem.code, code);
            assert_eq!(problem.field.as_deref(), Some(field));
        }
        let twice = read(&[("if-match", "\"1\""), ("if-match", "\"2\"")]).err().expect("twice");
        assert_eq!(twice.code, "repeated-header");
    }
}
