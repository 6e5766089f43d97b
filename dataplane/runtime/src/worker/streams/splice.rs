//! A client's connection and a peer's, joined: each one's bytes are the other's
//! (RFC 6062 §5.4).
//!
//! Each end is read once at a time, and only while what waits for the other is
//! below a mark, so that a slow reader closes the other's window. What an end
//! says last goes on as such; when both have said it, or either fails, both are
//! closed.

use std::ops::Range;
use std::time::Duration;

use forebay_engine::Shard;
use forebay_sys::ring::{Ring, RingFailed};
use forebay_turn::{PeerConnection, SocketId};
use forebay_wire::clock::{Instant, Now};

use super::input::{Chunk, What};
use super::{State, Streams};
use crate::streams::{End, Live, Splice};
use crate::worker::tag::Tag;

/// What may wait for one end before the other is read on: as much as the
/// kernel fills one buffer with goes beyond it.
const MARK: usize = 64 << 10;
/// What a client may have sent behind its ConnectionBind, which is read before
/// the server has decided about that.
const EARLY: usize = 1 << 20;
/// How long a joined connection waits when the bandwidth is spent.
const PAUSE: Duration = Duration::from_millis(20);

impl Streams {
    /// Joins a client's connection and a peer's. If either has gone, the other
    /// follows.
    pub(in crate::worker) fn splice(&mut self, stream: SocketId, connection: PeerConnection) {
        let client = stream.0.wrapping_sub(self.first);
        let peer = self.index_of(connection);
        let open = |index: u32| {
            self.entries.get(index as usize).is_some_and(|entry| {
                let live = entry.live.as_ref();
                entry.state == State::Open && live.is_some_and(|live| live.splice.is_none())
            })
        };
        match (open(client), open(peer)) {
            (true, true) => {
                for (index, partner) in [(client, peer), (peer, client)] {
                    if let Some(live) = &mut self.entries[index as usize].live {
                        live.splice = Some(Splice::with(partner));
                    }
                    self.pumps.push(index);
                }
                self.spliced += 1;
            }
            (true, false) => self.ends.push_back((client, End::Peer)),
            (false, true) => self.ends.push_back((peer, End::Peer)),
            (false, false) => {}
        }
    }

    fn spliced_live(&mut self, index: u32) -> Option<&mut Live> {
        let entry = self.entries.get_mut(index as usize)?;
        let live = entry.live.as_mut()?;
        (entry.state == State::Open && live.splice.is_some()).then_some(live)
    }

    /// The other end of a joined connection.
    pub(super) fn partner(&self, index: u32) -> Option<u32> {
        let live = self.entries.get(index as usize)?.live.as_ref()?;
        Some(live.splice.as_ref()?.partner)
    }

    /// What came over one end goes to the other.
    pub(super) fn pass_on(
        &mut self,
        ring: &mut Ring,
        now: Instant,
        in_use: &mut Vec<u16>,
        chunk: Chunk,
    ) {
        let index = chunk.index;
        let current = self.entries[index as usize].generation == chunk.generation;
        let Some(live) = self.spliced_live(index).filter(|_| current) else {
            return in_use.extend(chunk.buffer());
        };
        live.active = now;
        let (buffer, taken) = match chunk.what {
            What::Messages { buffer, range } => (Some(buffer), Ok(range)),
            What::Filled { buffer, filled } => {
                let taken = match ring.stream_area(buffer) {
                    Some(area) => live.take(filled as usize, ring.memory(), &area),
                    None => Err(End::Error),
                };
                (Some(buffer), taken)
            }
            What::End(End::Client) => {
                live.say_finished();
                (None, Ok(0..0))
            }
            What::End(end) => (None, Err(end)),
        };
        if live.is_closed() {
            live.say_finished();
        }
        let answers = live.has_output() && !live.ready;
        live.ready |= answers;
        if answers {
            self.ready.push(index);
        }
        in_use.extend(buffer);
        let passed = taken.and_then(|range| self.hand_over(ring, now, index, range));
        if let Err(end) = passed {
            self.ends.push_back((index, end));
        }
        self.pumps.push(index);
    }

    fn hand_over(
        &mut self,
        ring: &Ring,
        now: Instant,
        index: u32,
        range: Range<usize>,
    ) -> Result<(), End> {
        let bytes = ring.memory_ref().get(range).unwrap_or_default();
        let partner = self.partner(index).ok_or(End::Peer)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let live = self.spliced_live(partner).ok_or(End::Peer)?;
        if live.waiting() + bytes.len() > EARLY {
            return Err(End::Stalled);
        }
        if live.waiting() == 0 {
            live.progress = now;
        }
        live.put(bytes);
        if !live.ready {
            live.ready = true;
            self.ready.push(partner);
        }
        if let Some(splice) = self
            .spliced_live(index)
            .and_then(|live| live.splice.as_mut())
        {
            splice.moved += bytes.len() as u32;
        }
        Ok(())
    }

    /// What a joined connection moved and was not counted when it ended.
    pub(super) fn count_last(&self, shard: &mut Shard, index: u32, partner: u32, moved: u32) {
        let connection = PeerConnection(index.max(partner) - self.clients);
        if partner >= self.clients {
            shard.moved(connection, moved, 0);
        } else {
            shard.moved(connection, 0, moved);
        }
    }

