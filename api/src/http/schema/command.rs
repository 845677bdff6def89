//! Bodies of requests.

use utoipa::ToSchema;
use uuid::Uuid;

use super::codes::{
    AccountKind, AddressUse, AnatomicalSite, Authority, CancellationReason, CloseReason,
    ContactSystem, ContactUse, DeactivationReason, ErasureReason, Etiology, Fold, Gender,
    HoldReason, IdentifierUse, Laterality, NameUse, RejectionReason, ReleaseReason, Role,
    WithdrawalReason,
};

/// A person's name, kept as it is given. A family name or a given name is required.
#[derive(ToSchema)]
pub struct HumanName {
    /// The family name.
    #[schema(max_length = 100)]
    pub family: Option<String>,
    /// The given names, in order.
    #[schema(max_items = 10, required = false)]
    pub given: Vec<String>,
    /// Titles and the like before the name.
    #[schema(max_items = 10, required = false)]
    pub prefix: Vec<String>,
    /// Degrees and the like after the name.
    #[schema(max_items = 10, required = false)]
    pub suffix: Vec<String>,
    /// What the name is used for.
    pub r#use: Option<NameUse>,
}

/// A way to reach a person.
#[derive(ToSchema)]
pub struct ContactPoint {
    /// The means of contact.
    pub system: ContactSystem,
    /// The number or address.
    #[schema(max_length = 254)]
    pub value: String,
    /// What it is used for.
    pub r#use: Option<ContactUse>,
}

/// An identifier of a patient, unique within its system.
#[derive(ToSchema)]
pub struct Identifier {
    /// The system that issued it: an absolute URI.
    #[schema(max_length = 255, example = "http://clinic.example/mrn")]
    pub system: String,
    /// The identifier itself.
    #[schema(max_length = 128)]
    pub value: String,
    /// What it is used for.
    pub r#use: Option<IdentifierUse>,
    /// What kind of identifier it is, as in HL7 v2 table 0203.
    #[schema(example = "MR")]
    pub r#type: Option<String>,
    /// Who issued it, for people.
    #[schema(max_length = 200)]
    pub issuer: Option<String>,
}

/// A postal address, kept as it is given. At least one part is required.
#[derive(ToSchema)]
pub struct Address {
    /// Street, house number, post box and the like.
    #[schema(max_items = 6, required = false)]
    pub lines: Vec<String>,
    /// The city, town or village.
    pub city: Option<String>,
    /// The district or county.
    pub district: Option<String>,
    /// The state or province.
    pub state: Option<String>,
    /// The postal code.
    pub postal_code: Option<String>,
    /// The country, by name or by ISO 3166 code.
    pub country: Option<String>,
    /// What it is used for.
    pub r#use: Option<AddressUse>,
}

/// A new patient. A name or an identifier is required.
#[derive(ToSchema)]
pub struct RegisterPatient {
    /// The id to register under; without it the server chooses one.
    pub id: Option<Uuid>,
    /// The name.
    pub name: Option<HumanName>,
    /// Other names, such as the one before marriage.
    #[schema(required = false)]
    pub other_names: Vec<HumanName>,
    /// The administrative gender; unknown without it.
    pub gender: Option<Gender>,
    /// The birth date, as far as it is known: YYYY, YYYY-MM or YYYY-MM-DD.
    #[schema(example = "1958-04")]
    pub birth_date: Option<String>,
    /// The date of death, if the patient has died.
    pub deceased: Option<String>,
    /// Identifiers; each may belong to one patient only.
    #[schema(required = false)]
    pub identifiers: Vec<Identifier>,
    /// Telephone numbers, e-mail addresses and the like.
    #[schema(required = false)]
    pub contacts: Vec<ContactPoint>,
    /// Postal addresses.
    #[schema(required = false)]
    pub addresses: Vec<Address>,
}

