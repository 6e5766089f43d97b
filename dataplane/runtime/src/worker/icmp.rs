//! ICMP errors of what relay sockets sent: from their error queues to the
//! shard.
//!
//! An error fails the next send or receive on its socket, whatever peer that is
//! about: the send is repeated, the receive started again, and the queue read,
//! before the receive so that it does not fail at once for the next error.
//!
//! Errors are anybody's to forge. A socket that draws too many is deaf to them
//! for a while, so that a flood costs nothing, and many of one kind become one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use forebay_engine::{Shard, TxBatch};
use forebay_sys::error_queue::{Fate, READS, SocketError};
use forebay_sys::ring::{Ring, RingFailed};
use forebay_turn::SocketId;
use forebay_wire::clock::{Instant, Now};
use forebay_wire::stun::Icmp;

use super::sockets::Sockets;
use super::tag::Tag;

/// Reads of one socket's queue at first: an error, and that there is none
/// left.
const FIRST: usize = 2;
/// Reads of one socket's queue in one round, so that several can be emptied.
const MOST: usize = READS / 4;
/// Errors a socket may draw per second, and at once after a pause: more than
/// clients are told of, less than would fail many of its sends.
const BETWEEN: Duration = Duration::from_millis(20);
const AHEAD: Duration = BETWEEN.saturating_mul(64);
/// How long a socket that drew more is deaf.
const DEAF: Duration = Duration::from_secs(10);

/// A socket whose error queue is to be read.
#[derive(Debug, Clone, Copy)]
struct Pending {
    slot: u32,
    generation: u32,
    reads: usize,
}

/// A read under way.
#[derive(Debug, Clone, Copy)]
struct Read {
    of: Pending,
    /// Tells whether the queue is empty.
    last: bool,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Errors {
    pending: VecDeque<Pending>,
    reads: Vec<Read>,
    /// What the shard is to be told.
    found: Vec<(SocketId, SocketError)>,
    /// Datagrams that were too long: the kernel forgets the port.
    too_long: Vec<(u32, SocketAddr)>,
    /// Sockets that are deaf, and until when.
    deaf: VecDeque<(Instant, Pending)>,
    /// Errors left out because they were like the one before.
    pub(super) repeated: u64,
    /// Times a socket was made deaf.
    pub(super) pauses: u64,
}

impl Errors {
    /// Takes note that something is wrong with a relay socket.
    #[cold]
    pub(super) fn note(&mut self, sockets: &mut Sockets, slot: u32, generation: u32) {
        if let Some(entry) = sockets.slots.get_mut(slot as usize)
            && entry.generation == generation
            && !std::mem::replace(&mut entry.failing, true)
        {
            self.pending.push_back(Pending {
                slot,
                generation,
                reads: FIRST,
            });
        }
    }

    /// Takes note of where a datagram did not go because of its length.
    pub(super) fn too_long(&mut self, slot: u32, destination: SocketAddr) {
        if self.too_long.len() < READS {
            self.too_long.push((slot, destination));
        }
    }

    /// Asks the ring for the next errors. To be called before receives are
    /// started again.
    pub(super) fn read(&mut self, ring: &mut Ring, sockets: &Sockets) -> Result<(), RingFailed> {
        while let Some(pending) = self.pending.front()
            && self.reads.len() + pending.reads <= READS
        {
            if sockets.origin(pending.slot, pending.generation).is_none() {
                // Closed in the meantime.
                self.pending.pop_front();
                continue;
            }
            for left in (0..pending.reads).rev() {
                let read = self.reads.len();
                let tag = Tag::Error { read: read as u32 };
                ring.read_error(read, pending.slot, tag.pack())?;
                self.reads.push(Read {
                    of: *pending,
                    last: left == 0,
                });
            }
            self.pending.pop_front();
        }
        Ok(())
    }

