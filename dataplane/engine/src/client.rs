//! What clients send: ChannelData and Send indications are unwrapped for the
//! peer, other STUN messages are left for the second pass.

use forebay_turn::{ChannelNumber, ClientAddr, FiveTuple, PeerAddr, Refusal, ToPeer};
use forebay_wire::stun::SendIndication;
use forebay_wire::{ChannelData, Protocol};

use crate::batch::{Arena, RxSlot};
use crate::counters::DropReason;
use crate::media::{Media, Moved};
use crate::runs::{Route, Span, same_address};

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
        let last = &self.last_to_peer.tuple;
        if last.socket != slot.socket
            || !same_address(&last.client.0, &slot.source)
            || last.local != slot.local
        {
            self.settle_to_peer();
            self.last_to_peer.tuple = FiveTuple {
                socket: slot.socket,
                client: ClientAddr(slot.source),
                local: slot.local,
            };
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
            self.look_up_channel(number);
        }
        let last = &mut self.last_to_peer;
        let relayed = match &last.verdict {
            Ok((_, route)) => self.to_peers.push(self.tx, route, slot.ecn, [payload]),
            Err(refusal) => Err(DropReason::from(*refusal)),
        };
        match relayed {
            Ok(()) => last.moved.add(payload.len),
            Err(reason) => self.drop(reason, 1),
        }
    }

    #[inline(never)]
    fn look_up_channel(&mut self, number: u16) {
        self.settle_to_peer();
        let last = &mut self.last_to_peer;
        last.channel = number;
        last.verdict = ChannelNumber::new(number)
            .ok_or(Refusal::Malformed)
            .and_then(|channel| self.server.channel_to_peer(self.now, &last.tuple, channel))
            .map(|to| (to.allocation, route(&to)));
    }

    fn send_indication(&mut self, slot: &RxSlot, peer: PeerAddr, payload: Span) {
        let relayed = self
            .server
            .send_to_peer(self.now, &self.last_to_peer.tuple, peer)
            .map_err(DropReason::from)
            .and_then(|to| {
                self.to_peers
                    .push(self.tx, &route(&to), slot.ecn, [payload])?;
                Ok(to.allocation)
            });
        match relayed {
            Ok(allocation) => self.account_to_peer(
                allocation,
                Moved {
                    packets: 1,
                    bytes: payload.len,
                },
            ),
            Err(reason) => self.drop(reason, 1),
        }
    }
}

/// A relay socket is bound to its address: no source to choose.
fn route(to: &ToPeer) -> Route {
    Route {
        flow: to.flow.0,
        socket: to.relay,
        destination: to.destination,
        source: None,
    }
}
