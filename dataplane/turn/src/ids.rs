//! Role newtypes: no bare address, port or index crosses this crate's border.

use core::net::{IpAddr, SocketAddr};

/// A kernel socket as its worker knows it. Listening sockets and relay sockets
/// share one number space of small dense indices. The owner guarantees that
/// once a relay was closed, no packet of its former use arrives under the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u32);

/// The client's transport address as the server sees it (RFC 8656: the
/// client's host or server-reflexive transport address).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientAddr(pub SocketAddr);

/// The transport address of a peer as the client names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddr(pub SocketAddr);

/// A relayed transport address as it is told to the client (public, where the
/// host sits behind a one-to-one NAT).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayedAddr(pub SocketAddr);

/// What identifies an allocation on the client's side: the client's address,
/// the listening socket (which implies transport and server port) and the
/// local address the packet came to (a wildcard listener has many).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FiveTuple {
    /// The listening socket.
    pub socket: SocketId,
    /// The client.
    pub client: ClientAddr,
    /// The server address the client sent to; answers leave from it.
    pub local: IpAddr,
}

impl FiveTuple {
    /// Whether the client came over a connection of its own (TCP, TLS, DTLS);
    /// `first` as in [`Config::first_stream`](crate::Config::first_stream).
    #[inline]
    pub fn is_stream(&self, first: SocketId) -> bool {
        self.socket >= first
    }
}

/// A channel number within 0x4000–0x7FFF. RFC 8656 §12 ends at 0x4FFF, RFC 5766
/// did at 0x7FFF, and clients that choose from the whole of it are about
/// (coturn's own). Nothing else on a TURN port has these first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The number, if it may name a channel.
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            0x4000..=0x7FFF => Some(Self(number)),
            _ => None,
        }
    }

    /// The number as it stands on the wire.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// An allocation: slot and generation, so that a stale id never names the
/// slot's next owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AllocationId {
    /// Dense index below [`Capacity::allocations`](crate::Capacity).
    pub slot: u32,
    /// Counts the slot's owners.
    pub generation: u32,
}

/// A peer data connection (RFC 6062): dense index below
/// [`TcpRelay::connections`](crate::TcpRelay). The same number is given to
/// another only after [`Server::released`](crate::Server::released).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerConnection(pub u32);

/// Dense index of everything one client sends to one peer, below
/// [`Server::peer_flows`](crate::Server::peer_flows). Packets of one flow keep
/// their order, so this is what a caller coalesces by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerFlow(pub u32);

/// Dense index of everything that is sent to one client, below
/// [`Capacity::allocations`](crate::Capacity).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientFlow(pub u32);