/// Replaces name, gender, birth and death: what is left out is taken away.
#[derive(ToSchema)]
pub struct EditDemographics {
    /// The name.
    pub name: Option<HumanName>,
    /// Other names, such as the one before marriage.
    #[schema(required = false)]
    pub other_names: Vec<HumanName>,
    /// The administrative gender.
    pub gender: Gender,
    /// The birth date, as far as it is known: YYYY, YYYY-MM or YYYY-MM-DD.
    pub birth_date: Option<String>,
    /// The date of death, if the patient has died.
    pub deceased: Option<String>,
    /// Why the edit is made.
    #[schema(max_length = 200)]
    pub reason: String,
}

/// Replaces contacts and addresses: what is left out is taken away.
#[derive(ToSchema)]
pub struct EditContacts {
    /// Telephone numbers, e-mail addresses and the like.
    #[schema(required = false)]
    pub contacts: Vec<ContactPoint>,
    /// Postal addresses.
    #[schema(required = false)]
    pub addresses: Vec<Address>,
    /// Why the edit is made.
    #[schema(max_length = 200)]
    pub reason: String,
}

/// Replaces the identifiers.
#[derive(ToSchema)]
pub struct EditIdentifiers {
    /// Identifiers; each may belong to one patient only.
    pub identifiers: Vec<Identifier>,
    /// Why the edit is made.
    #[schema(max_length = 200)]
    pub reason: String,
}

/// Takes a record out of use.
#[derive(ToSchema)]
pub struct DeactivatePatient {
    /// Why.
    pub reason: DeactivationReason,
    /// More about why; required for `other`.
    #[schema(max_length = 2000)]
    pub note: Option<String>,
}

/// Places a legal hold.
#[derive(ToSchema)]
pub struct PlaceHold {
    /// The id of the hold; without it the server chooses one.
    pub id: Option<Uuid>,
    /// Why.
    pub reason: HoldReason,
    /// On whose authority.
    pub authority: Authority,
    /// The number of the case. It is kept in the clear and outlives the record: it must not name the person.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[A-Za-z0-9._/-]+$",
        example = "2026/CV-0815"
    )]
    pub case_reference: String,
}

/// Releases a legal hold.
#[derive(ToSchema)]
pub struct ReleaseHold {
    /// Why.
    pub reason: ReleaseReason,
    /// On whose authority.
    pub authority: Authority,
}

/// Erases a record.
#[derive(ToSchema)]
pub struct Erase {
    /// Why.
    pub reason: ErasureReason,
    /// On whose authority.
    pub authority: Authority,
    /// The number of the case. It is kept in the clear and outlives the record: it must not name the person.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._/-]+$", example = "DSR-42")]
    pub case_reference: String,
}

/// What is known of the patient sought. Everything given must hold; something must be given.
#[derive(ToSchema)]
pub struct PatientSearch {
    /// The family name begins with this, however it is written.
    pub family: Option<String>,
    /// The given names begin with this.
    pub given: Option<String>,
    /// The birth date, as precisely as it is known.
    pub birth_date: Option<String>,
    /// An identifier.
    pub identifier: Option<String>,
    /// The system that issued the identifier; any, if left out.
    pub system: Option<String>,
    /// Only active, or only inactive records.
    pub active: Option<bool>,
    /// How many, at most 200; 50 without it.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub after: Option<String>,
}

/// A time as somebody asks for it: what the clock on the wall shall show, and where.
#[derive(ToSchema)]
pub struct RequestedTime {
    /// The local start, without offset.
    #[schema(example = "2026-03-09T15:00")]
    pub start: String,
    /// The IANA zone.
    #[schema(example = "America/Chicago")]
    pub zone: String,
    /// How long it takes.
    #[schema(minimum = 1, maximum = 1440)]
    pub duration_minutes: u32,
    /// Which of two equal local times is meant, where that is a question.
    pub fold: Option<Fold>,
}

