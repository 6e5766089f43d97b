//! What comes over connections: from completions to slots for the shard.

use std::ops::Range;

use forebay_engine::RxSlot;
use forebay_sys::Errno;
use forebay_sys::ring::{Ring, RingFailed};
use forebay_wire::clock::Instant;

use super::{State, Streams};
use crate::streams::End;
use crate::streams::framing::{Outcome, Room};
use crate::worker::reaped::StreamEvent;
use crate::worker::tag::Tag;

/// Messages of one connection that begin a slot in one round, so that one
/// client cannot keep the others waiting.
const SLOTS_EACH: usize = 64;
/// Requests of one connection in one round.
const REQUESTS_EACH: usize = 8;
/// What came over a connection and was not handled yet.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) index: u32,
    pub(super) generation: u32,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// As the kernel filled it.
    Filled { buffer: u16, filled: u32 },
    /// Messages, where they lie in the ring's memory.
    Messages { buffer: u16, range: Range<usize> },
    /// Nothing will follow.
    End(End),
}

impl Streams {
    /// A receive completed, or ended.
    pub(in crate::worker) fn received(
        &mut self,
        ring: &mut Ring,
        event: StreamEvent,
    ) -> Result<(), RingFailed> {
        let StreamEvent {
            slot,
            generation,
            result,
            buffer,
            more,
        } = event;
        let index = slot.wrapping_sub(self.first);
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return Ok(());
        };
        let open = entry.state == State::Open && entry.generation == generation;
        let what = match (result, buffer) {
            (Ok(filled @ 1..), Some(buffer)) if open => Some(What::Filled { buffer, filled }),
            (result, buffer) => {
                ring.recycle(buffer.into_iter());
                match result {
                    Ok(0) => Some(What::End(End::Client)),
                    Ok(_) | Err(Errno::ECANCELED) => None,
                    Err(Errno::ENOBUFS) => {
                        self.counts.buffers_exhausted += 1;
                        None
                    }
                    Err(_) => Some(What::End(End::Error)),
                }
            }
        };
        let last = matches!(what, Some(What::End(_)));
        if let Some(what) = what
            && open
        {
            self.chunks.push_back(Chunk {
                index,
                generation,
                what,
            });
        }
        if !more && entry.generation == generation {
            entry.receiving = false;
            let spliced = entry
                .live
                .as_ref()
                .is_some_and(|live| live.splice.is_some());
            if open && !last {
                if spliced && result.is_ok() {
                    self.pumps.push(index);
                } else {
                    self.ended.push_back((index, generation));
                }
            }
            return self.finish(ring, index);
        }
        Ok(())
    }

    /// Starts receives again that ended for want of buffers, a few for the
    /// buffers there are.
    pub(in crate::worker) fn restart(&mut self, ring: &mut Ring) -> Result<(), RingFailed> {
        let free = self.buffers.saturating_sub(self.chunks.len());
        for _ in 0..free.div_ceil(2) {
            let Some((index, generation)) = self.ended.pop_front() else {
                break;
            };
            let slot = self.slot(index);
            let entry = &mut self.entries[index as usize];
            if entry.state == State::Open && entry.generation == generation && !entry.receiving {
                if entry
                    .live
                    .as_ref()
                    .is_some_and(|live| live.splice.is_some())
                {
                    self.pumps.push(index);
                    continue;
                }
                entry.receiving = true;
                ring.receive_stream(slot, Tag::Stream { slot, generation }.pack())?;
            }
        }
        Ok(())
    }

    /// Adds slots for messages that came; `in_use` gets the buffers that were
    /// read to their end. Every connection with something to read has a turn.
    pub(in crate::worker) fn collect(
        &mut self,
        ring: &mut Ring,
        now: Instant,
        slots: &mut Vec<RxSlot>,
        in_use: &mut Vec<u16>,
        room: &mut Room,
    ) {
        let mut held = false;
        for _ in 0..self.chunks.len() {
            let Some(mut chunk) = self.chunks.pop_front() else {
                break;
            };
            if self.partner(chunk.index).is_some() {
                self.pass_on(ring, now, in_use, chunk);
                continue;
            }
            let index = chunk.index as usize;
            if self.read(ring, now, slots, in_use, room, &mut chunk) {
                held = true;
                self.chunks.push_back(chunk);
            }
            if let Some(live) = &mut self.entries[index].live {
                live.count(&mut self.counts.memory);
            }
        }
        if held {
            for chunk in &self.chunks {
                if let Some(live) = &mut self.entries[chunk.index as usize].live {
                    live.held = false;
                }
            }
        }
    }

    /// True if the chunk, and what follows it, has to wait.
    fn read(
        &mut self,
        ring: &mut Ring,
        now: Instant,
        slots: &mut Vec<RxSlot>,
        in_use: &mut Vec<u16>,
        room: &mut Room,
        chunk: &mut Chunk,
    ) -> bool {
        let slot = self.slot(chunk.index);
        let entry = &mut self.entries[chunk.index as usize];
        let live = match &mut entry.live {
            Some(live) if entry.generation == chunk.generation && entry.state == State::Open => {
                live
            }
            _ => {
                in_use.extend(chunk.buffer());
                return false;
            }
        };
        if live.held {
            return true;
        }
        if let What::Filled { buffer, filled } = chunk.what {
            let taken = match ring.stream_area(buffer) {
                Some(area) => live.take(filled as usize, ring.memory(), &area),
                None => Err(End::Error),
            };
            chunk.what = match taken {
                Ok(range) => What::Messages { buffer, range },
                Err(end) => {
                    in_use.push(buffer);
                    What::End(end)
                }
            };
            if live.has_output() && !live.ready {
                // Answers of TLS itself.
                live.ready = true;
                self.ready.push(chunk.index);
            }
        }
        match &mut chunk.what {
            What::Messages { buffer, range } => {
                let mut share = Room {
                    slots: room.slots.min(SLOTS_EACH),
                    requests: room.requests.min(REQUESTS_EACH),
                };
                let before = share;
                let outcome = live.read(ring.memory_ref(), range, &mut share, slots, now);
                room.slots -= before.slots - share.slots;
                room.requests -= before.requests - share.requests;
                if matches!(outcome, Outcome::Full | Outcome::Binds) {
                    live.held = true;
                    if outcome == Outcome::Binds && entry.receiving {
                        let generation = entry.generation;
                        self.stops.push(Tag::Stream { slot, generation }.pack());
                    }
                    return true;
                }
                in_use.push(*buffer);
                if outcome == Outcome::Foreign || live.is_closed() {
                    let end = match outcome {
                        Outcome::Foreign => End::Foreign,
                        _ => End::Client,
                    };
                    self.ends.push_back((chunk.index, end));
                    // Nothing that follows is read any more.
                    live.held = true;
                }
            }
            What::End(end) => self.ends.push_back((chunk.index, *end)),
            What::Filled { .. } => {}
        }
        false
    }
}

impl Chunk {
    pub(super) fn buffer(&self) -> Option<u16> {
        match self.what {
            What::Filled { buffer, .. } | What::Messages { buffer, .. } => Some(buffer),
            What::End(_) => None,
        }
    }
}
