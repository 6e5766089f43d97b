//! Hands requests to the webhook, one at a time and in order, and repeats each
//! until it is taken.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tracing::{error, info, warn};
use ureq::tls::{RootCerts, TlsConfig};
use zeroize::Zeroizing;

use super::Tally;
use super::spool::{Segment, Shelf};

/// The longest a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses after a request that failed: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

/// How often the spool is looked at though nobody rang.
const LOOK: Duration = Duration::from_secs(60);

/// How long the spool is emptied when the process ends. The rest waits there
/// for the next start.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// The bearer token, exchanged on reload.
pub(super) type Token = Option<Zeroizing<String>>;

/// What other threads tell the sender.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) token: Mutex<Token>,
    pub(super) ending: AtomicBool,
    /// Something waits, or something was ordered.
    pub(super) bell: Sender<()>,
}

impl Orders {
    pub(super) fn ring(&self) {
        // Full: it rings already.
        let _ = self.bell.try_send(());
    }
}

/// The sender's thread.
pub(super) struct Webhook {
    pub(super) url: String,
    pub(super) shelf: Shelf,
    pub(super) orders: Arc<Orders>,
    pub(super) bell: Receiver<()>,
    pub(super) tally: Arc<Tally>,
    pub(super) software: &'static str,
}

enum Answer {
    Taken,
    /// The same request will never be taken.
    Refused(u16),
    /// Try again, not before this time.
    Failed(String, Duration),
}

impl Webhook {
    pub(super) fn run(self) {
        let agent = agent(self.software);
        let mut waiting = VecDeque::new();
        let mut pause = Duration::ZERO;
        let mut ending: Option<Instant> = None;
        loop {
            if ending.is_none() && self.orders.ending.load(Ordering::Acquire) {
                ending = Some(Instant::now() + FAREWELL);
            }
            if ending.is_some_and(|until| Instant::now() >= until) {
                return;
            }
            if waiting.is_empty() {
                match self.shelf.segments() {
                    Ok(segments) => waiting.extend(segments),
                    Err(error) => warn!("usage records: the spool cannot be read: {error}"),
                }
            }
            let Some(segment) = waiting.front() else {
                if ending.is_some() || !self.wait(LOOK) {
                    return;
                }
                continue;
            };
            match self.deliver(&agent, segment) {
                Ok(()) => {
                    if !pause.is_zero() {
                        info!("usage records: the webhook takes them again");
                    }
                    pause = Duration::ZERO;
                    waiting.pop_front();
                }
                Err((reason, not_before)) => {
                    self.tally.webhook_errors.fetch_add(1, Ordering::Relaxed);
                    if ending.is_some() {
                        return;
                    }
                    pause = (pause * 2).clamp(PAUSES[0], PAUSES[1]);
                    let pause = pause.max(not_before.min(PAUSES[1]));
                    warn!(
                        "usage records: not delivered: {reason}; the next attempt in {} s",
                        pause.as_secs()
                    );
                    if !self.rest(pause) {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for the bell; false when nobody is left to ring it.
    fn wait(&self, at_most: Duration) -> bool {
        !matches!(
            self.bell.recv_timeout(at_most),
            Err(RecvTimeoutError::Disconnected)
        )
    }

    /// Waits whatever rings, but for the end.
    fn rest(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.orders.ending.load(Ordering::Acquire) {
                return true;
            }
            if !self.wait(left) {
                return false;
            }
        }
    }

    fn deliver(&self, agent: &ureq::Agent, segment: &Segment) -> Result<(), (String, Duration)> {
        let local = |error: std::io::Error| (format!("the spool: {error}"), Duration::ZERO);
        let body = self.shelf.read(segment).map_err(local)?;
        let bytes = body.len() as u64;
        match self.post(agent, segment, &body) {
            Answer::Taken => {
                self.shelf.remove(segment, bytes).map_err(local)?;
                self.tally
                    .delivered
                    .fetch_add(segment.records, Ordering::Relaxed);
            }
            Answer::Refused(status) => {
                let aside = self.shelf.set_aside(segment, bytes).map_err(local)?;
                self.tally
                    .refused
                    .fetch_add(segment.records, Ordering::Relaxed);
                error!(
                    "usage records: the webhook answers {status} to {} records, kept in {}",
                    segment.records,
                    aside.display()
                );
            }
            Answer::Failed(reason, not_before) => return Err((reason, not_before)),
        }
        Ok(())
    }

    fn post(&self, agent: &ureq::Agent, segment: &Segment, body: &[u8]) -> Answer {
        let mut request = agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("idempotency-key", &segment.key);
        let token = self
            .orders
            .token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(token) = &token {
            let value = Zeroizing::new(format!("Bearer {}", token.as_str()));
            request = request.header("authorization", value.as_str());
        }
        match request.send(body) {
            Ok(response) => match response.status().as_u16() {
                200..=299 => Answer::Taken,
                // The request itself is at fault, so no repetition helps.
                status @ (400 | 413 | 415 | 422) => Answer::Refused(status),
                status => {
                    let after = response
                        .headers()
                        .get("retry-after")
                        .and_then(|value| value.to_str().ok()?.parse().ok())
                        .unwrap_or(0);
                    Answer::Failed(
                        format!("the webhook answers {status}"),
                        Duration::from_secs(after),
                    )
                }
            },
            // Says nothing of the URL, which may hold a password.
            Err(error) => Answer::Failed(error.to_string(), Duration::ZERO),
        }
    }
}

fn agent(software: &'static str) -> ureq::Agent {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(software.replace(' ', "/"))
        .tls_config(tls)
        .build()
        .into()
}
