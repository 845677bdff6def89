//! Who may do what: one matrix for commands, queries and exports.

mod command;
mod permission;

use std::collections::BTreeSet;

use domain::account::Role;

use crate::actor::Actor;
use crate::error::CommandError;

pub use command::{Authorised, CommandBody};
pub use permission::{Grant, Permission, may};

/// Whether any of the roles grants the permission.
pub fn allowed(roles: &BTreeSet<Role>, permission: Permission) -> bool {
    permission.roles().iter().any(|role| roles.contains(role))
}

/// Refuses an actor without the permission; otherwise names the role that grants it, for the statement.
///
/// # Errors
/// [`CommandError::Denied`], naming what would have been needed.
pub fn authorise(actor: &Actor, permission: Permission) -> Result<Role, CommandError> {
    let grants = permission.roles().iter().find(|role| actor.roles.contains(role));
    grants.copied().ok_or(CommandError::Denied { permission })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 7] = [
        Role::Clinician,
        Role::FrontDesk,
        Role::Auditor,
        Role::Compliance,
        Role::Analyst,
        Role::Admin,
        Role::Service,
    ];

    #[test]
    fn the_matrix_is_the_reviewed_one() {
        let mut matrix = format!("{:<22}", "");
        for role in ROLES {
            matrix.push_str(&format!(" {:<10}", role.as_str()));
        }
        matrix = matrix.trim_end().to_owned();
        for permission in Permission::ALL {
            let mut line = format!("{:<22}", permission.as_str());
            for role in ROLES {
                let may = allowed(&BTreeSet::from([role]), *permission);
                line.push_str(&format!(" {:<10}", if may { "yes" } else { "." }));
            }
            matrix.push('\n');
            matrix.push_str(line.trim_end());
        }
        insta::with_settings!({
            snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/commands"),
            prepend_module_to_snapshot => false,
        }, {
            insta::assert_snapshot!("permissions", matrix);
        });
    }

    #[test]
    fn nobody_without_a_role_may_do_anything() {
        for permission in Permission::ALL {
            assert!(!allowed(&BTreeSet::new(), *permission));
        }
    }
}
