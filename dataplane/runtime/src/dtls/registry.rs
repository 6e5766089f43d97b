//! Which sessions there are, as their owner says; read by their helper.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay_media::SessionKey;

use super::Full;
use super::identity::{Fingerprint, Identity};

/// A session that may shake hands.
#[derive(Clone)]
pub(super) struct Registered {
    pub(super) worker: usize,
    pub(super) expected: Option<Fingerprint>,
    pub(super) identity: Arc<Identity>,
}

/// A helper's sessions. Behind a lock, because news of them must not get lost
/// as a datagram may: no worker ever takes it.
pub(super) struct Registry {
    capacity: usize,
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    sessions: HashMap<SessionKey, Registered>,
    /// Sessions whose entry changed or went.
    changed: HashSet<SessionKey>,
    stopped: bool,
}

impl Registry {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            content: Mutex::default(),
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session that is known keeps its worker and its identity.
    pub(super) fn set(
        &self,
        session: SessionKey,
        worker: usize,
        expected: Option<Fingerprint>,
        identity: Arc<Identity>,
    ) -> Result<(), Full> {
        let mut content = self.content();
        if let Some(known) = content.sessions.get_mut(&session) {
            if expected.is_some() && known.expected != expected {
                known.expected = expected;
                content.changed.insert(session);
            }
            return Ok(());
        }
        if content.sessions.len() >= self.capacity {
            return Err(Full);
        }
        let registered = Registered {
            worker,
            expected,
            identity,
        };
        content.sessions.insert(session, registered);
        Ok(())
    }

    pub(super) fn remove(&self, session: SessionKey) {
        let mut content = self.content();
        if content.sessions.remove(&session).is_some() {
            content.changed.insert(session);
        }
    }

    pub(super) fn stop(&self) {
        self.content().stopped = true;
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.content().stopped
    }

    pub(super) fn get(&self, session: SessionKey) -> Option<Registered> {
        self.content().sessions.get(&session).cloned()
    }

    /// What changed since the last call, with what is so now.
    pub(super) fn changes(&self) -> Vec<(SessionKey, Option<Registered>)> {
        let mut content = self.content();
        let changed = core::mem::take(&mut content.changed);
        changed
            .into_iter()
            .map(|session| (session, content.sessions.get(&session).cloned()))
            .collect()
    }
}
