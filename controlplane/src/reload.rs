//! Changing what is in force: on SIGHUP, and when a file changed. Validated
//! first, applied as a whole or not at all.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::ConfigError;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What a file looked like: enough to see that it was written or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look(Vec<(PathBuf, Option<Stamp>)>);

/// Inode, size, and the time of the last change in seconds and nanoseconds.
type Stamp = (u64, u64, i64, i64);

impl Look {
    fn at(files: Vec<PathBuf>) -> Self {
        let see = |file: PathBuf| {
            let seen = fs::metadata(&file)
                .ok()
                .map(|m| (m.ino(), m.size(), m.mtime(), m.mtime_nsec()));
            (file, seen)
        };
        Self(files.into_iter().map(see).collect())
    }

    fn again(&self) -> Self {
        Self::at(self.0.iter().map(|(file, _)| file.clone()).collect())
    }
}

/// Watches for as long as the control plane runs.
pub(crate) async fn run(
    config: &Path,
    settings: watch::Sender<Arc<Settings>>,
    metrics: Arc<Metrics>,
    mut hangup: Signal,
) {
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked = Look::at(settings.borrow().files(config));
    // A file is read once it looked the same twice: whoever writes it gets
    // the time to finish.
    let mut unsettled = None;
    loop {
        let asked = tokio::select! {
            _ = tick.tick() => false,
            signal = hangup.recv() => signal.is_some(),
        };
        let now = looked.again();
        if !asked {
            if now == looked {
                unsettled = None;
                continue;
            }
            if unsettled.as_ref() != Some(&now) {
                unsettled = Some(now);
                continue;
            }
        }
        unsettled = None;
        notify_reloading(asked);
        let result = reload(config, &settings);
        match &result {
            Ok(true) => tracing::info!(config = %config.display(), "reloaded"),
            Ok(false) => tracing::info!(config = %config.display(), "reloaded: nothing changed"),
            Err(error) => {
                for sentence in &error.0 {
                    tracing::error!("reload refused, everything stays as it was: {sentence}");
                }
            }
        }
        metrics.count_reload(match result {
            Ok(true) => "applied",
            Ok(false) => "unchanged",
            Err(_) => "refused",
        });
        metrics.set_settings(&settings.borrow());
        if asked {
            notify(&[NotifyState::Ready]);
        }
        // Of the files now named; a refused reload is not repeated until one
        // of them changes again.
        looked = if result.is_ok() {
            Look::at(settings.borrow().files(config))
        } else {
            now
        };
    }
}

fn reload(config: &Path, settings: &watch::Sender<Arc<Settings>>) -> Result<bool, ConfigError> {
    let running = settings.borrow().clone();
    let mut next = Settings::load(config)?;
    let restart = next.config.needs_restart(&running.config);
    if !restart.is_empty() {
        tracing::warn!(
            keys = restart.join(", "),
            "these keys take a restart to change"
        );
        next.config.keep_fixed(&running.config);
    }
    if next == *running {
        return Ok(false);
    }
    settings.send_replace(Arc::new(next));
    Ok(true)
}

fn notify_reloading(asked: bool) {
    if !asked {
        return;
    }
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "clock"),
    }
}

/// Tells the service manager, if there is one.
pub(crate) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "service manager");
    }
}
