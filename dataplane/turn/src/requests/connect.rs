//! Connect (RFC 6062 §5.2).

use core::time::Duration;

use forebay_wire::clock::Instant;
use forebay_wire::stun::ErrorCode;

use crate::command::Command;
use crate::ids::PeerConnection;
use crate::server::Server;
use crate::tables::{Asked, Link, PeerData, Relay, Stage};

use super::Request;

/// How long a connection may take to come about, and how long one may wait to
/// be bound (RFC 6062 §5.2, §5.3).
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a Connect comes to.
pub(super) enum Connected {
    /// The answer follows when the peer has answered.
    Later,
    /// It is answered already, with this CONNECTION-ID: the request is a copy.
    Already(u32),
}

impl Server {
    /// Begins to connect to a peer from the relayed address.
    pub(super) fn connect(&mut self, request: &Request<'_, '_>) -> Result<Connected, ErrorCode> {
        let slot = self.own_allocation(request)?;
        let list = self
            .connections
            .list(slot)
            .ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let message = request.message;
        let (None, Some(peer)) = (message.malformed(), message.xor_peer_address()) else {
            return Err(ErrorCode::BAD_REQUEST);
        };
        let transaction = message.transaction_id();
        if let Some(found) = self
            .connections
            .to_peer(slot, peer)
            .and_then(|found| self.connections.get(found))
        {
            let copy = found
                .asked
                .as_ref()
                .is_some_and(|asked| asked.transaction == transaction);
            return match found.stage {
                Stage::Connecting if copy => Ok(Connected::Later),
                _ if copy => Ok(Connected::Already(found.id)),
                _ => Err(ErrorCode::CONNECTION_ALREADY_EXISTS),
            };
        }
        if !self.relays_to(slot, peer.is_ipv6()) {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        if !self.policy.judge_connection(peer).is_allowed() {
            return Err(ErrorCode::FORBIDDEN);
        }
        if list.len >= u32::from(self.tcp.connections_per_allocation)
            || self.connections.under_way(slot) >= usize::from(self.tcp.connecting_per_allocation)
            || self.connections.len() == self.connections.capacity()
            || !self.may_open(request.now.instant, slot, 1)
        {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        let asked = Asked {
            transaction,
            sealer: request.from.sealer(),
        };
        let connection = self
            .add_connection(request.now.instant, slot, peer, Some(asked))
            .ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
        let relay = self
            .tables
            .allocations
            .get(slot)
            .and_then(|found| found.relay(peer.is_ipv6()))
            .map(Relay::socket)
            .ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        self.commands.push_back(Command::Connect {
            connection: PeerConnection(connection),
            relay,
            peer: self.policy.behind(peer),
        });
        Ok(Connected::Later)
    }

    /// A connection that is under way, or was made by the peer. `None` without
    /// room.
    pub(crate) fn add_connection(
        &mut self,
        now: Instant,
        allocation: u32,
        peer: core::net::SocketAddr,
        asked: Option<Asked>,
    ) -> Option<u32> {
        let shared = (self.shared.shard(), self.shared.shards());
        let mut id = self.tickets.connection(shared);
        while self.connections.with_id(id).is_some() {
            id = self.tickets.connection(shared);
        }
        let stage = match asked {
            Some(_) => Stage::Connecting,
            None => Stage::Waiting,
        };
        let slot = self.connections.add(PeerData {
            allocation,
            peer,
            id,
            stage,
            expires: now + PATIENCE,
            asked,
            link: Link::ALONE,
        })?;
        self.arm_connection(slot);
        Some(slot)
    }
}
