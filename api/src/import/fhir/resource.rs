//! The subset of FHIR R4 that the import reads. Elements not named here are passed over: a bundle
//! carries a whole record, and this reads the parts that the ledger records.

use serde::Deserialize;
use serde_json::Value;

/// A transaction, batch, collection or search-set bundle.
#[derive(Deserialize)]
pub(super) struct Bundle {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) entry: Vec<Entry>,
}

/// One resource of a bundle and the address by which the others refer to it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) full_url: Option<String>,
    pub(super) resource: Option<Value>,
}

/// Who the record is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Patient {
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) identifier: Vec<Identifier>,
    #[serde(default)]
    pub(super) name: Vec<HumanName>,
    #[serde(default)]
    pub(super) telecom: Vec<ContactPoint>,
    #[serde(default)]
    pub(super) address: Vec<Address>,
    pub(super) gender: Option<String>,
    pub(super) birth_date: Option<String>,
    pub(super) deceased_date_time: Option<String>,
}

/// A visit.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Encounter {
    pub(super) id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) class: Option<Coding>,
    #[serde(default, rename = "type")]
    pub(super) kind: Vec<CodeableConcept>,
    #[serde(default)]
    pub(super) reason_code: Vec<CodeableConcept>,
    pub(super) subject: Option<Reference>,
    #[serde(default)]
    pub(super) participant: Vec<Participant>,
    pub(super) period: Option<Period>,
}

#[derive(Deserialize)]
pub(super) struct Participant {
    pub(super) individual: Option<Reference>,
}

/// A practitioner, known by the identifiers that others refer to it by.
#[derive(Deserialize)]
pub(super) struct Practitioner {
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) identifier: Vec<Identifier>,
    #[serde(default)]
    pub(super) name: Vec<HumanName>,
    #[serde(default)]
    pub(super) telecom: Vec<ContactPoint>,
    #[serde(default)]
    pub(super) qualification: Vec<Qualification>,
}

/// What a practitioner is qualified for.
#[derive(Deserialize)]
pub(super) struct Qualification {
    pub(super) code: Option<CodeableConcept>,
    pub(super) issuer: Option<Reference>,
    pub(super) period: Option<Period>,
}

/// A site, a room or another place.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Location {
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) extension: Vec<Extension>,
    #[serde(default)]
    pub(super) identifier: Vec<Identifier>,
    pub(super) name: Option<String>,
    pub(super) physical_type: Option<CodeableConcept>,
    pub(super) address: Option<Address>,
    pub(super) part_of: Option<Reference>,
}

/// What a resource says beside its own elements.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Extension {
    pub(super) url: String,
    pub(super) value_code: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Reference {
    pub(super) reference: Option<String>,
    pub(super) display: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Period {
    pub(super) start: Option<String>,
    pub(super) end: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Coding {
    pub(super) system: Option<String>,
    pub(super) code: Option<String>,
    pub(super) display: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct CodeableConcept {
    #[serde(default)]
    pub(super) coding: Vec<Coding>,
    pub(super) text: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Identifier {
    #[serde(rename = "use")]
    pub(super) usage: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<CodeableConcept>,
    pub(super) system: Option<String>,
    pub(super) value: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct HumanName {
    #[serde(rename = "use")]
    pub(super) usage: Option<String>,
    pub(super) family: Option<String>,
    #[serde(default)]
    pub(super) given: Vec<String>,
    #[serde(default)]
    pub(super) prefix: Vec<String>,
    #[serde(default)]
    pub(super) suffix: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct ContactPoint {
    pub(super) system: Option<String>,
    pub(super) value: Option<String>,
    #[serde(rename = "use")]
    pub(super) usage: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Address {
    #[serde(rename = "use")]
    pub(super) usage: Option<String>,
    #[serde(default)]
    pub(super) line: Vec<String>,
    pub(super) city: Option<String>,
    pub(super) district: Option<String>,
    pub(super) state: Option<String>,
    pub(super) postal_code: Option<String>,
    pub(super) country: Option<String>,
}
