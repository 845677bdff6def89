//! Ids that follow from what they are for, so that work done again is known again; under a key, so that no one else
//! can tell them beforehand.

use audit::mac::MacKey;
use tracing::error;
use uuid::Uuid;

/// How many ids one command of a worker has. The first is used, unless something foreign is on record under it.
const IDS: u32 = 4;

/// Makes the ids of a worker's commands and of what they create.
#[derive(Clone, Debug)]
pub struct DerivedIds(MacKey);

impl DerivedIds {
    /// Ids under a key of their own.
    #[must_use]
    pub fn new(key: MacKey) -> DerivedIds {
        DerivedIds(key)
    }

    /// The id that the same words always come to (`UUIDv8`): the first half of their tag. `what` says what the id is for.
    #[must_use]
    pub fn id(&self, what: &str, words: &[&[u8]]) -> Uuid {
        let mut parts = vec![what.as_bytes()];
        parts.extend(words);
        let tag = self.0.tag(&parts);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&tag[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// The ids of one command, in the order in which they are tried.
    pub fn commands<'a>(
        &'a self,
        what: &'a str,
        words: &'a [&'a [u8]],
    ) -> impl Iterator<Item = Uuid> + Send + 'a {
        (0..IDS).map(move |attempt| {
            let attempt = attempt.to_be_bytes();
            let mut all = words.to_vec();
            all.push(&attempt);
            self.id(what, &all)
        })
    }
}

/// Tells that something foreign is on record under the id of a worker's command: only a worker can know that id, so
/// it was written into the database past the ledger.
pub fn foreign_command(worker: &'static str, id: Uuid, code: &str) {
    metrics::counter!("worker_foreign_commands_total", "worker" => worker).increment(1);
    error!(
        worker,
        command.id = %id,
        code,
        "something foreign is on record under the id of a worker's command, which goes on under another id: \
         run `ledger audit verify`, and find out who can write to the database"
    );
}

/// Tells that the log did not take what a worker had to record, although it is not there.
pub(super) fn not_recorded(worker: &'static str, code: &str) {
    metrics::counter!("worker_refused_commands_total", "worker" => worker, "code" => code.to_owned())
        .increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(key: u8) -> DerivedIds {
        DerivedIds::new(MacKey::from_bytes([key; 32]))
    }

    #[test]
    fn an_id_follows_from_key_and_words() {
        let id = ids(1).id("purge", &[b"a", b"b"]);
        assert_eq!(id, ids(1).id("purge", &[b"a", b"b"]));
        assert_eq!(id.get_version_num(), 8);
        for other in [
            ids(2).id("purge", &[b"a", b"b"]),
            ids(1).id("withdrawal", &[b"a", b"b"]),
            ids(1).id("purge", &[b"ab"]),
            ids(1).id("purge", &[b"a", b"b", b""]),
        ] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn the_ids_of_a_command_differ_and_are_the_same_each_time() {
        let ids = ids(1);
        let words: &[&[u8]] = &[b"a"];
        let all: Vec<Uuid> = ids.commands("purge", words).collect();
        assert_eq!(all.len(), IDS as usize);
        assert_eq!(all, ids.commands("purge", words).collect::<Vec<_>>());
        let distinct: std::collections::BTreeSet<&Uuid> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
