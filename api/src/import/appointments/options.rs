//! How the rows of a table are to be understood.

use domain::value::Line;

/// How the rows are to be understood.
#[derive(Clone, Debug)]
pub struct Options {
    /// The IANA zone of the clinic's wall clock.
    pub zone: Line<64>,
    /// What names the source: rows with equal ids of two sources are different things.
    pub source: String,
    /// Whether a patient list is imported too: if not, the rows themselves register their patients.
    pub patients_listed: bool,
}
