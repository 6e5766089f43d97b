//! To the workers.

use std::sync::Arc;

use super::tally::{Refusal, Tally};
use crate::streams::Connection;
use crate::worker::Mailer;

/// Hands connections to whoever has the fewest.
#[derive(Debug, Clone)]
pub(super) struct Workers {
    mailers: Arc<[Mailer]>,
    tally: Arc<Tally>,
}

impl Workers {
    pub(super) fn new(mailers: Vec<Mailer>, tally: Arc<Tally>) -> Self {
        Self {
            mailers: mailers.into(),
            tally,
        }
    }

    /// The connection is closed when no worker takes it.
    pub(super) fn adopt(&self, connection: Connection) {
        let transport = connection.transport;
        let mailer = self.mailers.iter().min_by_key(|mailer| mailer.streams());
        match mailer.map(|mailer| mailer.adopt(connection)) {
            Some(Ok(())) => Tally::per(&self.tally.streams, transport),
            _ => self.tally.refuse(Refusal::Workers),
        }
    }
}
