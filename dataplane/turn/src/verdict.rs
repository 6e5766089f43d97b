//! What the fast path answers: where a packet goes, or why it does not.

use core::net::SocketAddr;

use crate::ids::{
    AllocationId, ChannelNumber, ClientFlow, FiveTuple, PeerAddr, PeerFlow, SocketId,
};

/// Relay a client's payload to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToPeer {
    /// The allocation that pays for it.
    pub allocation: AllocationId,
    /// The relay socket it leaves from.
    pub relay: SocketId,
    /// Where it goes: the peer's address, or the local relay address behind it
    /// when the peer is another allocation of this host.
    pub destination: SocketAddr,
    /// Coalescing key; equal flows have equal `relay`, but a flow without a
    /// channel may change its `destination`.
    pub flow: PeerFlow,
}

/// How a peer's payload is wrapped for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// ChannelData on this channel.
    Channel(ChannelNumber),
    /// A Data indication naming this peer.
    DataIndication(PeerAddr),
}

/// Relay a peer's payload to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToClient {
    /// The allocation that pays for it.
    pub allocation: AllocationId,
    /// The client, the socket and the local address to send from.
    pub tuple: FiveTuple,
    /// How to wrap the payload.
    pub framing: Framing,
    /// Coalescing key.
    pub flow: ClientFlow,
}

/// Why a packet is not relayed or a message not answered. Never an error:
/// callers count it and go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No allocation on this five-tuple or relay socket.
    NoAllocation,
    /// The channel is not bound (any more).
    NoChannel,
    /// No permission for the peer's address (any more).
    NoPermission,
    /// The peer's address is denied by policy.
    PeerDenied,
    /// The bytes are not a well-formed message.
    Malformed,
    /// A STUN message a server has no answer for (responses, unknown
    /// indications).
    Unexpected,
    /// FINGERPRINT is present and wrong.
    BadFingerprint,
    /// The budget for unauthenticated answers to this source prefix is spent.
    PrefixBudget,
    /// The allocation has moved as much as one may.
    AllocationBandwidth,
    /// The user has.
    UserBandwidth,
    /// The host has, and the allocation more than its share of it.
    HostBandwidth,
    /// The buffer that was lent is too short for an answer, or commands were
    /// left unfetched.
    NoRoom,
}
