//! Bodies of answers.

use utoipa::ToSchema;
use uuid::Uuid;

use super::codes::{
    AccountKind, AnatomicalSite, AppointmentStatus, Authority, CancellationReason, CloseReason,
    DeactivationReason, ErasureReason, Etiology, Gender, HoldReason, Laterality, RejectionReason,
    ReleaseReason, Role, Store, WithdrawalReason,
};
use super::command::{Address, ContactPoint, HumanName, Identifier};

/// The proof that a command was recorded. Kept by the client, it convicts whoever rewrites the log later:
/// each event is a JWS any JOSE library verifies, and the inclusion proof leads from it to the root in the
/// signed checkpoint.
#[derive(ToSchema)]
pub struct Receipt {
    /// The command.
    pub command_id: Uuid,
    /// The type of the stream: `patient`, `appointment`, `wound`, `custody`, `model`, `account`.
    pub stream_type: String,
    /// The stream: the id of the patient (also for its custody), appointment, wound or account, or that of the
    /// registry of models.
    pub stream_id: Uuid,
    /// The version after the command.
    pub version: u64,
    /// The last event's position: give it as `Ledger-Min-Position` to read your own write.
    pub position: Option<u64>,
    /// The events, in the order of their positions.
    pub events: Vec<ReceiptEvent>,
    /// A signed checkpoint that covers the events (C2SP signed note).
    pub checkpoint: String,
    /// Whether this answers a repetition of a command that was done before.
    pub replayed: bool,
}

/// One event of a receipt.
#[derive(ToSchema)]
pub struct ReceiptEvent {
    /// Its position in the log.
    pub position: u64,
    /// The event.
    pub event_id: Uuid,
    /// The kind of event.
    #[schema(example = "AppointmentBooked")]
    pub event_type: String,
    /// The compact JWS: header, statement and signature. It holds nothing that identifies a patient.
    pub jws: String,
    /// The hashes that lead from the event to the checkpoint's root (RFC 9162), in base64.
    pub proof: Vec<String>,
}

/// A legal hold.
#[derive(ToSchema)]
pub struct HoldDocument {
    /// The hold.
    pub id: Uuid,
    /// Why.
    pub reason: HoldReason,
    /// On whose authority.
    pub authority: Authority,
    /// The number of the case.
    pub case_reference: String,
    /// When it was placed.
    #[schema(format = DateTime)]
    pub placed_at: String,
    /// How it was released; until then it is in force.
    pub released: Option<HoldRelease>,
}

/// How a hold was released.
#[derive(ToSchema)]
pub struct HoldRelease {
    /// Why.
    pub reason: ReleaseReason,
    /// On whose authority.
    pub authority: Authority,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
}

/// Holds on a record.
#[derive(ToSchema)]
pub struct HoldList {
    /// All of them, released ones included.
    pub items: Vec<HoldDocument>,
}

/// The custody of a record.
#[derive(ToSchema)]
pub struct CustodyDocument {
    /// The patient.
    pub id: Uuid,
    /// Every hold there ever was.
    pub holds: Vec<HoldDocument>,
    /// How the record was erased, if it was.
    pub erasure: Option<Erasure>,
    /// What was purged after the erasure, once that is recorded.
    pub purge: Option<Purge>,
    /// The number of the last event of custody.
    pub version: u64,
}

/// How a record was erased.
#[derive(ToSchema)]
pub struct Erasure {
    /// Why.
    pub reason: ErasureReason,
    /// On whose authority.
    pub authority: Authority,
    /// The number of the case.
    pub case_reference: String,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
}

/// What was purged after an erasure.
#[derive(ToSchema)]
pub struct Purge {
    /// Each store, with what is gone from it.
    pub stores: Vec<StorePurge>,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
}

/// What is gone from one store.
#[derive(ToSchema)]
pub struct StorePurge {
    /// The store.
    pub store: Store,
    /// How many entries about the person it held, none of which is left.
    pub entries: u64,
}

/// An account.
#[derive(ToSchema)]
pub struct AccountDocument {
    /// The account.
    pub id: Uuid,
    /// The name to log in with.
    pub login: String,
    /// The name shown to people.
    pub display_name: String,
    /// A person or a service.
    pub kind: AccountKind,
    /// The roles it holds.
    pub roles: Vec<Role>,
    /// Whether it may be used.
    pub active: bool,
    /// Its version, for `If-Match`.
    pub version: u64,
}

