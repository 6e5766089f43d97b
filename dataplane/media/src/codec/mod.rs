//! What forwarding has to know of a codec's payload: which frame a packet
//! belongs to, which layer, and where one may begin.
//!
//! Nothing here trusts a payload: what cannot be read says nothing.

pub mod av1;
pub mod dependency;
mod frames;
pub mod h264;
pub mod opus;
pub mod vp8;
pub mod vp9;

pub use frames::Frames;

/// What a packet says of its frame; codecs that say nothing (sound, encrypted
/// payloads without a dependency descriptor) leave the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameInfo {
    /// It belongs to a picture that can be decoded without any before it.
    pub keyframe: bool,
    /// It is the first packet of its frame (of its spatial layer).
    pub start: bool,
    /// It is the last packet of its frame (of its spatial layer).
    pub end: bool,
    /// Spatial layer within the stream.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// One may begin to forward this temporal layer here. VP9 tells something
    /// else instead: one may begin to forward all higher ones after this
    /// picture (RFC 9628 §4.2, U).
    pub switch_up: bool,
    /// No other frame needs it.
    pub discardable: bool,
}

/// Bytes taken from the front of a descriptor, with the count of those passed.
#[derive(Debug, Clone)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn skip(&mut self, count: usize) -> Option<()> {
        self.at += count;
        (self.at <= self.bytes.len()).then_some(())
    }
}

/// A running picture number inside a payload descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId {
    /// Its value: 7 bits, or 15 when wide.
    pub value: u16,
    /// Two bytes with the top bit set, not one.
    pub wide: bool,
    /// Offset of its first byte from the payload's start.
    pub at: usize,
}

impl PictureId {
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let at = cursor.at;
        let first = cursor.byte()?;
        let wide = first & 0x80 != 0;
        let mut value = u16::from(first & 0x7F);
        if wide {
            value = value << 8 | u16::from(cursor.byte()?);
        }
        Some(Self { value, wide, at })
    }
}

/// One byte of a payload descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its value.
    pub value: u8,
    /// Its offset from the payload's start.
    pub at: usize,
}

impl Field {
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let at = cursor.at;
        let value = cursor.byte()?;
        Some(Self { value, at })
    }
}
