//! The log's own events: signing keys are activated and retired.

use std::pin::pin;

use audit::keyring::KeyPeriod;
use audit::postgres::{DatabaseError, StoredKeyring, keyring};
use audit::system::{self, KeyActivatedPayload, KeyRetiredPayload, SystemContext, SystemEvent};
use domain::RefusalKind;
use serde::{Deserialize, Serialize};

use super::append::RetryReason;
use super::attempts::Attempt;
use super::prepare::Prepared;
use super::receipt::Receipt;
use crate::context::Context;
use crate::error::{CommandError, Unavailable};
use crate::ledger::Ledger;
use crate::log::{Append, Expected};
use crate::policy::{Grant, Permission};
use crate::random;
use crate::seal::{acting, sign};
use crate::signing::SigningKey;

/// A signing key and how it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SigningKeyState {
    /// Its RFC 7638 thumbprint.
    pub kid: String,
    /// The first position it may sign; null if it was not activated yet.
    pub from: Option<u64>,
    /// The last position it may sign; null unless it is retired.
    pub until: Option<u64>,
    /// Whether this process holds it.
    pub at_hand: bool,
    /// Whether this process signs with it.
    pub signs: bool,
}

/// Why a key is retired, in the words of RFC 5280.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetirementReason {
    /// Another key has taken its place.
    Superseded,
    /// An attacker may have it.
    KeyCompromise,
    /// It is not needed any more.
    CessationOfOperation,
}

impl RetirementReason {
    /// The word in the event.
    pub fn as_str(self) -> &'static str {
        match self {
            RetirementReason::Superseded => "superseded",
            RetirementReason::KeyCompromise => "key-compromise",
            RetirementReason::CessationOfOperation => "cessation-of-operation",
        }
    }
}

