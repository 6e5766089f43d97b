//! DTLS handshakes (RFC 5764, RFC 6347, RFC 9147) on helper threads: never on
//! a worker's core.
//!
//! The owner of sessions tells [`Handshakes`] which there are and what
//! certificate each peer announced. Workers put datagrams into an
//! [`Entrance`]; what comes of them goes through the closure given at start,
//! as [`Outcome`]s for the session's worker. Nothing is done for a session
//! that was not announced, so a datagram from anywhere makes no state: workers
//! forward only what follows an authenticated ICE check.

mod association;
pub mod client_hello;
mod helper;
mod identity;
mod registry;

pub use association::{Association, Failure, HANDSHAKE_TIMEOUT, News, Reaction, Terms};
pub use identity::{CertificateError, Fingerprint, Identity};

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Sender, TrySendError, bounded};
use forebay_media::SessionKey;
use forebay_media::srtp::Keys;
use helper::{Helper, Input};
use identity::Identities;
use registry::Registry;

/// Datagrams that may wait for a helper. More is what a flood leaves; the
/// handshakes among it retransmit.
const QUEUE: usize = 1024;

/// Sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Helper threads, at least one.
    pub threads: usize,
    /// Sessions known at a time.
    pub sessions: usize,
    /// Handshakes running at a time.
    pub handshakes: usize,
    /// Handshakes running at a time with one source network (/24, /56).
    pub handshakes_per_source: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: 1,
            sessions: 65_536,
            handshakes: 4096,
            // A school behind one address joins its rooms at nine o'clock.
            handshakes_per_source: 1024,
        }
    }
}

/// What became of a datagram or of time passing, for the session's worker.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// Send these to the peer, in this order.
    Send {
        /// Whose.
        session: SessionKey,
        /// Each at most 1,200 bytes.
        datagrams: Vec<Box<[u8]>>,
    },
    /// The handshake is done, with the announced certificate. At most once
    /// per session.
    Keys {
        /// Whose.
        session: SessionKey,
        /// They protect its media.
        keys: Keys,
    },
    /// The session gets no keys.
    Failed {
        /// Which.
        session: SessionKey,
        /// Why.
        why: Failure,
    },
    /// The peer closed the association after the handshake.
    Closed {
        /// Which.
        session: SessionKey,
    },
}

impl Outcome {
    /// Whose.
    pub fn session(&self) -> SessionKey {
        match self {
            Self::Send { session, .. }
            | Self::Keys { session, .. }
            | Self::Failed { session, .. }
            | Self::Closed { session } => *session,
        }
    }
}

/// Hands an outcome to a worker, by its index; gives it back when the worker
/// has no room now. What must not get lost is then offered again.
pub type Deliver = Arc<dyn Fn(usize, Outcome) -> Result<(), Outcome> + Send + Sync>;

/// Helpers could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The cryptography the library was built with is not usable.
    #[error("the DTLS crypto provider is not usable")]
    Provider,
    /// No thread.
    #[error("cannot start a DTLS helper thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// No room for one more session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many sessions for DTLS")]
pub struct Full;

/// Counters since start.
#[derive(Debug, Default)]
pub struct Tally {
    /// Handshakes begun.
    pub started: AtomicU64,
    /// Handshakes that led to keys.
    pub completed: AtomicU64,
    /// Handshakes that failed.
    pub failed: AtomicU64,
    /// Datagrams dropped because a helper's queue was full.
    pub queue_full: AtomicU64,
    /// Datagrams dropped because too many handshakes were running, in all or
    /// with their source network.
    pub over_budget: AtomicU64,
}

