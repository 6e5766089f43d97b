//! Invariants of one batch: what the shard hands out is exactly what the
//! kernel can be given.

use std::collections::{HashMap, HashSet};

use forebay_engine::{Arena, RxSlot, Transmit, TxBatch};
use forebay_turn::SocketId;
use forebay_wire::stun::{Class, Message, Method, SendIndication};
use forebay_wire::{ChannelData, Protocol};

use super::places::{CLIENTS, LISTENERS, SOCKETS, is_clients, local_of};

/// Bytes of one datagram that may be relayed.
struct Payload {
    start: u32,
    from_client: bool,
}

/// A batch after `handle`, with what the receive memory held before.
pub(super) struct Handled<'a> {
    pub(super) slots: &'a [RxSlot],
    pub(super) before: &'a [u8],
    pub(super) memory: &'a [u8],
    pub(super) tx: &'a TxBatch,
    /// Relay sockets that are open.
    pub(super) open: &'a HashSet<SocketId>,
}

impl Handled<'_> {
    /// Checks every transmit and returns the answers' bytes by client.
    pub(super) fn check(&self) -> Vec<(usize, Vec<u8>)> {
        for slot in self.slots {
            let payload = slot.start as usize..(slot.start + slot.len) as usize;
            assert_eq!(
                self.memory[payload.clone()],
                self.before[payload],
                "payload is never written"
            );
        }
        let mut used = HashSet::new();
        let mut answers = Vec::new();
        let mut payloads = self.payloads();
        for transmit in &self.tx.transmits {
            let bytes = self.gather(transmit, &mut used, &mut payloads);
            segments(transmit);
            if !is_clients(transmit.socket) {
                assert!(
                    self.open.contains(&transmit.socket),
                    "sends from a closed relay"
                );
                assert!(
                    !LISTENERS.contains(&transmit.destination),
                    "relays to the server itself"
                );
                continue;
            }
            let client = CLIENTS
                .iter()
                .position(|c| *c == (transmit.destination, transmit.socket));
            let client = client.expect("answers and media go to clients on their own listener");
            assert_eq!(transmit.source, Some(local_of(transmit.socket).ip()));
            let padded = transmit.socket.0 >= SOCKETS;
            for datagram in bytes.chunks(transmit.segment.map_or(usize::MAX, usize::from)) {
                if framed(datagram, padded) {
                    answers.push((client, datagram.to_vec()));
                }
            }
        }
        answers
    }

    /// What may be relayed from the receive memory, by its end.
    fn payloads(&self) -> HashMap<u32, Payload> {
        let mut found = HashMap::new();
        for slot in self.slots {
            let from_client = is_clients(slot.socket);
            let bytes = &self.before[slot.start as usize..(slot.start + slot.len) as usize];
            let mut start = slot.start;
            if bytes.is_empty() && !from_client {
                // An empty datagram is relayed like any other.
                found.insert(start, Payload { start, from_client });
            }
            for datagram in bytes.chunks(usize::from(slot.segment).max(1)) {
                let payload = match (from_client, SendIndication::parse(datagram)) {
                    (false, _) => Some(0..datagram.len()),
                    (true, Ok(message)) => Some(message.payload()),
                    (true, Err(_)) => ChannelData::parse(datagram).ok().map(|message| {
                        ChannelData::HEADER..ChannelData::HEADER + message.payload().len()
                    }),
                };
                if let Some(payload) = payload {
                    let end = start + payload.end as u32;
                    let start = start + payload.start as u32;
                    found.insert(end, Payload { start, from_client });
                }
                start += datagram.len() as u32;
            }
        }
        found
    }

    /// Follows the pieces of a transmit.
    fn gather(
        &self,
        transmit: &Transmit,
        used: &mut HashSet<u32>,
        payloads: &mut HashMap<u32, Payload>,
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut at = transmit.first;
        for _ in 0..transmit.pieces {
            assert!(used.insert(at), "a piece belongs to one transmit");
            let piece = self.tx.pieces[at as usize];
            let range = piece.start as usize..(piece.start + piece.len) as usize;
            bytes.extend_from_slice(match piece.arena {
                Arena::Headers => &self.tx.headers[range],
                Arena::Received => {
                    let inside = |slot: &RxSlot| {
                        let from = slot.start - u32::from(slot.headroom);
                        from <= piece.start && piece.start + piece.len <= slot.start + slot.len
                    };
                    assert!(
                        self.slots.iter().any(inside),
                        "a piece lies within one slot"
                    );
                    let payload = payloads.remove(&(piece.start + piece.len));
                    let payload = payload.expect("a payload ends where the piece does, once");
                    let to_peer = !is_clients(transmit.socket);
                    assert_eq!(payload.from_client, to_peer);
                    let header = payload.start.checked_sub(piece.start);
                    assert!(
                        header == Some(0) || header.is_some() && !to_peer,
                        "the whole payload"
                    );
                    &self.memory[range]
                }
            });
            at = piece.next;
        }
        assert_eq!(at, forebay_engine::Piece::END);
        assert_eq!(bytes.len(), transmit.len as usize);
        bytes
    }
}

/// What the kernel asks of a GSO send.
fn segments(transmit: &Transmit) {
    let Some(segment) = transmit.segment else {
        return assert_eq!(transmit.datagrams, 1);
    };
    let segment = u32::from(segment);
    assert!(segment > 0 && transmit.datagrams > 1);
    assert!(transmit.datagrams <= TxBatch::MAX_SEGMENTS && transmit.len <= TxBatch::MAX_BYTES);
    assert_eq!(
        transmit.len.div_ceil(segment),
        u32::from(transmit.datagrams)
    );
}

/// Whether what goes to a client is an answer; it is well-formed in any case.
/// ChannelData over a connection is padded.
fn framed(datagram: &[u8], padded: bool) -> bool {
    if Protocol::of(datagram) == Protocol::ChannelData {
        let message = ChannelData::parse(datagram).expect("well-formed ChannelData");
        let len = message.payload().len() + ChannelData::HEADER;
        let whole = if padded { len.next_multiple_of(4) } else { len };
        assert_eq!(whole, datagram.len());
        return false;
    }
    let message = Message::parse(datagram).expect("a well-formed message");
    assert_eq!(message.malformed(), None);
    match message.class() {
        Class::Indication => {
            assert_eq!(message.method(), Method::DATA);
            assert!(message.xor_peer_address().is_some() && message.data().is_some());
            false
        }
        Class::Success => true,
        Class::Error => {
            assert!(message.error_code().is_some());
            true
        }
        Class::Request => unreachable!("a server sends no requests"),
    }
}
