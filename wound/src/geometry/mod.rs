//! From a boundary and a depth map to figures.
//!
//! | step | where |
//! | --- | --- |
//! | the network's probability map becomes a sub-pixel contour | [`contour`] |
//! | depth pixels become points, uncertain ones are left out | `cloud` |
//! | the healthy skin is fitted to a ring around the wound | `skin`, `relief` |
//! | the boundary is lifted onto that skin and measured | `planimetry` |
//! | picture and depth are checked to show the same moment | `alignment` |
//! | bed against skin gives depth and volume | `bed` |
//! | what the sensor and the boundary leave open becomes a standard deviation | `uncertainty` |
//!
//! The area is that of the skin surface inside the boundary, as a film laid over the wound would
//! show it; a deep wound has no more area than a shallow one with the same edge.

mod alignment;
mod bed;
mod cloud;
pub mod contour;
mod measure;
mod mesh;
mod planimetry;
mod polygon;
mod rejection;
mod relief;
mod skin;
mod uncertainty;

pub use measure::{BoundaryError, Figure, Figures, measure_frame};
pub use mesh::{WOUND_YELLOW, measure_marked_faces};
pub use polygon::Polygon;
pub use rejection::ScanRejection;
