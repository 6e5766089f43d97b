//! What peers send: wrapped for the client as ChannelData or Data indication.

use core::net::SocketAddr;

use forebay_turn::Framing;
use forebay_wire::ChannelData;
use forebay_wire::stun::{TransactionId, data_indication};

use crate::batch::{Arena, RxSlot, TrafficClass, TxBatch};
use crate::client::for_each_datagram;
use crate::counters::DropReason;
use crate::media::Media;
use crate::runs::{Route, Span, same_address};

/// How a payload is wrapped.
trait Frame {
    /// Writes the header for `len` bytes of payload into the last bytes of
    /// `before` and returns its length; `None` if it does not fit there or the
    /// payload does not fit a length field.
    fn header(&mut self, before: &mut [u8], len: u32) -> Option<usize>;

    /// Bytes to add after `len` bytes of payload.
    fn padding(len: u32) -> u32;
}

struct ChannelFrame(u16);

impl Frame for ChannelFrame {
    #[inline]
    fn header(&mut self, before: &mut [u8], len: u32) -> Option<usize> {
        *before.last_chunk_mut()? = ChannelData::header(self.0, u16::try_from(len).ok()?);
        Some(ChannelData::HEADER)
    }

    /// Over UDP none is required (RFC 8656 §12.5).
    #[inline]
    fn padding(_: u32) -> u32 {
        0
    }
}

/// To a connection: padded to four bytes (RFC 8656 §12.5).
struct PaddedChannelFrame(ChannelFrame);

impl Frame for PaddedChannelFrame {
    #[inline]
    fn header(&mut self, before: &mut [u8], len: u32) -> Option<usize> {
        self.0.header(before, len)
    }

    #[inline]
    fn padding(len: u32) -> u32 {
        to_four_bytes(len)
    }
}

struct DataFrame {
    peer: SocketAddr,
    transactions: u64,
}

impl Frame for DataFrame {
    fn header(&mut self, before: &mut [u8], len: u32) -> Option<usize> {
        let id = next_transaction(&mut self.transactions);
        let framing =
            data_indication::write_header(before, id, self.peer, u16::try_from(len).ok()?).ok()?;
        Some(framing.header.into())
    }

    /// DATA is padded to four bytes like every attribute (RFC 8489 §14).
    #[inline]
    fn padding(len: u32) -> u32 {
        to_four_bytes(len)
    }
}

/// Bytes from `len` to the next multiple of four.
#[inline]
fn to_four_bytes(len: u32) -> u32 {
    len.wrapping_neg() % 4
}

