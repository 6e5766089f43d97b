//! A worker's connections: which slot of the ring's file table holds what,
//! what came over them and waits to be handled, what goes and waits to be
//! taken.
//!
//! Each has at most one receive and one send in the ring. A connection ends in
//! steps: the shard forgets it, both requests end, its slot is closed, and
//! only then is its id free.
//!
//! Behind the clients' connections lie those with peers (RFC 6062), at the
//! numbers the server gives them.

mod input;
mod output;
mod peers;
mod splice;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use forebay_engine::Shard;
use forebay_sys::ring::{Ring, RingFailed};
use forebay_turn::{PeerConnection, SocketId};
use forebay_wire::clock::{Instant, Now};

use super::publish::StreamCounts;
use super::tag::{GENERATION, Tag};
use super::transmit::Resend;
use crate::streams::{ClientTransport, Connection, End, Live, Speaks, StreamLimits};
use input::{Chunk, What};

/// Connections taken over in one round: each costs a few microseconds.
pub(super) const ADOPTED: usize = 8;
/// Connections looked at in one round because of their age.
const CHECKED: usize = 64;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Open,
    /// Its requests are ending.
    Ending,
    /// The slot is being closed.
    Closing,
}

struct Entry {
    state: State,
    generation: u32,
    receiving: bool,
    /// Sends, or connects.
    sending: bool,
    /// Its other end is being told that nothing will follow.
    shutting: bool,
    /// Its other end is to be told that something went wrong.
    reset: bool,
    live: Option<Box<Live>>,
}

impl Entry {
    fn free(generation: u32) -> Self {
        Self {
            state: State::Free,
            generation,
            receiving: false,
            sending: false,
            shutting: false,
            reset: false,
            live: None,
        }
    }
}

pub(super) struct Streams {
    /// Id, and slot, of the first.
    first: u32,
    /// Entries of clients; those of peers follow.
    clients: u32,
    entries: Box<[Entry]>,
    /// Ids of those that speak TURN are below this one, counted from the
    /// first.
    media: u32,
    free: Vec<u32>,
    free_media: Vec<u32>,
    limits: StreamLimits,
    buffers: usize,
    chunks: VecDeque<Chunk>,
    /// Receives to start again.
    ended: VecDeque<(u32, u32)>,
    /// Connections to end.
    ends: VecDeque<(u32, End)>,
    /// Connections that output was added for.
    ready: Vec<u32>,
    /// Connections in the order of when to look at them.
    checks: VecDeque<(Instant, u32, u32)>,
    checked: Instant,
    spare: Vec<Vec<u8>>,
    packets: Resend,
    /// Receives to end, because what they bring may be a peer's.
    stops: Vec<u64>,
    /// Ends of joined connections to look at.
    pumps: Vec<u32>,
    /// Those that wait for bandwidth, and until when.
    throttled: VecDeque<(Instant, u32)>,
    /// Peers' connections whose number is free again, not yet told to the shard.
    released: Vec<PeerConnection>,
    /// Pairs of joined connections.
    spliced: usize,
    /// Connections whose id is free again, not yet told to the mailbox.
    pub(super) gone: usize,
    pub(super) counts: StreamCounts,
}

impl Streams {
    /// Room for `turn` connections, behind them for `media` ones, and behind
    /// those for the ones of peers.
    pub(super) fn new(
        first: u32,
        [turn, media, peers]: [u32; 3],
        buffers: u16,
        limits: StreamLimits,
    ) -> Self {
        let clients = turn + media;
        Self {
            first,
            clients,
            entries: (0..clients + peers).map(|_| Entry::free(0)).collect(),
            media: turn,
            free: (0..turn).rev().collect(),
            free_media: (turn..clients).rev().collect(),
            limits,
            buffers: buffers.into(),
            chunks: VecDeque::new(),
            ended: VecDeque::new(),
            ends: VecDeque::new(),
            ready: Vec::new(),
            checks: VecDeque::new(),
            checked: Instant::default(),
            spare: Vec::new(),
            packets: Resend::default(),
            stops: Vec::new(),
            pumps: Vec::new(),
            throttled: VecDeque::new(),
            released: Vec::new(),
            spliced: 0,
            gone: 0,
            counts: StreamCounts::default(),
        }
    }

