//! Username fragments of sessions: where connections find their worker.

use std::collections::HashMap;
use std::sync::Arc;

use forebay_media::SessionKey;

use crate::front::Owners;

/// The fragments of every session: the current one and two before it, for
/// after a restart clients use the old one until they have heard of the new
/// (RFC 8445 §9), and a restart may be given up for another.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    owners: Arc<Owners>,
    of_session: HashMap<SessionKey, [Option<Box<str>>; 3]>,
}

impl Fragments {
    /// What the thread that accepts connections asks.
    pub(super) fn owners(&self) -> Arc<Owners> {
        Arc::clone(&self.owners)
    }

    /// A session's fragment is this one.
    pub(super) fn set(&mut self, session: SessionKey, fragment: &str, worker: u16) {
        let fragments = self.of_session.entry(session).or_default();
        if fragments[0].as_deref() != Some(fragment) {
            fragments.rotate_right(1);
            if let Some(ended) = fragments[0].replace(fragment.into()) {
                self.owners.remove(&ended);
            }
        }
        self.owners.set(fragment, worker);
    }

    /// A session is gone.
    pub(super) fn remove(&mut self, session: SessionKey) {
        let fragments = self.of_session.remove(&session);
        for fragment in fragments.into_iter().flatten().flatten() {
            self.owners.remove(&fragment);
        }
    }
}
