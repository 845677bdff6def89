//! Why a command on an episode of a wound is refused.

use crate::stream::{Refusal, RefusalKind};

/// Why a command on an episode of a wound is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WoundError {
    /// The stream already holds an episode.
    #[error("an episode is already open under this id: use another id")]
    AlreadyOpened,
    /// The stream holds no episode.
    #[error("no episode is open under this id: open it first")]
    NotOpened,
    /// The episode is closed.
    #[error("the episode is closed: open a new one")]
    Closed,
    /// An onset that has not come yet.
    #[error("the onset is in the future: correct it")]
    OnsetInFuture,
    /// A site with sides, and no side.
    #[error("this site has a left and a right: say in `laterality` which is meant")]
    LateralityRequired,
    /// A scan of this id was taken in before.
    #[error("a scan with this id is already recorded: use a fresh id for each capture")]
    ScanAlreadyRecorded,
    /// This capture was taken in before, as another scan.
    #[error(
        "this capture is already recorded in this episode, under another scan id: send it once"
    )]
    CaptureAlreadyRecorded,
    /// A capture of the future.
    #[error("the capture was taken in the future: correct the device's clock")]
    CaptureInFuture,
    /// More scans than an episode may have.
    #[error("the episode has too many scans: at most {max} are allowed")]
    TooManyScans {
        /// The limit.
        max: usize,
    },
    /// More measurements and rejections than a scan may have.
    #[error("the scan has too many measurements and rejections: at most {max} are allowed")]
    TooManyResults {
        /// The limit.
        max: usize,
    },
    /// No such scan here.
    #[error("no scan with this id is recorded in this episode: record the scan first")]
    UnknownScan,
    /// The model measured or rejected this scan before.
    #[error("this model has already answered for this scan: there is nothing to record")]
    AlreadyMeasured,
    /// A person rejected the scan.
    #[error("the scan is rejected: record a new one")]
    ScanIsRejected,
    /// A measurement of this id was recorded before.
    #[error("a measurement with this id is already recorded: use a fresh id")]
    MeasurementAlreadyRecorded,
    /// No such measurement here.
    #[error("no measurement with this id is recorded in this episode")]
    UnknownMeasurement,
    /// The measurement is confirmed.
    #[error("the measurement is already confirmed: there is nothing to do")]
    AlreadyConfirmed,
    /// A clinician confirmed the measurement.
    #[error("a clinician confirmed the measurement: only a clinician takes it back")]
    MeasurementIsConfirmed,
    /// The measurement was withdrawn, and is not to be confirmed.
    #[error("the measurement was withdrawn: confirm another one")]
    MeasurementIsWithdrawn,
    /// The measurement was withdrawn before.
    #[error("the measurement is already withdrawn: there is nothing to do")]
    AlreadyWithdrawn,
    /// The reason says "other" and no note says more.
    #[error("the reason `other` needs a note that says more")]
    NoteRequired,
    /// The reason says "other" and no detail says more.
    #[error("the reason `other` needs a detail that says more")]
    DetailRequired,
}

impl Refusal for WoundError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotOpened => RefusalKind::Missing("wound"),
            Self::UnknownScan => RefusalKind::Missing("scan of this wound"),
            Self::UnknownMeasurement => RefusalKind::Missing("measurement of this wound"),
            Self::AlreadyOpened
            | Self::Closed
            | Self::ScanAlreadyRecorded
            | Self::CaptureAlreadyRecorded
            | Self::TooManyScans { .. }
            | Self::TooManyResults { .. }
            | Self::AlreadyMeasured
            | Self::ScanIsRejected
            | Self::MeasurementAlreadyRecorded
            | Self::AlreadyConfirmed
            | Self::MeasurementIsConfirmed
            | Self::MeasurementIsWithdrawn
            | Self::AlreadyWithdrawn => RefusalKind::Conflict,
            Self::OnsetInFuture
            | Self::LateralityRequired
            | Self::CaptureInFuture
            | Self::NoteRequired
            | Self::DetailRequired => RefusalKind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyOpened => "already-opened",
            Self::NotOpened => "not-opened",
            Self::Closed => "wound-closed",
            Self::OnsetInFuture => "onset-in-future",
            Self::LateralityRequired => "laterality-required",
            Self::ScanAlreadyRecorded => "scan-already-recorded",
            Self::CaptureAlreadyRecorded => "capture-already-recorded",
            Self::CaptureInFuture => "capture-in-future",
            Self::TooManyScans { .. } => "too-many-scans",
            Self::TooManyResults { .. } => "too-many-results",
            Self::UnknownScan => "unknown-scan",
            Self::AlreadyMeasured => "already-measured",
            Self::ScanIsRejected => "scan-rejected",
            Self::MeasurementAlreadyRecorded => "measurement-already-recorded",
            Self::UnknownMeasurement => "unknown-measurement",
            Self::AlreadyConfirmed => "already-confirmed",
            Self::MeasurementIsConfirmed => "measurement-confirmed",
            Self::MeasurementIsWithdrawn => "measurement-withdrawn",
            Self::AlreadyWithdrawn => "already-withdrawn",
            Self::NoteRequired => "note-required",
            Self::DetailRequired => "detail-required",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::AlreadyOpened
            | Self::NotOpened
            | Self::Closed
            | Self::TooManyScans { .. }
            | Self::TooManyResults { .. }
            | Self::MeasurementIsConfirmed
            | Self::MeasurementIsWithdrawn => None,
            Self::OnsetInFuture => Some("onset"),
            Self::LateralityRequired => Some("laterality"),
            Self::ScanAlreadyRecorded | Self::UnknownScan | Self::ScanIsRejected => Some("scan_id"),
            Self::CaptureAlreadyRecorded => Some("capture"),
            Self::CaptureInFuture => Some("captured_at"),
            Self::AlreadyMeasured => Some("model_digest"),
            Self::MeasurementAlreadyRecorded
            | Self::UnknownMeasurement
            | Self::AlreadyConfirmed
            | Self::AlreadyWithdrawn => Some("measurement_id"),
            Self::NoteRequired => Some("note"),
            Self::DetailRequired => Some("detail"),
        }
    }
}
