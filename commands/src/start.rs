//! Opening a ledger: the log is checked or begun, then the sequencer and everything that runs beside it is started.

use std::sync::{Arc, Mutex, PoisonError};

use audit::postgres::{self, LogReader, LogWatch, ReadError};
use audit::system;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::LedgerConfig;
use crate::data_keys::DataKeys;
use crate::key_encryption::KeyEncryption;
use crate::keys::Keys;
use crate::ledger::{Inner, Ledger};
use crate::memory::Memory;
use crate::open::OpenError;
use crate::policy::Policy;
use crate::recorded::{CommandTags, take_over};
use crate::repeats::Windows;
use crate::sequencer::Known;
use crate::snapshots::{Snapshots, TAG_KEY};
use crate::streams::log_policy;
use crate::time::LogTime;
use crate::watch::Waiters;
use crate::{checkpoints, execute, key_encryption, open, sequencer, time, watch};
use audit::cache::Cache;
use audit::chain;

/// Capacity of each of the two generations of the cache of aggregates (half the total).
const AGGREGATES_HALF: usize = 4_096;

impl Ledger {
    /// Opens the log: begins it if it is empty, recomputes and checks its right edge, and starts the
    /// sequencer.
    ///
    /// # Errors
    /// When the database fails, holds another log, one that is not as this ledger signed it, or one that is
    /// older than what was published of it.
    pub async fn open(
        pool: PgPool,
        keys: Keys,
        clock: Clock,
        config: LedgerConfig,
    ) -> Result<Ledger, OpenError> {
        let policy = Policy::default();
        let opened = open::open(&pool, &keys, &clock, &policy, &config).await?;
        let sealer = &opened.sealer;
        let reader = LogReader::with_tags(sealer.origin.clone(), log_policy(), sealer.tags.clone());
        reader.opened(opened.keyring.clone(), opened.published.size);
        let commands = CommandTags::new(&keys, &opened.sealer.origin);
        match take_over(&pool, &reader, &commands).await {
            Ok(()) => {}
            Err(ReadError::Sqlx(error)) => return Err(error.into()),
            // The watch says what is wrong with the log. What it does not prove stays without a tag, and is not believed.
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "commands on record could not be compared with the log");
            }
        }
        let watch = LogWatch::new(reader);
        let time = Arc::new(LogTime::new(clock.clone(), config.clock_skew_max, watch.clone()));
        time.measure(&pool).await?;
        let key_encryption = Arc::new(KeyEncryption::new(pool.clone(), keys.clone()));
        key_encryption.join().await?;
        let stored = postgres::DataKeys::new(pool.clone(), keys.key_wrap(), watch.reader().clone());
        let data_keys = Arc::new(DataKeys::new(pool.clone(), stored));
        let aggregates = Arc::new(Cache::new(AGGREGATES_HALF));
        let memory = Memory { data_keys: data_keys.clone(), aggregates: aggregates.clone() };
        let (sequencer, sequencer_task) = sequencer::start(
            pool.clone(),
            Arc::clone(&opened.sealer.signing),
            opened.keyring,
            opened.published,
            config.limits(),
            Known {
                tree: opened.tree,
                memory: memory.clone(),
                claims: Arc::clone(&opened.claims),
                commands: commands.clone(),
                watch: watch.clone(),
            },
        );
        let suspicion = Arc::new(Notify::new());
        let waiters = Waiters::default();
        let watching = CancellationToken::new();
        let driver = watch::WatchTask {
            pool: pool.clone(),
            watch: watch.clone(),
            memory: memory.clone(),
            reread_every: config.reread_every,
            suspicion: suspicion.clone(),
            waiters: waiters.clone(),
        };
        let watcher = watch::start(driver, watching.clone());
        let clock_checker = time::keep(Arc::clone(&time), pool.clone(), watching.clone());
        let key_reporter = key_encryption::keep(Arc::clone(&key_encryption), watching.clone());
        let snapshots = Arc::new(Snapshots::new(
            pool.clone(),
            data_keys.clone(),
            keys.mac_key(TAG_KEY),
            opened.sealer.origin.clone(),
            config.snapshot_every,
        ));
        let checkpoint_writer =
            opened.folder.map(|folder| checkpoints::keep(folder, sequencer.subscribe()));
        let inner = Inner {
            pool,
            watch,
            suspicion,
            waiters,
            keys,
            data_keys,
            key_encryption,
            key_reporter: Mutex::new(Some(key_reporter)),
            own_stream: system::stream_id(&opened.sealer.origin),
            policy,
            sealer: opened.sealer,
            clock,
            time,
            commands,
            sequencer,
            sequencer_task: Mutex::new(Some(sequencer_task)),
            aggregates,
            memory,
            snapshots,
            claims: opened.claims,
            checkpoint_writer: Mutex::new(checkpoint_writer),
            watcher: Mutex::new(Some(watcher)),
            clock_checker: Mutex::new(Some(clock_checker)),
            disclosures: Windows::new(config.looks_alike_within),
            accesses: Windows::new(config.looks_alike_within),
            look_counter: Mutex::default(),
            closing: watching.clone(),
            _watching: watching.clone().drop_guard(),
        };
        let ledger = Ledger { inner: Arc::new(inner) };
        let counter = execute::count_looks(Arc::downgrade(&ledger.inner), watching);
        *ledger.inner.look_counter.lock().unwrap_or_else(PoisonError::into_inner) = Some(counter);
        Ok(ledger)
    }
}
