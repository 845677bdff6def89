//! The directory's entry of a practitioner: who treats patients and whose time is booked.
//!
//! It grants nothing: who logs in, and may do what, is an account's matter. The events are about a person and are sealed with
//! the practitioner's own data key (ADR 51).

mod command;
mod error;
mod event;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use command::{
    DeactivatePractitioner, EditPractitioner, EditPractitionerIdentifiers, PractitionerCommand,
    ReactivatePractitioner, RegisterPractitioner,
};
pub use error::PractitionerError;
pub use event::{
    LeavingReason, PractitionerDeactivated, PractitionerEdited, PractitionerEvent,
    PractitionerIdentifiersEdited, PractitionerReactivated, PractitionerRegistered,
};

use crate::clock::Now;
use crate::ids::typed_id;
use crate::stream::{
    ClaimChange, MediaRef, Standing, Stream, aggregate, has_repeated, identifier_claims,
};
use crate::value::{Coding, ContactPoint, HumanName, Identifier, Line, PartialDate};

typed_id! {
    /// A practitioner whose time is booked.
    PractitionerId;
}

/// The kind of claim that makes a practitioner's identifier unique.
pub const IDENTIFIER_CLAIM: &str = "practitioner-identifier";

/// The most identifiers, qualifications or contacts each.
pub const MAX_ENTRIES: usize = 32;

/// What a practitioner is qualified for, as FHIR's `Practitioner.qualification`. It has a code or a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Qualification {
    /// Which it is, by a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Coding>,
    /// Which it is, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Line<200>>,
    /// Who granted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Line<200>>,
    /// Since when it holds, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PartialDate>,
    /// Until when it holds, that day included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<PartialDate>,
}

/// Who a practitioner is, but for the identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<HumanName>,
    /// What the practitioner is qualified for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub qualifications: Vec<Qualification>,
    /// How to reach the practitioner at work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<ContactPoint>,
}

/// A practitioner's entry as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Practitioner {
    registered: bool,
    active: bool,
    profile: Profile,
    identifiers: Vec<Identifier>,
}

aggregate!(Practitioner, "practitioner", PractitionerCommand, PractitionerEvent, PractitionerError);

impl Practitioner {
    /// Whether the practitioner is registered and in use.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Who the practitioner is.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The practitioner's identifiers.
    pub fn identifiers(&self) -> &[Identifier] {
        &self.identifiers
    }

    fn fold(&mut self, event: PractitionerEvent) {
        match event {
            PractitionerEvent::PractitionerRegistered(event) => {
                self.registered = true;
                self.active = true;
                self.profile = event.profile;
                self.identifiers = event.identifiers;
            }
            PractitionerEvent::PractitionerEdited(event) => self.profile = event.after,
            PractitionerEvent::PractitionerIdentifiersEdited(event) => {
                self.identifiers = event.after;
            }
            PractitionerEvent::PractitionerDeactivated(_) => self.active = false,
            PractitionerEvent::PractitionerReactivated(_) => self.active = true,
        }
    }

    /// An entry that is out of use may be edited all the same: an entry that was wrong stays wrong otherwise.
    fn require_registered(&self) -> Result<(), PractitionerError> {
        if self.registered { Ok(()) } else { Err(PractitionerError::NotRegistered) }
    }

    fn register(
        &self,
        command: RegisterPractitioner,
    ) -> Result<PractitionerEvent, PractitionerError> {
        if self.registered {
            return Err(PractitionerError::AlreadyRegistered);
        }
        let RegisterPractitioner { name, identifiers, qualifications, contacts } = command;
        let profile = Profile { name, qualifications, contacts };
        check_known(&profile, &identifiers)?;
        check_profile(&profile)?;
        check_identifiers(&identifiers)?;
        let registered = PractitionerRegistered { profile, identifiers };
        Ok(PractitionerEvent::PractitionerRegistered(registered))
    }

    fn edit(&self, command: EditPractitioner) -> Result<PractitionerEvent, PractitionerError> {
        self.require_registered()?;
        let (after, reason) = command.into_parts();
        check_known(&after, &self.identifiers)?;
        check_profile(&after)?;
        if after == self.profile {
            return Err(PractitionerError::NothingChanged);
        }
        let before = self.profile.clone();
        let edited = PractitionerEdited { before, after, reason };
        Ok(PractitionerEvent::PractitionerEdited(edited))
    }

