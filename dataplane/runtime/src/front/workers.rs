//! To the workers.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use forebay_turn::shard_of_connection;

use super::tally::{Refusal, Tally};
use crate::streams::Connection;
use crate::worker::Mailer;

/// How many connections more than the emptiest a worker may have before its
/// clients are sent there.
const AHEAD: usize = 64;

/// Hands connections over. Those of one client go to one worker, where the
/// token for a port it holds can be claimed (RFC 8656 §18.10), as long as
/// that worker is not far ahead of the others.
#[derive(Debug, Clone)]
pub(super) struct Workers {
    mailers: Arc<[Mailer]>,
    hasher: RandomState,
    tally: Arc<Tally>,
}

impl Workers {
    pub(super) fn new(mailers: Vec<Mailer>, tally: Arc<Tally>) -> Self {
        Self {
            mailers: mailers.into(),
            hasher: RandomState::new(),
            tally,
        }
    }

    /// The connection is closed when no worker takes it. `binds`: the
    /// CONNECTION-ID of the peer's connection that it takes up.
    pub(super) fn adopt(&self, connection: Connection, binds: Option<u32>) {
        let transport = connection.transport;
        let owner = binds.and_then(|id| self.owner(id));
        let taken = self.emptiest().and_then(|emptiest| {
            if let Some(owner) = owner {
                return owner.adopt(connection).ok();
            }
            let home = self.home(connection.client.ip(), emptiest);
            home.adopt(connection)
                .or_else(|connection| emptiest.adopt(*connection))
                .ok()
        });
        match taken {
            Some(()) => Tally::per(&self.tally.streams, transport),
            None => self.tally.refuse(Refusal::Workers),
        }
    }

    /// The worker that has the peer's connection of this id: a worker is a shard
    /// of the same number.
    fn owner(&self, id: u32) -> Option<&Mailer> {
        let count = u16::try_from(self.mailers.len()).unwrap_or(u16::MAX);
        self.mailers
            .get(usize::from(shard_of_connection(id, count)))
    }

    fn emptiest(&self) -> Option<&Mailer> {
        self.mailers.iter().min_by_key(|mailer| mailer.streams())
    }

    fn home<'a>(&'a self, client: IpAddr, emptiest: &'a Mailer) -> &'a Mailer {
        let hash = self.hasher.hash_one(client.to_canonical());
        let place = (hash % self.mailers.len().max(1) as u64) as usize;
        match self.mailers.get(place) {
            Some(home) if home.streams() <= emptiest.streams() + AHEAD => home,
            _ => emptiest,
        }
    }

    /// To this worker and no other. The connection is closed when it does not
    /// take it.
    pub(super) fn give(&self, worker: u16, connection: Connection) {
        let mailer = self.mailers.get(usize::from(worker));
        match mailer.map(|mailer| mailer.adopt(connection)) {
            Some(Ok(())) => Tally::add(&self.tally.media),
            _ => self.tally.refuse(Refusal::Workers),
        }
    }
}
