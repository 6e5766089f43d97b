//! What a shard asks its worker for.

use core::net::IpAddr;

use forebay_media::{Event, SessionKey};
use forebay_turn::{Deletion, FiveTuple, RelayedAddr, SocketId, Usage};

use crate::tcp::TcpCommand;

/// Rare work for the worker.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Cancel receives on this relay socket, close it, return its port. The id
    /// may be offered again only when no packet of the old socket can follow.
    CloseRelay(SocketId),
    /// An allocation was made (five-tuple, relayed address, username).
    Created {
        /// Slot and generation.
        allocation: forebay_turn::AllocationId,
        /// Who asked, and through which of our sockets.
        tuple: FiveTuple,
        /// What was given.
        relayed: RelayedAddr,
        /// Whether peers connect to it over TCP.
        tcp: bool,
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
    /// Give a request to the shard that holds what it is about, and let it have
    /// whatever else this client sends to this address: it answers from the
    /// listening socket of the same id.
    Forward {
        /// That shard's number.
        shard: u16,
        /// The listening socket it came to, and who sent it to which address.
        tuple: FiveTuple,
        /// As received.
        request: Box<[u8]>,
    },
    /// Hand a DTLS datagram to the session's handshake.
    Dtls {
        /// Whose.
        session: SessionKey,
        /// Who sent it.
        source: IpAddr,
        /// As received; at most 1,500 bytes.
        datagram: Box<[u8]>,
    },
    /// Something happened to media.
    Media(Event),
    /// About connections with peers.
    Tcp(TcpCommand),
}
