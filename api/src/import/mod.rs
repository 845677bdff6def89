//! Imports of other systems' files, through the same command path as everything else.
//!
//! A file becomes [`Plan`]s, one for each line, each a list of commands. A line that cannot be planned
//! is refused whole, before anything of it is executed. The ids of what it records and of its commands
//! are derived from the source's own ids and the content, so importing again changes nothing, and an
//! import that was interrupted is completed by running it again. Whom and what the lines name is registered first, each
//! once: nothing is booked with a practitioner, or in a room, that the directory does not have.

pub mod appointments;
mod directory;
pub mod fhir;
mod ids;
mod plan;
mod report;
mod runner;
mod source;

pub use ids::Ids;
pub use plan::{LineRefusal, Named, Plan, Step};
pub use report::{RefusedLine, Report};
pub use runner::{ImportError, Progress, run};
pub use source::{SourceError, open};
