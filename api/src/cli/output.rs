//! What commands print: text for people or JSON for programs, progress on standard error.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// The largest file of text read.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Where a command's words go.
pub(super) struct Output {
    json: bool,
}

impl Output {
    /// Text, or JSON.
    pub(super) fn new(json: bool) -> Output {
        Output { json }
    }

    /// A line for people; nothing when a program reads.
    pub(super) fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            print_line(text.as_ref());
        }
    }

    /// The result: one JSON object for programs, and for people whatever `text` prints.
    pub(super) fn result<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&Output),
    ) -> anyhow::Result<()> {
        if self.json {
            print_line(&serde_json::to_string(value)?);
        } else {
            text(self);
        }
        Ok(())
    }

    /// A failure, with all its causes, on standard error.
    pub(super) fn failure(&self, error: &anyhow::Error) {
        let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
        let text = if self.json {
            serde_json::json!({ "error": chain }).to_string()
        } else {
            format!("ledger: {}", chain.join(": "))
        };
        // There is nowhere to report it when standard error is gone.
        let _gone = writeln!(std::io::stderr(), "{text}");
    }

    /// A bar for work that takes more than a moment. Without a terminal it says every few seconds how far it is.
    pub(super) fn progress(&self, what: &str, total: u64) -> ProgressBar {
        let template = "{msg} [{bar:32}] {human_pos}/{human_len} {per_sec} {eta}";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let target = if self.json {
            ProgressDrawTarget::hidden()
        } else if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        bar.set_style(style);
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        bar
    }
}

/// Reads a file given by the user, such as a receipt or a checkpoint.
pub(super) fn read_text(file: &Path) -> anyhow::Result<String> {
    let shown = || format!("cannot read {}", file.display());
    let size = std::fs::metadata(file).with_context(shown)?.len();
    if size > MAX_FILE_BYTES {
        bail!("{} is larger than the {MAX_FILE_BYTES} bytes this reads", file.display());
    }
    std::fs::read_to_string(file).with_context(shown)
}

fn print_line(text: &str) {
    // A reader that went away (`| head`) is not our failure.
    let _gone = writeln!(std::io::stdout(), "{text}");
}
