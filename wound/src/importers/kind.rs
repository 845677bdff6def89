//! What a file or folder is.

use std::fmt;

/// What a file or folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Our own bundle.
    Bundle,
    /// A PLY file with vertices.
    Ply,
    /// An OBJ file.
    Obj,
    /// A PLY file with the depth of each pixel.
    TrueDepth,
    /// A 3D Scanner App folder.
    ScannerApp,
    /// A Record3D export.
    Record3d,
    /// A Stray Scanner folder.
    StrayScanner,
    /// A picture and its depth.
    Pair,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bundle => "capture bundle",
            Self::Ply => "PLY surface",
            Self::Obj => "OBJ surface",
            Self::TrueDepth => "TrueDepth recording",
            Self::ScannerApp => "3D Scanner App scan",
            Self::Record3d => "Record3D export",
            Self::StrayScanner => "Stray Scanner recording",
            Self::Pair => "picture with depth",
        })
    }
}
