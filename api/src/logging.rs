//! Logs: one JSON object a line, and panics that say where but not what.

use std::io::IsTerminal as _;
use std::sync::Once;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

use crate::telemetry::Export;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people at a terminal.
    Text,
    /// Text on a terminal, JSON elsewhere.
    Auto,
}

/// Starts logging to standard error. `RUST_LOG` decides what is logged; without it, `info`, and only
/// warnings of the libraries below us, whose lines might quote a statement's parameters. Spans go to `export` besides,
/// whatever `RUST_LOG` says of lines.
pub fn init(format: LogFormat, export: Option<&Export>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new("info,sqlx=warn,mongodb=warn,redis=warn,hyper=warn,tower=warn")
    });
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if json {
        // All spans that a line stands in: the innermost knows the command, the outermost the request.
        lines.json().flatten_event(true).with_current_span(false).with_span_list(true).boxed()
    } else {
        lines.with_target(false).boxed()
    };
    // A second call, in a test, changes nothing.
    let _already = match export {
        // Then the filter stands before everything: a span that no line shows is not even begun.
        None => registry().with(lines).with(filter).try_init(),
        Some(export) => registry().with(lines.with_filter(filter)).with(export.layer()).try_init(),
    };
    quiet_panics();
}

/// Replaces the panic hook: the message of a panic may quote a value, and a value may be PHI.
pub fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let location = info.location().map(ToString::to_string);
            let location = location.as_deref().unwrap_or("unknown");
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("unnamed");
            tracing::error!(location, thread, "panicked");
        }));
    });
}
