//! The running numbers of pictures inside payload descriptors, continuous
//! over switches and layers left out.

use super::numbering::Shifts;
use crate::describe::Codec;

/// Where a payload descriptor keeps its numbers, and what they are. A place
/// of zero means that it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Picture {
    id: u16,
    id_at: u8,
    /// The id has 15 bits, not 7.
    wide: bool,
    base: u8,
    base_at: u8,
    key: u8,
    key_at: u8,
}

impl Picture {
    /// What the payload of a packet says.
    #[inline]
    pub(crate) fn read(codec: Codec, payload: &[u8]) -> Self {
        match codec {
            Codec::Vp8 => Self::vp8(payload).unwrap_or_default(),
            Codec::Vp9 => Self::vp9(payload).unwrap_or_default(),
            _ => Self::default(),
        }
    }

    /// RFC 7741 §4.2.
    fn vp8(payload: &[u8]) -> Option<Self> {
        let mut picture = Self::default();
        if payload.first()? & 0x80 == 0 {
            return None;
        }
        let flags = *payload.get(1)?;
        let mut at = 2;
        if flags & 0x80 != 0 {
            at = picture.take_id(payload, at)?;
        }
        if flags & 0x40 != 0 {
            picture.base_at = at;
            picture.base = *payload.get(usize::from(at))?;
            at += 1;
        }
        if flags & 0x30 != 0 {
            let byte = *payload.get(usize::from(at))?;
            if flags & 0x10 != 0 {
                picture.key_at = at;
                picture.key = byte & 0x1f;
            }
        }
        Some(picture)
    }

    /// RFC 9628 §4.2.
    fn vp9(payload: &[u8]) -> Option<Self> {
        let mut picture = Self::default();
        let flags = *payload.first()?;
        let mut at = 1;
        if flags & 0x80 != 0 {
            at = picture.take_id(payload, at)?;
        }
        if flags & 0x20 != 0 && flags & 0x10 == 0 {
            at += 1;
            picture.base_at = at;
            picture.base = *payload.get(usize::from(at))?;
        }
        Some(picture)
    }

    fn take_id(&mut self, payload: &[u8], at: u8) -> Option<u8> {
        let byte = *payload.get(usize::from(at))?;
        self.id_at = at;
        if byte & 0x80 == 0 {
            self.id = u16::from(byte);
            return Some(at + 1);
        }
        self.wide = true;
        self.id = u16::from(byte & 0x7f) << 8 | u16::from(*payload.get(usize::from(at) + 1)?);
        Some(at + 2)
    }

    /// Whether a payload differs once rewritten like this.
    #[inline]
    pub(crate) fn changes(&self, shifts: &Shifts) -> bool {
        self.id_at != 0 && shifts.picture != 0
            || self.base_at != 0 && shifts.base != 0
            || self.key_at != 0 && shifts.key != 0
    }

    /// Rewrites a copy of the payload this was read from.
    #[inline]
    pub(crate) fn write(&self, shifts: &Shifts, payload: &mut [u8]) {
        let id = self.id.wrapping_add(shifts.picture);
        let at = usize::from(self.id_at);
        if at != 0 {
            if self.wide {
                if let Some(bytes) = payload.get_mut(at..at + 2) {
                    bytes.copy_from_slice(&(id | 0x8000).to_be_bytes());
                }
            } else if let Some(byte) = payload.get_mut(at) {
                *byte = id as u8 & 0x7f;
            }
        }
        let at = usize::from(self.base_at);
        if at != 0
            && let Some(byte) = payload.get_mut(at)
        {
            *byte = self.base.wrapping_add(shifts.base);
        }
        let at = usize::from(self.key_at);
        if at != 0
            && let Some(byte) = payload.get_mut(at)
        {
            *byte = *byte & 0xe0 | self.key.wrapping_add(shifts.key) & 0x1f;
        }
    }
}

/// A dependency descriptor's frame number: its second and third byte.
pub(crate) fn frame_number(descriptor: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([
        *descriptor.get(1)?,
        *descriptor.get(2)?,
    ]))
}

/// The numbers one outgoing stream has reached.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pictures {
    /// The highest that were sent.
    id: u16,
    base: u8,
    key: u8,
    frame: u16,
    begun: bool,
    /// What is added to those of the current source.
    pub(crate) shifts: Shifts,
    /// The picture that was left out last.
    omitted: Option<u16>,
}

impl Pictures {
    /// Goes on with a keyframe of another source.
    pub(crate) fn switch(&mut self, picture: &Picture, frame: Option<u16>) {
        self.omitted = None;
        if !self.begun {
            self.begun = true;
            self.id = picture.id.wrapping_sub(1);
            self.base = picture.base.wrapping_sub(1);
            self.key = picture.key.wrapping_sub(1);
            self.frame = frame.unwrap_or_default().wrapping_sub(1);
        }
        let shifts = &mut self.shifts;
        // Modulo 2^15, the wrap of the id.
        shifts.picture = (self.id.wrapping_add(1).wrapping_sub(picture.id)) & 0x7fff;
        shifts.base = self.base.wrapping_add(1).wrapping_sub(picture.base);
        shifts.key = self.key.wrapping_add(1).wrapping_sub(picture.key) & 0x1f;
        if let Some(frame) = frame {
            shifts.frame = self.frame.wrapping_add(1).wrapping_sub(frame);
        }
    }

    /// A packet of the current source is sent.
    #[inline]
    pub(crate) fn sent(&mut self, picture: &Picture, frame: Option<u16>) {
        if picture.id_at != 0 {
            let id = picture.id.wrapping_add(self.shifts.picture);
            let ahead = id.wrapping_sub(self.id) & 0x7fff;
            if ahead < 0x4000 {
                self.id = id & 0x7fff;
            }
            let base = picture.base.wrapping_add(self.shifts.base);
            if (base.wrapping_sub(self.base) as i8) > 0 {
                self.base = base;
            }
            let key = picture.key.wrapping_add(self.shifts.key) & 0x1f;
            if key.wrapping_sub(self.key) & 0x1f < 0x10 {
                self.key = key;
            }
        }
        if let Some(frame) = frame {
            let frame = frame.wrapping_add(self.shifts.frame);
            if (frame.wrapping_sub(self.frame) as i16) > 0 {
                self.frame = frame;
            }
        }
    }

    /// A packet of the current source is left out. A VP8 receiver waits for
    /// every picture id (it cannot know which layer it was), so they close up;
    /// a VP9 receiver knows the pattern of layers by the ids, so they stay.
    #[inline]
    pub(crate) fn omit(&mut self, codec: Codec, picture: &Picture) {
        if codec == Codec::Vp8 && picture.id_at != 0 && self.omitted != Some(picture.id) {
            self.omitted = Some(picture.id);
            self.shifts.picture = self.shifts.picture.wrapping_sub(1) & 0x7fff;
        }
    }
}
