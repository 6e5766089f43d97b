//! ICE-lite (RFC 8445 §2.5) with consent by the peer's checks (RFC 7675).

mod answer;
mod credentials;
mod tuples;

pub(crate) use answer::{Refused, answer, refuse, understood};
pub(crate) use credentials::Credentials;
pub(crate) use tuples::Tuples;

use core::time::Duration;

use forebay_wire::clock::Instant;

use crate::describe::IceCredentials;

/// Without a check for so long, a session counts as disconnected.
pub(crate) const DISCONNECTED: Duration = Duration::from_secs(15);
/// Without a check for so long, consent has expired (RFC 7675 §5.1).
pub(crate) const EXPIRED: Duration = Duration::from_secs(30);

/// Which credentials a check used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    Current,
    Previous,
}

/// A session's ICE state.
pub(crate) struct Ice {
    /// Boxed: precomputed keys are a kilobyte.
    current: Box<Credentials>,
    /// Those before a restart, until the first good check on the current.
    previous: Option<Box<Credentials>>,
    pub(crate) tuples: Tuples,
    /// When the session was made, or the last good check came.
    heard: Instant,
    /// A good check came at some time.
    pub(crate) connected: bool,
    /// It was said that checks have stopped.
    pub(crate) disconnected: bool,
}

impl Ice {
    pub(crate) fn new(now: Instant, local: &IceCredentials, remote: Option<&str>) -> Option<Self> {
        Some(Self {
            current: Box::new(Credentials::new(local, remote)?),
            previous: None,
            tuples: Tuples::default(),
            heard: now,
            connected: false,
            disconnected: false,
        })
    }

    pub(crate) fn credentials(&self, generation: Generation) -> Option<&Credentials> {
        match generation {
            Generation::Current => Some(&self.current),
            Generation::Previous => self.previous.as_deref(),
        }
    }

    /// Which of them has this local fragment.
    pub(crate) fn generation(&self, fragment: &[u8]) -> Option<Generation> {
        let is = |credentials: &Credentials| credentials.ufrag().as_bytes() == fragment;
        if is(&self.current) {
            Some(Generation::Current)
        } else {
            self.previous
                .as_ref()
                .is_some_and(|previous| is(previous))
                .then_some(Generation::Previous)
        }
    }

    /// All that are valid.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Credentials> {
        core::iter::once(&*self.current).chain(self.previous.as_deref())
    }

    /// Takes a changed description in. Returns the credentials that are no
    /// longer valid, if any, and whether new ones were added: the caller's
    /// table of fragments follows. `None` when they are misshapen.
    pub(crate) fn set(&mut self, local: &IceCredentials, remote: Option<&str>) -> Option<Restart> {
        if self.current.is(local) {
            self.current.set_remote(remote)?;
            return Some(Restart::No);
        }
        if self.previous.as_ref().is_some_and(|old| old.is(local)) {
            return None;
        }
        let new = Box::new(Credentials::new(local, remote)?);
        let replaced = core::mem::replace(&mut self.current, new);
        // Credentials nobody has used yet give way; proven ones stay.
        let dropped = match &self.previous {
            None => {
                self.previous = Some(replaced);
                None
            }
            Some(_) => Some(replaced),
        };
        Some(Restart::Yes { dropped })
    }

    /// Notes a good check. Returns the old credentials when they end by it.
    pub(crate) fn heard(
        &mut self,
        now: Instant,
        generation: Generation,
    ) -> Option<Box<Credentials>> {
        self.heard = now;
        self.connected = true;
        match generation {
            Generation::Current => self.previous.take(),
            Generation::Previous => None,
        }
    }

    /// Time since the last good check, or since the session was made.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        now.since(self.heard)
    }
}

/// What became of a changed description.
pub(crate) enum Restart {
    /// The credentials are the same.
    No,
    /// New ones were added, and these ended.
    Yes { dropped: Option<Box<Credentials>> },
}
