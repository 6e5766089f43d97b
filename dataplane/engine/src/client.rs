//! What clients send: ChannelData and Send indications are unwrapped for the
//! peer, other STUN messages are left for the second pass.

use forebay_turn::{ChannelNumber, ClientAddr, FiveTuple, PeerAddr, ToPeer};
use forebay_wire::stun::SendIndication;
use forebay_wire::{ChannelData, Protocol};

use crate::batch::{Arena, RxSlot, TxBatch};
use crate::counters::DropReason;
use crate::media::{Media, Moved};
use crate::runs::{Route, Runs, Span};

/// A slot's datagrams as ranges of the receive memory.
pub(crate) fn datagrams(slot: &RxSlot) -> impl Iterator<Item = core::ops::Range<usize>> + use<> {
    let start = slot.start as usize;
    let end = start + slot.len as usize;
    let step = match usize::from(slot.segment) {
        0 => usize::MAX,
        segment => segment,
    };
    let mut at = start;
    let mut first = true;
    core::iter::from_fn(move || {
        // An empty slot is one empty datagram.
        if at >= end && !core::mem::take(&mut first) {
            return None;
        }
        first = false;
        let next = at.saturating_add(step).min(end);
        Some(core::mem::replace(&mut at, next)..next)
    })
}

/// Whether a datagram on a listening socket is the second pass's.
pub(crate) fn is_request(datagram: &[u8]) -> bool {
    Protocol::of(datagram) == Protocol::Stun && !SendIndication::claimed_by(datagram)
}

impl Media<'_> {
    /// Relays what a slot of a listening socket holds. True if it also holds
    /// messages for the second pass.
    pub(crate) fn client_slot(&mut self, slot: &RxSlot) -> bool {
        let mut requests = false;
        let tuple = FiveTuple {
            socket: slot.socket,
            client: ClientAddr(slot.source),
            local: slot.local,
        };
        if self.last_to_peer.tuple != tuple {
            self.settle_to_peer();
            self.last_to_peer.tuple = tuple;
            self.last_to_peer.channel = 0;
        }
        for range in datagrams(slot) {
            let start = range.start;
            let Some(datagram) = self.memory.get(range) else {
                self.drop(DropReason::Malformed, 1);
                continue;
            };
            match Protocol::of(datagram) {
                Protocol::ChannelData => match ChannelData::parse(datagram) {
                    Ok(message) => {
                        let (number, len) = (message.number(), message.payload().len() as u32);
                        let payload = Span {
                            arena: Arena::Received,
                            start: (start + ChannelData::HEADER) as u32,
                            len,
                        };
                        self.channel_data(slot, number, payload);
                    }
                    Err(_) => self.drop(DropReason::Malformed, 1),
                },
                Protocol::Stun if SendIndication::claimed_by(datagram) => {
                    match SendIndication::parse(datagram) {
                        // We never set DF, so the attribute is one we do not
                        // support: the indication is discarded (RFC 8656 §11.2).
                        Ok(message) if message.dont_fragment => {
                            self.drop(DropReason::Unexpected, 1);
                        }
                        Ok(message) => {
                            let payload = Span {
                                arena: Arena::Received,
                                start: start as u32 + message.offset,
                                len: message.len.into(),
                            };
                            self.send_indication(slot, PeerAddr(message.peer), payload);
                        }
                        Err(_) => self.drop(DropReason::Malformed, 1),
                    }
                }
                Protocol::Stun => requests = true,
                _ => self.drop(DropReason::UnknownProtocol, 1),
            }
        }
        requests
    }

    fn channel_data(&mut self, slot: &RxSlot, number: u16, payload: Span) {
        if self.last_to_peer.channel != number {
            self.settle_to_peer();
            let Some(channel) = ChannelNumber::new(number) else {
                return self.drop(DropReason::Malformed, 1);
            };
            self.last_to_peer.channel = number;
            self.last_to_peer.verdict =
                self.server
                    .channel_to_peer(self.now, &self.last_to_peer.tuple, channel);
        }
        match &self.last_to_peer.verdict {
            Ok(verdict) => match relay(self.to_peers, self.tx, slot, verdict, payload) {
                Ok(()) => self.last_to_peer.moved.add(payload.len),
                Err(reason) => self.drop(reason, 1),
            },
            Err(refusal) => {
                let reason = DropReason::from(*refusal);
                self.drop(reason, 1);
            }
        }
    }

    fn send_indication(&mut self, slot: &RxSlot, peer: PeerAddr, payload: Span) {
        match self
            .server
            .send_to_peer(self.now, &self.last_to_peer.tuple, peer)
        {
            Ok(verdict) => match relay(self.to_peers, self.tx, slot, &verdict, payload) {
                Ok(()) => self.account_to_peer(
                    verdict.allocation,
                    Moved {
                        packets: 1,
                        bytes: payload.len,
                    },
                ),
                Err(reason) => self.drop(reason, 1),
            },
            Err(refusal) => self.drop(refusal.into(), 1),
        }
    }
}

#[inline]
fn relay(
    runs: &mut Runs,
    tx: &mut TxBatch,
    slot: &RxSlot,
    to: &ToPeer,
    payload: Span,
) -> Result<(), DropReason> {
    // A relay socket is bound to its address: no source to choose.
    let route = Route {
        socket: to.relay,
        destination: to.destination,
        source: None,
        ecn: slot.ecn,
    };
    runs.push(tx, to.flow.0, &route, [payload])
}
