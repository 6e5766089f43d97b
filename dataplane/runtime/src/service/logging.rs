//! Where log lines go and how they look.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::config::{Log, LogFormat};

/// Sets up logging for the process, once. The error names what is wrong with
/// `log.level` or RUST_LOG.
pub(super) fn init(log: &Log) -> Result<(), String> {
    let (name, text) = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => ("RUST_LOG", text),
        _ => ("`log.level`", log.level.clone()),
    };
    let filter = EnvFilter::try_new(&text).map_err(|error| format!("{name}: {text:?}: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // The journal stamps every line itself.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let done = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text if journal => builder.with_ansi(false).without_time().try_init(),
        LogFormat::Text => builder
            .with_ansi(io::stderr().is_terminal())
            .with_timer(SystemTime)
            .try_init(),
    };
    done.map_err(|error| format!("logging: {error}"))
}
