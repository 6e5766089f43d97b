//! The first pass over a batch: everything that is relayed.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use forebay_turn::{AllocationId, ClientAddr, FiveTuple, Framing, Refusal, Server, SocketId};
use forebay_wire::clock::Now;

use crate::batch::TxBatch;
use crate::counters::{Counters, DropReason};
use crate::runs::{Route, Runs, Span};

/// One pass. It remembers the last verdict in each direction: packets of one
/// flow arrive next to each other, and within a pass nothing that a verdict
/// depends on changes.
pub(crate) struct Media<'a> {
    pub(crate) now: Now,
    pub(crate) server: &'a mut Server,
    pub(crate) counters: &'a mut Counters,
    pub(crate) to_peers: &'a mut Runs,
    pub(crate) to_clients: &'a mut Runs,
    pub(crate) memory: &'a mut [u8],
    pub(crate) tx: &'a mut TxBatch,
    /// State of the generator of transaction ids.
    pub(crate) transactions: &'a mut u64,
    /// Three zero bytes in the batch's header arena, once somebody needs them.
    pub(crate) zeros: Option<Span>,
    /// Sockets from this id on are connections.
    pub(crate) first_stream: SocketId,
    pub(crate) last_to_peer: LastToPeer,
    pub(crate) last_to_client: LastToClient,
}

/// Packets and bytes that are not yet on an allocation's account.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moved {
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

impl Moved {
    #[inline]
    pub(crate) fn add(&mut self, bytes: u32) {
        self.packets += 1;
        self.bytes += bytes;
    }
}

/// The verdict on what a client sent last.
pub(crate) struct LastToPeer {
    pub(crate) tuple: FiveTuple,
    /// The channel it is about, or zero.
    pub(crate) channel: u16,
    /// The peer of the Send indication it is about.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) verdict: Result<(AllocationId, Route), Refusal>,
    pub(crate) moved: Moved,
}

/// The verdict on the last relay socket and source.
pub(crate) struct LastToClient {
    /// [`NOWHERE`]: nothing remembered.
    pub(crate) relay: SocketId,
    pub(crate) source: SocketAddr,
    pub(crate) verdict: Result<(AllocationId, Route, Framing), Refusal>,
    pub(crate) moved: Moved,
}

/// No socket has this id: ids are dense.
pub(crate) const NOWHERE: SocketId = SocketId(u32::MAX);
const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl LastToPeer {
    pub(crate) const fn nothing() -> Self {
        Self {
            tuple: FiveTuple {
                socket: NOWHERE,
                client: ClientAddr(UNSPECIFIED),
                local: UNSPECIFIED.ip(),
            },
            channel: 0,
            peer: None,
            verdict: Err(Refusal::NoAllocation),
            moved: Moved {
                packets: 0,
                bytes: 0,
            },
        }
    }
}

impl LastToClient {
    pub(crate) const fn nothing() -> Self {
        Self {
            relay: NOWHERE,
            source: UNSPECIFIED,
            verdict: Err(Refusal::NoAllocation),
            moved: Moved {
                packets: 0,
                bytes: 0,
            },
        }
    }
}

impl Media<'_> {
    #[cold]
    pub(crate) fn drop(&mut self, reason: DropReason, packets: u64) {
        self.counters.drop(reason, packets);
    }

    /// Puts what the remembered verdict towards a peer moved on its account.
    pub(crate) fn settle_to_peer(&mut self) {
        let moved = core::mem::take(&mut self.last_to_peer.moved);
        if let Ok((allocation, _)) = self.last_to_peer.verdict
            && moved.packets > 0
        {
            self.server
                .count_to_peer(allocation, moved.packets, moved.bytes);
            self.counters.to_peer_packets += u64::from(moved.packets);
            self.counters.to_peer_bytes += u64::from(moved.bytes);
        }
    }

    /// Puts what the remembered verdict towards a client moved on its account.
    pub(crate) fn settle_to_client(&mut self) {
        let moved = core::mem::take(&mut self.last_to_client.moved);
        if let Ok((allocation, ..)) = self.last_to_client.verdict
            && moved.packets > 0
        {
            self.server
                .count_to_client(allocation, moved.packets, moved.bytes);
            self.counters.to_client_packets += u64::from(moved.packets);
            self.counters.to_client_bytes += u64::from(moved.bytes);
        }
    }
}
