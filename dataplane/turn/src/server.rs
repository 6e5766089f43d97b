//! The server: one shard's allocations and the requests that make them.

use core::net::SocketAddr;

use forebay_wire::clock::Now;

use crate::command::{Command, Usage};
use crate::config::{Config, Credentials, Seeds};
use crate::ids::{AllocationId, ChannelNumber, FiveTuple, PeerAddr, RelayedAddr, SocketId};
use crate::policy::PeerPolicy;
use crate::verdict::{Refusal, ToClient, ToPeer};

/// A relay socket that is bound and receiving, ready to be given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferedRelay {
    /// The socket.
    pub socket: SocketId,
    /// The address it is bound to.
    pub local: SocketAddr,
    /// The address clients are told.
    pub relayed: RelayedAddr,
}

/// How many relays the server holds ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelaysHeld {
    /// IPv4 relays in hand.
    pub v4: usize,
    /// IPv6 relays in hand.
    pub v6: usize,
}

/// What became of a STUN message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Send the first `n` bytes of the lent buffer back to the source.
    Reply(usize),
    /// Nothing to send, counted under this reason.
    Silent(Refusal),
}

/// One shard's TURN server.
///
/// # Calling contract
/// - Time never goes backwards between calls.
/// - `channel_to_peer`, `send_to_peer`, `from_peer` and `count` are the fast
///   path: no allocation, no command is queued.
/// - `request`, `on_timer` and the administrative calls may queue commands;
///   fetch [`Server::next_command`] until it is empty after each of them.
/// - Hand in relays with `offer_relay` before requests, so that Allocate finds
///   one; with none in hand of the family asked for, it answers 508.
pub struct Server {
    commands: std::collections::VecDeque<Command>,
}

impl Server {
    /// Takes all memory the shard will ever use.
    pub fn new(config: Config, seeds: Seeds) -> Self {
        todo!()
    }

    /// Replaces who may allocate; live allocations keep their key.
    pub fn set_credentials(&mut self, credentials: &Credentials) {
        todo!()
    }

    /// Replaces the peer policy and drops the permissions and channels that it
    /// now denies.
    pub fn set_policy(&mut self, policy: &PeerPolicy) {
        todo!()
    }

    /// Refuses new allocations with 508 from now on; live ones go on.
    pub fn drain(&mut self) {
        todo!()
    }

    /// Hands in a ready relay socket. Given back when as many are in hand as
    /// there are free allocation slots.
    pub fn offer_relay(&mut self, relay: OfferedRelay) -> Result<(), OfferedRelay> {
        todo!()
    }

    /// Relays in hand.
    pub fn relays_held(&self) -> RelaysHeld {
        todo!()
    }

    /// Fast path: ChannelData from a client.
    pub fn channel_to_peer(&mut self, now: Now, tuple: &FiveTuple, channel: ChannelNumber) -> Result<ToPeer, Refusal> {
        todo!()
    }

    /// Fast path: a Send indication whose XOR-PEER-ADDRESS is `peer`.
    pub fn send_to_peer(&mut self, now: Now, tuple: &FiveTuple, peer: PeerAddr) -> Result<ToPeer, Refusal> {
        todo!()
    }

    /// Fast path: a datagram on a relay socket; `source` as the kernel gave it.
    pub fn from_peer(&mut self, now: Now, relay: SocketId, source: SocketAddr) -> Result<ToClient, Refusal> {
        todo!()
    }

    /// Fast path: adds to an allocation's usage.
    pub fn count_to_peer(&mut self, allocation: AllocationId, packets: u32, bytes: u32) {
        todo!()
    }

    /// Fast path: adds to an allocation's usage.
    pub fn count_to_client(&mut self, allocation: AllocationId, packets: u32, bytes: u32) {
        todo!()
    }

    /// Handles a STUN message other than a Send indication and writes the
    /// answer into `answer` (lend at least [`Server::MAX_ANSWER`] bytes).
    pub fn request(&mut self, now: Now, tuple: &FiveTuple, datagram: &[u8], answer: &mut [u8]) -> Outcome {
        todo!()
    }

    /// A timer armed by [`Command::Arm`] is due.
    pub fn on_timer(&mut self, now: Now, token: u64) {
        todo!()
    }

    /// The next queued command, oldest first.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Ends an allocation on the operator's behalf. False if it is gone.
    pub fn delete(&mut self, now: Now, allocation: AllocationId) -> bool {
        todo!()
    }

    /// Live allocations.
    pub fn allocations(&self) -> usize {
        todo!()
    }

    /// What an allocation moved so far.
    pub fn usage(&self, allocation: AllocationId) -> Option<Usage> {
        todo!()
    }

    /// One more than the largest [`PeerFlow`](crate::PeerFlow) index.
    pub fn peer_flows(&self) -> usize {
        todo!()
    }

    /// The most timers armed at once.
    pub fn timers(&self) -> usize {
        todo!()
    }

    /// Bytes of memory taken at construction.
    pub fn memory(&self) -> usize {
        todo!()
    }

    /// The longest answer ever written.
    pub const MAX_ANSWER: usize = 1280;
}
