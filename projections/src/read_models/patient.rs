//! `patients_v2`: the patient's record as it stands, and the keys it is found by.

use bson::{Document, doc};
use domain::patient::DeactivationReason;
use domain::value::{
    Address, ContactPoint, Gender, HumanName, HumanNameParts, Identifier, Line, Note, PartialDate,
};
use domain::{Event, PatientEvent, PatientId};
use jiff::Timestamp;
use mongodb::IndexModel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::text::{instant, plain};
use super::view::{FoldError, View};
use crate::cache::CacheKind;
use crate::event::RecordedEvent;

/// A patient's record. Its value types show no content in `Debug`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PatientDocument {
    /// The patient.
    #[serde(rename = "_id", with = "plain")]
    #[schemars(rename = "id", with = "PatientId")]
    pub id: PatientId,
    /// The version of the record: the number of its last event, for `If-Match`.
    pub version: u64,
    /// The position of that event in the log.
    pub position: u64,
    /// Whether the record is in use.
    pub active: bool,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivation: Option<Deactivation>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<HumanName>,
    /// Other names, such as the one before marriage.
    pub other_names: Vec<HumanName>,
    /// The administrative gender.
    pub gender: Gender,
    /// The birth date, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth_date: Option<PartialDate>,
    /// The date of death.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deceased: Option<PartialDate>,
    /// Identifiers with the systems that issued them.
    pub identifiers: Vec<Identifier>,
    /// Telephone numbers, e-mail addresses and the like.
    pub contacts: Vec<ContactPoint>,
    /// Postal addresses.
    pub addresses: Vec<Address>,
    /// When the patient was registered.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub registered_at: Timestamp,
    /// When the record last changed.
    #[serde(with = "instant")]
    #[schemars(with = "Timestamp")]
    pub updated_at: Timestamp,
    /// What the record is found by.
    #[schemars(skip)]
    pub matching: Matching,
}

/// Why a record is not in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deactivation {
    /// The reason.
    pub reason: DeactivationReason,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// Names and identifiers as a search folds them: without case, marks and punctuation. Never shown to anybody.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matching {
    /// The family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// The given names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// Each identifier twice: as `system|value`, and as `|value`.
    pub identifiers: Vec<String>,
}

impl std::fmt::Debug for Matching {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Matching(…)")
    }
}

impl Matching {
    pub(super) fn of(name: Option<&HumanName>, identifiers: &[Identifier]) -> Matching {
        let family = name.and_then(|name| name.family.clone());
        let given = name.map(|name| name.given.clone()).unwrap_or_default();
        Matching {
            family: family_key(family),
            given: given_key(given),
            identifiers: identifiers
                .iter()
                .flat_map(|identifier| {
                    let system = identifier.system.as_str();
                    [
                        identifier_key(Some(system), &identifier.value),
                        identifier_key(None, &identifier.value),
                    ]
                })
                .collect(),
        }
    }

    /// The same, as it is stored beside a document.
    pub(super) fn fields(&self) -> Document {
        let Matching { family, given, identifiers } = self;
        let mut fields = doc! { "identifiers": identifiers };
        for (field, key) in [("family", family), ("given", given)] {
            if let Some(key) = key {
                fields.insert(field, key);
            }
        }
        fields
    }
}

/// A family name as it is matched.
pub(super) fn family_key(family: Option<Line<100>>) -> Option<String> {
    name_key(HumanNameParts { family, ..HumanNameParts::default() })
}

/// Given names as they are matched.
pub(super) fn given_key(given: Vec<Line<100>>) -> Option<String> {
    name_key(HumanNameParts { given, ..HumanNameParts::default() })
}

fn name_key(parts: HumanNameParts) -> Option<String> {
    let key = HumanName::try_from(parts).ok()?.matching_key();
    if key.is_empty() { None } else { Some(key) }
}

/// An identifier as it is matched; without its system, it matches that of any.
pub(super) fn identifier_key(system: Option<&str>, value: &str) -> String {
    format!("{}|{value}", system.unwrap_or_default())
}

/// The view behind `patients_v2`.
pub(crate) struct Patients;

impl View for Patients {
    const NAME: &'static str = "patients";
    const VERSION: u32 = 2;
    const STREAM: &'static str = domain::Patient::STREAM_TYPE;
    const SUBJECT: &'static str = "_id";
    const CACHE: CacheKind = CacheKind::new("patient");
    type Document = PatientDocument;

    fn indexes() -> Vec<IndexModel> {
        [
            doc! { "matching.family": 1, "matching.given": 1 },
            doc! { "matching.given": 1 },
            doc! { "matching.identifiers": 1 },
            doc! { "birth_date": 1 },
        ]
        .map(|keys| IndexModel::builder().keys(keys).build())
        .into()
    }

    fn fields(document: &PatientDocument) -> Document {
        let mut fields = doc! { "active": document.active };
        if let Some(date) = document.birth_date {
            fields.insert("birth_date", date.to_string());
        }
        fields.insert("matching", document.matching.fields());
        fields
    }

    fn id(document: &PatientDocument) -> Uuid {
        document.id.as_uuid()
    }

    fn version(document: &PatientDocument) -> u64 {
        document.version
    }

    fn position(document: &PatientDocument) -> u64 {
        document.position
    }

    fn subject(document: &PatientDocument) -> Uuid {
        document.id.as_uuid()
    }

    fn fold(
        document: Option<PatientDocument>,
        recorded: &RecordedEvent,
        event: &Event,
    ) -> Result<PatientDocument, FoldError> {
        let Event::Patient(event) = event else {
            return Err(FoldError::Contradiction("it is not an event of a patient".to_owned()));
        };
        let mut document = match (document, event) {
            (_, PatientEvent::PatientRegistered(event)) => PatientDocument {
                id: PatientId::from_uuid(recorded.stream_id),
                version: 0,
                position: 0,
                active: true,
                deactivation: None,
                name: event.demographics.name.clone(),
                other_names: event.demographics.other_names.clone(),
                gender: event.demographics.gender,
                birth_date: event.demographics.birth_date,
                deceased: event.demographics.deceased,
                identifiers: event.identifiers.clone(),
                contacts: event.contacts.points.clone(),
                addresses: event.contacts.addresses.clone(),
                registered_at: recorded.recorded_at,
                updated_at: recorded.recorded_at,
                matching: Matching::default(),
            },
            (Some(document), _) => document,
            (None, _) => return Err(FoldError::Missing),
        };
        match event {
            PatientEvent::PatientRegistered(_) => {}
            PatientEvent::PatientDemographicsEdited(event) => {
                document.name = event.after.name.clone();
                document.other_names = event.after.other_names.clone();
                document.gender = event.after.gender;
                document.birth_date = event.after.birth_date;
                document.deceased = event.after.deceased;
            }
            PatientEvent::PatientContactsEdited(event) => {
                document.contacts = event.after.points.clone();
                document.addresses = event.after.addresses.clone();
            }
            PatientEvent::PatientIdentifiersEdited(event) => {
                document.identifiers = event.after.clone();
            }
            PatientEvent::PatientDeactivated(event) => {
                document.active = false;
                document.deactivation =
                    Some(Deactivation { reason: event.reason, note: event.note.clone() });
            }
        }
        document.matching = Matching::of(document.name.as_ref(), &document.identifiers);
        document.version = recorded.sequence;
        document.position = recorded.position;
        document.updated_at = recorded.recorded_at;
        Ok(document)
    }
}
