//! Value types that cannot hold nonsense.
//!
//! Every type here is made by validation only, and deserialises through the same validation, so an
//! invalid value does not come to be. Events already stored must stay readable: a limit here may be
//! relaxed later, never tightened.
//!
//! `Debug` of what could identify a person shows the type and no content, and no error repeats what it
//! was given.

mod address;
mod code;
mod contact;
mod date;
mod digest;
mod identifier;
mod name;
mod quiet;
mod text;
mod time;

pub use address::{Address, AddressError, AddressParts, AddressUse};
pub use code::{Code, CodeError, Coding, UnknownCode};
pub use contact::{ContactError, ContactParts, ContactPoint, ContactSystem, ContactUse};
pub use date::{PartialDate, PartialDateError};
pub use digest::{Digest, InvalidDigest};
pub use identifier::{Identifier, IdentifierError, IdentifierParts, IdentifierUse, SystemUri};
pub use name::{Gender, HumanName, HumanNameParts, NameError, NameUse};
pub use quiet::describe;
pub use text::{Line, Note, TextError};
pub use time::{Fold, RequestedTime, VisitTime, VisitTimeError};

pub(crate) use code::coded;
pub(crate) use quiet::{serde_as_string, string, timestamp, timestamp_option};
