//! A patient's record: registration, edits, deactivation.

mod command;
mod error;
mod event;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use command::{
    DeactivatePatient, EditContacts, EditDemographics, EditIdentifiers, PatientCommand,
    RegisterPatient,
};
pub use error::PatientError;
pub use event::{
    DeactivationReason, PatientContactsEdited, PatientDeactivated, PatientDemographicsEdited,
    PatientEvent, PatientIdentifiersEdited, PatientRegistered,
};

use crate::clock::Now;
use crate::ids::typed_id;
use crate::stream::{ClaimChange, MediaRef, Stream, aggregate, has_repeated, identifier_claims};
use crate::value::{Address, ContactPoint, Gender, HumanName, Identifier, PartialDate};

typed_id! {
    /// A patient.
    PatientId;
}

/// The kind of claim that makes a patient's identifier unique.
pub const IDENTIFIER_CLAIM: &str = "patient-identifier";

/// The most other names, identifiers, contacts or addresses each.
pub const MAX_ENTRIES: usize = 32;

/// Who a patient is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demographics {
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<HumanName>,
    /// Other names, such as the one before marriage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_names: Vec<HumanName>,
    /// The administrative gender.
    pub gender: Gender,
    /// The birth date, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth_date: Option<PartialDate>,
    /// The date of death, if the patient has died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deceased: Option<PartialDate>,
}

/// How to reach a patient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contacts {
    /// Telephone numbers, e-mail addresses and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<ContactPoint>,
    /// Postal addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
}

/// A patient's record as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patient {
    registered: bool,
    active: bool,
    demographics: Demographics,
    identifiers: Vec<Identifier>,
    contacts: Contacts,
}

aggregate!(Patient, "patient", PatientCommand, PatientEvent, PatientError);

impl Patient {
    /// Whether the patient is registered.
    pub fn is_registered(&self) -> bool {
        self.registered
    }

    /// Whether the record is in use.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Who the patient is.
    pub fn demographics(&self) -> &Demographics {
        &self.demographics
    }

    /// The patient's identifiers.
    pub fn identifiers(&self) -> &[Identifier] {
        &self.identifiers
    }

    /// How to reach the patient.
    pub fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    fn fold(&mut self, event: PatientEvent) {
        match event {
            PatientEvent::PatientRegistered(event) => {
                self.registered = true;
                self.active = true;
                self.demographics = event.demographics;
                self.identifiers = event.identifiers;
                self.contacts = event.contacts;
            }
            PatientEvent::PatientDemographicsEdited(event) => self.demographics = event.after,
            PatientEvent::PatientContactsEdited(event) => self.contacts = event.after,
            PatientEvent::PatientIdentifiersEdited(event) => self.identifiers = event.after,
            PatientEvent::PatientDeactivated(_) => self.active = false,
        }
    }

    fn require_active(&self) -> Result<(), PatientError> {
        match (self.registered, self.active) {
            (false, _) => Err(PatientError::NotRegistered),
            (true, false) => Err(PatientError::Deactivated),
            (true, true) => Ok(()),
        }
    }

    fn register(&self, command: RegisterPatient, now: &Now) -> Result<PatientEvent, PatientError> {
        if self.registered {
            return Err(PatientError::AlreadyRegistered);
        }
        let RegisterPatient {
            name,
            other_names,
            gender,
            birth_date,
            deceased,
            identifiers,
            contacts,
            addresses,
        } = command;
        let demographics = Demographics { name, other_names, gender, birth_date, deceased };
        let contacts = Contacts { points: contacts, addresses };
        check_known(&demographics, &identifiers)?;
        check_demographics(&demographics, now)?;
        check_identifiers(&identifiers)?;
        check_contacts(&contacts)?;
        Ok(PatientEvent::PatientRegistered(PatientRegistered {
            demographics,
            identifiers,
            contacts,
        }))
    }

    fn edit_demographics(
        &self,
        command: EditDemographics,
        now: &Now,
    ) -> Result<PatientEvent, PatientError> {
        self.require_active()?;
        let EditDemographics { name, other_names, gender, birth_date, deceased, reason } = command;
        let after = Demographics { name, other_names, gender, birth_date, deceased };
        check_known(&after, &self.identifiers)?;
        check_demographics(&after, now)?;
        if after == self.demographics {
            return Err(PatientError::NothingChanged);
        }
        let before = self.demographics.clone();
        Ok(PatientEvent::PatientDemographicsEdited(PatientDemographicsEdited {
            before,
            after,
            reason,
        }))
    }

