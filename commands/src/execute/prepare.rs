//! Deciding and sealing, in the request's own task.

use audit::seal::SubjectKind;
use cqrs_es::DomainEvent;
use cqrs_es::event_sink::EventSink;
use domain::stream::BUSY_MAX;
use domain::{Claim, ClaimChange, Now, Refusal, RefusalKind, Stream};
use jiff::Timestamp;
use uuid::Uuid;

use super::repeated::reserved;
use crate::claims;
use crate::context::Context;
use crate::data_keys::SubjectKey;
use crate::error::{CommandError, Unavailable};
use crate::failpoints::failpoint;
use crate::ledger::{Ledger, Loaded};
use crate::log::{Append, Change, Expected, NewKey, Resource};
use crate::policy::Grant;
use crate::seal::Draft;
use crate::streams::SUBJECTS;

/// A decided command, sealed, with what becomes true once it is durable.
pub(super) struct Prepared<A> {
    pub(super) append: Append,
    pub(super) state: Vec<(Uuid, Loaded<A>)>,
    pub(super) keys: Vec<(Uuid, SubjectKey)>,
}

impl<A> Prepared<A> {
    /// An event of the log's own, which changes no aggregate.
    pub(super) fn of_the_log(append: Append) -> Prepared<A> {
        Prepared { append, state: Vec::new(), keys: Vec::new() }
    }
}

impl Ledger {
    /// Decides commands, each on its own stream in the given state, and seals what comes of them.
    pub(super) async fn prepare<A>(
        &self,
        commands: &[(Uuid, A::Command)],
        loaded: Loaded<A>,
        context: &Context,
        grant: &Grant,
        mac: [u8; 32],
    ) -> Result<Prepared<A>, CommandError>
    where
        A: Stream,
        A::Command: Clone,
    {
        failpoint!("prepare.before");
        let now = self.inner.clock.now();
        let recorded_at = self.inner.time.stamp(now);
        let mut prepared = Prepared {
            append: Append {
                actor: context.actor.id.as_uuid(),
                command_id: context.command_id,
                request_mac: mac,
                expected: Vec::with_capacity(commands.len()),
                relied_on: Vec::new(),
                absent: Vec::new(),
                events: Vec::with_capacity(commands.len()),
                claims: Vec::new(),
                new_keys: Vec::new(),
                erase: None,
            },
            state: Vec::with_capacity(commands.len()),
            keys: Vec::new(),
        };
        for (id, command) in commands {
            let mut aggregate = loaded.aggregate.clone();
            let sink = EventSink::default();
            // The sink applies each event to the aggregate as it takes it: it must not be applied again.
            aggregate.handle(command.clone(), &Now(now), &sink).await.map_err(refusal_error)?;
            let events = sink.collect().await;
            if events.is_empty() {
                return Err(CommandError::Refused {
                    kind: RefusalKind::Conflict,
                    code: "nothing-to-do",
                    field: None,
                    detail: "the command changes nothing".to_owned(),
                });
            }
            let before = loaded.version;
            if before == 0 && self.may_not_begin::<A>(*id) {
                return Err(reserved("id"));
            }
            if before == 0
                && let Some((what, first)) = A::follows(*id)
                && !self.is_there(what, first).await?
            {
                return Err(CommandError::NotFound { what });
            }
            let subject = match aggregate.subject(*id) {
                None => None,
                Some(subject) => {
                    let owns = subject == *id && before == 0;
                    if owns {
                        let others = SUBJECTS.iter().copied().filter(|kind| *kind != A::TYPE);
                        prepared.append.absent.extend(others.map(|kind| (kind, *id)));
                    }
                    Some((subject, self.subject_key(subject, owns, A::TYPE, &mut prepared).await?))
                }
            };
            prepared.append.expected.push(Expected {
                stream_type: A::TYPE,
                stream_id: *id,
                version: before,
            });
            for reliance in events.iter().flat_map(A::relies_on) {
                prepared.append.relied_on.push(self.relied_on(&reliance).await?);
            }
            for (event, sequence) in events.iter().zip(before + 1..) {
                if let Some(erased) = A::erases(*id, event) {
                    self.inner.data_keys.may_be_destroyed(erased).await?;
                    prepared.append.erase = Some(erased);
                }
                for change in A::claims(*id, event) {
                    prepared.append.claims.push((*id, self.claim(change)?));
                }
                let draft = Draft {
                    stream_type: A::TYPE,
                    stream_id: *id,
                    sequence,
                    event_type: event.event_type(),
                    event_version: event.event_version(),
                    body: serde_json::to_vec(event)
                        .map_err(|error| Unavailable::Seal(Box::new(error)))?,
                    media: A::media(event),
                    subject: subject.as_ref().map(|(subject, key)| (*subject, key)),
                };
                let sealed = self.inner.sealer.seal(draft, context, grant, recorded_at)?;
                prepared.append.events.push(sealed);
            }
            let version = before + events.len() as u64;
            prepared.state.push((*id, Loaded { aggregate, version }));
        }
        failpoint!("prepare.after");
        Ok(prepared)
    }