    /// Bytes of memory taken at construction.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.entries) + self.entries.len() * size_of::<u32>()
    }

    /// Connections of clients that have an id.
    pub(super) fn open(&self) -> usize {
        self.clients as usize - self.free.len() - self.free_media.len()
    }

    /// What the client of this socket speaks, and where it connected to;
    /// `None` where there is no such connection.
    pub(super) fn via(&self, socket: SocketId) -> Option<(ClientTransport, SocketAddr)> {
        let index = socket.0.checked_sub(self.first)?;
        let live = self.entries.get(index as usize)?.live.as_ref()?;
        Some((live.transport, live.local))
    }

    /// Ids, and slots, of connections.
    pub(super) fn ids(&self) -> Range<u32> {
        self.first..self.first + self.entries.len() as u32
    }

    /// Whether a slot of the file table is a connection's.
    #[inline]
    pub(super) fn own(&self, slot: u32) -> bool {
        (slot.wrapping_sub(self.first) as usize) < self.entries.len()
    }

    /// Whether something waits to be handled.
    pub(super) fn busy(&self) -> bool {
        !self.chunks.is_empty()
            || !self.ended.is_empty()
            || !self.ends.is_empty()
            || !self.pumps.is_empty()
    }

    /// When to look at connections because of their age.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let check = self
            .checks
            .front()
            .map(|(due, ..)| (*due).max(self.checked + self.period()));
        let throttled = self.throttled.front().map(|(due, _)| *due);
        check.into_iter().chain(throttled).min()
    }

    /// How late the end of an idle or stalled connection may be noticed.
    fn period(&self) -> Duration {
        const MOST: Duration = Duration::from_secs(5);
        (self.limits.idle.min(self.limits.stalled) / 4).clamp(Duration::from_millis(10), MOST)
    }

    fn slot(&self, index: u32) -> u32 {
        self.first + index
    }

    /// Takes a connection over and gives its id, or closes it for want of one.
    pub(super) fn adopt(
        &mut self,
        ring: &mut Ring,
        shard: &mut Shard,
        mut connection: Connection,
        now: Instant,
    ) -> Result<Option<SocketId>, RingFailed> {
        let free = match connection.speaks {
            Speaks::Turn => self.free.pop(),
            Speaks::Media => self.free_media.pop(),
        };
        let Some(index) = free else {
            self.counts.refused += 1;
            self.gone += 1;
            return Ok(None);
        };
        let slot = self.slot(index);
        let mut live = Live::new(&mut connection, SocketId(slot), now);
        let bytes = live.transport != ClientTransport::Dtls;
        shard.set_byte_stream(SocketId(slot), bytes);
        let scratch = ring.take_scratch();
        let (Some(buffer), Ok(())) = (scratch, ring.install(slot, connection.socket)) else {
            self.counts.refused += 1;
            self.gone += 1;
            self.give_back(index);
            ring.recycle(scratch.into_iter());
            return Ok(None);
        };
        let generation = self.entries[index as usize].generation;
        let early = match ring.stream_area(buffer) {
            Some(area) => live.begin(&connection.early, ring.memory(), &area),
            None => Err(End::Error),
        };
        let what = match early {
            Ok(range) => What::Messages { buffer, range },
            Err(end) => {
                ring.recycle(std::iter::once(buffer));
                What::End(end)
            }
        };
        self.chunks.push_back(Chunk {
            index,
            generation,
            what,
        });
        if live.has_output() {
            live.ready = true;
            self.ready.push(index);
        }
        live.count(&mut self.counts.memory);
        self.entries[index as usize] = Entry {
            state: State::Open,
            receiving: true,
            live: Some(Box::new(live)),
            ..Entry::free(generation)
        };
        self.counts.adopted += 1;
        self.checks
            .push_back((now + self.period(), index, generation));
        ring.receive_stream(slot, Tag::Stream { slot, generation }.pack())?;
        Ok(Some(SocketId(slot)))
    }

    /// Looks at connections that are due, a bounded number per call.
    pub(super) fn check(&mut self, shard: &Shard, now: Now) {
        if self.next_deadline().is_none_or(|due| now.instant < due) {
            return;
        }
        for _ in 0..CHECKED {
            match self.checks.front() {
                Some((due, ..)) if *due <= now.instant => {}
                _ => {
                    self.checked = now.instant;
                    return;
                }
            }
            let Some((_, index, generation)) = self.checks.pop_front() else {
                return;
            };
            let entry = &self.entries[index as usize];
            let live = match &entry.live {
                Some(live) if entry.generation == generation && entry.state == State::Open => live,
                _ => continue,
            };
            let since = |then: Instant| now.instant.since(then);
            let over = self.splice_over(index, now.instant);
            if let Some(end) = over {
                self.ends.push_back((index, end));
            } else if live.splice.is_none()
                && live.waiting() > 0
                && since(live.progress) >= self.limits.stalled
            {
                self.ends.push_back((index, End::Stalled));
            } else if live.splice.is_none()
                && since(live.active) >= self.limits.idle
                && !shard.is_used(now, &live.tuple)
            {
                self.ends.push_back((index, End::Idle));
            } else {
                let due = now.instant + self.period();
                self.checks.push_back((due, index, generation));
            }
        }
    }

    /// Ends the next connection that has to end.
    pub(super) fn end_next(
        &mut self,
        ring: &mut Ring,
        shard: &mut Shard,
    ) -> Result<bool, RingFailed> {
        let Some((index, end)) = self.ends.pop_front() else {
            return Ok(false);
        };
        let slot = self.slot(index);
        let entry = &mut self.entries[index as usize];
        if entry.state != State::Open {
            return Ok(true);
        }
        let Some(mut live) = entry.live.take() else {
            return Ok(true);
        };
        entry.state = State::Ending;
        live.uncount(&mut self.counts.memory);
        let generation = entry.generation;
        let shut = live.splice.as_ref().is_some_and(|splice| splice.shut);
        if index < self.clients {
            shard.disconnected(&live.tuple);
            self.counts.ended[end as usize] += 1;
        } else {
            shard.hung_up(PeerConnection(index - self.clients));
        }
        if let Some(splice) = &live.splice {
            // Counted once for both.
            self.spliced -= usize::from(index < self.clients);
            let partner = splice.partner;
            self.count_last(shard, index, partner, splice.moved);
            self.end_partner(partner, end);
        }
        let entry = &mut self.entries[index as usize];
        tracing::debug!(client = %live.tuple.client.0, transport = ?live.transport, ?end, "a connection ends");
        if !entry.sending
            && !matches!(end, End::Error | End::Stalled)
            && !shut
            && !entry.reset
            && let Some(bytes) = live.farewell()
        {
            entry.sending = true;
            let tag = Tag::StreamSent { slot, generation }.pack();
            ring.send_stream(index, slot, bytes, 0, tag)?;
        }
        // What fits into the socket goes before the cancellation.
        if entry.sending {
            ring.cancel_stream_send(index)?;
        }
        if entry.receiving {
            ring.cancel(Tag::Stream { slot, generation }.pack())?;
        }
        self.finish(ring, index)?;
        Ok(true)
    }

    /// Closes the slot of an ending connection once its requests have ended.
    fn finish(&mut self, ring: &mut Ring, index: u32) -> Result<(), RingFailed> {
        let slot = self.slot(index);
        let entry = &mut self.entries[index as usize];
        let busy = entry.receiving || entry.sending || entry.shutting;
        if entry.state != State::Ending || busy {
            return Ok(());
        }
        entry.state = State::Closing;
        let generation = entry.generation;
        if entry.reset {
            ring.reset_stream(slot)?;
        }
        ring.close(slot, Tag::Closed { slot, generation }.pack())
    }

    /// A slot is closed: its id is free.
    pub(super) fn closed(&mut self, slot: u32, generation: u32) {
        let index = slot.wrapping_sub(self.first);
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return;
        };
        if entry.generation != generation || entry.state != State::Closing {
            return;
        }
        *entry = Entry::free((generation + 1) & GENERATION);
        match self.peer_at(index) {
            Some(connection) => self.released.push(connection),
            None => {
                self.give_back(index);
                self.gone += 1;
            }
        }
    }

    /// An id is free.
    fn give_back(&mut self, index: u32) {
        if index < self.media {
            self.free.push(index);
        } else {
            self.free_media.push(index);
        }
    }
}
