//! The packets of a batch, by track.

use crate::packet::{Packet, Run};
use crate::tables::{Slot, TrackSlot};

/// Packets of a batch there is room for.
const PACKETS: usize = 8192;

/// Packets that wait for [`Forwarder::forward`](crate::Forwarder::forward).
pub(crate) struct Runs {
    packets: Vec<Packet>,
    /// Tracks that have packets, in order of their first one.
    tracks: Vec<TrackSlot>,
    /// Packets by track; between [`sort`](Self::sort) and
    /// [`clear`](Self::clear) where the track's part of `order` ends.
    counts: Box<[u32]>,
    order: Vec<u32>,
    sorted: bool,
}

impl Runs {
    pub(crate) fn new(tracks: u32) -> Self {
        Self {
            packets: Vec::with_capacity(PACKETS),
            tracks: Vec::with_capacity(PACKETS.min(tracks as usize)),
            counts: vec![0; tracks as usize].into(),
            order: Vec::with_capacity(PACKETS),
            sorted: false,
        }
    }

    /// False when there is no room.
    #[inline]
    pub(crate) fn push(&mut self, packet: Packet) -> bool {
        let Some(count) = self.counts.get_mut(packet.track.index()) else {
            return false;
        };
        if self.packets.len() == PACKETS || self.sorted {
            return false;
        }
        if *count == 0 {
            self.tracks.push(packet.track);
        }
        *count += 1;
        self.packets.push(packet);
        true
    }

    /// Groups what was pushed; nothing when it is grouped already.
    pub(crate) fn sort(&mut self) {
        if core::mem::replace(&mut self.sorted, true) {
            return;
        }
        let mut start = 0;
        for track in &self.tracks {
            let count = &mut self.counts[track.index()];
            start += core::mem::replace(count, start);
        }
        self.order.resize(self.packets.len(), 0);
        for (at, packet) in self.packets.iter().enumerate() {
            let next = &mut self.counts[packet.track.index()];
            self.order[*next as usize] = at as u32;
            *next += 1;
        }
    }

    /// The packets of the `at`-th track.
    #[inline]
    pub(crate) fn get<'a>(&'a self, at: usize, memory: &'a [u8]) -> Option<Run<'a>> {
        let track = *self.tracks.get(at)?;
        let start = match at.checked_sub(1).and_then(|at| self.tracks.get(at)) {
            Some(before) => self.counts[before.index()],
            None => 0,
        };
        let end = self.counts[track.index()];
        Some(Run {
            track,
            memory,
            packets: &self.packets,
            order: &self.order[start as usize..end as usize],
        })
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        for track in self.tracks.drain(..) {
            self.counts[track.index()] = 0;
        }
        self.packets.clear();
        self.order.clear();
        self.sorted = false;
    }

    /// A track ends: its packets go. Once they are grouped, all others with
    /// them: their owner is in the middle of a batch and should not be.
    pub(crate) fn forget(&mut self, track: TrackSlot) {
        if !self.tracks.contains(&track) {
            return;
        }
        if self.sorted {
            self.clear();
            return;
        }
        self.packets.retain(|packet| packet.track != track);
        self.tracks.retain(|waiting| *waiting != track);
        self.counts[track.index()] = 0;
    }

    pub(crate) fn memory(&self) -> usize {
        self.packets.capacity() * size_of::<Packet>()
            + (self.tracks.capacity() + self.counts.len() + self.order.capacity())
                * size_of::<u32>()
    }
}
