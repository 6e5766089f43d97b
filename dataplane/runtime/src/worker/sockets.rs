//! A worker's sockets: which slot of the ring's file table holds what, and the
//! life of a relay socket from its port to its port.
//!
//! File table: listening sockets at their id (media class), media and relay
//! sockets and connections at theirs, behind them the request sockets of the
//! listeners, last the eventfd.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use forebay_sys::Errno;
use forebay_sys::buffers::Group;
use forebay_sys::ring::{Ring, RingFailed};
use forebay_sys::sockets::{Tuning, drops};
use forebay_turn::{RelayMapping, SocketId};
use forebay_wire::clock::Instant;

use super::adopted::Adopted;
use super::relay_ports::RelayPorts;
use super::tag::{GENERATION, Tag};
use super::transmit::Wildcards;

/// Slots of the file table.
pub(super) const fn files(sockets: usize, listeners: usize) -> usize {
    sockets + listeners + 1
}

/// The ECN bits of a traffic class.
const ECN: u8 = 3;

/// Ports set aside that are tried again in one housekeeping.
const RETRIED: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Free,
    /// Receives, or waits to receive again.
    Open {
        receiving: bool,
    },
    /// Told to close; the receive has not ended yet.
    Ending,
    /// The receive has ended; the file is being closed.
    Closing,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) state: State,
    pub(super) generation: u32,
    /// What SO_RXQ_OVFL said last.
    pub(super) dropped: u32,
    /// Which of `locals` it is bound to.
    pub(super) local: u16,
    pub(super) port: u16,
    /// It accepts connections of peers.
    pub(super) listens: bool,
    /// The listening socket it stands in for: it is connected to one client.
    pub(super) adopted: Option<SocketId>,
    /// Its error queue waits to be read.
    pub(super) failing: bool,
    /// When what it drew of errors is forgotten.
    pub(super) calm: Instant,
}

pub(super) const FREE: Slot = Slot {
    state: State::Free,
    generation: 0,
    dropped: 0,
    local: 0,
    port: 0,
    listens: false,
    adopted: None,
    failing: false,
    calm: Instant::from_nanos(0),
};

/// What a datagram's slot says about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) socket: SocketId,
    pub(super) local: IpAddr,
}

/// Ports and slots in numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) ports: usize,
    pub(super) free: usize,
}

/// Sockets that stay open, and what the kernel dropped for want of room in
/// their receive buffers.
#[derive(Debug, Default)]
pub(super) struct Drops {
    /// With what each had dropped when it was last asked.
    sockets: Vec<(OwnedFd, u32)>,
    pub(super) total: u64,
}

impl Drops {
    fn watch(&mut self, socket: &OwnedFd) -> Result<(), Errno> {
        let kept = socket.try_clone().map_err(|_| Errno::EMFILE)?;
        self.sockets.push((kept, 0));
        Ok(())
    }

    /// Asks the sockets what they dropped.
    fn count(&mut self) {
        for (socket, before) in &mut self.sockets {
            if let Ok(count) = drops(socket.as_fd()) {
                self.total += u64::from(count.wrapping_sub(*before));
                *before = count;
            }
        }
    }
}

pub(super) struct Sockets {
    pub(super) slots: Vec<Slot>,
    pub(super) free_slots: Vec<u32>,
    listeners: u32,
    /// Relay sockets have slots at or above this.
    first_relay: u32,
    sockets: u32,
    /// Slots of request sockets start here, behind those of connections.
    first_request: u32,
    pub(super) locals: Vec<IpAddr>,
    pub(super) relays: Vec<RelayMapping>,
    pub(super) ports: Vec<RelayPorts>,
    pub(super) random: Random,
    pub(super) tuning: Tuning,
    /// Bits of the traffic class that are carried on.
    pub(super) carried: u8,
    /// Whether relay sockets take ICMP errors.
    pub(super) hears_errors: bool,
    pub(super) ready: usize,
    /// Receives that ended and have to be started again.
    ended: VecDeque<u32>,
    /// Accepts that failed and wait to be started again.
    pub(super) paused: Vec<(u32, u32)>,
    pub(super) adopted: Adopted,
    pub(super) listening_addresses: Vec<SocketAddr>,
    pub(super) paused_until: Instant,
    /// The same for pairs.
    pub(super) pairs_paused_until: Instant,
    /// Where the search for a relay address of each family goes on.
    pub(super) turn: [usize; 2],
    pub(super) wildcards: Wildcards,
    /// Relays opened since the worker started.
    pub(super) opened: u64,
    pub(super) open_errors: u64,
    pub(super) listening: Drops,
    pub(super) media: Drops,
    pub(super) relay_drops: u64,
}