/// A new appointment.
#[derive(ToSchema)]
pub struct BookAppointment {
    /// The id to book under; without it the server chooses one.
    pub id: Option<Uuid>,
    /// For whom.
    pub patient_id: Uuid,
    /// With whom.
    pub practitioner_id: Uuid,
    /// Where.
    pub room_id: Option<Uuid>,
    /// When.
    pub time: RequestedTime,
    /// What for.
    #[schema(max_length = 200)]
    pub reason: Option<String>,
    /// When it was asked for, if that was earlier.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub requested_at: Option<String>,
}

/// Moves an appointment. What is left out stays.
#[derive(ToSchema)]
pub struct RescheduleAppointment {
    /// When.
    pub time: RequestedTime,
    /// With whom.
    pub practitioner_id: Option<Uuid>,
    /// Where.
    pub room_id: Option<Uuid>,
    /// Why.
    #[schema(max_length = 200)]
    pub reason: Option<String>,
}

/// Cancels an appointment.
#[derive(ToSchema)]
pub struct CancelAppointment {
    /// Why.
    pub reason: CancellationReason,
    /// More about why; required for `other`.
    #[schema(max_length = 2000)]
    pub note: Option<String>,
}

/// Takes back what should never have been entered.
#[derive(ToSchema)]
pub struct EnteredInError {
    /// Why.
    #[schema(max_length = 200)]
    pub reason: String,
}

/// A new episode of a wound.
#[derive(ToSchema)]
pub struct OpenWound {
    /// The id to open it under; without it the server chooses one.
    pub id: Option<Uuid>,
    /// Whose wound.
    pub patient_id: Uuid,
    /// Where on the body.
    pub site: AnatomicalSite,
    /// On which side; a site that has sides needs one.
    pub laterality: Option<Laterality>,
    /// What caused it.
    pub etiology: Etiology,
    /// Since when, as far as it is known.
    pub onset: Option<String>,
    /// More about it.
    #[schema(max_length = 2000)]
    pub note: Option<String>,
}

/// Rejects a scan, as a person.
#[derive(ToSchema)]
pub struct RejectScan {
    /// Why.
    pub reason: RejectionReason,
    /// More about why; required for `other`.
    #[schema(max_length = 2000)]
    pub detail: Option<String>,
}

/// Withdraws a measurement.
#[derive(ToSchema)]
pub struct WithdrawMeasurement {
    /// Why.
    pub reason: WithdrawalReason,
}

/// Why a model is activated or withdrawn.
#[derive(ToSchema)]
pub struct ModelReason {
    /// Why. It is kept in the clear and for good: it must not name a person.
    #[schema(max_length = 2000)]
    pub reason: String,
}

/// Closes an episode of a wound.
#[derive(ToSchema)]
pub struct CloseWound {
    /// Why.
    pub reason: CloseReason,
    /// More about why; required for `other`.
    #[schema(max_length = 2000)]
    pub note: Option<String>,
}

/// A new account. A user needs a password; a service must not have one.
#[derive(ToSchema)]
pub struct NewAccount {
    /// The id to register under; without it the server chooses one.
    pub id: Option<Uuid>,
    /// The name to log in with.
    #[schema(min_length = 3, max_length = 64, example = "j.meyer")]
    pub login: String,
    /// The name shown to people.
    #[schema(max_length = 100)]
    pub display_name: String,
    /// The password: at least 12 characters, at most 256 bytes.
    #[schema(value_type = Option<String>, format = Password, min_length = 12, max_length = 256)]
    pub password: Option<String>,
    /// A person or a service; a person without it.
    pub kind: Option<AccountKind>,
}

/// Grants a role.
#[derive(ToSchema)]
pub struct GrantRole {
    /// The role.
    pub role: Role,
}

/// Revokes a role.
#[derive(ToSchema)]
pub struct RevokeRole {
    /// The role.
    pub role: Role,
    /// Why.
    #[schema(max_length = 200)]
    pub reason: String,
}

/// Disables an account.
#[derive(ToSchema)]
pub struct DisableAccount {
    /// Why.
    #[schema(max_length = 200)]
    pub reason: String,
}
