//! The three logins of the product and their passwords.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use zeroize::Zeroizing;

use super::error::DatabaseError;
use super::pool::options;
use super::scram;
use crate::random;

/// The shortest password that is taken.
const PASSWORD_MIN: usize = 12;

/// A role that the product logs in as. What each may do stands in `migrations/rights.sql`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The server, and what an operator does with the log on the command line.
    Serve,
    /// The worker.
    Worker,
    /// The audit, which only reads.
    Auditor,
}

impl Login {
    /// All of them.
    pub const ALL: [Login; 3] = [Login::Serve, Login::Worker, Login::Auditor];

    /// The name of the role.
    #[must_use]
    pub fn role(self) -> &'static str {
        match self {
            Login::Serve => "ledger_serve",
            Login::Worker => "ledger_worker",
            Login::Auditor => "ledger_auditor",
        }
    }
}

/// A password that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a login's password has {PASSWORD_MIN} characters or more, all of them printable ASCII")]
pub struct PasswordError;

/// The passwords of the three logins.
#[derive(Clone)]
pub struct Logins(pub(super) [Zeroizing<String>; 3]);

impl std::fmt::Debug for Logins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logins")
    }
}

impl Logins {
    /// New passwords by chance.
    #[must_use]
    pub fn generate() -> Logins {
        Logins(Login::ALL.map(|_| Zeroizing::new(hex::encode(random::bytes::<24>()))))
    }

    /// These passwords, in the order of [`Login::ALL`].
    ///
    /// # Errors
    /// When one is too short, or has characters that clients do not agree on.
    pub fn new(passwords: [String; 3]) -> Result<Logins, PasswordError> {
        let passwords = passwords.map(Zeroizing::new);
        let is_fine = |password: &Zeroizing<String>| {
            password.len() >= PASSWORD_MIN && password.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if passwords.iter().all(is_fine) { Ok(Logins(passwords)) } else { Err(PasswordError) }
    }

    fn password(&self, login: Login) -> &str {
        &self.0[login as usize]
    }

    /// As the owner connects, so does this login.
    #[must_use]
    pub fn options(&self, owner: &PgConnectOptions, login: Login) -> PgConnectOptions {
        owner.clone().username(login.role()).password(self.password(login))
    }

    /// The URL by which this login connects to the owner's database.
    ///
    /// # Errors
    /// When the owner's URL is malformed.
    pub fn url(&self, owner: &str, login: Login) -> Result<String, DatabaseError> {
        let options = self.options(&options(owner)?, login);
        Ok(options.to_url_lossy().to_string())
    }

    /// Has the roles log in with these passwords. A role that has its password already is left alone.
    pub(super) async fn assign(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let readable = "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')";
        let readable: bool = sqlx::query_scalar(readable).fetch_one(&mut *connection).await?;
        for login in Login::ALL {
            let (role, verifier) =
                (login.role(), scram::verifier(login.role(), self.password(login)));
            if readable {
                let kept = "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1";
                let kept: Option<String> =
                    sqlx::query_scalar(kept).bind(role).fetch_one(&mut *connection).await?;
                if kept.as_ref() == Some(&verifier) {
                    continue;
                }
            }
            // A verifier has neither quotes nor backslashes, and a role's name is ours.
            let statement = format!("ALTER ROLE {role} PASSWORD '{verifier}'");
            sqlx::query(&statement).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_connects_where_the_owner_does() {
        let logins = Logins::generate();
        let owner = "postgres://owner:secret@db.example:6543/clinic?sslmode=require";
        for login in Login::ALL {
            let url = logins.url(owner, login).expect("a URL");
            let front = format!(
                "postgres://{}:{}@db.example:6543/clinic",
                login.role(),
                logins.password(login)
            );
            assert!(url.starts_with(&front), "{url}");
            assert!(url.contains("sslmode=require") && !url.contains("secret"), "{url}");
        }
        logins.url("mysql://elsewhere", Login::Serve).expect_err("no Postgres URL");
        assert_eq!(format!("{logins:?}"), "Logins");
    }

    #[test]
    fn what_clients_do_not_agree_on_is_no_password() {
        let with = |password: &str| {
            let fine = || "0123456789ab".to_owned();
            Logins::new([fine(), password.to_owned(), fine()])
        };
        with("correct-horse!").expect("fine");
        for password in ["", "0123456789a", "with a blank in it", "Größenordnung", "tab\tulator-12"]
        {
            with(password).expect_err(password);
        }
    }
}
