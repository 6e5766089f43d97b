//! A received packet on its way from ingress to egress.

use core::ops::Range;

use crate::codec::FrameInfo;
use crate::tables::TrackSlot;

/// A range of the receive memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    /// First byte.
    pub(crate) start: u32,
    /// Bytes; zero when absent.
    pub(crate) len: u16,
}

impl Span {
    #[inline]
    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + usize::from(self.len)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Its bytes; empty when the memory is another one.
    #[inline]
    pub(crate) fn of(self, memory: &[u8]) -> &[u8] {
        memory.get(self.range()).unwrap_or_default()
    }
}

/// A packet's number in its stream, its rollovers counted in: rises by one
/// per packet sent. Its low 16 bits are the sequence number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Sequence(pub(crate) u64);

/// One authenticated, decrypted media packet of a known track. Every stream's
/// packets come in the order of arrival, each number at most once; a number
/// lower than one before was late, or came by retransmission.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    /// Whose.
    pub(crate) track: TrackSlot,
    /// Its place in the track's encodings.
    pub(crate) encoding: u8,
    /// Its payload type's place in the track's codecs.
    pub(crate) codec: u8,
    /// The marker bit.
    pub(crate) marker: bool,
    /// It came by retransmission.
    pub(crate) recovered: bool,
    /// Which source of the encoding: another one than before means that
    /// numbers and timestamps begin anew, as after a switch.
    pub(crate) epoch: u16,
    /// The RTP timestamp.
    pub(crate) timestamp: u32,
    /// Its number.
    pub(crate) sequence: Sequence,
    /// The payload without padding. Empty when there was nothing but padding:
    /// not forwarded, but its number is one less to be missed.
    pub(crate) payload: Span,
    /// What the payload descriptor or the dependency descriptor says.
    pub(crate) frame: FrameInfo,
    /// Header extensions that are handed on.
    pub(crate) carried: Carried,
}

/// Header extensions that are handed on under the subscriber's ids.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Carried {
    /// Level and voice bit, as on the wire (RFC 6464).
    pub(crate) audio_level: Option<u8>,
    /// As on the wire.
    pub(crate) video_orientation: Option<u8>,
    /// As on the wire.
    pub(crate) playout_delay: Option<[u8; 3]>,
    /// As on the wire, 8 or 16 bytes.
    pub(crate) abs_capture_time: Span,
    /// As on the wire.
    pub(crate) dependency_descriptor: Span,
}

/// One track's packets of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    /// Whose.
    pub(crate) track: TrackSlot,
    /// What the spans are ranges of.
    pub(crate) memory: &'a [u8],
    /// All tracks' packets.
    pub(crate) packets: &'a [Packet],
    /// Which of them, in order of arrival.
    pub(crate) order: &'a [u32],
}

impl<'a> Run<'a> {
    /// The packets in order of arrival.
    #[inline]
    pub(crate) fn packets(&self) -> impl ExactSizeIterator<Item = &'a Packet> + use<'a> {
        let packets = self.packets;
        self.order.iter().map(move |&at| &packets[at as usize])
    }
}
