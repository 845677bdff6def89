//! What bodies, headers and documents look like, for the OpenAPI document.
//!
//! The domain's types do not know HTTP, so their shapes are written down here a second time. Lists of codes
//! come from the domain itself, and a test holds the fields against what the domain reads.

mod codes;
mod command;
mod document;
mod header;

pub use codes::*;
pub use command::*;
pub use document::*;
pub use header::*;
