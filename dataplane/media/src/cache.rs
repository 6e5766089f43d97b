//! Packets kept for retransmission: one ring of bytes for everything, and one
//! table from a packet's name to its place in the ring.

use crate::packet::{Packet, Sequence};
use crate::tables::TrackSlot;

/// What a packet is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PacketName {
    pub(crate) track: TrackSlot,
    pub(crate) encoding: u8,
    pub(crate) epoch: u16,
    pub(crate) sequence: Sequence,
}

/// A packet as it was received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cached<'a> {
    /// Its RTP timestamp.
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    /// Its payload type's place in the track's codecs.
    pub(crate) codec: u8,
    pub(crate) video_orientation: Option<u8>,
    /// As on the wire; empty when absent.
    pub(crate) dependency_descriptor: &'a [u8],
    /// As on the wire; empty when absent.
    pub(crate) abs_capture_time: &'a [u8],
    /// Without padding.
    pub(crate) payload: &'a [u8],
}

/// Places that share a row of the table: the oldest gives way.
const WAYS: usize = 4;
/// Bytes of ring per place in the table. Half a usual packet, so that the
/// table is half empty when the ring is full.
const PER_PLACE: usize = 512;
const HEADER: usize = 27;
/// The longest that is kept: header, extensions and payload of one datagram.
const LONGEST: usize = 2048;

/// See the module. A packet is there as long as the ring has not come round
/// to it, and four later ones have not fallen on its row.
pub(crate) struct Cache {
    ring: Box<[u8]>,
    /// Bytes written since the start, gaps at the ring's end included.
    written: u64,
    /// Positions plus one; zero is none.
    rows: Box<[[u64; WAYS]]>,
}

impl Cache {
    /// `bytes` are taken at once, and a table that fits them.
    pub(crate) fn new(bytes: u32) -> Self {
        let bytes = bytes as usize;
        let rows = if bytes < LONGEST {
            0
        } else {
            (bytes / (PER_PLACE * WAYS)).next_power_of_two()
        };
        Self {
            ring: vec![0; bytes].into(),
            written: 0,
            rows: vec![[0; WAYS]; rows].into(),
        }
    }

    /// One stream's packets lie in rows one after the other, where streams
    /// start is spread.
    #[inline]
    fn row(&self, name: &PacketName) -> Option<usize> {
        let stream =
            u64::from(name.track.0) << 24 | u64::from(name.encoding) << 16 | u64::from(name.epoch);
        let start = stream.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24;
        let mask = self.rows.len().checked_sub(1)?;
        Some(start.wrapping_add(name.sequence.0) as usize & mask)
    }

    /// Keeps a packet.
    #[inline]
    pub(crate) fn store(&mut self, packet: &Packet, memory: &[u8]) {
        let descriptor = packet.carried.dependency_descriptor.of(memory);
        let capture = packet.carried.abs_capture_time.of(memory);
        let payload = packet.payload.of(memory);
        let len = HEADER + descriptor.len() + capture.len() + payload.len();
        if len > LONGEST.min(self.ring.len()) {
            return;
        }
        let name = PacketName {
            track: packet.track,
            encoding: packet.encoding,
            epoch: packet.epoch,
            sequence: packet.sequence,
        };
        let Some(row) = self.row(&name) else { return };

        let size = self.ring.len() as u64;
        if self.written % size + len as u64 > size {
            self.written += size - self.written % size;
        }
        let position = self.written;
        self.written += len as u64;
        let at = (position % size) as usize;
        let record = &mut self.ring[at..at + len];

        let (header, rest) = record.split_at_mut(HEADER);
        header[..8].copy_from_slice(&packet.sequence.0.to_be_bytes());
        header[8..12].copy_from_slice(&packet.track.0.to_be_bytes());
        header[12..16].copy_from_slice(&packet.timestamp.to_be_bytes());
        header[16..18].copy_from_slice(&packet.epoch.to_be_bytes());
        header[18..20].copy_from_slice(&(payload.len() as u16).to_be_bytes());
        header[20] = packet.encoding;
        header[21] =
            u8::from(packet.marker) | u8::from(packet.carried.video_orientation.is_some()) << 1;
        header[22] = packet.codec;
        header[23] = packet.carried.video_orientation.unwrap_or(0);
        header[24] = capture.len() as u8;
        header[25..27].copy_from_slice(&(descriptor.len() as u16).to_be_bytes());
        let (into, rest) = rest.split_at_mut(descriptor.len());
        into.copy_from_slice(descriptor);
        let (into, rest) = rest.split_at_mut(capture.len());
        into.copy_from_slice(capture);
        rest.copy_from_slice(payload);

        let mut oldest = &mut 0;
        let mut age = u64::MAX;
        for place in &mut self.rows[row] {
            if *place < age {
                age = *place;
                oldest = place;
            }
        }
        *oldest = position + 1;
    }

    /// The packet, unless it was overwritten.
    pub(crate) fn get(&self, name: PacketName) -> Option<Cached<'_>> {
        let row = self.row(&name)?;
        self.rows[row].iter().find_map(|place| {
            let position = place.checked_sub(1)?;
            self.record(position, &name)
        })
    }

    fn record(&self, position: u64, name: &PacketName) -> Option<Cached<'_>> {
        let size = self.ring.len() as u64;
        if self.written - position > size {
            return None;
        }
        let record = self.ring.get((position % size) as usize..)?;
        let (header, rest) = record.split_at_checked(HEADER)?;
        let u32_at = |at: usize| -> Option<u32> {
            Some(u32::from_be_bytes(*header.get(at..)?.first_chunk()?))
        };
        let u16_at = |at: usize| -> Option<u16> {
            Some(u16::from_be_bytes(*header.get(at..)?.first_chunk()?))
        };
        let same = *header.first_chunk()? == name.sequence.0.to_be_bytes()
            && u32_at(8)? == name.track.0
            && u16_at(16)? == name.epoch
            && header[20] == name.encoding;
        if !same {
            return None;
        }
        let (dependency_descriptor, rest) = rest.split_at_checked(usize::from(u16_at(25)?))?;
        let (abs_capture_time, rest) = rest.split_at_checked(usize::from(header[24]))?;
        Some(Cached {
            timestamp: u32_at(12)?,
            marker: header[21] & 1 != 0,
            codec: header[22],
            video_orientation: (header[21] & 2 != 0).then_some(header[23]),
            dependency_descriptor,
            abs_capture_time,
            payload: rest.get(..usize::from(u16_at(18)?))?,
        })
    }

    pub(crate) fn memory(&self) -> usize {
        self.ring.len() + size_of_val(&*self.rows)
    }
}
