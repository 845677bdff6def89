//! Ways to reach a person.

use serde::{Deserialize, Serialize};

use super::code::coded;
use super::quiet::validated;
use super::text::Line;

coded! {
    /// The means of contact, as in FHIR.
    ContactSystem {
        /// A telephone.
        Phone = "phone",
        /// A fax machine.
        Fax = "fax",
        /// Electronic mail.
        Email = "email",
        /// A pager.
        Pager = "pager",
        /// A web address.
        Url = "url",
        /// Text messages.
        Sms = "sms",
        /// Something else.
        Other = "other",
    }
}

coded! {
    /// What a contact is used for, as in FHIR.
    ContactUse {
        /// At home.
        Home = "home",
        /// At work.
        Work = "work",
        /// For a time.
        Temp = "temp",
        /// No longer in use.
        Old = "old",
        /// A mobile device.
        Mobile = "mobile",
    }
}

/// Why a contact was refused. It does not repeat the contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// A number with too few digits to be one.
    #[error("the contact is not a telephone number: it needs at least three digits")]
    Number,
    /// Not of the form of an e-mail address.
    #[error("the contact is not an e-mail address: write it as name@example.org")]
    Email,
}

/// A way to reach a person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ContactParts", into = "ContactParts")]
pub struct ContactPoint(ContactParts);

/// The parts of a [`ContactPoint`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ContactParts {
    /// The means of contact.
    pub system: ContactSystem,
    /// The number or address.
    pub value: Line<254>,
    /// What it is used for.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub contact_use: Option<ContactUse>,
}

validated!(ContactPoint(ContactParts), ContactError);

impl ContactPoint {
    fn check(parts: &ContactParts) -> Result<(), ContactError> {
        use ContactSystem::{Email, Fax, Other, Pager, Phone, Sms, Url};
        match parts.system {
            Phone | Fax | Pager | Sms => {
                let digits = parts.value.chars().filter(|c| c.is_numeric()).count();
                if digits < 3 { Err(ContactError::Number) } else { Ok(()) }
            }
            Email => match parts.value.split_once('@') {
                Some((name, host))
                    if !name.is_empty()
                        && !host.is_empty()
                        && !host.contains('@')
                        && !parts.value.contains(char::is_whitespace) =>
                {
                    Ok(())
                }
                _ => Err(ContactError::Email),
            },
            Url | Other => Ok(()),
        }
    }
}
