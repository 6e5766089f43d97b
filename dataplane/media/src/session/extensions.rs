//! Reading a packet's header extensions in one walk.

use forebay_wire::rtp;

use crate::describe::Extensions;
use crate::packet::{Carried, Span};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unknown,
    Mid,
    Rid,
    RepairedRid,
    AudioLevel,
    TransportCc,
    VideoOrientation,
    DependencyDescriptor,
    PlayoutDelay,
    AbsCaptureTime,
}

/// What a session's ids mean.
pub(crate) struct ExtensionMap {
    kinds: [Kind; 256],
}

/// What a packet's extensions say; values borrow from the packet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found<'a> {
    pub(crate) mid: Option<&'a [u8]>,
    pub(crate) rid: Option<&'a [u8]>,
    pub(crate) repaired_rid: Option<&'a [u8]>,
    pub(crate) transport_sequence: Option<u16>,
    pub(crate) carried: Carried,
}

impl ExtensionMap {
    pub(crate) fn new(ids: &Extensions) -> Self {
        let mut map = Self {
            kinds: [Kind::Unknown; 256],
        };
        let pairs = [
            (ids.mid, Kind::Mid),
            (ids.rid, Kind::Rid),
            (ids.repaired_rid, Kind::RepairedRid),
            (ids.audio_level, Kind::AudioLevel),
            (ids.transport_cc, Kind::TransportCc),
            (ids.video_orientation, Kind::VideoOrientation),
            (ids.dependency_descriptor, Kind::DependencyDescriptor),
            (ids.playout_delay, Kind::PlayoutDelay),
            (ids.abs_capture_time, Kind::AbsCaptureTime),
        ];
        for (id, kind) in pairs {
            if let Some(id) = id {
                map.kinds[usize::from(id)] = kind;
            }
        }
        map
    }

    /// Walks the extensions of a packet that starts at `start` of the receive
    /// memory.
    #[inline]
    pub(crate) fn read<'a>(&self, packet: &rtp::Packet<'a>, start: usize) -> Found<'a> {
        let mut found = Found::default();
        for extension in packet.extensions() {
            let span = || Span {
                start: (start + extension.at) as u32,
                len: extension.data.len() as u16,
            };
            match self.kinds[usize::from(extension.id)] {
                Kind::Unknown => {}
                Kind::Mid => found.mid = extension.tag(),
                Kind::Rid => found.rid = extension.tag(),
                Kind::RepairedRid => found.repaired_rid = extension.tag(),
                Kind::AudioLevel => found.carried.audio_level = extension.data.first().copied(),
                Kind::TransportCc => found.transport_sequence = extension.transport_sequence(),
                Kind::VideoOrientation => {
                    found.carried.video_orientation = extension.data.first().copied();
                }
                Kind::DependencyDescriptor => found.carried.dependency_descriptor = span(),
                Kind::PlayoutDelay => {
                    found.carried.playout_delay = extension.data.first_chunk().copied();
                }
                Kind::AbsCaptureTime => {
                    if matches!(extension.data.len(), 8 | 16) {
                        found.carried.abs_capture_time = span();
                    }
                }
            }
        }
        found
    }
}
