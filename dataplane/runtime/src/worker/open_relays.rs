//! Keeps relays open ahead of demand, singly and in pairs.

use std::net::SocketAddr;
use std::time::Duration;

use forebay_engine::Shard;
use forebay_sys::Errno;
use forebay_sys::ring::{Ring, RingFailed};
use forebay_sys::sockets::{Role, open};
use forebay_turn::{OfferedRelay, RelayedAddr, SocketId};
use forebay_wire::clock::Instant;

use super::relay_ports::RelayPorts;
use super::sockets::{FREE, Slot, Sockets, State};

/// How long a port that another program has is left alone. Short, because the
/// other program may be our predecessor, whose ring the kernel is taking apart.
pub(super) const ASIDE: Duration = Duration::from_secs(5);
/// How long no relay is opened after the kernel refused for a reason that does
/// not depend on the port, or after the shard had enough.
const PAUSE: Duration = Duration::from_millis(100);
/// Relays opened between two batches: at about 10 µs each, more would hold up
/// media for longer than a batch takes.
const OPENED_PER_ROUND: usize = 32;
/// Pairs of ports kept open per family, as a part of the relays kept open:
/// only clients that relay RTP and RTCP without multiplexing ask for them, and
/// those that are not asked for serve singly in the end.
const READY_PER_PAIR: usize = 32;
impl Sockets {
    /// Whether another relay of a family could be opened.
    fn can_open(&self, v6: bool) -> bool {
        !self.free_slots.is_empty()
            && self
                .relays
                .iter()
                .zip(&self.ports)
                .any(|(relay, ports)| relay.local.is_ipv6() == v6 && ports.free() > 0)
    }

    /// Relays the shard lacks and could get.
    fn wanted(&self, shard: &Shard) -> [usize; 2] {
        held(shard).map(|(held, v6)| {
            if self.can_open(v6) {
                self.ready.saturating_sub(held)
            } else {
                0
            }
        })
    }

    /// The family that lacks pairs and could get one.
    fn pair_wanted(&self, shard: &Shard, now: Instant) -> Option<bool> {
        if now < self.pairs_paused_until {
            return None;
        }
        let most = self.ready.div_ceil(READY_PER_PAIR);
        let pairs = shard.pairs_held();
        let [v4, v6] = held(shard).map(|(held, _)| held + 2 <= self.ready);
        let free_pair = |v6| {
            self.free_slots.len() > 1
                && self
                    .relays
                    .iter()
                    .zip(&self.ports)
                    .any(|(relay, ports)| relay.local.is_ipv6() == v6 && ports.free_pairs() > 0)
        };
        [(pairs.v4, v4, false), (pairs.v6, v6, true)]
            .into_iter()
            .find(|&(pairs, lacks, v6)| lacks && pairs < most && free_pair(v6))
            .map(|(.., v6)| v6)
    }

    /// Opens relays until the shard has enough in hand, a bounded number per
    /// call. Gives the time to go on at, when more are wanted.
    pub(super) fn refill(
        &mut self,
        ring: &mut Ring,
        shard: &mut Shard,
        now: Instant,
    ) -> Result<Option<Instant>, RingFailed> {
        for _ in 0..OPENED_PER_ROUND {
            let [v4, v6] = self.wanted(shard);
            if v4 + v6 == 0 {
                return Ok(None);
            }
            if now < self.paused_until {
                return Ok(Some(self.paused_until));
            }
            match self.pair_wanted(shard, now) {
                Some(v6) => self.open_pair(ring, shard, v6, now)?,
                None => self.open_one(ring, shard, v6 > v4, now)?,
            }
        }
        Ok((self.wanted(shard) != [0, 0]).then_some(now))
    }

    /// Requests that may be handled before the next refill: with fewer relays
    /// in hand than Allocates in a batch, some would be answered 508 although
    /// ports are left.
    pub(super) fn requests_covered(&self, shard: &Shard, now: Instant) -> usize {
        if now < self.paused_until {
            // Then 508 is the truth.
            return usize::MAX;
        }
        let [v4, v6] = held(shard).map(
            |(held, v6)| {
                if self.can_open(v6) { held } else { usize::MAX }
            },
        );
        v4.min(v6).max(1)
    }

