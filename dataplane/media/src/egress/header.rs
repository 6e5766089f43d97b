//! RTP headers of outgoing packets, from a template per subscription.

use crate::describe::Extensions;
use crate::ids::{Mid, Ssrc};

/// Room that a header may take at most: fixed part, template, everything
/// carried, a dependency descriptor with a structure.
pub(crate) const MAX_HEADER: usize = 12 + 4 + 32 + 24 + 258;
/// Bytes of the template, zero at its end.
const TEMPLATE: usize = 32;
/// The longest element of the one-byte form (RFC 8285 §4.2).
const SHORT: usize = 16;

/// What is the same in every packet of an outgoing stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template {
    ssrc: u32,
    /// Transport-wide number, send time, MID, in this order, one-byte form.
    bytes: [u8; TEMPLATE],
    len: u8,
    ids: Extensions,
    mid: Mid,
    /// Every id fits the one-byte form.
    short: bool,
}

/// What differs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub(crate) marker: bool,
    pub(crate) padding: bool,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    /// Transport-wide sequence number.
    pub(crate) transport: u16,
    /// 24 bits, 6.18 seconds.
    pub(crate) send_time: u32,
    pub(crate) elements: Elements<'a>,
}

/// Header extensions handed on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Elements<'a> {
    pub(crate) audio_level: Option<u8>,
    pub(crate) video_orientation: Option<u8>,
    pub(crate) playout_delay: Option<[u8; 3]>,
    pub(crate) abs_capture_time: &'a [u8],
    pub(crate) dependency_descriptor: &'a [u8],
    /// Added to the descriptor's frame number.
    pub(crate) frame_shift: u16,
}

impl Elements<'_> {
    /// Whether there are none.
    #[inline]
    fn is_empty(&self) -> bool {
        self.audio_level.is_none()
            && self.video_orientation.is_none()
            && self.playout_delay.is_none()
            && self.abs_capture_time.is_empty()
            && self.dependency_descriptor.is_empty()
    }
}

impl Template {
    pub(crate) fn new(ssrc: Ssrc, ids: Extensions, mid: Mid, transport_cc: bool) -> Self {
        let mut ids = ids;
        if !transport_cc {
            ids.transport_cc = None;
        }
        let short = [
            ids.mid,
            ids.audio_level,
            ids.abs_send_time,
            ids.transport_cc,
            ids.video_orientation,
            ids.dependency_descriptor,
            ids.playout_delay,
            ids.abs_capture_time,
        ]
        .iter()
        .flatten()
        .all(|&id| (1..15).contains(&id));
        let mut template = Self {
            ssrc: ssrc.0,
            bytes: [0; TEMPLATE],
            len: 0,
            ids,
            mid,
            short,
        };
        if short {
            let mut at = 0;
            if let Some(id) = ids.transport_cc {
                template.bytes[at] = id << 4 | 1;
                at += 3;
            }
            if let Some(id) = ids.abs_send_time {
                template.bytes[at] = id << 4 | 2;
                at += 4;
            }
            if let Some(id) = ids.mid {
                let text = mid.as_bytes();
                template.bytes[at] = id << 4 | (text.len().max(1) - 1) as u8;
                template.bytes[at + 1..at + 1 + text.len()].copy_from_slice(text);
                at += 1 + text.len();
            }
            template.len = at as u8;
        }
        template
    }

    /// The session's extensions changed.
    pub(crate) fn set_ids(&mut self, ids: Extensions, transport_cc: bool) {
        *self = Self::new(Ssrc(self.ssrc), ids, self.mid, transport_cc);
    }

    /// Whether packets carry transport-wide numbers.
    #[inline]
    pub(crate) fn counts(&self) -> bool {
        self.ids.transport_cc.is_some()
    }