/// A patient's record as it stands.
#[derive(ToSchema)]
pub struct PatientDocument {
    /// The patient.
    pub id: Uuid,
    /// The version, for `If-Match`.
    pub version: u64,
    /// The position of its last event.
    pub position: u64,
    /// Whether the record is in use.
    pub active: bool,
    /// Why it is not.
    pub deactivation: Option<Deactivation>,
    /// The name.
    pub name: Option<HumanName>,
    /// Other names.
    pub other_names: Vec<HumanName>,
    /// The administrative gender.
    pub gender: Gender,
    /// The birth date, as far as it is known.
    pub birth_date: Option<String>,
    /// The date of death.
    pub deceased: Option<String>,
    /// Identifiers with the systems that issued them.
    pub identifiers: Vec<Identifier>,
    /// Telephone numbers, e-mail addresses and the like.
    pub contacts: Vec<ContactPoint>,
    /// Postal addresses.
    pub addresses: Vec<Address>,
    /// When the patient was registered.
    #[schema(value_type = String, format = DateTime)]
    pub registered_at: String,
    /// When the record last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: String,
}

/// Why a record is not in use.
#[derive(ToSchema)]
pub struct Deactivation {
    /// The reason.
    pub reason: DeactivationReason,
    /// More about it.
    pub note: Option<String>,
}

/// A page of patients.
#[derive(ToSchema)]
pub struct PatientPage {
    /// The patients.
    pub items: Vec<PatientDocument>,
    /// Give it as `after` for the next page; absent on the last.
    pub next: Option<String>,
}

/// An appointment, or a visit recorded afterwards.
#[derive(ToSchema)]
pub struct AppointmentDocument {
    /// The appointment.
    pub id: Uuid,
    /// The version, for `If-Match`.
    pub version: u64,
    /// The position of its last event.
    pub position: u64,
    /// Whose it is.
    pub patient_id: Uuid,
    /// With whom, if known.
    pub practitioner_id: Option<Uuid>,
    /// Where, if known.
    pub room_id: Option<Uuid>,
    /// How it stands.
    pub status: AppointmentStatus,
    /// When it starts.
    #[schema(value_type = String, format = DateTime)]
    pub starts_at: String,
    /// When it ends, if known.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ends_at: Option<String>,
    /// The local time and zone it was agreed in; a visit recorded afterwards has none.
    pub time: Option<VisitTime>,
    /// What for, as said at the booking.
    pub reason: Option<String>,
    /// When it was asked for, if that was earlier.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub requested_at: Option<String>,
    /// Why it was cancelled.
    pub cancellation: Option<Cancellation>,
    /// Why it should never have been entered.
    pub error_reason: Option<String>,
    /// What is known of a visit recorded afterwards.
    #[schema(value_type = Option<Object>)]
    pub visit: Option<()>,
    /// How it came to stand as it does, oldest first.
    pub history: Vec<StatusChange>,
}

/// Local time, zone, and the instants they came to when it was agreed.
#[derive(ToSchema)]
pub struct VisitTime {
    /// The local start.
    pub start: String,
    /// The IANA zone.
    pub zone: String,
    /// How long it takes.
    pub duration_minutes: u32,
    /// The zone's offset from UTC at the start.
    pub offset_seconds: i32,
    /// The instant it starts.
    #[schema(value_type = String, format = DateTime)]
    pub starts_at: String,
    /// The first instant that is free again.
    #[schema(value_type = String, format = DateTime)]
    pub ends_at: String,
}

/// Why an appointment was cancelled.
#[derive(ToSchema)]
pub struct Cancellation {
    /// The reason.
    pub reason: CancellationReason,
    /// More about it.
    pub note: Option<String>,
}

/// One step in an appointment's history.
#[derive(ToSchema)]
pub struct StatusChange {
    /// How it stood from then on.
    pub status: AppointmentStatus,
    /// When that was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub at: String,
    /// By whom.
    pub actor_id: Uuid,
    /// In which event.
    pub position: u64,
    /// The time it was moved away from, if it was moved.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub moved_from: Option<String>,
}

/// A page of appointments.
#[derive(ToSchema)]
pub struct AppointmentPage {
    /// The appointments.
    pub items: Vec<AppointmentDocument>,
    /// Give it as `after` for the next page; absent on the last.
    pub next: Option<String>,
}

/// A wound with its scans, measurements and healing course. Lengths are in micrometres, areas in square
/// micrometres, volumes in nanolitres: whole numbers, with one standard deviation beside each.
#[derive(ToSchema)]
pub struct WoundDocument {
    /// The episode.
    pub id: Uuid,
    /// The version, for `If-Match`.
    pub version: u64,
    /// The position of its last event.
    pub position: u64,
    /// Whose wound.
    pub patient_id: Uuid,
    /// Where on the body.
    pub site: AnatomicalSite,
    /// On which side.
    pub laterality: Option<Laterality>,
    /// What caused it.
    pub etiology: Etiology,
    /// Since when.
    pub onset: Option<String>,
    /// More about it.
    pub note: Option<String>,
    /// When the episode was opened.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: String,
    /// When and why it was closed.
    pub closing: Option<Closing>,
    /// The scans, by the time of capture.
    pub scans: Vec<Scan>,
    /// How the wound heals: one point for each measured scan.
    pub healing: Vec<HealingPoint>,
}

