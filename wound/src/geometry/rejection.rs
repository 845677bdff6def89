//! Why a capture is not measured. A figure that cannot be trusted is not given at all.

use domain::wound::RejectionReason;

/// Why a capture is not measured, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanRejection {
    /// The network sees no wound, or the outline encloses nothing.
    #[error("no wound was found in the picture")]
    NoWound,
    /// More than one wound of similar size.
    #[error(
        "{count} wounds are in the picture: capture one alone, or outline the one that is meant"
    )]
    SeveralWounds {
        /// How many.
        count: usize,
    },
    /// The outline leaves the picture.
    #[error("the wound is cut off by the picture's edge: step back so that skin shows all around")]
    CutOff,
    /// Nearer than the sensor works.
    #[error("taken from {distance_mm} mm, too near for the depth sensor: step back to 300 mm")]
    TooClose {
        /// To the wound.
        distance_mm: u32,
    },
    /// So far that the wound is a few depth pixels.
    #[error("taken from {distance_mm} mm, too far for this wound: come closer, to 300 mm")]
    TooFar {
        /// To the wound.
        distance_mm: u32,
    },
    /// The skin is seen from the side.
    #[error("the skin is seen at {degrees}° from the side: hold the camera straight above it")]
    TooOblique {
        /// Between line of sight and the skin's normal, at the boundary.
        degrees: u32,
    },
    /// The sensor measured nothing on the wound.
    #[error("{percent} % of the wound has no depth: avoid glare, and hold still")]
    DepthMissing {
        /// How much.
        percent: u32,
    },
    /// The sensor doubts its values on the wound.
    #[error("{percent} % of the wound's depth is of low confidence: dry the wound, add light")]
    LowConfidence {
        /// How much.
        percent: u32,
    },
    /// There is too little skin around the wound to know where it was.
    #[error("too little skin is visible around the wound: show some centimetres on every side")]
    SkinMissing,
    /// No smooth skin fits the depth around the wound.
    #[error("the depth around the wound is no smooth skin: hold still and capture again")]
    Inconsistent,
    /// The hollow in the depth lies beside the outline: the phone or the patient moved between
    /// picture and depth.
    #[error(
        "the hollow in the depth lies {mm} mm beside the outline: hold phone and patient still and \
         capture again, or draw the outline again"
    )]
    Moved {
        /// From the outline to where the hollow fits it best.
        mm: u32,
    },
    /// The outline is not a simple closed curve.
    #[error("the outline crosses itself or has too many points: draw it again")]
    Outline,
    /// A surface without faces or points.
    #[error("the surface has no faces: export a mesh")]
    SurfaceEmpty,
    /// A surface with no marked wound.
    #[error("no face of the surface carries the colour that marks the wound")]
    SurfaceUnmarked,
    /// Depth without the camera's intrinsics.
    #[error("the capture has no usable camera intrinsics: export them with the depth")]
    Intrinsics,
    /// The bytes are not a capture.
    #[error("the capture cannot be read: {code}")]
    Format {
        /// Which rule it breaks.
        code: &'static str,
    },
    /// More bytes or pixels than captures have.
    #[error("the capture is larger than captures may be")]
    TooLarge,
    /// The figures are beyond anything a wound can be.
    #[error("the figures are beyond anything a wound can be: capture again")]
    Implausible,
}

impl ScanRejection {
    /// The reason as the log codes it.
    #[must_use]
    pub fn reason(&self) -> RejectionReason {
        match self {
            Self::NoWound => RejectionReason::NoWoundFound,
            Self::SeveralWounds { .. } => RejectionReason::SeveralWounds,
            Self::CutOff => RejectionReason::WoundCutOff,
            Self::TooClose { .. } => RejectionReason::TooClose,
            Self::TooFar { .. } => RejectionReason::TooFar,
            Self::TooOblique { .. } => RejectionReason::TooOblique,
            Self::DepthMissing { .. } => RejectionReason::DepthMissing,
            Self::LowConfidence { .. } => RejectionReason::LowConfidenceDepth,
            Self::SkinMissing | Self::Inconsistent | Self::Moved { .. } | Self::Implausible => {
                RejectionReason::DepthInconsistent
            }
            Self::Outline => RejectionReason::ImageUnusable,
            Self::SurfaceEmpty => RejectionReason::SurfaceEmpty,
            Self::SurfaceUnmarked => RejectionReason::SurfaceUnusable,
            Self::Intrinsics => RejectionReason::IntrinsicsMissing,
            Self::Format { .. } => RejectionReason::FormatInvalid,
            Self::TooLarge => RejectionReason::TooLarge,
        }
    }
}
