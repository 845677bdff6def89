//! Which commands of a batch go into the log. Pure: it compares what they ask with what was read.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::claims::{ClaimChanges, Claims};
use crate::log::{Append, CommandKey, Expected, Recorded, Rejection};

/// What the database holds of the things a batch touches, read under the lock.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) recorded: HashMap<CommandKey, Recorded>,
    /// The commands under whose ids something is on record that this ledger did not write.
    pub(crate) commands_damaged: HashSet<CommandKey>,
    pub(crate) versions: HashMap<(&'static str, Uuid), u64>,
    pub(crate) keyed: HashSet<Uuid>,
    pub(crate) erased: HashSet<Uuid>,
    pub(crate) claims: Claims,
    /// The commands whose claims cannot be told.
    pub(crate) claims_damaged: HashSet<CommandKey>,
}

/// What becomes of a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is appended; its first event has this offset from the head.
    Append { offset: u64 },
    /// It is not.
    Reject(Rejection),
    /// It is the same command as another one of this batch, and shares its answer.
    Same { as_index: usize },
}

/// The whole batch, decided.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) claims: ClaimChanges,
    pub(crate) events: u64,
    pub(crate) latest: Timestamp,
}

/// What holds for every command of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) last_recorded_at: Timestamp,
    pub(crate) tolerance: SignedDuration,
    /// The headers of the keys that may sign at this point of the log.
    pub(crate) headers: &'a [Vec<u8>],
}

/// Decides a batch in the order of the queue: what an earlier command took, a later one cannot have.
pub(crate) fn decide(batch: &[&Append], mut facts: Facts, rules: Rules<'_>) -> Decision {
    let Rules { last_recorded_at, tolerance, headers } = rules;
    let oldest = last_recorded_at.saturating_sub(tolerance).unwrap_or(Timestamp::MIN);
    let mut accepted: HashMap<CommandKey, usize> = HashMap::new();
    let mut verdicts = Vec::with_capacity(batch.len());
    let mut events = 0;
    let mut latest = last_recorded_at;
    for (index, append) in batch.iter().enumerate() {
        let verdict = match earlier(append, batch, &accepted, &facts) {
            Some(verdict) => verdict,
            None => match admit(append, &mut facts, oldest, headers) {
                Ok(()) => Verdict::Append { offset: events },
                Err(rejection) => Verdict::Reject(rejection),
            },
        };
        if verdict == (Verdict::Append { offset: events }) {
            accepted.insert(append.key(), index);
            events += append.events.len() as u64;
            latest = append.events.iter().map(|event| event.recorded_at).fold(latest, Ord::max);
        }
        verdicts.push(verdict);
    }
    Decision { verdicts, claims: facts.claims.net(), events, latest }
}

/// The answer, if the command id was seen before: in the log, or earlier in this batch.
fn earlier(
    append: &Append,
    batch: &[&Append],
    accepted: &HashMap<CommandKey, usize>,
    facts: &Facts,
) -> Option<Verdict> {
    if let Some(recorded) = facts.recorded.get(&append.key()) {
        let same = recorded.request_mac == append.request_mac;
        return Some(Verdict::Reject(if same {
            Rejection::Repeated(*recorded)
        } else {
            Rejection::Reused
        }));
    }
    if facts.commands_damaged.contains(&append.key()) {
        return Some(Verdict::Reject(Rejection::CommandDamaged));
    }
    let index = *accepted.get(&append.key())?;
    Some(if batch[index].request_mac == append.request_mac {
        Verdict::Same { as_index: index }
    } else {
        Verdict::Reject(Rejection::Reused)
    })
}

