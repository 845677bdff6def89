//! What is known of an operation besides what it does: who may use it, and whose record it is about.
//!
//! Nothing of this is written down a second time: it follows from what the handler takes (`describe`).

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
    /// No patient's, or the path does not say.
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

/// The methods a path template takes, for the header `Allow`.
#[must_use]
pub fn methods_of(operations: &[Operation], path: &str) -> String {
    let of_path = operations.iter().filter(|operation| operation.path == path);
    of_path.map(|operation| operation.method.as_str()).collect::<Vec<_>>().join(", ")
}
