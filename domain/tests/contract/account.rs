//! Accounts: given/when/then.

use cqrs_es::Aggregate;
use domain::account::{
    AccountCommand, AccountEvent, AccountKind, DisableAccount, GrantRole, LoginName, PasswordHash,
    RegisterAccount, RevokeRole, Role,
};
use domain::{Account, Claim, ClaimChange, Stream};

use crate::support::{Refused, accepts, given, now, refuses, uuid, val};

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FtcGxlc2FsdA$c2FtcGxlaGFzaA";

fn register(kind: AccountKind, password_hash: Option<&str>) -> AccountCommand {
    AccountCommand::Register(RegisterAccount {
        login: val(" Ada.Sample@clinic.example "),
        display_name: val("Ada Sample"),
        password_hash: password_hash.map(val),
        kind,
    })
}

fn grant(role: Role) -> AccountCommand {
    AccountCommand::GrantRole(GrantRole { role })
}

fn revoke(role: Role) -> AccountCommand {
    AccountCommand::RevokeRole(RevokeRole { role, reason: val("left the ward") })
}

fn disable() -> AccountCommand {
    AccountCommand::Disable(DisableAccount { reason: val("left the clinic") })
}

fn registered(kind: AccountKind) -> Account {
    let hash = (kind == AccountKind::User).then_some(HASH);
    given(&[accepts(&Account::default(), now(), register(kind, hash))])
}

#[test]
fn what_is_not_registered_refuses() {
    #[rustfmt::skip]
    let table: Vec<Refused<Account>> = vec![
        ("a user without password", register(AccountKind::User, None), "password-required", Some("password")),
        ("a service with one", register(AccountKind::Service, Some(HASH)), "password-not-allowed", Some("password")),
        ("grant", grant(Role::Clinician), "not-registered", None),
        ("revoke", revoke(Role::Clinician), "not-registered", None),
        ("disable", disable(), "not-registered", None),
    ];
    refuses(&Account::default(), now(), table);
}

#[test]
fn an_account_refuses() {
    let mut user = registered(AccountKind::User);
    let event = accepts(&user, now(), grant(Role::Clinician));
    user.apply(event);
    #[rustfmt::skip]
    let table: Vec<Refused<Account>> = vec![
        ("twice", register(AccountKind::User, Some(HASH)), "already-registered", None),
        ("granted twice", grant(Role::Clinician), "role-already-granted", Some("role")),
        ("a service's role", grant(Role::Service), "role-unsuitable", Some("role")),
        ("revoked unheld", revoke(Role::Admin), "role-not-granted", Some("role")),
    ];
    refuses(&user, now(), table);
    let service = registered(AccountKind::Service);
    let table = vec![("a person's role", grant(Role::Admin), "role-unsuitable", Some("role"))];
    refuses(&service, now(), table);
    accepts(&service, now(), grant(Role::Service));
}

#[test]
fn roles_come_and_go() {
    let mut user = registered(AccountKind::User);
    for role in [Role::Clinician, Role::FrontDesk] {
        let event = accepts(&user, now(), grant(role));
        user.apply(event);
    }
    let event = accepts(&user, now(), revoke(Role::Clinician));
    user.apply(event);
    assert!(user.roles().iter().eq([&Role::FrontDesk]));
}

#[test]
fn a_disabled_account_refuses_everything() {
    let mut user = registered(AccountKind::User);
    let event = accepts(&user, now(), disable());
    user.apply(event);
    assert!(!user.is_active());
    for command in [grant(Role::Admin), revoke(Role::Admin), disable()] {
        refuses(&user, now(), vec![("disabled", command, "account-disabled", None)]);
    }
}

#[test]
fn a_log_in_name_is_claimed_in_lower_case() {
    let event = accepts(&Account::default(), now(), register(AccountKind::User, Some(HASH)));
    let key = "ada.sample@clinic.example".to_owned();
    let expected = vec![ClaimChange::Take(Claim::Unique { kind: "login", key })];
    assert!(Account::claims(uuid(1), &event) == expected);
    let disabled = AccountEvent::AccountDisabled(domain::account::AccountDisabled {
        reason: val("left the clinic"),
    });
    assert!(Account::claims(uuid(1), &disabled).is_empty());
    assert_eq!(given::<Account>(&[event]).subject(uuid(1)), Some(uuid(1)));
}

