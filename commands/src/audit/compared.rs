//! What a comparison says, whatever it compares.

use std::fmt;

use serde::Serialize;

/// The most differences that are reported one by one.
pub(super) const DIFFERENCES_MAX: usize = 1_000;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// The position in the log that it is about, where there is one.
    pub position: Option<u64>,
    /// What kind: `missing`, `foreign`, `changed` and the like.
    pub kind: String,
    /// What differs: a stream as `type/id`, an object of the database, a tile.
    pub object: String,
    /// What exactly, in words. Holds no content of payloads.
    pub detail: String,
}

impl Difference {
    /// Where, in words.
    #[must_use]
    pub fn place(&self) -> String {
        match self.position {
            Some(position) if self.object.is_empty() => format!("position {position}"),
            Some(position) => format!("position {position}, {}", self.object),
            None => self.object.clone(),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place(), self.kind, self.detail)
    }
}

/// What a comparison of one part of the database found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// What was compared, in the plural: `claims`, `snapshots`.
    pub what: &'static str,
    /// How many of them; none if they were not compared.
    pub compared: Option<u64>,
    /// Why they were not compared, or not in everything.
    pub not_compared: Option<String>,
    /// What differs, in a fixed order.
    pub findings: Vec<Difference>,
    /// How many more there are.
    pub more: u64,
}

impl Comparison {
    /// A comparison that has found nothing yet.
    #[must_use]
    pub fn begun(what: &'static str) -> Comparison {
        Comparison { what, compared: Some(0), not_compared: None, findings: Vec::new(), more: 0 }
    }

    /// One that did not take place.
    #[must_use]
    pub fn none(what: &'static str, why: impl Into<String>) -> Comparison {
        Comparison { compared: None, not_compared: Some(why.into()), ..Comparison::begun(what) }
    }

    /// Counts what was compared.
    pub fn count(&mut self, more: u64) {
        self.compared = Some(self.compared.unwrap_or_default() + more);
    }

    /// Takes a difference.
    pub fn push(
        &mut self,
        position: Option<u64>,
        kind: &str,
        object: impl Into<String>,
        detail: impl Into<String>,
    ) {
        if self.findings.len() >= DIFFERENCES_MAX {
            self.more += 1;
            return;
        }
        let (kind, object, detail) = (kind.to_owned(), object.into(), detail.into());
        self.findings.push(Difference { position, kind, object, detail });
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }

    /// What was not compared and why, in words.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        self.not_compared.as_ref().map(|why| format!("{} ({why})", self.what))
    }
}

/// What cannot be read because the database is not as it was made is damaged; any other failure is not damage.
pub(super) fn altered(what: &'static str, error: sqlx::Error) -> Result<Comparison, sqlx::Error> {
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    if code == "42501" {
        // Another login than the auditor's; if the auditor's right was taken away, the catalog says so.
        return Ok(Comparison::none(what, "this login may not read them"));
    }
    // Class 42: a table or a column is not there, or is another one.
    if !code.starts_with("42") {
        return Err(error);
    }
    let mut comparison = Comparison::none(what, "the tables cannot be read");
    let detail = format!("the tables are not as they were made ({code})");
    comparison.push(None, "unreadable", what, detail);
    Ok(comparison)
}
