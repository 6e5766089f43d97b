//! Who there is in the shard's world.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use forebay_turn::{PeerPolicy, RelayMapping, SocketId};

use super::world::World;

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(a: u16, b: u16, h: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, h))
}

/// The listening sockets, their index being their id.
pub(super) const LISTENERS: [SocketAddr; 2] = [
    SocketAddr::new(v4(11, 0, 0, 1), 3478),
    SocketAddr::new(v6(0x2a00, 1, 1), 3478),
];

/// Where relays are bound, and how the world sees that.
pub(super) const RELAYS: [RelayMapping; 2] = [
    RelayMapping {
        local: v4(10, 0, 0, 5),
        public: v4(11, 0, 0, 5),
    },
    RelayMapping {
        local: v6(0x2a00, 1, 5),
        public: v6(0x2a00, 1, 5),
    },
];

/// More than the shard can ever hold, so that ids and ports come back into use.
pub(super) const SOCKETS: u32 = 40;

/// Clients and the listener each talks to; the last two over a connection each.
pub(super) const CLIENTS: [(SocketAddr, SocketId); 7] = [
    (SocketAddr::new(v4(12, 0, 0, 1), 5000), SocketId(0)),
    (SocketAddr::new(v4(12, 0, 0, 1), 5001), SocketId(0)),
    (SocketAddr::new(v4(12, 0, 1, 9), 5000), SocketId(0)),
    (SocketAddr::new(v6(0x2a00, 2, 1), 5000), SocketId(1)),
    (SocketAddr::new(v6(0x2a00, 2, 2), 5000), SocketId(1)),
    (SocketAddr::new(v4(12, 0, 2, 1), 5000), SocketId(SOCKETS)),
    (
        SocketAddr::new(v4(12, 0, 2, 1), 5001),
        SocketId(SOCKETS + 1),
    ),
];

/// Whether a socket is a client's rather than a relay's.
pub(super) fn is_clients(socket: SocketId) -> bool {
    socket.0 >= SOCKETS || (socket.0 as usize) < LISTENERS.len()
}

/// The server's address on a client's side.
pub(super) fn local_of(socket: SocketId) -> SocketAddr {
    *LISTENERS.get(socket.0 as usize).unwrap_or(&LISTENERS[0])
}

/// Peers: reachable ones, one that is denied by its range, one below the
/// lowest port, IPv4 within IPv6, and a listener of the server's own.
const PEERS: [SocketAddr; 8] = [
    SocketAddr::new(v4(13, 0, 0, 1), 6000),
    SocketAddr::new(v4(13, 0, 0, 1), 6001),
    SocketAddr::new(v4(13, 0, 0, 2), 6000),
    SocketAddr::new(v6(0x2a00, 3, 1), 6000),
    SocketAddr::new(v4(10, 0, 0, 1), 6000),
    SocketAddr::new(v4(13, 0, 0, 3), 53),
    SocketAddr::new(
        IpAddr::V6(Ipv4Addr::new(13, 0, 0, 1).to_ipv6_mapped()),
        6000,
    ),
    LISTENERS[0],
];

/// A peer of the table, or the relayed address of an allocation.
pub(super) fn peer(choice: u8, world: &World) -> SocketAddr {
    let index = usize::from(choice) % (PEERS.len() + 4);
    match PEERS.get(index) {
        Some(peer) => *peer,
        None => world.relayed(index - PEERS.len()).unwrap_or(PEERS[0]),
    }
}

/// The policy of a server with these relays and listeners.
pub(super) fn policy() -> PeerPolicy {
    PeerPolicy {
        never: LISTENERS.to_vec(),
        relays: RELAYS.to_vec(),
        ..PeerPolicy::default()
    }
}

/// As [`policy`], with one of the peers denied and a private one allowed.
pub(super) fn strict_policy() -> PeerPolicy {
    PeerPolicy {
        allow: vec![PEERS[4].ip().into()],
        deny: vec![PEERS[0].ip().into()],
        ..policy()
    }
}

/// As [`policy`], without relays of this host and open to every port.
pub(super) fn open_policy() -> PeerPolicy {
    PeerPolicy {
        relays: Vec::new(),
        lowest_port: 1,
        ..policy()
    }
}