    /// The next relay address of a family with ports to be had, in turn.
    pub(super) fn next_address(
        &mut self,
        v6: bool,
        has: impl Fn(&RelayPorts) -> bool,
    ) -> Option<usize> {
        let count = self.relays.len();
        let turn = &mut self.turn[usize::from(v6)];
        let index = (0..count)
            .map(|step| (*turn + step) % count)
            .find(|index| self.relays[*index].local.is_ipv6() == v6 && has(&self.ports[*index]))?;
        *turn = (index + 1) % count;
        Some(index)
    }

    /// Opens one relay socket and offers it, or pauses when there is no point
    /// in trying the next.
    fn open_one(
        &mut self,
        ring: &mut Ring,
        shard: &mut Shard,
        v6: bool,
        now: Instant,
    ) -> Result<(), RingFailed> {
        let Some(index) = self.next_address(v6, |ports| ports.free() > 0) else {
            return Ok(());
        };
        let Some(port) = self.ports[index].take(self.random.next()) else {
            return Ok(());
        };
        if let Some(offer) = self.open_relay(ring, index, port, now)?
            && shard.offer_relay(offer).is_err()
        {
            // It has as many as it has room for allocations.
            self.paused_until = now + PAUSE;
            self.close(ring, offer.socket)?;
        }
        Ok(())
    }

    /// Opens an even port and the one above it and offers them together.
    fn open_pair(
        &mut self,
        ring: &mut Ring,
        shard: &mut Shard,
        v6: bool,
        now: Instant,
    ) -> Result<(), RingFailed> {
        let Some(index) = self.next_address(v6, |ports| ports.free_pairs() > 0) else {
            return Ok(());
        };
        let Some(port) = self.ports[index].take_pair(self.random.next()) else {
            return Ok(());
        };
        let even = self.open_relay(ring, index, port, now)?;
        let odd = self.open_relay(ring, index, port + 1, now)?;
        if let (Some(even), Some(odd)) = (even, odd) {
            if shard.offer_pair(even, odd) {
                return Ok(());
            }
            // No room for two more; there may be for one.
            self.pairs_paused_until = now + PAUSE;
        }
        for relay in [even, odd].into_iter().flatten() {
            self.close(ring, relay.socket)?;
        }
        Ok(())
    }

    /// Opens a port that was taken and starts to receive on it. `None` when it
    /// cannot be had; then it is taken no longer.
    fn open_relay(
        &mut self,
        ring: &mut Ring,
        index: usize,
        port: u16,
        now: Instant,
    ) -> Result<Option<OfferedRelay>, RingFailed> {
        let Some(slot) = self.free_slots.pop() else {
            self.ports[index].give(port);
            return Ok(None);
        };
        let relay = self.relays[index];
        let local = SocketAddr::new(relay.local, port);
        let opened =
            open(local, Role::Relay, self.tuning).and_then(|socket| ring.install(slot, socket));
        if let Err(errno) = opened {
            self.free_slots.push(slot);
            if errno == Errno::EADDRINUSE {
                self.ports[index].set_aside(port, now + ASIDE);
            } else {
                // Descriptors, memory or the address itself: another port
                // would fare no better.
                self.ports[index].give(port);
                self.open_errors += 1;
                self.paused_until = now + PAUSE;
                tracing::debug!(%local, %errno, "cannot open a relay socket");
            }
            return Ok(None);
        }
        let generation = self.slots[slot as usize].generation;
        self.slots[slot as usize] = Slot {
            state: State::Open { receiving: true },
            generation,
            local: index as u16,
            port,
            ..FREE
        };
        if self.hears_errors {
            ring.hear_errors(slot, local.is_ipv6(), true)?;
        }
        self.receive(ring, slot)?;
        self.opened += 1;
        Ok(Some(OfferedRelay {
            socket: SocketId(slot),
            local,
            relayed: RelayedAddr(SocketAddr::new(relay.public, port)),
        }))
    }
}

/// Relays in the shard's hand, and whether they are IPv6.
fn held(shard: &Shard) -> [(usize, bool); 2] {
    let (single, pairs) = (shard.relays_held(), shard.pairs_held());
    [
        (single.v4 + 2 * pairs.v4, false),
        (single.v6 + 2 * pairs.v6, true),
    ]
}
