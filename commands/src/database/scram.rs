//! What Postgres keeps of a password (RFC 5803): made here, so that the password itself is in no statement, and so in no log of
//! the server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::{Digest as _, Sha256};

/// As many as Postgres takes.
const ITERATIONS: u32 = 4096;

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// PBKDF2 with one block, as SCRAM has it.
fn salted(password: &[u8], salt: &[u8]) -> [u8; 32] {
    let mut step = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut sum = step;
    for _ in 1..ITERATIONS {
        step = hmac(password, &[&step]);
        for (sum, step) in sum.iter_mut().zip(step) {
            *sum ^= step;
        }
    }
    sum
}

/// The verifier of a password of printable ASCII. The salt follows from role and password, so that the same password gives the
/// same verifier: it can be told whether a role has it already.
pub(super) fn verifier(role: &str, password: &str) -> String {
    let salt = &hmac(password.as_bytes(), &[b"coherency/scram-salt/v1", role.as_bytes()])[..16];
    of(password, salt)
}

fn of(password: &str, salt: &[u8]) -> String {
    let salted = salted(password.as_bytes(), salt);
    let stored = Sha256::digest(hmac(&salted, &[b"Client Key"]));
    let server = hmac(&salted, &[b"Server Key"]);
    let [salt, stored, server] = [salt, &stored[..], &server].map(|bytes| STANDARD.encode(bytes));
    format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_is_what_postgres_makes() {
        // The example of RFC 7677: salt and password as there, the server's key as its signature proves.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let verifier = of("pencil", &salt);
        assert!(verifier.starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"), "{verifier}");
        let server = STANDARD.decode(verifier.rsplit(':').next().expect("a key")).expect("base64");
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = STANDARD.encode(hmac(&server, &[message.as_bytes()]));
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn two_roles_with_one_password_do_not_show_it() {
        assert_ne!(verifier("a", "secret"), verifier("b", "secret"));
        assert_eq!(verifier("a", "secret"), verifier("a", "secret"));
    }
}
