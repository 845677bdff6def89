//! The file with the URLs of the product's logins, which `ledger migrate --logins` keeps.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use commands::database::{Login, Logins};

/// What the variables are called, in the order of [`Login::ALL`].
const VARIABLES: [&str; 3] =
    ["DATABASE_URL", "LEDGER_WORKER_DATABASE_URL", "LEDGER_AUDITOR_DATABASE_URL"];

/// A file of mode 0600 that a shell reads: three variables, each a URL with a password.
pub(super) struct LoginFile {
    path: PathBuf,
    logins: Logins,
}

impl LoginFile {
    /// Reads the file, or makes it with new passwords. Either way the URLs lead to where the owner's leads.
    pub(super) fn open(path: PathBuf, owner: &str) -> anyhow::Result<LoginFile> {
        let kept = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let logins = match &kept {
            Some(text) => {
                read(text).with_context(|| format!("{} holds no logins", path.display()))?
            }
            None => Logins::generate(),
        };
        let text = written(&logins, owner)?;
        if kept.as_ref() != Some(&text) {
            replace(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(LoginFile { path, logins })
    }

    pub(super) fn logins(&self) -> &Logins {
        &self.logins
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The passwords in the URLs of the three logins.
pub(super) fn passwords_of(urls: [&str; 3]) -> anyhow::Result<Logins> {
    let mut passwords = Vec::with_capacity(urls.len());
    for (url, (login, variable)) in urls.iter().zip(Login::ALL.iter().zip(VARIABLES)) {
        let url = reqwest::Url::parse(url).with_context(|| format!("{variable} is not a URL"))?;
        if url.username() != login.role() {
            bail!("{variable} must be the URL of the login `{}`", login.role());
        }
        let password = url.password().with_context(|| format!("{variable} has no password"))?;
        // What a URL writes with a percent sign would have to be read the same way by every client.
        if password.contains('%') {
            bail!("the password in {variable} has characters that a URL cannot hold as they are");
        }
        passwords.push(password.to_owned());
    }
    let passwords = passwords.try_into().map_err(|_| anyhow::anyhow!("three logins"))?;
    Ok(Logins::new(passwords)?)
}

fn read(text: &str) -> anyhow::Result<Logins> {
    let value = |variable: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        let found = lines.find(|(name, _)| *name == variable).map(|(_, value)| value);
        found
            .map(|value| value.trim_matches('\''))
            .with_context(|| format!("it sets no {variable}"))
    };
    let [serve, worker, auditor] = VARIABLES;
    passwords_of([value(serve)?, value(worker)?, value(auditor)?])
}

fn written(logins: &Logins, owner: &str) -> anyhow::Result<String> {
    let mut text =
        "# The logins of the ledger, made by `ledger migrate --logins`. Secret.\n".to_owned();
    for (login, variable) in Login::ALL.into_iter().zip(VARIABLES) {
        // In quotes, because a shell takes `&` for more than a letter.
        let url = logins.url(owner, login)?.replace('\'', "%27");
        text.push_str(&format!("{variable}='{url}'\n"));
    }
    Ok(text)
}

/// No reader ever sees half of it, and no other user can read it at all.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let _left_behind = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const OWNER: &str = "postgres://owner:secret@127.0.0.1:5432/ledger";

    #[test]
    fn the_file_is_made_once_and_follows_the_server() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("logins.env");
        let text = || fs::read_to_string(&path).expect("the file");
        LoginFile::open(path.clone(), OWNER).expect("made");
        let mode = fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let first = text();
        assert!(!first.contains("secret") && first.contains("ledger_auditor:"), "{first}");
        LoginFile::open(path.clone(), OWNER).expect("kept");
        assert_eq!(text(), first);
        LoginFile::open(path.clone(), &OWNER.replace("5432", "6000")).expect("moved");
        assert_eq!(text(), first.replace("5432", "6000"), "the passwords stay");
    }

    #[test]
    fn what_is_no_file_of_logins_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("logins.env");
        for text in ["", "DATABASE_URL=postgres://owner:secret-secret@h/d\n"] {
            fs::write(&path, text).expect("written");
            LoginFile::open(path.clone(), OWNER).map(|_| ()).expect_err(text);
            assert_eq!(fs::read_to_string(&path).expect("the file"), text);
        }
    }
}