    fn edit_contacts(&self, command: EditContacts) -> Result<PatientEvent, PatientError> {
        self.require_active()?;
        let EditContacts { contacts, addresses, reason } = command;
        let after = Contacts { points: contacts, addresses };
        check_contacts(&after)?;
        if after == self.contacts {
            return Err(PatientError::NothingChanged);
        }
        let before = self.contacts.clone();
        Ok(PatientEvent::PatientContactsEdited(PatientContactsEdited { before, after, reason }))
    }

    fn edit_identifiers(&self, command: EditIdentifiers) -> Result<PatientEvent, PatientError> {
        self.require_active()?;
        let EditIdentifiers { identifiers: after, reason } = command;
        check_known(&self.demographics, &after)?;
        check_identifiers(&after)?;
        if after == self.identifiers {
            return Err(PatientError::NothingChanged);
        }
        let before = self.identifiers.clone();
        Ok(PatientEvent::PatientIdentifiersEdited(PatientIdentifiersEdited {
            before,
            after,
            reason,
        }))
    }

    fn deactivate(&self, command: DeactivatePatient) -> Result<PatientEvent, PatientError> {
        self.require_active()?;
        let DeactivatePatient { reason, note } = command;
        if reason == DeactivationReason::Other && note.is_none() {
            return Err(PatientError::NoteRequired);
        }
        Ok(PatientEvent::PatientDeactivated(PatientDeactivated { reason, note }))
    }
}

fn check_known(who: &Demographics, identifiers: &[Identifier]) -> Result<(), PatientError> {
    if who.name.is_none() && identifiers.is_empty() {
        return Err(PatientError::NameOrIdentifierRequired);
    }
    Ok(())
}

fn check_demographics(who: &Demographics, now: &Now) -> Result<(), PatientError> {
    check_count("other_names", who.other_names.len())?;
    if who.birth_date.is_some_and(|date| date.is_future(now)) {
        return Err(PatientError::BirthInFuture);
    }
    if who.deceased.is_some_and(|date| date.is_future(now)) {
        return Err(PatientError::DeathInFuture);
    }
    match (who.birth_date, who.deceased) {
        (Some(birth), Some(death)) if death.latest() < birth.earliest() => {
            Err(PatientError::DeathBeforeBirth)
        }
        _ => Ok(()),
    }
}

fn check_identifiers(identifiers: &[Identifier]) -> Result<(), PatientError> {
    check_count("identifiers", identifiers.len())?;
    if has_repeated(identifiers) {
        return Err(PatientError::IdentifierRepeated);
    }
    Ok(())
}

fn check_contacts(contacts: &Contacts) -> Result<(), PatientError> {
    check_count("contacts", contacts.points.len())?;
    check_count("addresses", contacts.addresses.len())
}

fn check_count(field: &'static str, count: usize) -> Result<(), PatientError> {
    if count > MAX_ENTRIES {
        return Err(PatientError::TooMany { field, max: MAX_ENTRIES });
    }
    Ok(())
}

impl Stream for Patient {
    const STATE_VERSION: u32 = 1;
    const SEALED: bool = true;
    const KEEPS_SNAPSHOTS: bool = true;
    const BEGINS_SUBJECT: bool = true;
    const HAS_CLAIMS: bool = true;

    fn decide(
        &self,
        command: PatientCommand,
        now: &Now,
    ) -> Result<Vec<PatientEvent>, PatientError> {
        let event = match command {
            PatientCommand::Register(command) => self.register(command, now),
            PatientCommand::EditDemographics(command) => self.edit_demographics(command, now),
            PatientCommand::EditContacts(command) => self.edit_contacts(command),
            PatientCommand::EditIdentifiers(command) => self.edit_identifiers(command),
            PatientCommand::Deactivate(command) => self.deactivate(command),
        }?;
        Ok(vec![event])
    }

    fn subject(&self, id: Uuid) -> Option<Uuid> {
        Some(id)
    }

    fn claims(_id: Uuid, event: &PatientEvent) -> Vec<ClaimChange> {
        match event {
            PatientEvent::PatientRegistered(event) => {
                identifier_claims(IDENTIFIER_CLAIM, &[], &event.identifiers)
            }
            PatientEvent::PatientIdentifiersEdited(event) => {
                identifier_claims(IDENTIFIER_CLAIM, &event.before, &event.after)
            }
            // A record out of use keeps its identifiers: they still mean this person.
            PatientEvent::PatientDemographicsEdited(_)
            | PatientEvent::PatientContactsEdited(_)
            | PatientEvent::PatientDeactivated(_) => Vec::new(),
        }
    }

    fn media(_event: &PatientEvent) -> Vec<MediaRef> {
        vec![]
    }
}