    fn edit_identifiers(
        &self,
        command: EditPractitionerIdentifiers,
    ) -> Result<PractitionerEvent, PractitionerError> {
        self.require_registered()?;
        let EditPractitionerIdentifiers { identifiers: after, reason } = command;
        check_known(&self.profile, &after)?;
        check_identifiers(&after)?;
        if after == self.identifiers {
            return Err(PractitionerError::NothingChanged);
        }
        let before = self.identifiers.clone();
        let edited = PractitionerIdentifiersEdited { before, after, reason };
        Ok(PractitionerEvent::PractitionerIdentifiersEdited(edited))
    }

    fn deactivate(
        &self,
        command: DeactivatePractitioner,
    ) -> Result<PractitionerEvent, PractitionerError> {
        self.require_registered()?;
        if !self.active {
            return Err(PractitionerError::AlreadyInactive);
        }
        let DeactivatePractitioner { reason, note } = command;
        if reason == LeavingReason::Other && note.is_none() {
            return Err(PractitionerError::NoteRequired);
        }
        let deactivated = PractitionerDeactivated { reason, note };
        Ok(PractitionerEvent::PractitionerDeactivated(deactivated))
    }

    fn reactivate(
        &self,
        command: ReactivatePractitioner,
    ) -> Result<PractitionerEvent, PractitionerError> {
        self.require_registered()?;
        if self.active {
            return Err(PractitionerError::AlreadyActive);
        }
        let reactivated = PractitionerReactivated { reason: command.reason };
        Ok(PractitionerEvent::PractitionerReactivated(reactivated))
    }
}

fn check_known(who: &Profile, identifiers: &[Identifier]) -> Result<(), PractitionerError> {
    if who.name.is_none() && identifiers.is_empty() {
        return Err(PractitionerError::NameOrIdentifierRequired);
    }
    Ok(())
}

fn check_profile(profile: &Profile) -> Result<(), PractitionerError> {
    check_count("qualifications", profile.qualifications.len())?;
    check_count("contacts", profile.contacts.len())?;
    for Qualification { code, text, from, until, .. } in &profile.qualifications {
        if code.is_none() && text.is_none() {
            return Err(PractitionerError::QualificationEmpty);
        }
        if let (Some(from), Some(until)) = (from, until)
            && until.latest() < from.earliest()
        {
            return Err(PractitionerError::QualificationEndsBeforeStart);
        }
    }
    Ok(())
}

fn check_identifiers(identifiers: &[Identifier]) -> Result<(), PractitionerError> {
    check_count("identifiers", identifiers.len())?;
    if has_repeated(identifiers) {
        return Err(PractitionerError::IdentifierRepeated);
    }
    Ok(())
}

fn check_count(field: &'static str, count: usize) -> Result<(), PractitionerError> {
    if count > MAX_ENTRIES {
        return Err(PractitionerError::TooMany { field, max: MAX_ENTRIES });
    }
    Ok(())
}

impl Stream for Practitioner {
    const STATE_VERSION: u32 = 1;
    const SEALED: bool = true;
    const KEEPS_SNAPSHOTS: bool = true;
    const BEGINS_SUBJECT: bool = true;
    const HAS_CLAIMS: bool = true;

    fn decide(
        &self,
        command: PractitionerCommand,
        _now: &Now,
    ) -> Result<Vec<PractitionerEvent>, PractitionerError> {
        let event = match command {
            PractitionerCommand::Register(command) => self.register(command),
            PractitionerCommand::Edit(command) => self.edit(command),
            PractitionerCommand::EditIdentifiers(command) => self.edit_identifiers(command),
            PractitionerCommand::Deactivate(command) => self.deactivate(command),
            PractitionerCommand::Reactivate(command) => self.reactivate(command),
        }?;
        Ok(vec![event])
    }

    fn subject(&self, id: Uuid) -> Option<Uuid> {
        Some(id)
    }

    fn claims(_id: Uuid, event: &PractitionerEvent) -> Vec<ClaimChange> {
        match event {
            PractitionerEvent::PractitionerRegistered(event) => {
                identifier_claims(IDENTIFIER_CLAIM, &[], &event.identifiers)
            }
            PractitionerEvent::PractitionerIdentifiersEdited(event) => {
                identifier_claims(IDENTIFIER_CLAIM, &event.before, &event.after)
            }
            // A practitioner out of use keeps the identifiers: they still mean this person.
            PractitionerEvent::PractitionerEdited(_)
            | PractitionerEvent::PractitionerDeactivated(_)
            | PractitionerEvent::PractitionerReactivated(_) => Vec::new(),
        }
    }

    fn media(_event: &PractitionerEvent) -> Vec<MediaRef> {
        vec![]
    }

    fn standing(&self) -> Standing {
        match (self.registered, self.active) {
            (false, _) => Standing::Unknown,
            (true, false) => Standing::Inactive,
            (true, true) => Standing::InUse(Self::STREAM_TYPE),
        }
    }
}
