//! Every operation and who may use it: one table, which the guard enforces and a test writes out.
//!
//! A route that is not in the table is refused, so a new endpoint cannot be open by mistake.

use axum::http::Method;
use commands::policy::Permission;

/// Who may use an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token.
    Public,
    /// Anybody with an account that is not disabled; the handler decides what they see.
    Authenticated,
    /// Accounts one of whose roles has this permission.
    Needs(Permission),
}

/// Whose record an operation is about, by the id in its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concerns {
    /// Nobody's, or the path does not say.
    Nobody,
    /// A patient, named in the path.
    Patient,
    /// The patient of the appointment named in the path.
    Appointment,
    /// The patient of the wound named in the path.
    Wound,
}

/// One operation.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The path's template, as routed.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// Whose record it is about.
    pub concerns: Concerns,
}

macro_rules! operations {
    ($($method:ident $path:literal $access:expr, $concerns:ident;)*) => {
        /// The table.
        pub const OPERATIONS: &[Operation] = &[$(Operation {
            method: Method::$method,
            path: $path,
            access: $access,
            concerns: Concerns::$concerns,
        },)*];
    };
}

use Access::{Authenticated, Needs, Public};
use Permission as P;

operations! {
    POST "/v1/sessions" Public, Nobody;
    POST "/v1/accounts" Needs(P::ManageAccounts), Nobody;
    GET "/v1/accounts/{id}" Needs(P::ReadAccounts), Nobody;
    POST "/v1/accounts/{id}/roles" Needs(P::ManageAccounts), Nobody;
    DELETE "/v1/accounts/{id}/roles" Needs(P::ManageAccounts), Nobody;
    POST "/v1/accounts/{id}/disable" Needs(P::ManageAccounts), Nobody;
    POST "/v1/patients" Needs(P::RegisterPatient), Nobody;
    POST "/v1/patients/search" Needs(P::ReadPatient), Nobody;
    GET "/v1/patients/{id}" Needs(P::ReadPatient), Patient;
    PUT "/v1/patients/{id}/demographics" Needs(P::EditPatient), Patient;
    PUT "/v1/patients/{id}/contacts" Needs(P::EditPatient), Patient;
    PUT "/v1/patients/{id}/identifiers" Needs(P::EditPatient), Patient;
    POST "/v1/patients/{id}/deactivate" Needs(P::DeactivatePatient), Patient;
    POST "/v1/patients/{id}/holds" Needs(P::ManageHolds), Patient;
    GET "/v1/patients/{id}/holds" Needs(P::ReadCustody), Patient;
    POST "/v1/patients/{id}/holds/{hold_id}/release" Needs(P::ManageHolds), Patient;
    POST "/v1/patients/{id}/erase" Needs(P::ErasePatient), Patient;
    GET "/v1/patients/{id}/custody" Needs(P::ReadCustody), Patient;
    GET "/v1/patients/{id}/wounds" Needs(P::ReadWounds), Patient;
    POST "/v1/appointments" Needs(P::ManageAppointments), Nobody;
    GET "/v1/appointments" Needs(P::ReadAppointments), Nobody;
    GET "/v1/appointments/{id}" Needs(P::ReadAppointments), Appointment;
    POST "/v1/appointments/{id}/reschedule" Needs(P::ManageAppointments), Appointment;
    POST "/v1/appointments/{id}/cancel" Needs(P::ManageAppointments), Appointment;
    POST "/v1/appointments/{id}/check-in" Needs(P::ManageAppointments), Appointment;
    POST "/v1/appointments/{id}/fulfil" Needs(P::ManageAppointments), Appointment;
    POST "/v1/appointments/{id}/no-show" Needs(P::ManageAppointments), Appointment;
    POST "/v1/appointments/{id}/entered-in-error" Needs(P::CorrectAppointment), Appointment;
    POST "/v1/wounds" Needs(P::ManageWounds), Nobody;
    GET "/v1/wounds/{id}" Needs(P::ReadWounds), Wound;
    GET "/v1/wounds/{id}/healing" Needs(P::ReadWounds), Wound;
    GET "/v1/wounds/{id}/healing.svg" Needs(P::ReadWounds), Wound;
    POST "/v1/wounds/{id}/scans" Needs(P::RecordScan), Wound;
    GET "/v1/wounds/{id}/scans/{scan_id}/overlay.png" Needs(P::ReadWounds), Wound;
    POST "/v1/wounds/{id}/scans/{scan_id}/reject" Needs(P::RejectScan), Wound;
    POST "/v1/wounds/{id}/measurements/{measurement_id}/confirm" Needs(P::ConfirmMeasurement), Wound;
    POST "/v1/wounds/{id}/measurements/{measurement_id}/withdraw" Needs(P::WithdrawMeasurement), Wound;
    POST "/v1/wounds/{id}/close" Needs(P::ManageWounds), Wound;
    POST "/v1/models" Needs(P::ManageModels), Nobody;
    GET "/v1/models" Needs(P::ReadModels), Nobody;
    GET "/v1/models/{sha256}" Needs(P::ReadModels), Nobody;
    POST "/v1/models/{sha256}/activate" Needs(P::ManageModels), Nobody;
    POST "/v1/models/roll-back" Needs(P::ManageModels), Nobody;
    GET "/v1/receipts/{command_id}" Authenticated, Nobody;
    GET "/v1/log/checkpoint" Public, Nobody;
    GET "/v1/log/keys" Public, Nobody;
    GET "/v1/log/inclusion" Needs(P::ReadLog), Nobody;
    GET "/v1/log/consistency" Needs(P::ReadLog), Nobody;
    GET "/v1/log/tile/{level}/{*index}" Needs(P::ReadLog), Nobody;
    GET "/health/live" Public, Nobody;
    GET "/health/ready" Public, Nobody;
    GET "/metrics" Public, Nobody;
    GET "/openapi.json" Public, Nobody;
}

/// The operation of a method and a path template. `HEAD` is a `GET` without the body.
#[must_use]
pub fn find(method: &Method, path: &str) -> Option<&'static Operation> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    OPERATIONS.iter().find(|operation| operation.method == *method && operation.path == path)
}

/// The methods a path template takes, for the header `Allow`.
#[must_use]
pub fn methods_of(path: &str) -> String {
    let of_path = OPERATIONS.iter().filter(|operation| operation.path == path);
    of_path.map(|operation| operation.method.as_str()).collect::<Vec<_>>().join(", ")
}
