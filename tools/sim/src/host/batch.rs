//! What the kernel would do around a shard: lay received datagrams out in
//! memory, merge equal-sized ones (GRO), and cut sends into datagrams (GSO).

use std::net::{IpAddr, SocketAddr};

use forebay_engine::{Arena, RxBatch, RxSlot, TrafficClass, Transmit, TxBatch};
use forebay_turn::SocketId;

use crate::network::Packet;
use crate::random::Random;

/// A datagram waiting in a socket's receive queue.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) socket: SocketId,
    pub(crate) local: IpAddr,
    pub(crate) packet: Packet,
}

/// A datagram that left a socket.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) socket: SocketId,
    pub(crate) source: Option<IpAddr>,
    pub(crate) destination: SocketAddr,
    pub(crate) ecn: u8,
    pub(crate) bytes: Vec<u8>,
}

/// Receive memory with slots scattered over it.
#[derive(Default)]
pub(crate) struct Received {
    pub(crate) memory: Vec<u8>,
    pub(crate) slots: Vec<RxSlot>,
}

impl Received {
    /// The most bytes merged into one slot.
    const MAX_MERGED: usize = 65_507;

    /// Lays out arrivals in order; neighbours of one flow may be merged.
    pub(crate) fn fill(&mut self, arrivals: &[Arrival], merge_percent: f64, random: &mut Random) {
        self.memory.clear();
        self.slots.clear();
        let mut closed = true;
        for arrival in arrivals {
            let bytes = &arrival.packet.bytes;
            let class = TrafficClass(arrival.packet.ecn);
            if let Some(slot) = self.slots.last_mut()
                && !closed
                && (slot.socket, slot.source, slot.local, slot.class)
                    == (arrival.socket, arrival.packet.source, arrival.local, class)
                && (1..=usize::from(slot.segment)).contains(&bytes.len())
                && slot.len as usize + bytes.len() <= Self::MAX_MERGED
                && slot.len.div_ceil(slot.segment.into()) < u32::from(TxBatch::MAX_SEGMENTS)
                && random.percent(merge_percent)
            {
                slot.len += bytes.len() as u32;
                closed = bytes.len() < usize::from(slot.segment);
                self.memory.extend(bytes);
                continue;
            }
            closed = bytes.is_empty();
            let gap = RxBatch::HEADROOM + random.between(0, 40) as usize;
            self.memory.resize(self.memory.len() + gap, 0xA5);
            self.slots.push(RxSlot {
                socket: arrival.socket,
                source: arrival.packet.source,
                local: arrival.local,
                start: self.memory.len() as u32,
                len: bytes.len() as u32,
                segment: bytes.len() as u16,
                headroom: RxBatch::HEADROOM as u16,
                class,
            });
            self.memory.extend(bytes);
        }
        self.memory.resize(self.memory.len() + 64, 0xA5);
    }
}

/// Cuts a transmit into the datagrams the kernel would send.
pub(crate) fn datagrams(transmit: &Transmit, tx: &TxBatch, memory: &[u8]) -> Vec<Sent> {
    let mut bytes = Vec::with_capacity(transmit.len as usize);
    for piece in tx.pieces_of(transmit) {
        let range = piece.start as usize..(piece.start + piece.len) as usize;
        bytes.extend(match piece.arena {
            Arena::Received => &memory[range],
            Arena::Headers => &tx.headers[range],
        });
    }
    let sent = |bytes: &[u8]| Sent {
        socket: transmit.socket,
        source: transmit.source,
        destination: transmit.destination,
        ecn: transmit.class.0,
        bytes: bytes.to_vec(),
    };
    match transmit.segment {
        Some(segment) => bytes.chunks(segment.into()).map(sent).collect(),
        None => vec![sent(&bytes)],
    }
}