/// When and why an episode was closed.
#[derive(ToSchema)]
pub struct Closing {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: String,
    /// Why.
    pub reason: CloseReason,
    /// More about why.
    pub note: Option<String>,
}

/// One scan of the wound.
#[derive(ToSchema)]
pub struct Scan {
    /// The scan.
    pub id: Uuid,
    /// `pending` until it is answered, then `measured` or `rejected`; `withdrawn` once every measurement was
    /// withdrawn and no other answer is there yet.
    #[schema(example = "measured")]
    pub status: String,
    /// When it was taken.
    #[schema(value_type = String, format = DateTime)]
    pub captured_at: String,
    /// When it was taken in.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: String,
    /// The capture: `blob_id`, `sha256`, `size`, `media_type`.
    #[schema(value_type = Object)]
    pub capture: (),
    /// The measurements, oldest first.
    pub measurements: Vec<Measurement>,
    /// The rejections, oldest first.
    pub rejections: Vec<Rejection>,
}

/// One measurement of a scan.
#[derive(ToSchema)]
pub struct Measurement {
    /// The measurement.
    pub id: Uuid,
    /// The model that made it.
    pub model_digest: String,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: String,
    /// The figures: `area_um2`, `perimeter_um`, `length_um`, `width_um`, `max_depth_um`, `volume_nl`, each with
    /// its `_sd`, and how they came about.
    #[schema(value_type = Object)]
    pub figures: (),
    /// When a clinician confirmed it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub confirmed_at: Option<String>,
    /// Who.
    pub confirmed_by: Option<Uuid>,
    /// When it was withdrawn: from then on it counts no more.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub withdrawn_at: Option<String>,
    /// Who.
    pub withdrawn_by: Option<Uuid>,
    /// Why.
    pub withdrawal_reason: Option<WithdrawalReason>,
}

/// Why a scan was not measured.
#[derive(ToSchema)]
pub struct Rejection {
    /// The model that rejected it; none if a person did, which is final.
    pub model_digest: Option<String>,
    /// Why.
    pub reason: RejectionReason,
    /// More about why.
    pub detail: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: String,
}

/// One point of the healing course. Changes are against the first point.
#[derive(ToSchema)]
pub struct HealingPoint {
    /// The scan.
    pub scan_id: Uuid,
    /// The measurement that counts.
    pub measurement_id: Uuid,
    /// When the scan was taken.
    #[schema(value_type = String, format = DateTime)]
    pub captured_at: String,
    /// Whether a clinician confirmed the measurement.
    pub confirmed: bool,
    /// The area.
    pub area_um2: u64,
    /// Its standard deviation.
    pub area_sd_um2: u64,
    /// By how much the area has shrunk, in permille of the first.
    pub area_reduction_permille: Option<i64>,
    /// The exponential rate of healing, in millionths per day.
    pub healing_rate_ppm_per_day: Option<i64>,
    /// How far the edge has advanced inwards.
    pub linear_advance_um: Option<i64>,
    /// The area's sub-score of PUSH 3.0.
    #[schema(minimum = 0, maximum = 10)]
    pub push_area_score: u8,
}

/// How a wound heals.
#[derive(ToSchema)]
pub struct HealingCourse {
    /// One point for each measured scan, by the time of capture.
    pub points: Vec<HealingPoint>,
    /// What they say of the weeks to come; absent from fewer than three points or over less than a week.
    pub outlook: Option<HealingOutlook>,
}

/// What the measurements so far say, if the edge keeps its pace.
#[derive(ToSchema)]
pub struct HealingOutlook {
    /// By how much the area has shrunk, or will have, four weeks after the first scan, in permille.
    pub four_week_reduction_permille: Bounds,
    /// Whether that reaches one half: `on-course`, `uncertain` or `behind`.
    #[schema(example = "on-course")]
    pub four_weeks: String,
    /// When the wound closes, in days from the first scan; absent if that is not certain.
    pub closure_days: Option<Bounds>,
}

/// A figure and the bounds that hold it nine times in ten.
#[derive(ToSchema)]
pub struct Bounds {
    /// The best guess.
    pub value: i64,
    /// The lower bound.
    pub low: i64,
    /// The upper bound.
    pub high: i64,
}

/// A page of wounds.
#[derive(ToSchema)]
pub struct WoundPage {
    /// The wounds.
    pub items: Vec<WoundDocument>,
    /// Give it as `after` for the next page; absent on the last.
    pub next: Option<String>,
}

/// A JWK Set.
#[derive(ToSchema)]
pub struct JwkSet {
    /// The keys, in the order of their activation.
    pub keys: Vec<Jwk>,
}

/// An Ed25519 public key.
#[derive(ToSchema)]
pub struct Jwk {
    /// `OKP`.
    #[schema(example = "OKP")]
    pub kty: String,
    /// `Ed25519`.
    #[schema(example = "Ed25519")]
    pub crv: String,
    /// The key, base64url.
    pub x: String,
    /// Its RFC 7638 thumbprint.
    pub kid: String,
}
