//! Ids that clients choose: read here and nowhere else, so that none of them is nil, max or one of the system's own.
//!
//! What a request creates gets its id from a [`GivenId`] or from the ledger, and a command its id likewise; neither
//! takes any other. A path names what is there already, and nothing begins under an id in a path; so a record that an
//! earlier version took in under such an id can still be read, and erased.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use uuid::Uuid;

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
    /// When the text is no UUID, or a reserved one.
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

impl<'de> Deserialize<'de> for GivenId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = GivenId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a UUID")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<GivenId, E> {
                GivenId::parse(text).map_err(|_| E::custom("expected a UUID"))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The code of the refusal of a reserved id.
pub const RESERVED: &str = "reserved-id";

/// Why it is refused.
pub const RESERVED_REASON: &str =
    "this id is kept for the system, or means none or all: take another";

/// A field's name as it may be repeated: a caller could have put anything there.
#[must_use]
pub fn safe_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.len() <= 40 && name.chars().all(plain) {
        name.to_owned()
    } else {
        "(unnamed)".to_owned()
    }
}

/// Where a body names a reserved id: the first such field, as in `entries[0].patient_id`.
///
/// # Errors
///
/// When the body is not JSON.
pub fn reserved_in(body: &[u8]) -> Result<Option<String>, serde_json::Error> {
    let mut place = None;
    let mut reader = serde_json::Deserializer::from_slice(body);
    Search { path: String::new(), is_id: false, place: &mut place }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(place)
}

/// Goes through a body to its leaves and keeps nothing of it.
struct Search<'a> {
    path: String,
    is_id: bool,
    place: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.is_id && GivenId::parse(text) == Err(BadId::Reserved) {
            self.place.get_or_insert(self.path);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key::<Cow<'de, str>>()? {
            let shown = safe_name(&name);
            let path = if self.path.is_empty() { shown } else { format!("{}.{shown}", self.path) };
            let is_id = name == "id" || name.ends_with("_id");
            entries.next_value_seed(Search { path, is_id, place: self.place })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let path = format!("{}[{index}]", self.path);
            let item = Search { path, is_id: false, place: self.place };
            if items.next_element_seed(item)?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
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
            let found = reserved_in(body.to_string().as_bytes()).expect("JSON");
            assert_eq!(found.as_deref(), place, "{body}");
        }
    }
}
