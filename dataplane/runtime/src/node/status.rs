//! What the control thread knows and other threads show: metrics, health.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use forebay_ipc::stats::Stat;
use forebay_turn::Credentials;

use super::registry::{Kinds, unix_seconds};
use crate::dtls::Handshakes;
use crate::front;
use crate::usage::Tally;
use crate::worker::StatsPage;

/// Shared by the control thread, which writes, and the metrics thread, which
/// reads. No worker touches it.
#[derive(Debug)]
pub struct Status {
    /// Every worker's statistics, by index.
    pub pages: Vec<Arc<StatsPage>>,
    /// When the process started, seconds since the Unix epoch.
    pub started_at: u64,
    /// Name and version of the program.
    pub software: &'static str,
    /// Configuration reloads carried out.
    pub reloads: AtomicU64,
    /// Configuration reloads refused.
    pub reloads_failed: AtomicU64,
    /// Whether the last reload was refused.
    pub reload_refused: AtomicBool,
    /// Controllers connected: 0 or 1.
    pub controllers: AtomicU64,
    /// Whether the control plane decides who may allocate.
    pub controlled: bool,
    kinds: [[AtomicU64; 2]; 4],
    draining: AtomicBool,
    failed: AtomicBool,
    /// `None` before any credentials were set.
    loaded: Mutex<Option<Loaded>>,
    /// Unset where media is off. Weak: the threads end with the node.
    handshakes: OnceLock<Weak<Handshakes>>,
    /// Unset where clients come over UDP alone.
    front: OnceLock<Arc<front::Tally>>,
    /// Unset where no usage is recorded.
    usage: OnceLock<Arc<Tally>>,
}

/// Which credentials are in force; no key material.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// Id and end of each secret, seconds since the Unix epoch.
    pub secrets: Vec<(String, Option<u64>)>,
    /// Number of static users.
    pub users: usize,
}

/// Whether new clients can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// They can.
    Ready,
    /// Nobody could authenticate yet.
    NoCredentials,
    /// New ones are refused, the old ones finish.
    Draining,
    /// A worker is gone.
    Failed,
}

impl Status {
    pub(super) fn new(
        pages: Vec<Arc<StatsPage>>,
        software: &'static str,
        controlled: bool,
    ) -> Self {
        Self {
            pages,
            started_at: unix_seconds(),
            software,
            reloads: AtomicU64::new(0),
            reloads_failed: AtomicU64::new(0),
            reload_refused: AtomicBool::new(false),
            controllers: AtomicU64::new(0),
            controlled,
            kinds: Default::default(),
            draining: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            loaded: Mutex::new(None),
            handshakes: OnceLock::new(),
            front: OnceLock::new(),
            usage: OnceLock::new(),
        }
    }

    /// A statistic summed over the workers.
    pub fn total(&self, stat: Stat) -> u64 {
        self.pages
            .iter()
            .map(|page| page[stat as usize].load(Ordering::Relaxed))
            .sum()
    }

    /// Live allocations by kind.
    pub fn kinds(&self) -> Kinds {
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        self.kinds
            .each_ref()
            .map(|families| families.each_ref().map(read))
    }

    pub(super) fn set_kinds(&self, kinds: &Kinds) {
        for (value, count) in self.kinds.iter().flatten().zip(kinds.iter().flatten()) {
            value.store(*count, Ordering::Relaxed);
        }
    }

    /// Whether new clients can be served.
    pub fn readiness(&self) -> Readiness {
        if self.failed.load(Ordering::Relaxed) {
            Readiness::Failed
        } else if self.draining.load(Ordering::Relaxed) {
            Readiness::Draining
        } else if self.lock().is_none() {
            Readiness::NoCredentials
        } else {
            Readiness::Ready
        }
    }

    /// The credentials in force.
    pub fn loaded(&self) -> Loaded {
        self.lock().clone().unwrap_or_default()
    }

    pub(super) fn set_loaded(&self, credentials: &Credentials) {
        let secrets = credentials
            .secrets
            .iter()
            .map(|secret| (secret.id.clone(), secret.not_after.map(|moment| moment.0)))
            .collect();
        *self.lock() = Some(Loaded {
            secrets,
            users: credentials.users.len(),
        });
    }

    /// The threads that shake hands, where media is on.
    pub fn handshakes(&self) -> Option<Arc<Handshakes>> {
        self.handshakes.get()?.upgrade()
    }

    pub(super) fn set_handshakes(&self, handshakes: &Arc<Handshakes>) {
        // Set once, at start.
        let _ = self.handshakes.set(Arc::downgrade(handshakes));
    }

    /// What was counted in front of the workers, where anything is.
    pub fn front(&self) -> Option<&front::Tally> {
        self.front.get().map(Arc::as_ref)
    }

    pub(super) fn set_front(&self, tally: &Arc<front::Tally>) {
        // Set once, at start.
        let _ = self.front.set(Arc::clone(tally));
    }

    /// What became of usage records, where there are any.
    pub fn usage(&self) -> Option<&Tally> {
        self.usage.get().map(|tally| &**tally)
    }

    pub(crate) fn set_usage(&self, tally: &Arc<Tally>) {
        // Set once, at start.
        let _ = self.usage.set(Arc::clone(tally));
    }

    pub(super) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Loaded>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