impl Tally {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The helper threads. Dropping it ends them.
pub struct Handshakes {
    entrance: Entrance,
    registries: Box<[Arc<Registry>]>,
    identities: Identities,
    threads: Vec<JoinHandle<()>>,
}

impl Handshakes {
    /// Makes a certificate and starts the threads.
    ///
    /// # Errors
    /// When either fails.
    pub fn start(settings: Settings, deliver: Deliver) -> Result<Self, StartError> {
        let threads = settings.threads.max(1);
        let terms = Terms::new().ok_or(StartError::Provider)?;
        let tally = Arc::new(Tally::default());
        let mut inputs = Vec::with_capacity(threads);
        let mut registries = Vec::with_capacity(threads);
        let mut handles = Vec::with_capacity(threads);
        for index in 0..threads {
            let (sender, receiver) = bounded(QUEUE);
            let registry = Arc::new(Registry::new(settings.sessions.div_ceil(threads)));
            let helper = Helper::new(
                receiver,
                registry.clone(),
                terms.clone(),
                deliver.clone(),
                tally.clone(),
                settings.handshakes.div_ceil(threads),
                settings.handshakes_per_source.div_ceil(threads),
            );
            let name = format!("dtls-{index}");
            let handle = std::thread::Builder::new().name(name);
            handles.push(handle.spawn(move || helper.run())?);
            inputs.push(sender);
            registries.push(registry);
        }
        Ok(Self {
            entrance: Entrance {
                inputs: inputs.into(),
                tally,
            },
            registries: registries.into(),
            identities: Identities::new(Instant::now())?,
            threads: handles,
        })
    }

    /// The fingerprint of the certificate that sessions announced from now on
    /// will show.
    pub fn fingerprint(&self) -> Fingerprint {
        self.identities.current().fingerprint()
    }

    /// Makes a new certificate when the current one is a week old, and returns
    /// its fingerprint. Sessions that are known keep theirs. Call it now and
    /// then.
    ///
    /// # Errors
    /// When none can be made: the old one stays.
    pub fn renew(&self) -> Result<Option<Fingerprint>, CertificateError> {
        self.identities.renew(Instant::now())
    }

    /// Announces a session, or what its peer's certificate must match. No
    /// keys come before that is known.
    ///
    /// # Errors
    /// When there are too many; nothing changed.
    pub fn set(
        &self,
        session: SessionKey,
        worker: usize,
        expected: Option<Fingerprint>,
    ) -> Result<(), Full> {
        let place = self.entrance.place(session);
        let identity = self.identities.current();
        self.registries[place].set(session, worker, expected, identity)?;
        self.entrance.wake(place);
        Ok(())
    }

    /// Forgets a session; nothing happens when it is not known.
    pub fn remove(&self, session: SessionKey) {
        let place = self.entrance.place(session);
        self.registries[place].remove(session);
        self.entrance.wake(place);
    }

    /// For the workers.
    pub fn entrance(&self) -> Entrance {
        self.entrance.clone()
    }

    /// What was counted.
    pub fn tally(&self) -> &Tally {
        &self.entrance.tally
    }
}

impl core::fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Handshakes").finish_non_exhaustive()
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        for (place, registry) in self.registries.iter().enumerate() {
            registry.stop();
            self.entrance.wake(place);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Where workers put datagrams.
#[derive(Clone)]
pub struct Entrance {
    inputs: Arc<[Sender<Input>]>,
    tally: Arc<Tally>,
}

impl Entrance {
    /// Hands a datagram over, without waiting: when the helper's queue is
    /// full it is dropped and counted.
    pub fn put(&self, session: SessionKey, source: IpAddr, datagram: Box<[u8]>) {
        let input = Input::Datagram {
            session,
            source,
            datagram,
        };
        if let Err(TrySendError::Full(_)) = self.inputs[self.place(session)].try_send(input) {
            Tally::add(&self.tally.queue_full);
        }
    }

    /// Session keys are random, so they spread.
    fn place(&self, session: SessionKey) -> usize {
        (session.0 % self.inputs.len() as u64) as usize
    }

    /// Makes a helper look at its registry; one with a full queue will anyway.
    fn wake(&self, place: usize) {
        let _ = self.inputs[place].try_send(Input::Look);
    }
}
