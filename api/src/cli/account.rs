//! `ledger account`: accounts, for the operator at the machine.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use commands::{Actor, Context, Ledger, PurposeOfUse};
use domain::account::{
    Account as Aggregate, AccountCommand, AccountKind, GrantRole, LOGIN_CLAIM, LoginName,
    PasswordHash, RegisterAccount, Role,
};
use domain::value::Line;
use secrecy::SecretString;
use uuid::Uuid;

use super::output::Output;
use super::setup::Log;
use super::verdict::Verdict;
use crate::identity::password::Passwords;

#[derive(Debug, Subcommand)]
pub(super) enum Account {
    /// Register an administrator, who registers everybody else over HTTP
    ///
    /// The password is taken from `LEDGER_ADMIN_PASSWORD`, never from the command line, where every
    /// user of the machine could read it.
    CreateAdmin {
        #[command(flatten)]
        log: Log,
        /// The name to log in with
        #[arg(long, value_name = "NAME")]
        login: LoginName,
        /// The name shown to people
        #[arg(long, default_value = "Administrator", value_name = "NAME")]
        display_name: Line<100>,
        /// The password
        #[arg(long, env = "LEDGER_ADMIN_PASSWORD", hide = true, hide_env_values = true)]
        password: Option<SecretString>,
    },
}

impl Account {
    pub(super) async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let Account::CreateAdmin { log, login, display_name, password } = self;
        let password =
            password.context("set LEDGER_ADMIN_PASSWORD to the administrator's password")?;
        let ledger = log.open().await?;
        let done = create_admin(&ledger, login, display_name, password).await;
        ledger.close().await;
        let (id, position) = done?;
        say(output, id, position)?;
        Ok(Verdict::InOrder)
    }
}

/// Registers the account and grants it the role. Where a run was cut short between the two, the same
/// log-in name with the same password completes it.
async fn create_admin(
    ledger: &Ledger,
    login: LoginName,
    display_name: Line<100>,
    password: SecretString,
) -> anyhow::Result<(Uuid, Option<u64>)> {
    let passwords = Passwords::new(1)?;
    let context = || Context::new(Actor::bootstrap(), PurposeOfUse::Sysadmin);
    let id = match ledger.holder(LOGIN_CLAIM, login.as_str()).await? {
        Some(id) => {
            let account = ledger.load::<Aggregate>(id).await?.map(|loaded| loaded.aggregate);
            let hash = account.as_ref().and_then(Aggregate::password_hash);
            let known = passwords.verify(hash.map(ToString::to_string), password).await?;
            if !known || account.is_some_and(|account| account.roles().contains(&Role::Admin)) {
                bail!("this log-in name is taken: choose another, or log in with it");
            }
            id
        }
        None => {
            let id = ledger.new_id();
            // The account is new, so its id salts the hash as well as chance would.
            let hash = passwords.hash(password, *id.as_bytes()).await?;
            let register = RegisterAccount {
                login,
                display_name,
                password_hash: Some(PasswordHash::new(&hash)?),
                kind: AccountKind::User,
            };
            ledger.execute::<Aggregate>(id, AccountCommand::Register(register), &context()).await?;
            id
        }
    };
    let grant = AccountCommand::GrantRole(GrantRole { role: Role::Admin });
    let receipt = ledger.execute::<Aggregate>(id, grant, &context()).await?;
    Ok((id, receipt.position))
}

fn say(output: &Output, id: Uuid, position: Option<u64>) -> anyhow::Result<()> {
    let said = serde_json::json!({ "account_id": id, "position": position });
    output.result(&said, |output| output.line(format!("Registered the administrator {id}.")))
}
