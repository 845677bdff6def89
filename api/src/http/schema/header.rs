//! Ids in paths, headers and queries.

use utoipa::IntoParams;
use uuid::Uuid;

/// The command id.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IdempotencyKey {
    /// The command id, chosen by the client: the same request with the same key is done once and answered
    /// alike; another request with the same key is refused.
    #[param(rename = "Idempotency-Key")]
    pub idempotency_key: Option<Uuid>,
}

/// The version seen.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfMatch {
    /// The `ETag` of the version the client saw. When it changed since, the command is refused (412).
    #[param(rename = "If-Match", example = "\"3\"")]
    pub if_match: Option<String>,
}

/// Why somebody looks or writes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct PurposeOfUse {
    /// Why: a code of HL7 v3 `PurposeOfUse`. Without it, `TREAT`.
    #[param(rename = "Purpose-Of-Use", example = "TREAT")]
    pub purpose_of_use: Option<String>,
}

/// What a read must see.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct LedgerMinPosition {
    /// A position out of a receipt: the read waits until it can be seen, and fails (503) when that
    /// takes too long. It fails at once (409) where the log has no such position.
    #[param(rename = "Ledger-Min-Position")]
    pub ledger_min_position: Option<u64>,
}

/// Which part of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many, at most 200; 50 without it.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub after: Option<String>,
}

/// Whose appointments, and when.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AppointmentQuery {
    /// Of this practitioner. Give this or `patient`, or both.
    pub practitioner: Option<Uuid>,
    /// Of this patient.
    pub patient: Option<Uuid>,
    /// Beginning at this instant or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<String>,
    /// Beginning before this instant.
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<String>,
    /// How many, at most 200; 50 without it.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub after: Option<String>,
}

/// Which account.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct AccountPath {
    /// The account.
    pub id: Uuid,
}

/// Which patient.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PatientPath {
    /// The patient.
    pub id: Uuid,
}

/// Which hold on which patient's record.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct HoldPath {
    /// The patient.
    pub id: Uuid,
    /// The hold.
    pub hold_id: Uuid,
}

/// Which appointment.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct AppointmentPath {
    /// The appointment.
    pub id: Uuid,
}

/// Which wound.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct WoundPath {
    /// The episode of the wound.
    pub id: Uuid,
}

/// Which scan of which wound.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ScanPath {
    /// The episode of the wound.
    pub id: Uuid,
    /// The scan.
    pub scan_id: Uuid,
}

/// Which measurement of which wound.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct MeasurementPath {
    /// The episode of the wound.
    pub id: Uuid,
    /// The measurement.
    pub measurement_id: Uuid,
}

/// Which model.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ModelPath {
    /// The SHA-256 of its weights, in hexadecimal.
    #[param(min_length = 64, max_length = 64)]
    pub sha256: String,
}

/// Which command.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct CommandPath {
    /// The id of the command: its `Idempotency-Key`, or the `command_id` of its receipt.
    pub command_id: Uuid,
}

/// Whose command, for those who may read the log: several actors may have given a command the same id.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReceiptQuery {
    /// The actor; without it, you, or else the one actor who gave a command this id.
    pub actor: Option<Uuid>,
}

/// Which position, in the log of which size.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InclusionQuery {
    /// The position.
    pub position: u64,
    /// The size of a checkpoint the log has signed; the newest without it.
    pub size: Option<u64>,
}

/// Between which sizes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ConsistencyQuery {
    /// The older size, at least 1.
    pub old: u64,
    /// The newer size; that of the newest checkpoint without it.
    pub new: Option<u64>,
}

/// Which tile.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TilePath {
    /// The level of a hash tile, or `entries`.
    #[param(example = "0")]
    pub level: String,
    /// The index, in groups of three digits, and for a part of a tile its width.
    #[param(example = "000.p/17")]
    pub index: String,
}
