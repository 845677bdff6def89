//! Places on the append path where a test injects faults. They exist only with the feature `failpoints`.

#[cfg(feature = "failpoints")]
pub use armed::{Fault, POINTS, arm, disarm_all, pass, struck};

/// One place: the function it stands in fails there as if the database had, once a test has armed it.
macro_rules! failpoint {
    ($point:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoints::pass($point).await?;
    };
    // Where no error can be given back, what is done instead.
    ($point:literal, $otherwise:expr) => {
        #[cfg(feature = "failpoints")]
        if $crate::failpoints::pass($point).await.is_err() {
            $otherwise
        }
    };
}
pub(crate) use failpoint;

#[cfg(feature = "failpoints")]
mod armed {
    use std::collections::BTreeMap;
    use std::io;
    use std::str::FromStr;
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    /// Every failpoint, before and after each await, in the order in which an append comes by.
    pub const POINTS: &[&str] = &[
        // In the request's own task.
        "load.before",
        "load.after",
        "load.page.before",
        "load.page.after",
        "load.snapshot.before",
        "load.snapshot.after",
        "data-key.before",
        "data-key.after",
        "prefetch.before",
        "prefetch.after",
        "prepare.before",
        "prepare.after",
        "queue.before",
        "queue.after",
        "answer.received",
        "repeated.before",
        "repeated.after",
        "replay.before",
        "replay.after",
        "snapshot.before",
        "snapshot.after",
        // In the sequencer.
        "batch.taken",
        "connect.before",
        "connect.between",
        "connect.after",
        "begin-locked.before",
        "begin-locked.after",
        "recompute.before",
        "recompute.after",
        "catch-up.before",
        "catch-up.after",
        "facts.before",
        "facts.after",
        "facts.claims.before",
        "facts.claims.after",
        "rollback.before",
        "rollback.after",
        "append-at-once.before",
        "append-at-once.after",
        "begin.before",
        "begin.after",
        "write.log.before",
        "write.log.after",
        "write.keys.before",
        "write.keys.after",
        "write.tiles.before",
        "write.tiles.after",
        "write.claims.before",
        "write.claims.after",
        "commit.before",
        "commit.after",
        "landing.after",
        "answer.before",
    ];

    /// What happens at an armed failpoint, once.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Fault {
        /// The database fails.
        Error,
        /// The task panics.
        Panic,
        /// The process dies.
        Abort,
        /// Nothing happens for a while.
        Delay(Duration),
    }

    impl FromStr for Fault {
        type Err = String;

        fn from_str(text: &str) -> Result<Fault, String> {
            match text {
                "error" => Ok(Fault::Error),
                "panic" => Ok(Fault::Panic),
                "abort" => Ok(Fault::Abort),
                other => other
                    .parse()
                    .map(|millis| Fault::Delay(Duration::from_millis(millis)))
                    .map_err(|_| format!("`{other}` is no fault")),
            }
        }
    }

    fn text(fault: Fault) -> String {
        match fault {
            Fault::Error => "error".to_owned(),
            Fault::Panic => "panic".to_owned(),
            Fault::Abort => "abort".to_owned(),
            Fault::Delay(time) => time.as_millis().to_string(),
        }
    }

    static STRUCK: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

    fn counts() -> MutexGuard<'static, BTreeMap<&'static str, u64>> {
        STRUCK.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next one who passes here meets this fault; those after it do not.
    ///
    /// # Panics
    /// When there is no such failpoint.
    pub fn arm(point: &str, fault: Fault) {
        assert!(POINTS.contains(&point), "there is no failpoint `{point}`");
        fail::cfg(point, &format!("1*return({})", text(fault))).expect("the action is well formed");
    }

    /// Makes every failpoint harmless.
    pub fn disarm_all() {
        for point in POINTS {
            fail::remove(point);
        }
    }

    /// How often a fault struck at each failpoint of this process.
    pub fn struck() -> BTreeMap<&'static str, u64> {
        counts().clone()
    }

    fn armed(point: &str) -> Option<Fault> {
        fail::fail_point!(point, |fault| fault.and_then(|fault| fault.parse().ok()));
        None
    }

    /// Comes by a failpoint.
    ///
    /// # Errors
    /// When it is armed with [`Fault::Error`].
    ///
    /// # Panics
    /// When it is armed with [`Fault::Panic`], or is not on the list.
    pub async fn pass(point: &'static str) -> Result<(), sqlx::Error> {
        assert!(POINTS.contains(&point), "the failpoint `{point}` is not on the list");
        let Some(fault) = armed(point) else { return Ok(()) };
        *counts().entry(point).or_default() += 1;
        match fault {
            Fault::Error => {
                Err(sqlx::Error::Io(io::Error::other(format!("the failpoint {point}"))))
            }
            Fault::Panic => panic!("the failpoint {point}"),
            Fault::Abort => std::process::abort(),
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
        }
    }
}
