//! Clients whose datagrams the steering program gives to another worker, while
//! this one holds their allocation: they came back from another address, with a
//! mobility ticket or a reservation token of this worker. Each has a socket of
//! the listening address that is connected to it, which the kernel prefers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use forebay_engine::Shard;
use forebay_sys::Errno;
use forebay_sys::ring::{Ring, RingFailed};
use forebay_sys::sockets::{Role, Tuning, connect, local_address, open};
use forebay_turn::{FiveTuple, SocketId};
use forebay_wire::clock::Instant;

use super::WorkerCommand;
use super::rounds::Worker;
use super::sockets::{FREE, Slot, Sockets};

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    clients: VecDeque<Client>,
}

#[derive(Debug)]
struct Client {
    tuple: FiveTuple,
    slot: u32,
    /// When it was adopted, or last found to be served.
    seen: Instant,
}

impl Adopted {
    /// Clients at once. Before Linux 6.13 the kernel looks at each such socket
    /// of a local address for every datagram that comes to it, some
    /// nanoseconds each.
    const MOST: usize = 64;
    /// How long a socket is left before it is asked what for. Longer than a
    /// client repeats the request that it was opened for.
    const PATIENCE: Duration = Duration::from_secs(45);

    /// How long a client is sure of its socket although it is not served yet:
    /// it answers a challenge.
    const SETTLING: Duration = Duration::from_secs(2);

    pub(super) fn is_full(&self) -> bool {
        self.clients.len() >= Self::MOST
    }

    pub(super) fn has(&self, tuple: &FiveTuple) -> bool {
        self.clients.iter().any(|client| client.tuple == *tuple)
    }

    pub(super) fn add(&mut self, tuple: FiveTuple, slot: u32, now: Instant) {
        self.clients.push_back(Client {
            tuple,
            slot,
            seen: now,
        });
    }

    /// Forgets a client and gives its slot.
    fn give_up(&mut self, tuple: &FiveTuple) -> Option<u32> {
        let place = self.clients.iter().position(|one| one.tuple == *tuple)?;
        self.clients.remove(place).map(|client| client.slot)
    }

    /// Forgets the longest-known client that is not served any more, though it
    /// may yet repeat its last request, and gives its slot.
    pub(super) fn make_room(
        &mut self,
        now: Instant,
        served: impl Fn(&FiveTuple) -> bool,
    ) -> Option<u32> {
        let gone = |client: &Client| client.seen + Self::SETTLING <= now && !served(&client.tuple);
        let place = self.clients.iter().position(gone)?;
        self.clients.remove(place).map(|client| client.slot)
    }

    /// Looks at the client that was looked at the longest time ago. Gives its
    /// slot if it is not served any more, and forgets it.
    pub(super) fn review(
        &mut self,
        now: Instant,
        served: impl Fn(&FiveTuple) -> bool,
    ) -> Option<u32> {
        let oldest = self
            .clients
            .pop_front_if(|oldest| oldest.seen + Self::PATIENCE <= now)?;
        if !served(&oldest.tuple) {
            return Some(oldest.slot);
        }
        self.clients.push_back(Client {
            seen: now,
            ..oldest
        });
        None
    }
}

impl Worker {
    /// Gives a request to the worker that holds what it is about. Where it
    /// cannot be given the client repeats it.
    pub(super) fn forward(
        &mut self,
        shard: u16,
        tuple: FiveTuple,
        request: Box<[u8]>,
    ) -> Result<(), RingFailed> {
        // The client, or another at its address, was served here before: of two
        // sockets connected to it the kernel would go on to prefer the older.
        if let Some(slot) = self.sockets.adopted.give_up(&tuple) {
            self.sockets.close(&mut self.ring, SocketId(slot))?;
        }
        if let Some(worker) = self.neighbours.get(usize::from(shard)) {
            // A full mailbox is counted by its owner.
            let _ = worker.send(WorkerCommand::TakeOver { tuple, request });
        }
        Ok(())
    }

    /// Answers a request that another worker got, if the client's datagrams
    /// can be had from now on; else the client repeats it, and in the end
    /// allocates anew.
    pub(super) fn take_over(
        &mut self,
        tuple: &FiveTuple,
        request: &[u8],
    ) -> Result<(), RingFailed> {
        let now = self.state.now;
        let (adopted, shard) = (&mut self.sockets.adopted, &self.shard);
        if adopted.is_full()
            && !adopted.has(tuple)
            && let Some(slot) = adopted.make_room(now.instant, |tuple| shard.serves(tuple))
        {
            self.sockets.close(&mut self.ring, SocketId(slot))?;
        }
        if self.sockets.take_over(&mut self.ring, tuple, now.instant)? {
            self.shard
                .forwarded(now, tuple, request, &mut self.state.tx);
        }
        Ok(())
    }
}

impl Sockets {
    /// Sees to it that datagrams of a client come to this worker although the
    /// steering program gives them to another. False if it cannot be done.
    pub(super) fn take_over(
        &mut self,
        ring: &mut Ring,
        tuple: &FiveTuple,
        now: Instant,
    ) -> Result<bool, RingFailed> {
        if self.adopted.has(tuple) {
            return Ok(true);
        }
        let Some(listener) = self.listening_addresses.get(tuple.socket.0 as usize) else {
            return Ok(false);
        };
        if self.adopted.is_full() {
            return Ok(false);
        }
        let Some(slot) = self.free_slots.pop() else {
            return Ok(false);
        };
        let opened =
            connected(*listener, tuple, self.tuning).and_then(|socket| ring.install(slot, socket));
        if let Err(errno) = opened {
            self.free_slots.push(slot);
            tracing::debug!(client = %tuple.client.0, %errno, "cannot take over a client");
            return Ok(false);
        }
        let known = self.locals.iter().position(|local| *local == tuple.local);
        let local = known.unwrap_or_else(|| {
            self.locals.push(tuple.local);
            self.locals.len() - 1
        });
        self.slots[slot as usize] = Slot {
            generation: self.slots[slot as usize].generation,
            local: local as u16,
            adopted: Some(tuple.socket),
            ..FREE
        };
        self.receive(ring, slot)?;
        self.adopted.add(*tuple, slot, now);
        Ok(true)
    }

    /// Closes the socket of an adopted client that is not served any more;
    /// looks at one per call.
    pub(super) fn release(
        &mut self,
        ring: &mut Ring,
        shard: &Shard,
        now: Instant,
    ) -> Result<(), RingFailed> {
        match self.adopted.review(now, |tuple| shard.serves(tuple)) {
            Some(slot) => self.close(ring, SocketId(slot)),
            None => Ok(()),
        }
    }
}

/// A socket of a listening address that is connected to one client: the kernel
/// prefers it to what the steering program says.
fn connected(listener: SocketAddr, tuple: &FiveTuple, tuning: Tuning) -> Result<OwnedFd, Errno> {
    // Binding to less than a wildcard listener would draw the datagrams of
    // everybody until it is connected; so the kernel chooses the local address
    // when connecting, and may choose another than the client's.
    let socket = open(listener, Role::Listener, tuning)?;
    connect(socket.as_fd(), tuple.client.0)?;
    if local_address(socket.as_fd())?.ip() == tuple.local {
        Ok(socket)
    } else {
        Err(Errno::EADDRNOTAVAIL)
    }
}
