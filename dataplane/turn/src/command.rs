//! Rare work the caller carries out.

use core::net::SocketAddr;

use forebay_wire::clock::Instant;

use crate::ids::{AllocationId, FiveTuple, PeerConnection, RelayedAddr, SocketId};

/// Work queued by [`Server`](crate::Server), fetched with
/// [`Server::next_command`](crate::Server::next_command).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Call [`Server::on_timer`](crate::Server::on_timer) with this token at
    /// or shortly after this time. Each token is armed at most once at a time,
    /// and never more of them than [`Server::timers`](crate::Server::timers).
    Arm {
        /// Opaque.
        token: u64,
        /// When to call.
        at: Instant,
    },
    /// The allocation is gone; close its relay socket.
    CloseRelay(SocketId),
    /// Connect to a peer from the address of a listening relay, and say what
    /// became of it with [`Server::connected`](crate::Server::connected).
    Connect {
        /// The connection to be.
        connection: PeerConnection,
        /// The relay.
        relay: SocketId,
        /// The peer's address, or the local relay address behind it when the
        /// peer is another allocation of this host.
        peer: SocketAddr,
    },
    /// A connection takes too long to come about: give it up, and say so with
    /// [`Server::connected`](crate::Server::connected).
    GiveUp(PeerConnection),
    /// An allocation was made.
    Created {
        /// Its id.
        allocation: AllocationId,
        /// Who asked, and through which of our sockets.
        tuple: FiveTuple,
        /// What was given.
        relayed: RelayedAddr,
        /// The relay socket's own address.
        local: SocketAddr,
        /// Whether peers connect to it over TCP.
        tcp: bool,
        /// The authenticated username, as it came: attacker data in a log.
        username: Box<str>,
    },
    /// An allocation ended.
    Deleted {
        /// Its id.
        allocation: AllocationId,
        /// Why.
        reason: Deletion,
        /// What it moved.
        usage: Usage,
    },
}

/// A live allocation, as [`Server::survey`](crate::Server::survey) finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surveyed {
    /// Its id.
    pub allocation: AllocationId,
    /// Where its client is now.
    pub tuple: FiveTuple,
    /// When it ends unless it is refreshed.
    pub expires: Instant,
    /// What it moved so far.
    pub usage: Usage,
}

/// Why an allocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deletion {
    /// Its lifetime passed without a Refresh.
    Expired,
    /// The client refreshed it with lifetime zero.
    ClosedByClient,
    /// The connection it was made over is gone.
    Disconnected,
    /// The operator or a policy ended it.
    Administrative,
}

/// What an allocation moved, payload only (no TURN framing, no IP headers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Packets relayed from the client to peers.
    pub to_peer_packets: u64,
    /// Bytes relayed from the client to peers.
    pub to_peer_bytes: u64,
    /// Packets relayed from peers to the client.
    pub to_client_packets: u64,
    /// Bytes relayed from peers to the client.
    pub to_client_bytes: u64,
}
