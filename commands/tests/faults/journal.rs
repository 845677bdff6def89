//! What a writer was told, a line each, written as soon as it was told and before anything else. A line is one `write`:
//! a killed process cannot take it back, and only the machine's own end could, which nothing here brings about.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use audit::merkle::Hash;
use commands::Receipt;
use uuid::Uuid;

/// What was acknowledged: alike however often it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) stream_id: Uuid,
    pub(crate) version: u64,
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Of the checkpoint in the receipt.
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

impl Acknowledged {
    pub(crate) fn of(receipt: &Receipt) -> Acknowledged {
        let (size, root) = checkpoint(receipt).expect("a receipt has a checkpoint");
        Acknowledged {
            stream_id: receipt.stream_id,
            version: receipt.version,
            first: receipt.events.first().map_or(0, |event| event.position),
            count: receipt.events.len() as u64,
            size,
            root,
        }
    }
}

/// A journal, read.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) begun: BTreeSet<u64>,
    /// Every answer to each command; a command that was repeated has several.
    pub(crate) acknowledged: BTreeMap<u64, Vec<Acknowledged>>,
    pub(crate) refused: BTreeMap<u64, String>,
    /// Answers that came from the log, because the command had been done before.
    pub(crate) replayed: u64,
    /// Faults that struck, by failpoint.
    pub(crate) struck: BTreeMap<String, u64>,
    /// What must not happen.
    pub(crate) broken: Vec<String>,
    /// Lines that the end of a process cut off.
    pub(crate) torn: u64,
}

impl Journal {
    pub(crate) fn read(path: &Path) -> Journal {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut journal = Journal::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if journal.take(line).is_none() {
                journal.torn += 1;
            }
        }
        journal
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let mut words = line.strip_suffix(" .")?.split(' ');
        let kind = words.next()?;
        if kind == "broken" {
            self.broken.push(line.to_owned());
            return Some(());
        }
        let subject = words.next()?;
        if kind == "struck" {
            let count: u64 = words.next()?.parse().ok()?;
            *self.struck.entry(subject.to_owned()).or_default() += count;
            return Some(());
        }
        let n: u64 = subject.parse().ok()?;
        match kind {
            "begun" => {
                self.begun.insert(n);
            }
            "refused" => {
                self.refused.insert(n, words.next()?.to_owned());
            }
            "done" => {
                fn next<T: FromStr>(words: &mut std::str::Split<'_, char>) -> Option<T> {
                    words.next()?.parse().ok()
                }
                let acknowledged = Acknowledged {
                    stream_id: next(&mut words)?,
                    version: next(&mut words)?,
                    first: next(&mut words)?,
                    count: next(&mut words)?,
                    size: next(&mut words)?,
                    root: root(words.next()?)?,
                };
                self.replayed += u64::from(words.next()? == "again");
                self.acknowledged.entry(n).or_default().push(acknowledged);
            }
            _ => return None,
        }
        Some(())
    }

    /// Whether this command needs no further asking.
    pub(crate) fn is_answered(&self, n: u64) -> bool {
        self.acknowledged.contains_key(&n) || self.refused.contains_key(&n)
    }
}

fn root(hex: &str) -> Option<Hash> {
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..32).map(|n| byte(2 * n)).collect::<Option<_>>()?;
    Hash::from_slice(&bytes)
}

fn hex(root: &Hash) -> String {
    root.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a writer writes.
pub(crate) struct Writer(File);

impl Writer {
    /// Opens the journal to go on with it. What a kill cut off ends in a line of its own.
    pub(crate) fn open(path: &Path) -> io::Result<Writer> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(b"\n")?;
        Ok(Writer(file))
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(format!("{text} .\n").as_bytes())
    }

    pub(crate) fn begun(&mut self, n: u64) -> io::Result<()> {
        self.line(&format!("begun {n}"))
    }

    pub(crate) fn done(&mut self, n: u64, receipt: &Receipt) -> io::Result<()> {
        let Acknowledged { stream_id, version, first, count, size, root } =
            Acknowledged::of(receipt);
        let (root, again) = (hex(&root), if receipt.replayed { "again" } else { "first" });
        self.line(&format!("done {n} {stream_id} {version} {first} {count} {size} {root} {again}"))
    }

    pub(crate) fn refused(&mut self, n: u64, code: &str) -> io::Result<()> {
        self.line(&format!("refused {n} {code}"))
    }

    pub(crate) fn struck(&mut self, point: &str, count: u64) -> io::Result<()> {
        self.line(&format!("struck {point} {count}"))
    }

    pub(crate) fn broken(&mut self, what: &str) -> io::Result<()> {
        self.line(&format!("broken {}", what.replace('\n', " ")))
    }
}

/// Size and root of the checkpoint in a receipt.
fn checkpoint(receipt: &Receipt) -> Option<(u64, Hash)> {
    use base64::Engine;
    let mut lines = receipt.checkpoint.lines().skip(1);
    let size = lines.next()?.parse().ok()?;
    let root = base64::engine::general_purpose::STANDARD.decode(lines.next()?).ok()?;
    Some((size, Hash::from_slice(&root)?))
}
