//! Where log lines go and how they look.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use super::log_limit::{Limit, Limiter};
use crate::config::{Log, LogFormat};

/// What shows a line.
type Shown = Box<dyn Layer<Registry> + Send + Sync>;

/// A handle on the logs of the process.
pub(super) struct Logging {
    filter: reload::Handle<EnvFilter, Layered<Shown, Registry>>,
    pub(super) limiter: Arc<Limiter>,
}

/// Sets up logging for the process, once. The error names what is wrong with
/// `log.level`, `log.format` or RUST_LOG.
pub(super) fn init(log: &Log, software: &str) -> Result<Logging, String> {
    let (filter, handle) = reload::Layer::new(filter(log)?);
    let limiter = Arc::new(Limiter::default());
    limiter.set(log.per_minute);
    tracing_subscriber::registry()
        .with(shown(log.format, software)?)
        .with(filter)
        .with(Limit(Arc::clone(&limiter)))
        .try_init()
        .map_err(|error| format!("logging: {error}"))?;
    Ok(Logging {
        filter: handle,
        limiter,
    })
}

impl Logging {
    /// Takes over what may change while the process runs. `log` was checked.
    pub(super) fn reload(&self, log: &Log) {
        if let Ok(filter) = filter(log) {
            // Fails only when the subscriber is gone, and the process with it.
            let _ = self.filter.reload(filter);
        }
        self.limiter.set(log.per_minute);
    }
}

/// What to let through.
///
/// # Errors
/// What is wrong with `log.level` or RUST_LOG.
pub(super) fn filter(log: &Log) -> Result<EnvFilter, String> {
    let (name, text) = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => ("RUST_LOG", text),
        _ => ("`log.level`", log.level.clone()),
    };
    EnvFilter::try_new(&text).map_err(|error| format!("{name}: {text:?}: {error}"))
}

fn shown(format: LogFormat, software: &str) -> Result<Shown, String> {
    let text = fmt::layer().with_writer(io::stderr);
    // The journal stamps every line itself.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    Ok(match format {
        LogFormat::Json => text.json().flatten_event(true).boxed(),
        LogFormat::Text if journal => text.with_ansi(false).without_time().boxed(),
        LogFormat::Text => text
            .with_ansi(io::stderr().is_terminal())
            .with_timer(SystemTime)
            .boxed(),
        LogFormat::Journald => {
            let program = software.split(' ').next().unwrap_or(software);
            tracing_journald::layer()
                .map_err(|error| {
                    format!("`log.format`: the journal does not listen: {error}; use \"text\"")
                })?
                .with_syslog_identifier(program.to_owned())
                .with_field_prefix(Some("FOREBAY".to_owned()))
                .boxed()
        }
    })
}
