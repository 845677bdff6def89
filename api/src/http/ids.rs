//! Ids that clients choose: read here and nowhere else, so that none of them is nil, max or one of the system's own.
//!
//! What a request creates gets its id from a [`GivenId`] or from the ledger, and a command its id likewise; neither
//! takes any other. A path names what is there already, and nothing begins under an id in a path; so a record that an
//! earlier version took in under such an id can still be read, and erased.

use serde_json::Value;
use uuid::Uuid;

use super::body::safe_name;

/// An id that a client chose, and may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenId(Uuid);

/// Why an id is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadId {
    /// It is no UUID.
    Malformed,
    /// It is nil, max, or one of the system's own.
    Reserved,
}

impl GivenId {
    /// Reads the id a client chose.
    ///
    /// # Errors
    ///
    /// When the text is no UUID, or one that nobody may choose.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let id = Uuid::try_parse(text).map_err(|_| BadId::Malformed)?;
        if domain::ids::is_reserved(id) { Err(BadId::Reserved) } else { Ok(Self(id)) }
    }

    /// The id.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

/// The code of the refusal of an id that nobody may choose.
pub const RESERVED: &str = "reserved-id";

/// Why it is refused.
pub const RESERVED_REASON: &str =
    "this id is kept for the system, or means none or all: take another";

/// Where a body names an id that nobody may choose: the first such field, as in `entries[0].patient_id`.
#[must_use]
pub fn reserved_in(body: &Value) -> Option<String> {
    find(body, String::new())
}

fn find(value: &Value, path: String) -> Option<String> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let shown = safe_name(name);
            let path = if path.is_empty() { shown } else { format!("{path}.{shown}") };
            let is_id = name == "id" || name.ends_with("_id");
            let reserved = |text: &str| GivenId::parse(text) == Err(BadId::Reserved);
            if is_id && value.as_str().is_some_and(reserved) {
                return Some(path);
            }
            find(value, path)
        }),
        Value::Array(values) => values
            .iter()
            .enumerate()
            .find_map(|(index, value)| find(value, format!("{path}[{index}]"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEPT: [&str; 5] = [
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "00000000-0000-8000-8000-000000000003",
        "6d6f6465-6c73-8000-8000-000000000001",
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
    ];

    #[test]
    fn what_is_kept_is_refused_in_any_spelling() {
        for text in KEPT {
            assert_eq!(GivenId::parse(text), Err(BadId::Reserved), "{text}");
        }
        assert_eq!(GivenId::parse("soon"), Err(BadId::Malformed));
        let id = "018f2a7e-0000-7000-8000-000000000001";
        assert_eq!(GivenId::parse(id).map(|id| id.as_uuid().to_string()), Ok(id.to_owned()));
    }

    #[test]
    fn a_body_is_looked_through_to_its_leaves() {
        for (body, place) in [
            (json!({ "id": KEPT[0] }), Some("id")),
            (json!({ "patient_id": KEPT[1], "note": "x" }), Some("patient_id")),
            (json!({ "a": [{}, { "room_id": KEPT[2] }] }), Some("a[1].room_id")),
            (json!({ "note": KEPT[0], "identifiers": [{ "value": KEPT[1] }] }), None),
            (json!({ "id": "018f2a7e-0000-7000-8000-000000000001", "room_id": null }), None),
        ] {
            assert_eq!(reserved_in(&body).as_deref(), place, "{body}");
        }
    }
}