    /// Writes a header; returns its length. `buffer` has [`MAX_HEADER`] bytes.
    #[inline]
    pub(crate) fn write(&self, buffer: &mut [u8; MAX_HEADER], fields: &Fields<'_>) -> usize {
        buffer[1] = u8::from(fields.marker) << 7 | fields.payload_type & 0x7f;
        buffer[2..4].copy_from_slice(&fields.sequence.to_be_bytes());
        buffer[4..8].copy_from_slice(&fields.timestamp.to_be_bytes());
        buffer[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        let first = 0x80 | u8::from(fields.padding) << 5;
        let elements = &fields.elements;
        let (profile, mut at) = if self.short && elements.dependency_descriptor.len() <= SHORT {
            (0xbede_u16, self.write_short(buffer, fields))
        } else {
            (0x1000, self.write_long(buffer, fields))
        };
        if at == 16 {
            buffer[0] = first;
            return 12;
        }
        buffer[0] = first | 0x10;
        while !at.is_multiple_of(4) {
            buffer[at] = 0;
            at += 1;
        }
        buffer[12..14].copy_from_slice(&profile.to_be_bytes());
        buffer[14..16].copy_from_slice(&(((at - 16) / 4) as u16).to_be_bytes());
        at
    }

    #[inline]
    fn write_short(&self, buffer: &mut [u8; MAX_HEADER], fields: &Fields<'_>) -> usize {
        buffer[16..16 + TEMPLATE].copy_from_slice(&self.bytes);
        let mut at = 16;
        if self.ids.transport_cc.is_some() {
            buffer[at + 1..at + 3].copy_from_slice(&fields.transport.to_be_bytes());
            at += 3;
        }
        if self.ids.abs_send_time.is_some() {
            buffer[at + 1..at + 4].copy_from_slice(&fields.send_time.to_be_bytes()[1..]);
        }
        at = 16 + usize::from(self.len);
        if fields.elements.is_empty() {
            return at;
        }
        self.each(&fields.elements, |id, bytes| {
            if !bytes.is_empty() && bytes.len() <= SHORT {
                buffer[at] = id << 4 | (bytes.len() - 1) as u8;
                buffer[at + 1..at + 1 + bytes.len()].copy_from_slice(bytes);
                at += 1 + bytes.len();
            }
        });
        self.renumber(buffer, &fields.elements, at);
        at
    }

    /// The two-byte form (RFC 8285 §4.3), for long elements and high ids.
    #[cold]
    fn write_long(&self, buffer: &mut [u8; MAX_HEADER], fields: &Fields<'_>) -> usize {
        let mut at = 16;
        let mut put = |id: u8, bytes: &[u8]| {
            if let (Some(room), Ok(len)) = (
                buffer.get_mut(at..at + 2 + bytes.len()),
                u8::try_from(bytes.len()),
            ) {
                room[0] = id;
                room[1] = len;
                room[2..].copy_from_slice(bytes);
                at += room.len();
            }
        };
        if let Some(id) = self.ids.transport_cc {
            put(id, &fields.transport.to_be_bytes());
        }
        if let Some(id) = self.ids.abs_send_time {
            put(id, &fields.send_time.to_be_bytes()[1..]);
        }
        if let Some(id) = self.ids.mid {
            put(id, self.mid.as_bytes());
        }
        self.each(&fields.elements, &mut put);
        self.renumber(buffer, &fields.elements, at);
        at
    }

    /// Every element the subscriber has an id for.
    #[inline]
    fn each(&self, elements: &Elements<'_>, mut put: impl FnMut(u8, &[u8])) {
        let ids = &self.ids;
        if let (Some(id), Some(level)) = (ids.audio_level, elements.audio_level) {
            put(id, &[level]);
        }
        if let (Some(id), Some(orientation)) = (ids.video_orientation, elements.video_orientation) {
            put(id, &[orientation]);
        }
        if let (Some(id), Some(delay)) = (ids.playout_delay, elements.playout_delay) {
            put(id, &delay);
        }
        if let Some(id) = ids.abs_capture_time
            && matches!(elements.abs_capture_time.len(), 8 | 16)
        {
            put(id, elements.abs_capture_time);
        }
        if let Some((id, descriptor)) = self.descriptor(elements) {
            put(id, descriptor);
        }
    }

    /// The dependency descriptor, when the subscriber has an id for it.
    #[inline]
    fn descriptor<'a>(&self, elements: &Elements<'a>) -> Option<(u8, &'a [u8])> {
        let descriptor = elements.dependency_descriptor;
        let id = self.ids.dependency_descriptor?;
        (3..=255)
            .contains(&descriptor.len())
            .then_some((id, descriptor))
    }

    /// Shifts the frame number of the descriptor that ends at `end`: it is
    /// always written last.
    #[inline]
    fn renumber(&self, buffer: &mut [u8; MAX_HEADER], elements: &Elements<'_>, end: usize) {
        if let Some((_, descriptor)) = self.descriptor(elements)
            && elements.frame_shift != 0
        {
            let at = end - descriptor.len() + 1;
            let number = u16::from_be_bytes([buffer[at], buffer[at + 1]]);
            let shifted = number.wrapping_add(elements.frame_shift);
            buffer[at..at + 2].copy_from_slice(&shifted.to_be_bytes());
        }
    }
}

/// Monotonic time as abs-send-time puts it: 24 bits of 6.18 seconds.
pub(crate) fn send_time(nanos: u64) -> u32 {
    let seconds = nanos / 1_000_000_000 % 64;
    let fraction = nanos % 1_000_000_000;
    ((seconds << 18) + (fraction << 18) / 1_000_000_000) as u32 & 0x00ff_ffff
}
