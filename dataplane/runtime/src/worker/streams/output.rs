//! What goes over connections: from the shard's transmits to sends.

use forebay_engine::{Arena, Piece, Transmit, TxBatch};
use forebay_sys::Errno;
use forebay_sys::ring::{Ring, RingFailed};
use forebay_wire::clock::Instant;

use super::{State, Streams};
use crate::streams::{ClientTransport, End, LARGE, Speaks};
use crate::worker::tag::Tag;
use crate::worker::transmit::{Resend, packet};

/// Empty buffers kept for the next sends: enough for every connection of a
/// busy round.
const SPARE: usize = 256;
/// What answers may take beyond the mark that relayed data stops at.
const ANSWERS: usize = 16 << 10;
/// What of a session's media may wait for its client: a keyframe, but not
/// seconds of video, which would be late when it came.
const MEDIA: usize = 128 << 10;
/// What small packets may take beyond that.
const SMALL: usize = 32 << 10;
/// Packets up to this are small: sound, reports and checks, without which a
/// client that is short of bandwidth would be lost altogether.
const SMALL_PACKET: u32 = 400;

/// What a transmit may take beyond the mark because it is an answer.
fn answers(batch: &TxBatch, transmit: &Transmit) -> usize {
    let answer = transmit.pieces == 1
        && batch
            .pieces_of(transmit)
            .all(|piece| piece.arena == Arena::Headers);
    if answer { ANSWERS } else { 0 }
}

/// What it may take beyond the mark because its packets are small.
fn small(transmit: &Transmit) -> usize {
    let packet = transmit.segment.map_or(transmit.len, u32::from);
    if packet <= SMALL_PACKET { SMALL } else { 0 }
}

/// The bytes of a piece.
fn bytes<'a>(batch: &'a TxBatch, received: &'a [u8], piece: Piece) -> &'a [u8] {
    let arena: &[u8] = match piece.arena {
        Arena::Received => received,
        Arena::Headers => &batch.headers,
    };
    let range = piece.start as usize..(piece.start + piece.len) as usize;
    arena.get(range).unwrap_or_default()
}

impl Streams {
    /// Appends what the shard sends to connections to their output.
    pub(in crate::worker) fn absorb(&mut self, batch: &TxBatch, received: &[u8], now: Instant) {
        self.packets.clear();
        if self.open() == 0 {
            return;
        }
        let first = self.first;
        for transmit in &batch.transmits {
            let index = transmit.socket.0.wrapping_sub(first);
            let Some(entry) = self.entries.get_mut(index as usize) else {
                continue;
            };
            let Some(live) = entry.live.as_mut().filter(|_| entry.state == State::Open) else {
                continue;
            };
            if live.transport == ClientTransport::Dtls {
                self.packets.add(batch, transmit, packet(first + index));
                continue;
            }
            let mark = match live.speaks {
                Speaks::Turn => self.limits.output + answers(batch, transmit),
                Speaks::Media => MEDIA + small(transmit),
            };
            if live.waiting() + transmit.len as usize > mark {
                self.counts.dropped += u64::from(transmit.datagrams);
                continue;
            }
            if live.waiting() == 0 {
                live.progress = now;
            }
            let pieces = batch
                .pieces_of(transmit)
                .map(|piece| bytes(batch, received, piece));
            match live.speaks {
                Speaks::Turn => pieces.for_each(|bytes| live.put(bytes)),
                Speaks::Media => {
                    let segment = transmit.segment.unwrap_or(u16::MAX);
                    live.put_packets(segment, transmit.len as usize, pieces);
                }
            }
            live.count(&mut self.counts.memory);
            if !live.ready {
                live.ready = true;
                self.ready.push(index);
            }
        }
    }

    /// The packets to connections whose messages are packets, of what was
    /// absorbed last.
    pub(in crate::worker) fn packets(&self) -> &Resend {
        &self.packets
    }

    /// Starts to send what was added, one send for each connection.
    pub(in crate::worker) fn start_sends(&mut self, ring: &mut Ring) -> Result<(), RingFailed> {
        while let Some(index) = self.ready.pop() {
            let entry = &mut self.entries[index as usize];
            if let Some(live) = &mut entry.live {
                live.ready = false;
                if entry.state == State::Open && !entry.sending {
                    self.send(ring, index)?;
                }
            }
        }
        Ok(())
    }

    /// Sends everything that waits.
    fn send(&mut self, ring: &mut Ring, index: u32) -> Result<(), RingFailed> {
        let slot = self.first + index;
        let entry = &mut self.entries[index as usize];
        let Some(live) = &mut entry.live else {
            return Ok(());
        };
        let spare = self.spare.pop().unwrap_or_default();
        let memory = &mut self.counts.memory;
        *memory = memory.saturating_sub(spare.capacity() as u64);
        let output = live.output(spare);
        live.sending = output.as_ref().map_or(0, Vec::len);
        live.count(&mut self.counts.memory);
        match output {
            Ok(bytes) if bytes.is_empty() => {
                self.keep(bytes);
                Ok(())
            }
            Ok(bytes) => {
                live.sent = 0;
                entry.sending = true;
                self.counts.sends += 1;
                let generation = entry.generation;
                let tag = Tag::StreamSent { slot, generation }.pack();
                ring.send_stream(index, slot, bytes, 0, tag)
            }
            Err(end) => {
                self.ends.push_back((index, end));
                Ok(())
            }
        }
    }

    /// A send completed: the rest follows, or what has been added since.
    pub(in crate::worker) fn sent(
        &mut self,
        ring: &mut Ring,
        slot: u32,
        result: Result<u32, Errno>,
        now: Instant,
    ) -> Result<(), RingFailed> {
        let index = slot.wrapping_sub(self.first);
        let Some(bytes) = ring.sent(index) else {
            return Ok(());
        };
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return Ok(());
        };
        entry.sending = false;
        let open = entry.state == State::Open;
        let Some(live) = entry.live.as_mut().filter(|_| open) else {
            self.keep(bytes);
            return self.finish(ring, index);
        };
        match result {
            Ok(taken) => {
                live.sent += taken as usize;
                live.progress = now;
            }
            Err(Errno::EINTR | Errno::EAGAIN | Errno::ECANCELED) => {}
            Err(_) => {
                live.sending = 0;
                live.sent = 0;
                self.ends.push_back((index, End::Error));
                self.keep(bytes);
                return Ok(());
            }
        }
        if live.sent < live.sending {
            entry.sending = true;
            let generation = entry.generation;
            let (from, tag) = (live.sent, Tag::StreamSent { slot, generation }.pack());
            return ring.send_stream(index, slot, bytes, from, tag);
        }
        live.sending = 0;
        live.sent = 0;
        live.count(&mut self.counts.memory);
        if let Some(splice) = &live.splice {
            self.pumps.push(splice.partner);
        }
        let more = live.has_output();
        self.keep(bytes);
        if more { self.send(ring, index) } else { Ok(()) }
    }

    /// Keeps an empty buffer for the next send.
    pub(super) fn keep(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < SPARE && bytes.capacity() > 0 {
            bytes.clear();
            bytes.shrink_to(LARGE);
            self.counts.memory += bytes.capacity() as u64;
            self.spare.push(bytes);
        }
    }
}
