//! What a comparison of the stored claims with the log says.

use serde::Serialize;
use uuid::Uuid;

use super::key::damaged;

/// How many findings are reported one by one; the others are counted.
pub(super) const FINDINGS_MAX: usize = 1_000;

/// How a stored claim differs from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// The log grants it, and no row says so.
    Missing,
    /// A row says so, and the log does not grant it.
    Foreign,
    /// The row names another holder, or other times, than the log.
    Changed,
    /// A digest of a bucket is not that of its rows, or the seal is not that of the digests.
    Digest,
    /// The log itself grants it to two at once.
    GrantedTwice,
}

impl Difference {
    /// As in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Difference::Missing => "missing",
            Difference::Foreign => "foreign",
            Difference::Changed => "changed",
            Difference::Digest => "digest",
            Difference::GrantedTwice => "granted-twice",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ClaimFinding {
    /// What differs.
    pub difference: Difference,
    /// What kind of key or resource; `bucket` or `seal` where no single claim is to blame.
    pub kind: String,
    /// The stream that holds the claim, by the log; of a foreign one, by the row.
    pub stream_type: String,
    /// Which one.
    pub stream_id: Uuid,
    /// The event that granted it, if the log did.
    pub position: Option<u64>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClaimsReport {
    /// The size of the log, as of which it was compared.
    pub size: u64,
    /// How many claims the log grants.
    pub claims: u64,
    /// What differs, in a fixed order; at most 1,000.
    pub findings: Vec<ClaimFinding>,
    /// How many more there are.
    pub more: u64,
}

impl ClaimsReport {
    /// Whether the tables hold what the log grants and nothing else.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }

    /// Logs and counts each finding. Streams and positions name no person.
    pub fn log(&self) {
        for finding in &self.findings {
            damaged(finding.difference.as_str());
            tracing::error!(
                difference = finding.difference.as_str(),
                kind = finding.kind,
                stream.r#type = finding.stream_type,
                stream.id = %finding.stream_id,
                position = finding.position,
                "a stored claim is not as the log makes it"
            );
        }
        if self.more > 0 {
            tracing::error!(more = self.more, "and more claims are not as the log makes them");
        }
    }
}
