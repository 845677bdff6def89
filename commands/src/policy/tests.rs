//! The matrix, the rule of every decision, and that no is the default.

use std::collections::BTreeSet;
use std::path::Path;

use audit::statement::{Digest, is_rule};
use domain::AccountId;
use domain::account::Role;
use uuid::Uuid;

use super::*;
use crate::actor::{Actor, ActorKind};
use crate::context::PurposeOfUse;

const ROLES: [Role; 7] = [
    Role::Clinician,
    Role::FrontDesk,
    Role::Auditor,
    Role::Compliance,
    Role::Analyst,
    Role::Admin,
    Role::Service,
];

const KINDS: [ActorKind; 3] = [ActorKind::User, ActorKind::Service, ActorKind::System];

fn actor(kind: ActorKind, roles: impl IntoIterator<Item = Role>) -> Actor {
    Actor { id: AccountId::from_uuid(Uuid::nil()), kind, roles: roles.into_iter().collect() }
}

/// The actors of every kind with every set of roles.
fn actors() -> Vec<Actor> {
    let sets = (0u32..1 << ROLES.len()).map(|bits| -> BTreeSet<Role> {
        let held = ROLES.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
        held.map(|(_, role)| *role).collect()
    });
    sets.flat_map(|roles| KINDS.map(|kind| actor(kind, roles.clone()))).collect()
}

#[test]
fn the_matrix_is_the_reviewed_one() {
    let policy = Policy::default();
    let mut matrix = format!("{:<22}", "");
    for role in ROLES {
        matrix.push_str(&format!(" {:<10}", role.as_str()));
    }
    matrix = matrix.trim_end().to_owned();
    for permission in Permission::ALL {
        let mut line = format!("{:<22}", permission.as_str());
        for role in ROLES {
            let actor = actor(ActorKind::User, [role]);
            let may = policy.decide(&Request::new(&actor, *permission)).is_allowed();
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
fn every_decision_names_its_rule() {
    let policy = Policy::default();
    for permission in Permission::ALL.iter().copied() {
        for role in ROLES {
            let actor = actor(ActorKind::User, [role]);
            let decision = policy.decide(&Request::new(&actor, permission));
            let name = decision.because().to_string();
            assert!(is_rule(&name), "{name}");
            if permission.roles().contains(&role) {
                let cell = format!("role:{}/{}", role.as_str(), permission.as_str());
                assert_eq!(name, cell);
                let line = format!("\nallow {cell}\n");
                assert!(policy.text().contains(&line), "{name} is a rule of the text");
                let grant = decision.granted().expect("allowed");
                assert_eq!((grant.because().to_string(), grant.role()), (cell, role.as_str()));
                assert_eq!(grant.grounds().policy, policy.digest());
            } else {
                assert_ne!(permission, Permission::RecordDisclosure, "everybody may be recorded");
                assert_eq!(name, "default");
                let refused = decision.granted().expect_err("denied");
                assert_eq!(
                    refused.to_string(),
                    format!("this needs the permission `{}`", permission.as_str())
                );
            }
        }
    }
    assert!(policy.text().ends_with("\ndeny default\n"));
}

/// Every actor there can be, every permission, every purpose, with and without a record.
#[test]
fn what_no_rule_allows_is_denied() {
    let policy = Policy::default();
    let of_system = [Permission::ManageKeys, Permission::ManageModels];
    let subjects = [None, Some(Subject { stream_type: "patient", stream_id: Uuid::from_u128(7) })];
    let purposes: Vec<Option<PurposeOfUse>> =
        PurposeOfUse::ALL.into_iter().map(Some).chain([None]).collect();
    let mut allowed = 0;
    for actor in actors() {
        for permission in Permission::ALL.iter().copied() {
            let by_system = actor.kind == ActorKind::System && of_system.contains(&permission);
            let by_role = permission.roles().iter().find(|role| actor.roles.contains(role));
            let expected = match by_role {
                _ if by_system => RuleId::System(permission),
                Some(role) => RuleId::Role(*role, permission),
                None if permission == Permission::RecordDisclosure => RuleId::Everybody(permission),
                None => RuleId::Default,
            };
            for (purpose, subject) in
                purposes.iter().flat_map(|purpose| subjects.map(|subject| (*purpose, subject)))
            {
                let mut request = Request::new(&actor, permission).about(subject);
                if let Some(purpose) = purpose {
                    request = request.with_purpose(purpose);
                }
                let decision = policy.decide(&request);
                assert_eq!(decision.because(), expected, "{request:?}");
                assert_eq!(decision.is_allowed(), expected != RuleId::Default, "{request:?}");
                allowed += usize::from(decision.is_allowed());
            }
        }
    }
    assert!(allowed > 0);
}

#[test]
fn a_policy_without_rules_denies_everything() {
    let nothing = Policy::of(&[]);
    assert_eq!(nothing.text(), "coherency-policy/v1\ndeny default\n");
    for actor in actors() {
        for permission in Permission::ALL {
            let decision = nothing.decide(&Request::new(&actor, *permission));
            assert!(!decision.is_allowed());
            assert_eq!(decision.because(), RuleId::Default);
        }
    }
}

/// A digest in a statement leads to the text that it is of, also when the rules have changed since.
#[test]
fn every_policy_there_was_is_kept_by_its_digest() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies");
    let policy = Policy::default();
    assert_eq!(Digest::of(policy.text().as_bytes()), policy.digest());
    let own = folder.join(format!("{}.txt", policy.digest()));
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&own, policy.text()).expect("written");
    }
    let kept = std::fs::read_to_string(&own);
    assert_eq!(kept.ok().as_deref(), Some(policy.text()), "{} is missing", own.display());
    for file in std::fs::read_dir(&folder).expect("the folder") {
        let path = file.expect("a file").path();
        let text = std::fs::read(&path).expect("readable");
        let name = path.file_name().and_then(|name| name.to_str()).expect("text").to_owned();
        assert_eq!(name, format!("{}.txt", Digest::of(&text)), "a policy is never changed");
    }
}
