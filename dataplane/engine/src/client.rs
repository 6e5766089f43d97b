//! What clients send: ChannelData and Send indications are unwrapped for the
//! peer, other STUN messages are left for the second pass.

use core::net::SocketAddr;
use core::ops::Range;

use forebay_turn::{ChannelNumber, ClientAddr, FiveTuple, PeerAddr, Refusal, ToPeer};
use forebay_wire::stun::SendIndication;
use forebay_wire::{ChannelData, Protocol};

use crate::batch::{Arena, RxSlot};
use crate::counters::DropReason;
use crate::media::{Media, NOWHERE};
use crate::runs::{Route, Span, same_address};

/// Visits a slot's datagrams as ranges of the receive memory; an empty slot is
/// one empty datagram.
#[inline]
pub(crate) fn for_each_datagram(slot: &RxSlot, mut visit: impl FnMut(Range<usize>)) {
    let mut at = slot.start as usize;
    let end = at + slot.len as usize;
    let step = match usize::from(slot.segment) {
        0 => slot.len as usize,
        segment => segment,
    };
    loop {
        let next = (at + step).min(end);
        visit(at..next);
        at = next;
        if at >= end {
            return;
        }
    }
}

/// Whether a datagram on a listening socket is the second pass's.
pub(crate) fn is_request(datagram: &[u8]) -> bool {
    Protocol::of(datagram) == Protocol::Stun && !SendIndication::claimed_by(datagram)
}

impl Media<'_> {
    /// Relays what a slot of a listening socket holds. True if it also holds
    /// messages for the second pass.
    pub(crate) fn client_slot(&mut self, slot: &RxSlot) -> bool {
        let last = &self.last_to_peer.tuple;
        if last.socket != slot.socket
            || !same_address(&last.client.0, &slot.source)
            || last.local != slot.local
        {
            self.turn_to_client(slot);
        }
        let mut requests = false;
        for_each_datagram(slot, |range| match self.client_datagram(slot, range) {
            Ok(request) => requests |= request,
            Err(reason) => self.drop(reason, 1),
        });
        requests
    }

    /// True if the datagram is for the second pass.
    #[inline]
    fn client_datagram(&mut self, slot: &RxSlot, range: Range<usize>) -> Result<bool, DropReason> {
        let start = range.start as u32;
        let datagram = self.memory.get(range).ok_or(DropReason::Malformed)?;
        let (offset, len) = match Protocol::of(datagram) {
            Protocol::ChannelData => {
                let message = ChannelData::parse(datagram).map_err(|_| DropReason::Malformed)?;
                let (number, len) = (message.number(), message.payload().len() as u32);
                if self.last_to_peer.channel != number {
                    self.look_up_channel(number);
                }
                (ChannelData::HEADER as u32, len)
            }
            Protocol::Stun if SendIndication::claimed_by(datagram) => {
                let message = SendIndication::parse(datagram).map_err(|_| DropReason::Malformed)?;
                let last = self.last_to_peer.peer.as_ref();
                if !last.is_some_and(|last| same_address(last, &message.peer)) {
                    self.look_up_peer_address(message.peer);
                }
                let (offset, len) = (message.offset, message.len.into());
                if message.dont_fragment {
                    let payload = Span {
                        arena: Arena::Received,
                        start: start + offset,
                        len,
                    };
                    return self.unfragmented(slot, payload).map(|()| false);
                }
                (offset, len)
            }
            Protocol::Stun => return Ok(true),
            _ => return Err(DropReason::UnknownProtocol),
        };
        let last = &mut self.last_to_peer;
        match &last.verdict {
            Ok((_, route)) => {
                let payload = Span {
                    arena: Arena::Received,
                    start: start + offset,
                    len,
                };
                self.to_peers.push(self.tx, route, slot.class, [payload])?;
                last.moved.add(len);
                Ok(false)
            }
            Err(refusal) => Err(DropReason::from(*refusal)),
        }
    }

    /// Relays the payload of a Send indication with DONT-FRAGMENT, which is
    /// discarded where we cannot set DF (RFC 8656 §11.2). Between datagrams it
    /// counts from IPv4 to IPv4 alone: a translation goes by the packet's own
    /// header (§13, §14). What came over a connection, DTLS included, has none
    /// (§15).
    #[cold]
    fn unfragmented(&mut self, slot: &RxSlot, payload: Span) -> Result<(), DropReason> {
        if !self.server.heeds_dont_fragment() {
            return Err(DropReason::Unexpected);
        }
        let last = &mut self.last_to_peer;
        let (_, route) = last.verdict.as_ref().map_err(|refusal| *refusal)?;
        let v4 = slot.source.is_ipv4() && route.destination.is_ipv4();
        if v4 || slot.socket >= self.first_stream {
            self.to_peers
                .push_unfragmented(self.tx, route, slot.class, payload)?;
        } else {
            self.to_peers.push(self.tx, route, slot.class, [payload])?;
        }
        last.moved.add(payload.len);
        Ok(())
    }

    #[inline(never)]
    fn turn_to_client(&mut self, slot: &RxSlot) {
        self.settle_to_peer();
        let last = &mut self.last_to_peer;
        last.tuple = FiveTuple {
            socket: slot.socket,
            client: ClientAddr(slot.source),
            local: slot.local,
        };
        last.channel = 0;
        last.peer = None;
    }

    #[inline(never)]
    fn look_up_channel(&mut self, number: u16) {
        self.settle_to_peer();
        let last = &mut self.last_to_peer;
        last.channel = number;
        last.peer = None;
        let Some(channel) = ChannelNumber::new(number) else {
            last.verdict = Err(Refusal::Malformed);
            return;
        };
        let mut verdict = self.server.channel_to_peer(self.now, &last.tuple, channel);
        if self.has_just_moved(&verdict) {
            let tuple = &self.last_to_peer.tuple;
            verdict = self.server.channel_to_peer(self.now, tuple, channel);
        }
        self.last_to_peer.verdict = verdict.map(|to| (to.allocation, route(&to)));
    }

    #[inline(never)]
    fn look_up_peer_address(&mut self, peer: SocketAddr) {
        self.settle_to_peer();
        let last = &mut self.last_to_peer;
        last.channel = 0;
        last.peer = Some(peer);
        let mut verdict = self
            .server
            .send_to_peer(self.now, &last.tuple, PeerAddr(peer));
        if self.has_just_moved(&verdict) {
            let tuple = &self.last_to_peer.tuple;
            verdict = self.server.send_to_peer(self.now, tuple, PeerAddr(peer));
        }
        self.last_to_peer.verdict = verdict.map(|to| (to.allocation, route(&to)));
    }

    /// Whether there was no allocation because the client has moved and shows
    /// up only now: then the verdict remembered the other way is not to be
    /// trusted, and the question to be asked again.
    #[inline]
    fn has_just_moved(&mut self, verdict: &Result<ToPeer, Refusal>) -> bool {
        let moved = matches!(verdict, Err(Refusal::NoAllocation))
            && self.server.arrived(&self.last_to_peer.tuple);
        if moved {
            self.settle_to_client();
            self.last_to_client.relay = NOWHERE;
        }
        moved
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
