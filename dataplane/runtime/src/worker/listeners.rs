//! Relay sockets that peers connect to over TCP (RFC 6062), opened when a
//! client asks for one.

use std::net::SocketAddr;

use forebay_engine::Shard;
use forebay_sys::ring::{Ring, RingFailed};
use forebay_sys::{Errno, tcp};
use forebay_turn::{OfferedRelay, RelayedAddr, SocketId};
use forebay_wire::clock::Instant;

use super::open_relays::ASIDE;
use super::sockets::{FREE, Slot, Sockets, State};

/// Peers that wait to be accepted: as many as connect to one client within a
/// round.
const BACKLOG: u16 = 32;
/// Ports tried for one client: other programs' connections have some of them.
const ATTEMPTS: usize = 8;

impl Sockets {
    /// Opens a port of a family and starts to accept on it. `None` when none
    /// can be had.
    pub(super) fn listen_for_peers(
        &mut self,
        ring: &mut Ring,
        shard: &mut Shard,
        v6: bool,
        now: Instant,
    ) -> Result<Option<OfferedRelay>, RingFailed> {
        for _ in 0..ATTEMPTS {
            let Some((index, port)) = self.port_for_peers(ring, shard, v6)? else {
                return Ok(None);
            };
            let Some(slot) = self.free_slots.pop() else {
                self.ports[index].give(port);
                return Ok(None);
            };
            let relay = self.relays[index];
            let local = SocketAddr::new(relay.local, port);
            let opened = tcp::listen(local, BACKLOG).and_then(|socket| ring.install(slot, socket));
            if let Err(errno) = opened {
                self.free_slots.push(slot);
                if errno == Errno::EADDRINUSE {
                    self.ports[index].set_aside(port, now + ASIDE);
                    continue;
                }
                self.ports[index].give(port);
                self.open_errors += 1;
                tracing::debug!(%local, %errno, "cannot open a relay socket");
                return Ok(None);
            }
            self.slots[slot as usize] = Slot {
                state: State::Open { receiving: true },
                generation: self.slots[slot as usize].generation,
                local: index as u16,
                port,
                listens: true,
                ..FREE
            };
            self.receive(ring, slot)?;
            self.opened += 1;
            return Ok(Some(OfferedRelay {
                socket: SocketId(slot),
                local,
                relayed: RelayedAddr(SocketAddr::new(relay.public, port)),
            }));
        }
        Ok(None)
    }

    /// A port that is free, or that of a relay kept open ahead of demand: its
    /// socket for datagrams is closed without it.
    fn port_for_peers(
        &mut self,
        ring: &mut Ring,
        shard: &mut Shard,
        v6: bool,
    ) -> Result<Option<(usize, u16)>, RingFailed> {
        if let Some(index) = self.next_address(v6, |ports| ports.free() > 0) {
            let port = self.ports[index].take(self.random.next());
            return Ok(port.map(|port| (index, port)));
        }
        let Some(relay) = shard.take_back_relay(v6) else {
            return Ok(None);
        };
        let slot = &mut self.slots[relay.socket.0 as usize];
        // Not a relay port, so that nothing is given back.
        let (index, port) = (slot.local, std::mem::replace(&mut slot.port, 0));
        self.close(ring, relay.socket)?;
        Ok(Some((usize::from(index), port)))
    }

    /// The address a relay socket is bound to.
    pub(super) fn local_of(&self, relay: SocketId) -> Option<SocketAddr> {
        let slot = self.slots.get(relay.0 as usize)?;
        let relay = self.relays.get(usize::from(slot.local))?;
        Some(SocketAddr::new(relay.local, slot.port))
    }

    /// Whether a slot is a listening relay's, and still this one's.
    pub(super) fn is_listening(&self, slot: u32, generation: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(|slot| {
            slot.listens
                && slot.generation == generation
                && matches!(slot.state, State::Open { .. })
        })
    }

    /// An accept failed for want of something: the next one has to wait.
    pub(super) fn pause_accepting(&mut self, slot: u32, generation: u32) {
        if self.is_listening(slot, generation) {
            self.slots[slot as usize].state = State::Open { receiving: false };
            self.paused.push((slot, generation));
        }
    }

    /// Accepts again where that has failed.
    pub(super) fn accept_again(&mut self, ring: &mut Ring) -> Result<(), RingFailed> {
        for (slot, generation) in std::mem::take(&mut self.paused) {
            if self.is_listening(slot, generation) {
                self.receive(ring, slot)?;
            }
        }
        Ok(())
    }
}