    /// Whether a stream may not begin under this id. What follows another stream has its id, and the only stream of its
    /// type the one kept for it.
    fn may_not_begin<A: Stream>(&self, id: Uuid) -> bool {
        A::follows(id).is_none() && A::SINGLETON != Some(id) && self.is_reserved(id)
    }

    /// The key of a subject: a new one if this stream is where the subject begins, else the one it has.
    async fn subject_key<A>(
        &self,
        subject: Uuid,
        owns: bool,
        stream_type: &'static str,
        prepared: &mut Prepared<A>,
    ) -> Result<SubjectKey, CommandError> {
        let kind = SubjectKind::of_stream(stream_type);
        if !owns {
            let key = self.inner.data_keys.get(subject, kind).await?;
            return key.ok_or(CommandError::NotFound { what: kind.as_str() });
        }
        // A subject begins with its own stream, so there is no key to look for in the database; if
        // there is one all the same, the sequencer says so, and it is in memory the next time.
        if let Some(key) = self.inner.data_keys.cached(subject, kind)? {
            return Ok(key);
        }
        let (key, new): (SubjectKey, NewKey) = self.inner.data_keys.create(subject, kind)?;
        prepared.append.new_keys.push(new);
        prepared.keys.push((subject, key.clone()));
        Ok(key)
    }

    fn claim(&self, change: ClaimChange) -> Result<Change, CommandError> {
        Ok(match change {
            ClaimChange::Take(Claim::Unique { kind, key }) => {
                Change::TakeUnique { kind, key: self.claim_key(kind, &key) }
            }
            ClaimChange::Take(Claim::Busy { resource, from, until }) => {
                if until <= from {
                    return Err(CommandError::Refused {
                        kind: RefusalKind::Invalid,
                        code: "empty-time",
                        field: Some("time"),
                        detail: "the time ends before it begins".to_owned(),
                    });
                }
                if until.duration_since(from) > BUSY_MAX {
                    return Err(CommandError::Refused {
                        kind: RefusalKind::Invalid,
                        code: "time-too-long",
                        field: Some("time"),
                        detail: "more time is asked for at once than one may hold".to_owned(),
                    });
                }
                // As Postgres keeps it, so that what is compared later is what was decided on.
                let (from, until) = (micros(from), micros(until));
                let resource = Resource { kind: resource.kind.as_str(), id: resource.id };
                Change::TakeBusy { resource, from, until }
            }
            ClaimChange::ReleaseUnique { kind, key } => {
                Change::ReleaseUnique { kind, key: self.claim_key(kind, &key) }
            }
            ClaimChange::ReleaseBusy => Change::ReleaseBusy,
        })
    }

    fn claim_key(&self, kind: &str, key: &str) -> [u8; 32] {
        claims::claim_key(&self.inner.keys, kind, key)
    }
}

/// The time, cut to microseconds.
fn micros(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

pub(super) fn refusal_error<E: Refusal + std::error::Error>(error: E) -> CommandError {
    CommandError::Refused {
        kind: error.kind(),
        code: error.code(),
        field: error.field(),
        detail: error.to_string(),
    }
}
