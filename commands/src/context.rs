//! On whose behalf, why, and under which id a command is executed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::actor::Actor;
use crate::policy::{Permission, Request};

/// Everything about a command except the command.
#[derive(Clone, Debug)]
pub struct Context {
    /// Who asks.
    pub actor: Actor,
    /// Why, as HL7 v3 `PurposeOfUse`.
    pub purpose: PurposeOfUse,
    /// The caller's idempotency key: the same id with the same command is answered alike, once done.
    pub command_id: Uuid,
    /// Ties together what one request caused.
    pub correlation_id: Uuid,
    /// The version the caller saw. Given, a stream that moved on refuses the command (412); not
    /// given, the command is decided again on the newer state.
    pub expected_version: Option<u64>,
}

impl Context {
    /// A context with a new command id, correlated with nothing else.
    pub fn new(actor: Actor, purpose: PurposeOfUse) -> Context {
        let command_id = crate::random::uuid_v7(jiff::Timestamp::now());
        Context { actor, purpose, command_id, correlation_id: command_id, expected_version: None }
    }

    /// The question whether the actor may do this, for the purpose stated.
    pub(crate) fn asks(&self, permission: Permission) -> Request<'_> {
        Request::new(&self.actor, permission).with_purpose(self.purpose)
    }

    /// The same context under this command id.
    #[must_use]
    pub fn with_command_id(mut self, command_id: Uuid) -> Context {
        self.command_id = command_id;
        self
    }

    /// The same context, for a caller that saw this version.
    #[must_use]
    pub fn expecting(mut self, version: u64) -> Context {
        self.expected_version = Some(version);
        self
    }
}

/// Why a user looks or writes: the codes of HL7 v3 `PurposeOfUse` this ledger knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PurposeOfUse {
    /// Treatment.
    Treat,
    /// Emergency treatment.
    Etreat,
    /// Healthcare payment.
    Hpaymt,
    /// Healthcare operations.
    Hoperat,
    /// Healthcare research.
    Hresch,
    /// The patient asked for it.
    Patrqt,
    /// Public health.
    Pubhlth,
    /// Health compliance.
    Hcompl,
    /// Legal.
    Hlegal,
    /// System administration.
    Sysadmin,
}

impl PurposeOfUse {
    /// All purposes, in a fixed order.
    pub const ALL: [PurposeOfUse; 10] = [
        PurposeOfUse::Treat,
        PurposeOfUse::Etreat,
        PurposeOfUse::Hpaymt,
        PurposeOfUse::Hoperat,
        PurposeOfUse::Hresch,
        PurposeOfUse::Patrqt,
        PurposeOfUse::Pubhlth,
        PurposeOfUse::Hcompl,
        PurposeOfUse::Hlegal,
        PurposeOfUse::Sysadmin,
    ];

    /// The code, as a statement states it.
    pub fn code(self) -> &'static str {
        match self {
            PurposeOfUse::Treat => "TREAT",
            PurposeOfUse::Etreat => "ETREAT",
            PurposeOfUse::Hpaymt => "HPAYMT",
            PurposeOfUse::Hoperat => "HOPERAT",
            PurposeOfUse::Hresch => "HRESCH",
            PurposeOfUse::Patrqt => "PATRQT",
            PurposeOfUse::Pubhlth => "PUBHLTH",
            PurposeOfUse::Hcompl => "HCOMPL",
            PurposeOfUse::Hlegal => "HLEGAL",
            PurposeOfUse::Sysadmin => "SYSADMIN",
        }
    }
}

impl fmt::Display for PurposeOfUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The text is no purpose of use this ledger knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown purpose of use: take one of the HL7 v3 PurposeOfUse codes, such as TREAT")]
pub struct UnknownPurpose;

impl FromStr for PurposeOfUse {
    type Err = UnknownPurpose;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        PurposeOfUse::ALL.into_iter().find(|purpose| purpose.code() == text).ok_or(UnknownPurpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_serialise_alike() {
        for purpose in PurposeOfUse::ALL {
            assert_eq!(purpose.code().parse(), Ok(purpose));
            let json = serde_json::to_value(purpose).expect("a code is JSON");
            assert_eq!(json, purpose.code());
        }
        assert_eq!("treat".parse::<PurposeOfUse>(), Err(UnknownPurpose));
    }
}
