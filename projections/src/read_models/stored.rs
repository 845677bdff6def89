//! A document as MongoDB keeps it: the fields that queries use, the document itself as one field of bytes, and a tag.
//!
//! The tag binds collection, id, position, subject and the body's bytes; the query fields follow from the body, and are
//! compared with it when it is read. So nothing in a stored document is believed for itself, and it does not matter how the
//! server orders or re-encodes fields: bytes it keeps as they are.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, RawDocument, RawDocumentBuf, doc};
use uuid::Uuid;

use super::tombstone::{ERASED, Kept, Tombstone};
use super::view::View;
use crate::tags::{Tagged, Tags};

/// The field of the position.
pub(super) const POSITION: &str = "position";
/// The field of the document's bytes: JSON, as the cache has it.
const BODY: &str = "body";
/// The field of the tag.
pub(super) const TAG: &str = "tag";

/// What is wrong with what is stored under an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// It has not the form of a stored document.
    Form,
    /// Its tag does not hold.
    Tag,
    /// Its query fields are not those of its body.
    Fields,
    /// It is older than what the read model has reached.
    Older,
    /// It is about an erased subject.
    Erased,
    /// It is not there.
    Missing,
    /// The log has no such stream, or no such position.
    Superfluous,
    /// It says something else than the log.
    Content,
}

impl Damage {
    /// What it is called in metrics and logs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Damage::Form => "form",
            Damage::Tag => "tag",
            Damage::Fields => "fields",
            Damage::Older => "older",
            Damage::Erased => "erased",
            Damage::Missing => "missing",
            Damage::Superfluous => "superfluous",
            Damage::Content => "content",
        }
    }
}

/// Writes down a document or a tombstone; `None` if it has no such form.
pub(super) fn seal<V: View>(kept: &Kept<V>, tags: &Tags) -> Option<RawDocumentBuf> {
    let (id, subject, position) = (kept.id(), kept.subject(), kept.position());
    let mut stored = doc! { "_id": id.to_string(), POSITION: i64::try_from(position).ok()? };
    let tag = match kept {
        Kept::Live(document) => {
            let body = serde_json::to_vec(document).ok()?;
            let tag = Bound::of::<V>(id, position, subject).tag(tags, Tagged::Document, &body);
            stored.extend(V::fields(document));
            stored.insert(BODY, binary(body));
            tag
        }
        Kept::Erased(_) => {
            stored.insert(ERASED, subject.to_string());
            Bound::of::<V>(id, position, subject).tag(tags, Tagged::Tombstone, &[])
        }
    };
    stored.insert(TAG, binary(tag.to_vec()));
    bson::serialize_to_raw_document_buf(&stored).ok()
}

/// Reads what is stored, and believes it only if all of it verifies.
pub(super) fn open<V: View>(raw: &RawDocument, tags: &Tags) -> Result<Kept<V>, Damage> {
    let mut stored = Document::try_from(raw).map_err(|_| Damage::Form)?;
    // A field that is there twice would be one thing to the server and another to us.
    let plain = bson::serialize_to_raw_document_buf(&stored).map_err(|_| Damage::Form)?;
    if plain.as_bytes().len() != raw.as_bytes().len() {
        return Err(Damage::Form);
    }
    let id = stored.remove("_id").as_ref().and_then(canonical).ok_or(Damage::Form)?;
    let Some(Bson::Int64(position)) = stored.remove(POSITION) else { return Err(Damage::Form) };
    let position = u64::try_from(position).map_err(|_| Damage::Form)?;
    let tag = bytes(stored.remove(TAG)).ok_or(Damage::Tag)?;
    if let Some(erased) = stored.remove(ERASED) {
        let erased = canonical(&erased).ok_or(Damage::Form)?;
        let bound = Bound::of::<V>(id, position, erased);
        return match bound.verify(tags, Tagged::Tombstone, &[], &tag) {
            true if stored.is_empty() => Ok(Kept::Erased(Tombstone { id, erased, position })),
            true => Err(Damage::Fields),
            false => Err(Damage::Tag),
        };
    }
    let body = bytes(stored.remove(BODY)).ok_or(Damage::Form)?;
    let subject = match V::SUBJECT {
        "_id" => Some(id),
        field => stored.get(field).and_then(canonical),
    };
    let bound = Bound::of::<V>(id, position, subject.ok_or(Damage::Form)?);
    if !bound.verify(tags, Tagged::Document, &body, &tag) {
        return Err(Damage::Tag);
    }
    let document: V::Document = serde_json::from_slice(&body).map_err(|_| Damage::Form)?;
    let kept = Kept::<V>::Live(document);
    let Kept::Live(document) = &kept else { return Err(Damage::Form) };
    let agrees = kept.id() == id
        && kept.position() == position
        && Some(kept.subject()) == subject
        && V::fields(document) == stored;
    if agrees { Ok(kept) } else { Err(Damage::Fields) }
}

/// What a tag binds beside the body.
struct Bound {
    collection: String,
    id: Uuid,
    position: [u8; 8],
    subject: Uuid,
}

impl Bound {
    fn of<V: View>(id: Uuid, position: u64, subject: Uuid) -> Bound {
        Bound { collection: V::collection_name(), id, position: position.to_be_bytes(), subject }
    }

    fn parts<'a>(&'a self, body: &'a [u8]) -> [&'a [u8]; 5] {
        let collection = self.collection.as_bytes();
        [collection, self.id.as_bytes(), &self.position, self.subject.as_bytes(), body]
    }

    fn tag(&self, tags: &Tags, what: Tagged, body: &[u8]) -> [u8; audit::mac::TAG_LEN] {
        tags.tag(what, &self.parts(body))
    }

    fn verify(&self, tags: &Tags, what: Tagged, body: &[u8], tag: &[u8]) -> bool {
        tags.verify(what, &self.parts(body), tag)
    }
}

/// An id, if it is written the one way that we write it.
pub(super) fn canonical(value: &Bson) -> Option<Uuid> {
    let text = value.as_str()?;
    Uuid::try_parse(text).ok().filter(|id| id.to_string() == text)
}

fn binary(bytes: Vec<u8>) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes }
}

fn bytes(value: Option<Bson>) -> Option<Vec<u8>> {
    match value {
        Some(Bson::Binary(binary)) => Some(binary.bytes),
        _ => None,
    }
}