impl Sockets {
    pub(super) fn new(
        listeners: &[SocketAddr],
        media: &[IpAddr],
        [sockets, streams]: [u32; 2],
        relays: Vec<RelayMapping>,
        ports: &[u16],
        ready: usize,
        tuning: Tuning,
    ) -> Self {
        let count = listeners.len() as u32;
        let first_relay = count + media.len() as u32;
        let mut locals: Vec<IpAddr> = relays.iter().map(|relay| relay.local).collect();
        let listening: Vec<IpAddr> = listeners.iter().map(SocketAddr::ip).collect();
        locals.extend(&listening);
        locals.extend(media);
        let first_request = sockets + streams;
        let mut slots = vec![FREE; files(first_request as usize, listeners.len())];
        for listener in 0..count {
            for slot in [listener, first_request + listener] {
                slots[slot as usize].local = (relays.len() + listener as usize) as u16;
            }
        }
        for slot in count..first_relay {
            slots[slot as usize].local = (relays.len() + slot as usize) as u16;
        }
        Self {
            slots,
            free_slots: (first_relay..sockets).rev().collect(),
            listeners: count,
            first_relay,
            sockets,
            first_request,
            locals,
            ports: relays.iter().map(|_| RelayPorts::new(ports)).collect(),
            relays,
            random: Random {
                block: [0; _],
                left: 0,
            },
            tuning,
            carried: ECN,
            hears_errors: false,
            ready,
            ended: VecDeque::with_capacity(sockets as usize + listeners.len()),
            paused: Vec::new(),
            adopted: Adopted::default(),
            listening_addresses: listeners.to_vec(),
            paused_until: Instant::default(),
            pairs_paused_until: Instant::default(),
            turn: [0; 2],
            wildcards: Wildcards::among(&listening),
            opened: 0,
            open_errors: 0,
            listening: Drops::default(),
            media: Drops::default(),
            relay_drops: 0,
        }
    }

    /// Slots of a listener's media and request sockets.
    pub(super) const fn listener_slots(&self, listener: u32) -> [u32; 2] {
        [listener, self.first_request + listener]
    }

    /// Slots of the media sockets, in the order they were given in.
    pub(super) const fn media_slots(&self) -> std::ops::Range<u32> {
        self.listeners..self.first_relay
    }

    pub(super) const fn wake_slot(&self) -> u32 {
        self.first_request + self.listeners
    }

    /// Whether datagrams on this slot are requests.
    pub(super) const fn is_request(&self, slot: u32) -> bool {
        slot >= self.first_request
    }

    /// Whether a slot is a relay socket's.
    pub(super) const fn is_relay(&self, slot: u32) -> bool {
        slot >= self.first_relay && slot < self.sockets
    }

    /// Whether a relay socket is an IPv6 one.
    pub(super) fn is_v6(&self, slot: u32) -> bool {
        self.slots
            .get(slot as usize)
            .and_then(|entry| self.locals.get(usize::from(entry.local)))
            .is_some_and(IpAddr::is_ipv6)
    }

    /// Tells a slot's owner of now from others.
    pub(super) fn generation(&self, slot: u32) -> u32 {
        self.slots
            .get(slot as usize)
            .map_or(0, |entry| entry.generation)
    }

    /// Where a datagram came to; `None` when its socket is closed or closing
    /// and the datagram must be forgotten.
    #[inline]
    pub(super) fn origin(&self, slot: u32, generation: u32) -> Option<Origin> {
        let entry = self.slots.get(slot as usize)?;
        if entry.generation != generation || !matches!(entry.state, State::Open { .. }) {
            return None;
        }
        let socket = match entry.adopted {
            Some(listener) => listener,
            None if self.is_request(slot) => SocketId(slot - self.first_request),
            None => SocketId(slot),
        };
        Some(Origin {
            socket,
            local: *self.locals.get(usize::from(entry.local))?,
        })
    }

    /// Puts a listening or media socket into its slot.
    pub(super) fn listen(
        &mut self,
        ring: &mut Ring,
        slot: u32,
        socket: OwnedFd,
    ) -> Result<(), Errno> {
        if self.media_slots().contains(&slot) {
            self.media.watch(&socket)?;
        } else {
            self.listening.watch(&socket)?;
        }
        ring.install(slot, socket)
    }

    /// Forgets the descriptors of the listening and media sockets.
    pub(super) fn stop_listening(&mut self) {
        self.listening.sockets.clear();
        self.media.sockets.clear();
    }

    /// Asks the listening and media sockets what they dropped.
    pub(super) fn count_drops(&mut self) {
        self.listening.count();
        self.media.count();
    }