impl Ledger {
    /// Every signing key of the log or available here, in the order of activation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKeyState>, CommandError> {
        let stored = self.stored_keyring().await?;
        let held = self.held_keys()?;
        let current = self.inner.sealer.signing.current();
        let state = |kid: &str, period: Option<&KeyPeriod>| SigningKeyState {
            kid: kid.to_owned(),
            from: period.map(|period| period.from),
            until: period.and_then(|period| period.until),
            at_hand: held.iter().any(|key| key.kid() == kid),
            signs: current.kid() == kid,
        };
        let periods = stored.keyring.periods();
        let known = periods.iter().map(|period| state(period.key.thumbprint(), Some(period)));
        let new = held.iter().filter(|key| !is_known(&stored, key.kid()));
        Ok(known.chain(new.map(|key| state(key.kid(), None))).collect())
    }

    /// Activates the newest available key; from the next position on it signs, here and wherever it is
    /// available. The keys before it stay active until they are retired, so that processes that do not hold
    /// it yet go on.
    ///
    /// # Errors
    /// When the actor may not, or the newest available key was activated before.
    pub async fn activate_key(&self, context: &Context) -> Result<Receipt, CommandError> {
        let grant = self.may_manage_keys(context)?;
        self.inner.keys.refresh().map_err(|error| Unavailable::Keys(Box::new(error)))?;
        self.record(context, grant, |stored| {
            let held = self.held_keys()?;
            let newest = held.first().filter(|key| !is_known(stored, key.kid()));
            let key = newest.ok_or_else(|| CommandError::Refused {
                kind: RefusalKind::Conflict,
                code: "no-new-key",
                field: None,
                detail: "the newest signing key at hand was activated before: add one first"
                    .to_owned(),
            })?;
            let jwk = key.event.public().to_jwk();
            Ok(SystemEvent::KeyActivated(KeyActivatedPayload { jwk }))
        })
        .await
    }

    /// Retires a key: no event after this one counts if it is signed by it.
    ///
    /// # Errors
    /// When the actor may not, the key is not active, or it is the one this process signs with.
    pub async fn retire_key(
        &self,
        kid: &str,
        reason: RetirementReason,
        context: &Context,
    ) -> Result<Receipt, CommandError> {
        let grant = self.may_manage_keys(context)?;
        let key_refusal = |code, detail: &str| CommandError::Refused {
            kind: RefusalKind::Conflict,
            code,
            field: Some("kid"),
            detail: detail.to_owned(),
        };
        self.record(context, grant, |stored| {
            if self.inner.sealer.signing.current().kid() == kid {
                return Err(key_refusal(
                    "key-in-use",
                    "this is the key that signs: activate another one first",
                ));
            }
            let active = stored.keyring.periods().iter().filter(|period| period.until.is_none());
            if !active.into_iter().any(|period| period.key.thumbprint() == kid) {
                return Err(key_refusal(
                    "key-not-active",
                    "the log has no active key of this name",
                ));
            }
            let reason = reason.as_str().to_owned();
            Ok(SystemEvent::KeyRetired(KeyRetiredPayload { kid: kid.to_owned(), reason }))
        })
        .await
    }

    /// What allows the actor to activate and retire keys, and to re-wrap data keys.
    pub(crate) fn may_manage_keys(&self, context: &Context) -> Result<Grant, CommandError> {
        self.inner.policy.decide(&context.asks(Permission::ManageKeys)).granted()
    }

    /// Appends an event of the log's own, decided on the newest keyring. Whatever was done under the command's id before
    /// counts: there is no request to compare with.
    async fn record(
        &self,
        context: &Context,
        grant: Grant,
        decide: impl Fn(&StoredKeyring) -> Result<SystemEvent, CommandError>,
    ) -> Result<Receipt, CommandError> {
        let event = OwnEvent { ledger: self, context, grant, decide };
        self.once(context, None, pin!(self.attempt(context, event))).await
    }

    fn prepare_own(
        &self,
        context: &Context,
        grant: &Grant,
        stored: &StoredKeyring,
        event: &SystemEvent,
    ) -> Result<Prepared<domain::Account>, CommandError> {
        let origin = self.origin();
        let now = self.inner.clock.now();
        let system_context = SystemContext {
            event_id: random::uuid_v7(now),
            command_id: context.command_id,
            correlation_id: context.correlation_id,
            actor: acting(&context.actor, grant),
            grounds: grant.grounds(),
            recorded_at: self.inner.time.stamp(now),
        };
        let sealed = |error: system::SystemError| Unavailable::Seal(Box::new(error));
        let (statement, payload) =
            system::draft(origin, stored.version + 1, event, system_context).map_err(sealed)?;
        let mac = self.inner.keys.index(&[
            b"request",
            context.actor.id.as_uuid().as_bytes(),
            event.event_type().as_bytes(),
            &payload,
        ]);
        let key = self.inner.sealer.signing.current();
        let event = sign(&key, &self.inner.sealer.tags, system::STREAM_TYPE, statement, payload)?;
        let expected = Expected {
            stream_type: system::STREAM_TYPE,
            stream_id: system::stream_id(origin),
            version: stored.version,
        };
        Ok(Prepared::of_the_log(Append {
            actor: context.actor.id.as_uuid(),
            command_id: context.command_id,
            request_mac: mac,
            expected: vec![expected],
            relied_on: Vec::new(),
            absent: Vec::new(),
            events: vec![event],
            claims: Vec::new(),
            new_keys: Vec::new(),
            erase: None,
        }))
    }

    fn held_keys(&self) -> Result<Vec<SigningKey>, CommandError> {
        let seeds = self.inner.keys.event_signing_seeds();
        let keys = seeds.iter().map(|seed| SigningKey::new(self.origin(), seed));
        Ok(keys.collect::<Result<_, _>>().map_err(|error| Unavailable::Seal(Box::new(error)))?)
    }

    async fn stored_keyring(&self) -> Result<StoredKeyring, CommandError> {
        let origin = self.origin();
        let own = (system::STREAM_TYPE, system::stream_id(origin));
        let seen = self.inner.watch.stream_seen(own.0, own.1).map_or(0, |seen| seen.version);
        let mut connection = self.inner.pool.acquire().await?;
        match keyring(&mut connection, origin).await {
            Ok(Some(stored)) if stored.version < seen => {
                Err(CommandError::Damaged("events of the log's own are missing".into()))
            }
            Ok(Some(stored)) => Ok(stored),
            Ok(None) => Err(CommandError::Damaged("the log has no genesis".into())),
            Err(DatabaseError::Sqlx(error)) => Err(error.into()),
            Err(error) => Err(CommandError::Damaged(Box::new(error))),
        }
    }
}

/// An event about the log itself, decided on its keyring.
struct OwnEvent<'a, F> {
    ledger: &'a Ledger,
    context: &'a Context,
    grant: Grant,
    decide: F,
}

impl<F> Attempt for OwnEvent<'_, F>
where
    F: Fn(&StoredKeyring) -> Result<SystemEvent, CommandError>,
{
    // The log's own stream has no aggregate, so nothing is ever kept of this type.
    type Stream = domain::Account;

    async fn prepare(&mut self) -> Result<Option<Prepared<domain::Account>>, CommandError> {
        let stored = self.ledger.stored_keyring().await?;
        let event = (self.decide)(&stored)?;
        self.ledger.prepare_own(self.context, &self.grant, &stored, &event).map(Some)
    }

    fn repeat(&mut self, _why: RetryReason) -> Result<(), CommandError> {
        Ok(())
    }
}

fn is_known(stored: &StoredKeyring, kid: &str) -> bool {
    stored.keyring.periods().iter().any(|period| period.key.thumbprint() == kid)
}