/// A transaction id nobody answers to (indications have no response), so it
/// need be distinct, not secret: Weyl sequence with a 64-bit finaliser.
pub(crate) fn next_transaction(state: &mut u64) -> TransactionId {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut x = *state;
    x = (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    x = (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    x ^= x >> 32;
    let mut id = [0; 12];
    id[..8].copy_from_slice(&x.to_be_bytes());
    id[8..].copy_from_slice(&state.to_be_bytes()[4..]);
    TransactionId(id)
}

impl Media<'_> {
    /// Relays what a slot of a relay socket holds.
    pub(crate) fn peer_slot(&mut self, slot: &RxSlot) {
        let last = &self.last_to_client;
        if last.relay != slot.socket || !same_address(&last.source, &slot.source) {
            self.look_up_peer(slot);
        }
        match self.last_to_client.verdict {
            Ok((_, route, Framing::Channel(number))) => {
                let mut frame = ChannelFrame(number.get());
                if route.socket < self.first_stream {
                    self.wrap(slot, &route, &mut frame);
                } else {
                    self.wrap_for_stream(slot, &route, &mut PaddedChannelFrame(frame));
                }
            }
            Ok((_, route, Framing::DataIndication(peer))) => {
                let mut frame = DataFrame {
                    peer: peer.0,
                    transactions: *self.transactions,
                };
                self.wrap(slot, &route, &mut frame);
                *self.transactions = frame.transactions;
            }
            Err(refusal) => {
                for_each_datagram(slot, |_| self.drop(refusal.into(), 1));
            }
        }
    }

    #[inline(never)]
    fn look_up_peer(&mut self, slot: &RxSlot) {
        self.settle_to_client();
        let last = &mut self.last_to_client;
        last.relay = slot.socket;
        last.source = slot.source;
        last.verdict = self
            .server
            .from_peer(self.now, slot.socket, slot.source)
            .map(|to| {
                let route = Route {
                    flow: to.flow.0,
                    socket: to.tuple.socket,
                    destination: to.tuple.client.0,
                    source: Some(to.tuple.local),
                };
                (to.allocation, route, to.framing)
            });
    }

    /// Apart, so that what connections need does not grow the code of others.
    #[inline(never)]
    fn wrap_for_stream(&mut self, slot: &RxSlot, route: &Route, frame: &mut PaddedChannelFrame) {
        self.wrap(slot, route, frame);
    }

    /// The first datagram's header goes into the slot's headroom. The others
    /// lie against each other, so theirs comes from the header arena: once for
    /// all of equal size.
    fn wrap<F: Frame>(&mut self, slot: &RxSlot, route: &Route, frame: &mut F) {
        let start = slot.start as usize;
        let mut shared: Option<(u32, Span)> = None;
        for_each_datagram(slot, |range| {
            let len = range.len() as u32;
            let payload = Span {
                arena: Arena::Received,
                start: range.start as u32,
                len,
            };
            let wrapped = if range.start == start {
                let headroom = start.saturating_sub(slot.headroom.into());
                let before = self.memory.get_mut(headroom..start).unwrap_or_default();
                match frame.header(before, len) {
                    None => Err(DropReason::Malformed),
                    Some(header) => {
                        let header = header as u32;
                        let whole = Span {
                            start: payload.start - header,
                            len: header + len,
                            ..payload
                        };
                        self.push::<F, 1>(route, slot.class, [whole], len)
                    }
                }
            } else {
                match shared {
                    Some((of, header)) if of == len => Ok(header),
                    _ => write_header(self.tx, frame, len),
                }
                .and_then(|header| {
                    shared = Some((len, header));
                    self.push::<F, 2>(route, slot.class, [header, payload], len)
                })
            };
            match wrapped {
                Ok(()) => self.last_to_client.moved.add(len),
                Err(reason) => self.drop(reason, 1),
            }
        });
    }

    /// Adds a wrapped payload, and its padding where the frame wants some.
    #[inline]
    fn push<F: Frame, const N: usize>(
        &mut self,
        route: &Route,
        class: TrafficClass,
        spans: [Span; N],
        payload: u32,
    ) -> Result<(), DropReason> {
        let padding = F::padding(payload);
        if padding == 0 {
            return self.to_clients.push(self.tx, route, class, spans);
        }
        let zeros = match self.zeros {
            Some(zeros) => zeros,
            None => *self.zeros.insert(write(self.tx, &[0; 3])?),
        };
        let zeros = Span {
            len: padding,
            ..zeros
        };
        let mut padded = [zeros; 3];
        padded[..N].copy_from_slice(&spans);
        match N {
            1 => self
                .to_clients
                .push(self.tx, route, class, [padded[0], zeros]),
            _ => self.to_clients.push(self.tx, route, class, padded),
        }
    }
}

/// Puts the header for `len` bytes of payload into the batch's arena.
fn write_header<F: Frame>(tx: &mut TxBatch, frame: &mut F, len: u32) -> Result<Span, DropReason> {
    let mut scratch = [0; data_indication::MAX_HEADER];
    let header = frame
        .header(&mut scratch, len)
        .ok_or(DropReason::Malformed)?;
    write(tx, &scratch[data_indication::MAX_HEADER - header..])
}

/// Puts bytes into the batch's arena.
fn write(tx: &mut TxBatch, bytes: &[u8]) -> Result<Span, DropReason> {
    let start = tx.headers.len() as u32;
    if !tx.headers.append(bytes) {
        return Err(DropReason::BatchFull);
    }
    Ok(Span {
        arena: Arena::Headers,
        start,
        len: bytes.len() as u32,
    })
}