    /// Takes note of a relay socket's drop counter.
    #[cold]
    pub(super) fn dropped(&mut self, slot: u32, count: u32) {
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            // Datagrams of one socket are handled in order, so the counter
            // only rises, but for its wrap.
            self.relay_drops += u64::from(count.wrapping_sub(entry.dropped));
            entry.dropped = count;
        }
    }

    /// Starts receiving on a slot that holds a socket.
    pub(super) fn receive(&mut self, ring: &mut Ring, slot: u32) -> Result<(), RingFailed> {
        let request = self.is_request(slot);
        let Some(entry) = self.slots.get_mut(slot as usize) else {
            return Ok(());
        };
        entry.state = State::Open { receiving: true };
        let generation = entry.generation;
        if entry.listens {
            return ring.accept(slot, Tag::Accept { slot, generation }.pack());
        }
        let group = if request {
            Group::Requests
        } else {
            Group::Media
        };
        ring.receive(slot, group, Tag::Receive { slot, generation }.pack())
    }

    /// A receive ended: it is started again by [`Sockets::restart`], or the
    /// socket goes on closing.
    pub(super) fn receive_ended(
        &mut self,
        ring: &mut Ring,
        slot: u32,
        generation: u32,
    ) -> Result<(), RingFailed> {
        let Some(entry) = self.slots.get_mut(slot as usize) else {
            return Ok(());
        };
        if entry.generation != generation {
            return Ok(());
        }
        match entry.state {
            State::Open { .. } => {
                entry.state = State::Open { receiving: false };
                if entry.listens || self.is_request(slot) {
                    // These have buffers of their own, or need none.
                    return self.receive(ring, slot);
                }
                if slot < self.first_relay {
                    // Carries the datagrams of all clients.
                    self.ended.push_front(slot);
                } else {
                    self.ended.push_back(slot);
                }
                Ok(())
            }
            State::Ending => {
                entry.state = State::Closing;
                ring.close(slot, Tag::Closed { slot, generation }.pack())
            }
            State::Free | State::Closing => Ok(()),
        }
    }

    /// Whether receives wait for [`Sockets::restart`].
    pub(super) fn any_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Starts receives again that ended, for want of buffers as a rule: the
    /// oldest first, and only a few for the `free` buffers there are. A receive
    /// on a full socket takes many buffers, and one that finds none ends at
    /// once: starting a thousand for a few hundred buffers would cost several
    /// times more than what they bring, and the worker would never get out of
    /// it again.
    pub(super) fn restart(&mut self, ring: &mut Ring, free: usize) -> Result<(), RingFailed> {
        for _ in 0..(free / 8).max(1) {
            let Some(slot) = self.ended.pop_front() else {
                break;
            };
            // It may have been closed in between.
            if self.slots[slot as usize].state == (State::Open { receiving: false }) {
                self.receive(ring, slot)?;
            }
        }
        Ok(())
    }

    /// Begins to close a relay socket.
    pub(super) fn close(&mut self, ring: &mut Ring, socket: SocketId) -> Result<(), RingFailed> {
        let slot = socket.0;
        if !self.is_relay(slot) {
            return Ok(());
        }
        let entry = &mut self.slots[slot as usize];
        let generation = entry.generation;
        match entry.state {
            State::Open { receiving: true } => {
                entry.state = State::Ending;
                if entry.listens {
                    return ring.cancel_accept(Tag::Accept { slot, generation }.pack());
                }
                ring.cancel(Tag::Receive { slot, generation }.pack())
            }
            State::Open { receiving: false } => {
                entry.state = State::Closing;
                ring.close(slot, Tag::Closed { slot, generation }.pack())
            }
            State::Free | State::Ending | State::Closing => Ok(()),
        }
    }

    /// A relay socket is closed: its port and slot are free.
    pub(super) fn closed(&mut self, slot: u32, generation: u32) {
        let Some(entry) = self.slots.get_mut(slot as usize) else {
            return;
        };
        if entry.generation != generation || entry.state != State::Closing {
            return;
        }
        let (local, port) = (usize::from(entry.local), entry.port);
        *entry = Slot {
            generation: (generation + 1) & GENERATION,
            ..FREE
        };
        self.free_slots.push(slot);
        if let Some(ports) = self.ports.get_mut(local) {
            ports.give(port);
        }
    }

    /// Tries ports again that other programs had.
    pub(super) fn retry_ports(&mut self, now: Instant) {
        for ports in &mut self.ports {
            ports.retry(now, RETRIED);
        }
    }

    pub(super) fn totals(&self) -> Totals {
        self.ports
            .iter()
            .fold(Totals::default(), |sum, ports| Totals {
                ports: sum.ports + ports.free() + ports.taken() + ports.aside(),
                free: sum.free + ports.free(),
            })
    }

    /// Bytes of memory, taken at construction.
    pub(super) fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + (self.free_slots.capacity() + self.ended.capacity()) * size_of::<u32>()
            + self.ports.iter().map(RelayPorts::memory).sum::<usize>()
    }
}

/// Random numbers from the operating system, fetched in blocks.
#[derive(Debug)]
pub(super) struct Random {
    block: [u8; 256],
    left: usize,
}

impl Random {
    pub(super) fn next(&mut self) -> u32 {
        if self.left < 4 {
            // Without entropy ports would be predictable but still unique;
            // the call cannot fail once the system has booted.
            let _ = getrandom::fill(&mut self.block);
            self.left = self.block.len();
        }
        self.left -= 4;
        self.block[self.left..]
            .first_chunk::<4>()
            .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }
}
