//! Why a file or folder is not imported.

use std::path::PathBuf;

use crate::error::CaptureError;
use crate::limits::CAPTURE_BYTES_MAX;

use super::kind::Kind;

/// Why a file or folder is not imported, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file system refuses.
    #[error("{} cannot be read", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// Why it was not.
        #[source]
        source: std::io::Error,
    },
    /// A file is larger than any part of a capture.
    #[error("{} is larger than the {CAPTURE_BYTES_MAX} bytes a capture may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Neither content nor name is that of a capture.
    #[error(
        "this is no capture; taken are: a capture bundle (.tar); a PLY or OBJ surface; a TrueDepth \
         recording (.ply); the folder of a 3D Scanner App scan, of a Record3D export (EXR + JPG) or \
         of a Stray Scanner recording, or one frame_N.json of the first; a folder with one picture \
         and its *depth*.png; a PLY may be gzipped, other archives must be unpacked first"
    )]
    Unknown,
    /// The folder has frames, and none was chosen.
    #[error("the folder holds {count} frames, {first} to {last}: choose one with --frame N")]
    WhichFrame {
        /// How many.
        count: usize,
        /// The lowest number.
        first: u32,
        /// The highest number.
        last: u32,
    },
    /// The folder has no such frame.
    #[error("there is no frame {number} among the {count} of this folder")]
    NoSuchFrame {
        /// What was asked for.
        number: u32,
        /// How many there are.
        count: usize,
    },
    /// The folder is a recording's, but holds no frame with depth.
    #[error("the {kind} holds no depth ({expected}): record with depth, and copy the whole folder")]
    NoDepth {
        /// What the folder is.
        kind: Kind,
        /// Which files are not there.
        expected: &'static str,
    },
    /// The colour is in a video only.
    #[error(
        "the colour is a video, which is not decoded: take its frames out with `ffmpeg -noautorotate \
         -i rgb.mp4 -start_number 0 -q:v 2 rgb/%06d.jpg`, so that rgb/{number:06}.jpg is there"
    )]
    Video {
        /// The frame that was asked for.
        number: u32,
    },
    /// An option that this kind of capture has no use for.
    #[error("{option} does not apply: {reason}")]
    Option {
        /// The option.
        option: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// The content is refused.
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

impl ImportError {
    /// A stable code for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "capture-unreadable",
            Self::TooLarge { .. } => "capture-too-large",
            Self::Unknown => "capture-kind-unknown",
            Self::WhichFrame { .. } => "capture-frame-needed",
            Self::NoSuchFrame { .. } => "capture-frame-unknown",
            Self::NoDepth { .. } => "capture-part-missing",
            Self::Video { .. } => "capture-video",
            Self::Option { .. } => "capture-option",
            Self::Capture(error) => error.code(),
        }
    }
}