    /// Takes over what the reads found; all of them have completed.
    #[cold]
    pub(super) fn collect(
        &mut self,
        now: Instant,
        ring: &mut Ring,
        sockets: &mut Sockets,
        completed: impl Iterator<Item = (u32, bool)>,
    ) -> Result<(), RingFailed> {
        for (index, found) in completed {
            let Some(&Read { of, last }) = self.reads.get(index as usize) else {
                continue;
            };
            let ours = sockets.origin(of.slot, of.generation).is_some();
            if found
                && ours
                && let Some(error) = ring.error(index as usize)
            {
                self.add(of.slot, error);
            }
            let flooded = found && ours && flooded(now, sockets, of.slot);
            if flooded {
                self.deafen(now, ring, sockets, of)?;
            }
            if !last {
                continue;
            }
            if found && ours && !flooded {
                self.pending.push_back(Pending {
                    reads: (of.reads * 2).min(MOST),
                    ..of
                });
            } else if ours && let Some(entry) = sockets.slots.get_mut(of.slot as usize) {
                entry.failing = false;
                self.too_long.retain(|(slot, _)| *slot != of.slot);
            }
        }
        self.reads.clear();
        Ok(())
    }

    fn deafen(
        &mut self,
        now: Instant,
        ring: &mut Ring,
        sockets: &Sockets,
        socket: Pending,
    ) -> Result<(), RingFailed> {
        if self.deaf.back().is_some_and(|(_, last)| {
            (last.slot, last.generation) == (socket.slot, socket.generation)
        }) {
            // Told by the read before.
            return Ok(());
        }
        if self.deaf.len() >= sockets.slots.len() {
            // Only where sockets are given out and flooded faster than they
            // recover: they go on to be read.
            return Ok(());
        }
        self.pauses += 1;
        self.deaf.push_back((now + DEAF, socket));
        ring.hear_errors(socket.slot, sockets.is_v6(socket.slot), false)
    }

    /// Lets sockets hear again that were deaf for long enough.
    pub(super) fn recover(
        &mut self,
        now: Instant,
        ring: &mut Ring,
        sockets: &Sockets,
    ) -> Result<(), RingFailed> {
        while let Some((_, socket)) = self.deaf.pop_front_if(|(until, _)| *until <= now) {
            if sockets.origin(socket.slot, socket.generation).is_some() {
                ring.hear_errors(socket.slot, sockets.is_v6(socket.slot), true)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, slot: u32, error: SocketError) {
        let mut destination = error.destination;
        if destination.port() == 0
            && let Some((_, known)) = self
                .too_long
                .iter()
                .find(|(of, known)| *of == slot && known.ip() == destination.ip())
        {
            destination = *known;
        }
        let error = (
            SocketId(slot),
            SocketError {
                destination,
                ..error
            },
        );
        if self.found.last() == Some(&error) {
            self.repeated += 1;
        } else {
            self.found.push(error);
        }
    }

    /// Tells the shard.
    pub(super) fn tell(&mut self, now: Now, shard: &mut Shard, tx: &mut TxBatch) {
        for (socket, error) in self.found.drain(..) {
            let icmp = icmp(&error);
            shard.icmp(now, socket, error.destination, icmp, tx);
        }
    }
}

/// Takes one more error into a socket's account; true when there were too many.
fn flooded(now: Instant, sockets: &mut Sockets, slot: u32) -> bool {
    let Some(entry) = sockets.slots.get_mut(slot as usize) else {
        return false;
    };
    let calm = entry.calm.max(now) + BETWEEN;
    let flooded = calm > now + AHEAD;
    if !flooded {
        entry.calm = calm;
    }
    flooded
}

/// As the client is told (RFC 8656 §18.13). What our own interface refuses is
/// told as the next router would.
fn icmp(error: &SocketError) -> Icmp {
    let too_long = if error.destination.is_ipv4() {
        (3, 4)
    } else {
        (2, 0)
    };
    match error.fate {
        Fate::Icmp { kind, code, info } => Icmp {
            kind,
            code,
            data: match (error.destination, kind, code) {
                (SocketAddr::V4(_), 3, 4) | (SocketAddr::V6(_), 2, _) => info,
                _ => 0,
            },
        },
        Fate::TooLong { mtu } => Icmp {
            kind: too_long.0,
            code: too_long.1,
            data: mtu,
        },
    }
}