    /// Reads on where there is room for it, passes on that an end has said its
    /// last, and counts what was moved.
    pub(in crate::worker) fn pump(
        &mut self,
        ring: &mut Ring,
        shard: &mut Shard,
        now: Now,
    ) -> Result<(), RingFailed> {
        for tag in std::mem::take(&mut self.stops) {
            ring.cancel(tag)?;
        }
        while let Some(&(due, index)) = self.throttled.front()
            && due <= now.instant
        {
            self.throttled.pop_front();
            if let Some(splice) = self
                .spliced_live(index)
                .and_then(|live| live.splice.as_mut())
            {
                splice.throttled = false;
                self.pumps.push(index);
            }
        }
        while let Some(index) = self.pumps.pop() {
            self.pump_one(ring, shard, now, index)?;
        }
        Ok(())
    }

    fn pump_one(
        &mut self,
        ring: &mut Ring,
        shard: &mut Shard,
        now: Now,
        index: u32,
    ) -> Result<(), RingFailed> {
        let Some(partner) = self.partner(index) else {
            return Ok(());
        };
        let to_peer = partner >= self.clients;
        for end in [index, partner] {
            if let Some(live) = &mut self.entries[end as usize].live {
                live.count(&mut self.counts.memory);
            }
        }
        let connection = PeerConnection(index.max(partner) - self.clients);
        let waiting = self.spliced_live(partner).map(|live| live.waiting());
        let (Some(waiting), Some(live)) = (waiting, self.spliced_live(index)) else {
            return Ok(());
        };
        let Some(splice) = &mut live.splice else {
            return Ok(());
        };
        let moved = std::mem::take(&mut splice.moved);
        if to_peer {
            shard.moved(connection, moved, 0);
        } else {
            shard.moved(connection, 0, moved);
        }
        if splice.finished {
            return self.pass_end_on(ring, partner);
        }
        if splice.throttled || waiting >= MARK {
            return Ok(());
        }
        let throttled = !shard.may_move(now, connection, to_peer);
        splice.throttled = throttled;
        if throttled {
            self.throttled.push_back((now.instant + PAUSE, index));
            return Ok(());
        }
        let slot = self.slot(index);
        let entry = &mut self.entries[index as usize];
        if entry.receiving {
            return Ok(());
        }
        entry.receiving = true;
        let generation = entry.generation;
        ring.receive_once(slot, Tag::Stream { slot, generation }.pack())
    }

    /// The other end has said its last: so does this one, behind what waits.
    fn pass_end_on(&mut self, ring: &mut Ring, index: u32) -> Result<(), RingFailed> {
        let slot = self.slot(index);
        let sending = self.entries[index as usize].sending;
        let Some(live) = self.spliced_live(index) else {
            return Ok(());
        };
        let quiet = live.waiting() == 0;
        let Some(splice) = &mut live.splice else {
            return Ok(());
        };
        if splice.shut || !quiet || sending {
            return Ok(());
        }
        if !std::mem::replace(&mut splice.said, true) {
            live.say_last();
        }
        if live.has_output() {
            if !live.ready {
                live.ready = true;
                self.ready.push(index);
            }
            return Ok(());
        }
        let both = live.splice.as_mut().is_some_and(|splice| {
            splice.shut = true;
            splice.finished
        });
        if both {
            self.ends.push_back((index, End::Client));
        }
        let entry = &mut self.entries[index as usize];
        entry.shutting = true;
        let generation = entry.generation;
        ring.shut_stream(slot, Tag::Shut { slot, generation }.pack())
    }

    /// An end has been told that nothing will follow.
    pub(in crate::worker) fn shut_ended(
        &mut self,
        ring: &mut Ring,
        slot: u32,
    ) -> Result<(), RingFailed> {
        let index = slot.wrapping_sub(self.first);
        match self.entries.get_mut(index as usize) {
            Some(entry) => entry.shutting = false,
            None => return Ok(()),
        }
        self.finish(ring, index)
    }

    /// Why a client's joined connection has to end by now: an end takes
    /// nothing, or one has said its last and the other is silent.
    pub(super) fn splice_over(&self, index: u32, now: Instant) -> Option<End> {
        let live = |index: u32| self.entries.get(index as usize)?.live.as_ref();
        let ends = [live(index)?, live(self.partner(index)?)?];
        let since = |then: Instant| now.since(then);
        if ends
            .iter()
            .any(|live| live.waiting() > 0 && since(live.progress) >= self.limits.stalled)
        {
            return Some(End::Stalled);
        }
        let half = ends
            .iter()
            .any(|live| live.splice.as_ref().is_some_and(|splice| splice.finished));
        let silent = ends
            .iter()
            .all(|live| since(live.active.max(live.progress)) >= self.limits.idle);
        (half && silent).then_some(End::Idle)
    }

    /// An end is over: what is left of the other follows.
    pub(super) fn end_partner(&mut self, index: u32, end: End) {
        let broken = matches!(end, End::Error | End::Tls | End::Stalled);
        if let Some(entry) = self.entries.get_mut(index as usize)
            && entry.state == State::Open
        {
            entry.reset |= broken;
            self.ends.push_back((index, End::Peer));
        }
    }
}
