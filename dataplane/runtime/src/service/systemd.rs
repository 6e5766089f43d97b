//! Telling systemd how we are (sd_notify). Without systemd nothing happens.

use std::time::{Duration, Instant};

use sd_notify::{NotifyState, notify, watchdog_enabled};

use super::seconds;

/// What systemd is asked to wait on top while a drain makes progress.
const EXTENSION: Duration = Duration::from_secs(15);

/// How often a drain is reported.
const INTERVAL: Duration = Duration::from_secs(1);

/// Our side of the notification socket. A message that cannot be sent is not
/// worth a word: the service runs regardless.
pub(super) struct Notifier {
    /// How often to tell the watchdog, if there is one.
    watchdog: Option<Duration>,
    next_alive: Instant,
    next_draining: Instant,
}

impl Notifier {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            // Half its patience, as sd_watchdog_enabled(3) recommends.
            watchdog: watchdog_enabled().map(|patience| patience / 2),
            next_alive: now,
            next_draining: now,
        }
    }

    pub(super) fn ready(&self) {
        let _ = notify(&[NotifyState::Ready, NotifyState::Status("relaying")]);
    }

    pub(super) fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            let _ = notify(&[NotifyState::Reloading, now]);
        }
    }

    pub(super) fn stopping(&self) {
        let _ = notify(&[NotifyState::Stopping]);
    }

    pub(super) fn draining(&mut self, remaining: u64, left: Duration) {
        let now = Instant::now();
        if now < self.next_draining {
            return;
        }
        self.next_draining = now + INTERVAL;
        let status = format!(
            "draining: {remaining} allocations remain, {} left",
            seconds(left)
        );
        let extension = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
        let _ = notify(&[
            NotifyState::Stopping,
            NotifyState::Status(&status),
            NotifyState::ExtendTimeoutUsec(extension),
        ]);
    }

    /// The control thread has come round and every worker lives.
    pub(super) fn alive(&mut self) {
        let Some(interval) = self.watchdog else {
            return;
        };
        let now = Instant::now();
        if now >= self.next_alive {
            self.next_alive = now + interval;
            let _ = notify(&[NotifyState::Watchdog]);
        }
    }
}