#[test]
fn credentials_are_checked_and_not_shown() {
    for login in ["ab", "", "with space", "ada\u{430}", "-ada", "a/b/c", &"a".repeat(65)] {
        assert!(LoginName::new(login).is_err());
    }
    for hash in ["", "hunter2", "$argon2i$v=19$x", "$argon2id$ with space"] {
        assert!(PasswordHash::new(hash).is_err());
    }
    let shown = format!("{:?}", register(AccountKind::User, Some(HASH)));
    for secret in ["Ada", "ada", "argon2"] {
        assert!(!shown.contains(secret));
    }
}

#[test]
fn a_log_in_name_is_lowered_and_bounded() {
    let longest = "a".repeat(64);
    let table = [
        ("abc", "abc"),
        ("1ab", "1ab"),
        ("a.b_c-d+e@f", "a.b_c-d+e@f"),
        (" ADA ", "ada"),
        (longest.as_str(), longest.as_str()),
    ];
    for (given, kept) in table {
        let login = LoginName::new(given).expect(given);
        assert_eq!((login.as_str(), login.to_string().as_str()), (kept, kept));
        assert_eq!(format!("{login:?}"), "LoginName(…)");
    }
    for login in ["ab", &"a".repeat(65), ".ab", "_ab", "@ab", "+ab", "a,b", "a`b", "a{b", "a:b"] {
        assert!(LoginName::new(login).is_err(), "{login}");
        assert!(login.parse::<LoginName>().is_err(), "{login}");
    }
}

#[test]
fn a_password_hash_is_argon2id_and_bounded() {
    let of = |length: usize| format!("{:x<length$}", "$argon2id$");
    for hash in [HASH.to_owned(), of(10), of(512)] {
        let kept = PasswordHash::new(&hash).expect("a hash");
        assert_eq!((kept.as_str(), kept.to_string()), (hash.as_str(), hash.clone()));
        assert_eq!(format!("{kept:?}"), "PasswordHash(…)");
        assert!(hash.parse::<PasswordHash>() == Ok(kept));
    }
    for hash in [of(513), "x$argon2id$v=19$x".to_owned(), "$argon2id$é".to_owned()] {
        assert!(PasswordHash::new(&hash).is_err());
    }
}

#[test]
fn an_account_says_what_it_was_registered_with() {
    let nobody = Account::default();
    assert!(!nobody.is_active());
    assert!(nobody.registration().is_none() && nobody.login().is_none());
    assert!(nobody.display_name().is_none() && nobody.password_hash().is_none());
    assert_eq!(nobody.kind(), None);

    let user = registered(AccountKind::User);
    assert!(user.is_active());
    assert_eq!(user.login().map(LoginName::as_str), Some("ada.sample@clinic.example"));
    assert_eq!(user.display_name().map(|name| name.as_str()), Some("Ada Sample"));
    assert_eq!(user.password_hash().map(PasswordHash::as_str), Some(HASH));
    assert_eq!(user.kind(), Some(AccountKind::User));

    let service = registered(AccountKind::Service);
    assert!(service.registration().is_some() && service.password_hash().is_none());
    assert_eq!(service.kind(), Some(AccountKind::Service));
}

#[test]
fn every_role_suits_one_kind_of_account() {
    for &role in Role::ALL {
        let (suits, not) = match role {
            Role::Service => (AccountKind::Service, AccountKind::User),
            _ => (AccountKind::User, AccountKind::Service),
        };
        let event = accepts(&registered(suits), now(), grant(role));
        assert!(Account::media(&event).is_empty() && Account::claims(uuid(1), &event).is_empty());
        let table = vec![("unsuitable", grant(role), "role-unsuitable", Some("role"))];
        refuses(&registered(not), now(), table);
    }
}