fn admit(
    append: &Append,
    facts: &mut Facts,
    oldest: Timestamp,
    headers: &[Vec<u8>],
) -> Result<(), Rejection> {
    for expected in &append.expected {
        let key = (expected.stream_type, expected.stream_id);
        let actual = facts.versions.get(&key).copied().unwrap_or(0);
        if actual != expected.version {
            return Err(Rejection::Version { actual });
        }
    }
    for relied_on in &append.relied_on {
        let Expected { stream_type, stream_id, version } = *relied_on;
        if facts.versions.get(&(stream_type, stream_id)).copied().unwrap_or(0) != version {
            return Err(Rejection::Moved { stream_type, stream_id });
        }
    }
    if append
        .absent
        .iter()
        .any(|stream| facts.versions.get(stream).is_some_and(|version| *version > 0))
    {
        return Err(Rejection::IdTaken);
    }
    let subjects = append.events.iter().filter_map(|event| event.subject);
    if subjects.into_iter().any(|subject| facts.erased.contains(&subject)) {
        return Err(Rejection::Erased);
    }
    if append.new_keys.iter().any(|key| facts.keyed.contains(&key.subject)) {
        return Err(Rejection::KeyExists);
    }
    if append.events.iter().any(|event| event.recorded_at < oldest) {
        return Err(Rejection::Stale);
    }
    if append.events.iter().any(|event| !headers.contains(&event.header)) {
        return Err(Rejection::KeyNotActive);
    }
    if facts.claims_damaged.contains(&append.key()) {
        return Err(Rejection::ClaimsDamaged);
    }
    // Last, because it is what changes something when it succeeds.
    facts.claims.apply(&append.claims).map_err(Rejection::Claims)?;
    facts.keyed.extend(append.new_keys.iter().map(|key| key.subject));
    for event in &append.events {
        facts.versions.insert((event.stream_type, event.stream_id), event.sequence);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use audit::merkle::leaf_hash;

    use super::*;
    use crate::log::{Change, NewKey, SealedEvent};

    const STREAM: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);
    const ACTOR: Uuid = Uuid::from_u128(3);

    fn event(stream_id: Uuid, sequence: u64, recorded_at: Timestamp) -> SealedEvent {
        SealedEvent {
            event_id: Uuid::nil(),
            stream_type: "patient",
            stream_id,
            sequence,
            event_type: "Registered".to_owned(),
            event_version: "1".to_owned(),
            subject: None,
            recorded_at,
            header: b"active".to_vec(),
            statement: Vec::new(),
            signature: [0; 64],
            payload: Vec::new(),
            leaf: leaf_hash(b""),
            tag: [0; 32],
            jws: String::new(),
        }
    }

    fn append(command: u128, mac: u8, stream_id: Uuid, version: u64) -> Append {
        Append {
            actor: ACTOR,
            command_id: Uuid::from_u128(command),
            request_mac: [mac; 32],
            expected: vec![Expected { stream_type: "patient", stream_id, version }],
            relied_on: Vec::new(),
            absent: Vec::new(),
            events: vec![event(stream_id, version + 1, now())],
            claims: Vec::new(),
            new_keys: Vec::new(),
            erase: None,
        }
    }

    fn key(command: u128) -> CommandKey {
        CommandKey { actor: ACTOR, id: Uuid::from_u128(command) }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    fn verdicts(batch: &[Append], facts: Facts) -> Vec<Verdict> {
        let batch: Vec<_> = batch.iter().collect();
        let rules = Rules {
            last_recorded_at: now(),
            tolerance: SignedDuration::from_secs(10),
            headers: &[b"active".to_vec()],
        };
        decide(&batch, facts, rules).verdicts
    }

    #[test]
    fn positions_are_dense_over_the_accepted_ones() {
        let batch = [append(1, 1, STREAM, 0), append(2, 2, STREAM, 0), append(3, 3, OTHER, 0)];
        assert_eq!(
            verdicts(&batch, Facts::default()),
            [
                Verdict::Append { offset: 0 },
                Verdict::Reject(Rejection::Version { actual: 1 }),
                Verdict::Append { offset: 1 },
            ]
        );
    }

    #[test]
    fn a_stream_may_grow_twice_in_one_batch() {
        let batch = [append(1, 1, STREAM, 0), append(2, 2, STREAM, 1)];
        assert_eq!(
            verdicts(&batch, Facts::default()),
            [Verdict::Append { offset: 0 }, Verdict::Append { offset: 1 }]
        );
    }

    #[test]
    fn the_same_command_twice_in_one_batch_shares_one_answer() {
        let batch = [append(1, 1, STREAM, 0), append(1, 1, STREAM, 0), append(1, 9, OTHER, 0)];
        assert_eq!(
            verdicts(&batch, Facts::default()),
            [
                Verdict::Append { offset: 0 },
                Verdict::Same { as_index: 0 },
                Verdict::Reject(Rejection::Reused),
            ]
        );
    }

    #[test]
    fn a_command_of_the_past_is_answered_from_the_log() {
        let recorded = Recorded { request_mac: [1; 32], first: 4, count: 1, log_size: 7 };
        let facts = || Facts { recorded: HashMap::from([(key(1), recorded)]), ..Facts::default() };
        assert_eq!(
            verdicts(&[append(1, 1, STREAM, 0)], facts()),
            [Verdict::Reject(Rejection::Repeated(recorded))]
        );
        assert_eq!(
            verdicts(&[append(1, 2, STREAM, 0)], facts()),
            [Verdict::Reject(Rejection::Reused)]
        );
    }

    #[test]
    fn two_actors_have_their_ids_to_themselves() {
        let mut foreign = append(1, 2, OTHER, 0);
        foreign.actor = OTHER;
        let batch = [append(1, 1, STREAM, 0), foreign];
        let both = [Verdict::Append { offset: 0 }, Verdict::Append { offset: 1 }];
        assert_eq!(verdicts(&batch, Facts::default()), both);
        let facts = || Facts {
            recorded: HashMap::from([(
                CommandKey { actor: OTHER, ..key(1) },
                Recorded { request_mac: [1; 32], first: 4, count: 1, log_size: 7 },
            )]),
            ..Facts::default()
        };
        let own = [append(1, 1, STREAM, 0)];
        assert_eq!(verdicts(&own, facts()), [Verdict::Append { offset: 0 }]);
    }

    #[test]
    fn what_is_on_record_wrongly_stops_its_own_command_alone() {
        let facts = Facts { commands_damaged: HashSet::from([key(1)]), ..Facts::default() };
        assert_eq!(
            verdicts(&[append(1, 1, STREAM, 0), append(2, 2, OTHER, 0)], facts),
            [Verdict::Reject(Rejection::CommandDamaged), Verdict::Append { offset: 0 }]
        );
    }

    #[test]
    fn an_id_is_one_kind_of_subject_only() {
        let mut patient = append(1, 1, STREAM, 0);
        patient.absent = vec![("account", STREAM)];
        let facts =
            Facts { versions: HashMap::from([(("account", STREAM), 1)]), ..Facts::default() };
        let taken = Verdict::Reject(Rejection::IdTaken);
        assert_eq!(verdicts(std::slice::from_ref(&patient), facts), [taken]);
        let none =
            Facts { versions: HashMap::from([(("account", STREAM), 0)]), ..Facts::default() };
        assert_eq!(verdicts(&[patient], none), [Verdict::Append { offset: 0 }]);
    }

    #[test]
    fn what_relies_on_a_stream_is_rejected_once_that_has_moved() {
        let relying = |command: u128, version| {
            let mut append = append(command, 1, Uuid::from_u128(command), 0);
            append.relied_on = vec![Expected { stream_type: "patient", stream_id: OTHER, version }];
            append
        };
        let moved =
            || Verdict::Reject(Rejection::Moved { stream_type: "patient", stream_id: OTHER });
        // As the log has it, and as an earlier command of the same batch leaves it.
        let facts =
            || Facts { versions: HashMap::from([(("patient", OTHER), 1)]), ..Facts::default() };
        let batch = [relying(11, 1), relying(12, 0), append(13, 1, OTHER, 1), relying(14, 1)];
        assert_eq!(
            verdicts(&batch, facts()),
            [Verdict::Append { offset: 0 }, moved(), Verdict::Append { offset: 1 }, moved()]
        );
        // That many rely on it does not move it.
        let batch = [relying(11, 1), relying(12, 1)];
        let both = [Verdict::Append { offset: 0 }, Verdict::Append { offset: 1 }];
        assert_eq!(verdicts(&batch, facts()), both);
    }

    #[test]
    fn a_rejected_command_burns_no_id_and_takes_no_claim() {
        let mut loser = append(1, 1, STREAM, 5);
        loser.claims = vec![(STREAM, Change::TakeUnique { kind: "login", key: [1; 32] })];
        let mut winner = append(1, 1, STREAM, 0);
        winner.claims.clone_from(&loser.claims);
        assert_eq!(
            verdicts(&[loser, winner], Facts::default()),
            [Verdict::Reject(Rejection::Version { actual: 0 }), Verdict::Append { offset: 0 },]
        );
    }

    #[test]
    fn only_one_data_key_is_made_for_a_subject() {
        let key = NewKey {
            key_id: Uuid::from_u128(7),
            subject: STREAM,
            kind: audit::seal::SubjectKind::Patient,
            kek_id: "k".to_owned(),
            wrapped: Vec::new(),
        };
        let mut first = append(1, 1, STREAM, 0);
        first.new_keys = vec![key.clone()];
        let mut second = append(2, 2, OTHER, 0);
        second.new_keys = vec![key];
        assert_eq!(
            verdicts(&[first, second], Facts::default()),
            [Verdict::Append { offset: 0 }, Verdict::Reject(Rejection::KeyExists)]
        );
    }

    #[test]
    fn what_was_sealed_for_an_erased_subject_is_refused_and_what_was_done_before_is_answered() {
        let erased = Uuid::from_u128(9);
        let recorded = Recorded { request_mac: [1; 32], first: 4, count: 1, log_size: 7 };
        let facts = Facts {
            recorded: HashMap::from([(key(1), recorded)]),
            erased: HashSet::from([erased]),
            ..Facts::default()
        };
        let about = |command: u128, stream: Uuid, subject: Option<Uuid>| {
            let mut append = append(command, 1, stream, 0);
            append.events[0].subject = subject;
            append
        };
        let batch = [
            about(1, STREAM, Some(erased)),
            about(2, STREAM, Some(erased)),
            about(3, STREAM, Some(OTHER)),
            about(4, OTHER, None),
        ];
        assert_eq!(
            verdicts(&batch, facts),
            [
                Verdict::Reject(Rejection::Repeated(recorded)),
                Verdict::Reject(Rejection::Erased),
                Verdict::Append { offset: 0 },
                Verdict::Append { offset: 1 },
            ]
        );
    }

    #[test]
    fn an_event_sealed_long_ago_is_sealed_again() {
        let mut old = append(1, 1, STREAM, 0);
        old.events[0].recorded_at = now() - SignedDuration::from_secs(11);
        assert_eq!(verdicts(&[old], Facts::default()), [Verdict::Reject(Rejection::Stale)]);
    }

    #[test]
    fn an_event_signed_by_a_retired_key_is_sealed_again() {
        let mut signed = append(1, 1, STREAM, 0);
        signed.events[0].header = b"retired".to_vec();
        let batch = [signed, append(2, 2, STREAM, 0)];
        assert_eq!(
            verdicts(&batch, Facts::default()),
            [Verdict::Reject(Rejection::KeyNotActive), Verdict::Append { offset: 0 }]
        );
    }
}
