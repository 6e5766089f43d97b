//! One core's state and the batch loop over it.

use forebay_turn::{
    Config, Credentials, Deletion, OfferedRelay, PeerPolicy, RelaysHeld, RelayedAddr, Seeds, SocketId, Usage,
};
use forebay_wire::clock::{Instant, Now};

use crate::batch::{RxBatch, TxBatch};
use crate::counters::Counters;

/// What a shard is made from.
pub struct ShardConfig {
    /// The TURN server.
    pub turn: Config,
    /// Listening sockets have ids below this; relay sockets lie at or above.
    pub listeners: u32,
    /// Relay sockets have ids below this.
    pub sockets: u32,
    /// Datagrams larger than this are never merged into a GSO send (the kernel
    /// refuses a segment that does not fit the path's MTU).
    pub max_segment: u16,
    /// STUN messages handled in a batch that also carries media; the rest of
    /// them is dropped and counted. A batch without media has no such limit.
    pub requests_per_batch: u16,
}

/// Rare work for the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Cancel receives on this relay socket, close it, return its port. The id
    /// may be offered again only when no packet of the old socket can follow.
    CloseRelay(SocketId),
    /// An allocation was made (five-tuple client, relayed address, username).
    Created {
        /// Slot and generation.
        allocation: forebay_turn::AllocationId,
        /// Who asked.
        client: forebay_turn::ClientAddr,
        /// What was given.
        relayed: RelayedAddr,
        /// As it came: attacker data.
        username: Box<str>,
    },
    /// An allocation ended.
    Deleted {
        /// Slot and generation.
        allocation: forebay_turn::AllocationId,
        /// Why.
        reason: Deletion,
        /// What it moved.
        usage: Usage,
    },
}

/// All state of one core.
///
/// # Calling contract
/// Per round: `handle` with what arrived (may be empty), then `on_timeout`
/// when `next_deadline` has passed, then `next_command` until it is empty.
/// `Now` never goes backwards. Everything in the transmit batch must be sent
/// (or dropped) before the receive buffers are given back to the kernel.
/// `handle` does not allocate and queues nothing per packet.
pub struct Shard {}

impl Shard {
    /// Takes all memory the shard will use; see [`Shard::memory`].
    pub fn new(config: ShardConfig, seeds: Seeds) -> Self {
        todo!()
    }

    /// Handles a batch. `tx` is cleared first.
    pub fn handle(&mut self, now: Now, rx: &mut RxBatch<'_>, tx: &mut TxBatch) {
        todo!()
    }

    /// Runs the timers that are due.
    pub fn on_timeout(&mut self, now: Now) {
        todo!()
    }

    /// When `on_timeout` wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        todo!()
    }

    /// Rare work, oldest first.
    pub fn next_command(&mut self) -> Option<Command> {
        todo!()
    }

    /// Hands in a ready relay socket; see [`forebay_turn::Server::offer_relay`].
    pub fn offer_relay(&mut self, relay: OfferedRelay) -> Result<(), OfferedRelay> {
        todo!()
    }

    /// Relays in hand.
    pub fn relays_held(&self) -> RelaysHeld {
        todo!()
    }

    /// Replaces who may allocate.
    pub fn set_credentials(&mut self, credentials: &Credentials) {
        todo!()
    }

    /// Replaces the peer policy.
    pub fn set_policy(&mut self, policy: &PeerPolicy) {
        todo!()
    }

    /// Refuses new allocations from now on.
    pub fn drain(&mut self) {
        todo!()
    }

    /// Lowers the largest segment merged into a GSO send, after the kernel
    /// refused one of this size.
    pub fn lower_max_segment(&mut self, refused: u16) {
        todo!()
    }

    /// Live allocations.
    pub fn allocations(&self) -> usize {
        todo!()
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        todo!()
    }

    /// Bytes of memory taken at construction.
    pub fn memory(&self) -> usize {
        todo!()
    }
}
