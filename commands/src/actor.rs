//! Who acts: a person with an account, a service, or the ledger itself.

use std::collections::BTreeSet;

use domain::AccountId;
use domain::account::Role;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One user or one service. There is no anonymous actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The account.
    pub id: AccountId,
    /// What kind of account it is.
    pub kind: ActorKind,
    /// What the account may do, as of the log-in.
    pub roles: BTreeSet<Role>,
}

/// What kind of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    /// A person.
    User,
    /// A program with an account of its own.
    Service,
    /// The ledger itself, recording its own life.
    System,
}

impl ActorKind {
    /// The word a statement uses.
    pub fn as_str(self) -> &'static str {
        match self {
            ActorKind::User => "user",
            ActorKind::Service => "service",
            ActorKind::System => "system",
        }
    }
}

const BOOTSTRAP: Uuid = Uuid::from_u128(0x0000_0000_0000_8000_8000_0000_0000_0001);
const IMPORTER: Uuid = Uuid::from_u128(0x0000_0000_0000_8000_8000_0000_0000_0002);
const WORKER: Uuid = Uuid::from_u128(0x0000_0000_0000_8000_8000_0000_0000_0003);
const LEDGER: Uuid = Uuid::from_u128(0x0000_0000_0000_8000_8000_0000_0000_0004);

impl Actor {
    /// A person with these roles.
    pub fn user(id: AccountId, roles: impl IntoIterator<Item = Role>) -> Actor {
        Actor { id, kind: ActorKind::User, roles: roles.into_iter().collect() }
    }

    /// A program with these roles.
    pub fn service(id: AccountId, roles: impl IntoIterator<Item = Role>) -> Actor {
        Actor { id, kind: ActorKind::Service, roles: roles.into_iter().collect() }
    }

    /// The operator at the machine, who registers the first accounts.
    pub fn bootstrap() -> Actor {
        Actor::service(AccountId::from_uuid(BOOTSTRAP), [Role::Admin])
    }

    /// What imports files of other systems.
    pub fn importer() -> Actor {
        Actor::service(AccountId::from_uuid(IMPORTER), [Role::Service])
    }

    /// The ledger itself, which takes the model that comes with the program into use. It has no role: the policy has a rule
    /// of its own for it.
    pub fn ledger() -> Actor {
        let roles = BTreeSet::new();
        Actor { id: AccountId::from_uuid(LEDGER), kind: ActorKind::System, roles }
    }

    /// The ledger itself as it begins a log, before there is anybody.
    pub(crate) fn beginning() -> Actor {
        Actor { id: AccountId::from_uuid(Uuid::nil()), ..Actor::ledger() }
    }

    /// What measures wounds.
    pub fn worker() -> Actor {
        Actor::service(AccountId::from_uuid(WORKER), [Role::Service])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_be_given_the_id_of_an_actor_of_the_system() {
        for actor in [Actor::bootstrap(), Actor::importer(), Actor::ledger(), Actor::worker()] {
            assert!(domain::ids::is_reserved(actor.id.as_uuid()), "{actor:?}");
        }
    }
}
