//! Header extensions (RFC 8285) and the values of those a forwarder reads.

/// How extension elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// There is no extension block.
    None,
    /// Profile 0xBEDE: ids 1–14, values of 1–16 bytes (RFC 8285 §4.2).
    OneByte,
    /// Profile 0x1000–0x100F: ids 1–255, values of 0–255 bytes (RFC 8285 §4.3).
    TwoByte,
    /// A profile of somebody else; its elements are unknown.
    Other,
}

impl Form {
    pub(super) const fn of_profile(profile: u16) -> Self {
        match profile {
            0xBEDE => Self::OneByte,
            0x1000..=0x100F => Self::TwoByte,
            _ => Self::Other,
        }
    }
}

/// One extension element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Its id, 1–14 in the one-byte form, 1–255 in the two-byte form.
    pub id: u8,
    /// Its value, 0–255 bytes.
    pub data: &'a [u8],
    /// Offset of the value from the packet's start.
    pub at: usize,
}

/// The elements of an extension block, in order. What cannot be read ends the
/// iteration: an element that reaches past the block, id 15 of the one-byte
/// form, id 0 with a length (RFC 8285 §4.2). Padding is skipped.
#[derive(Debug, Clone)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    at: usize,
    two_byte: bool,
}

impl<'a> Extensions<'a> {
    pub(super) const fn new(form: Form, block: &'a [u8], at: usize) -> Self {
        let rest: &[u8] = match form {
            Form::OneByte | Form::TwoByte => block,
            Form::None | Form::Other => &[],
        };
        Self {
            rest,
            at,
            two_byte: matches!(form, Form::TwoByte),
        }
    }

    #[inline]
    fn take(&mut self, id: u8, header: usize, len: usize) -> Option<Extension<'a>> {
        let body = self.rest.get(header..);
        let Some((data, rest)) = body.and_then(|body| body.split_at_checked(len)) else {
            self.rest = &[];
            return None;
        };
        let at = self.at + header;
        self.rest = rest;
        self.at = at + len;
        Some(Extension { id, data, at })
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    #[inline]
    fn next(&mut self) -> Option<Extension<'a>> {
        loop {
            let (&first, rest) = self.rest.split_first()?;
            if first == 0 {
                self.rest = rest;
                self.at += 1;
                continue;
            }
            if self.two_byte {
                // Without a length byte the element reaches past the block.
                let len = rest.first().map_or(usize::MAX, |len| usize::from(*len));
                return self.take(first, 2, len);
            }
            let id = first >> 4;
            if id == 0 || id == 15 {
                self.rest = &[];
                return None;
            }
            return self.take(id, 1, usize::from(first & 0x0F) + 1);
        }
    }
}

impl core::iter::FusedIterator for Extensions<'_> {}

/// Loudness of the packet's sound (RFC 6464).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AudioLevel {
    /// Voice is thought to be in it.
    pub voice: bool,
    /// Decibels below overload, 0 (loudest) – 127 (silence).
    pub below_overload: u8,
}

impl AudioLevel {
    /// The element's value.
    pub const fn to_bytes(self) -> [u8; 1] {
        [(self.voice as u8) << 7 | self.below_overload & 0x7F]
    }
}

/// When the sender sent the packet: seconds modulo 64, in units of 2^-18 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AbsSendTime(u32);

impl AbsSendTime {
    /// The time this many nanoseconds after any epoch of the sender's.
    pub const fn from_nanos(nanos: u64) -> Self {
        let seconds = nanos / 1_000_000_000;
        let fraction = ((nanos % 1_000_000_000) << 18) / 1_000_000_000;
        Self(((seconds << 18) as u32 | fraction as u32) & 0x00FF_FFFF)
    }

    /// Units of 2^-18 s, 24 bits.
    pub const fn units(self) -> u32 {
        self.0
    }

    /// Microseconds from `earlier` to this, from −32 s to 32 s.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        let units = (self.0.wrapping_sub(earlier.0) << 8) as i32 >> 8;
        (units as i64 * 1_000_000) >> 18
    }

    /// The element's value.
    pub const fn to_bytes(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }
}

/// How the receiver must turn the picture (3GPP TS 26.114 §7.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VideoOrientation {
    /// Taken with the camera that faces away from its user.
    pub back_camera: bool,
    /// Mirrored.
    pub flipped: bool,
    /// Degrees clockwise: 0, 90, 180 or 270.
    pub degrees: u16,
}

impl<'a> Extension<'a> {
    /// The value as an audio level; `None` when it is empty. The two-byte form
    /// may carry more than the one byte (RFC 6464 §3).
    #[inline]
    pub fn audio_level(&self) -> Option<AudioLevel> {
        let byte = *self.data.first()?;
        Some(AudioLevel {
            voice: byte & 0x80 != 0,
            below_overload: byte & 0x7F,
        })
    }

    /// The value as a transport-wide sequence number
    /// (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2); what follows
    /// the number is the request of version 02 and is ignored.
    #[inline]
    pub fn transport_sequence(&self) -> Option<u16> {
        let bytes = self.data.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*bytes))
    }

    /// The value as an absolute send time.
    #[inline]
    pub fn abs_send_time(&self) -> Option<AbsSendTime> {
        let [a, b, c] = *self.data.first_chunk::<3>()?;
        Some(AbsSendTime(u32::from_be_bytes([0, a, b, c])))
    }

    /// The value as a video orientation.
    pub fn video_orientation(&self) -> Option<VideoOrientation> {
        let byte = *self.data.first()?;
        Some(VideoOrientation {
            back_camera: byte & 0x08 != 0,
            flipped: byte & 0x04 != 0,
            degrees: u16::from(byte & 0x03) * 90,
        })
    }

    /// The value as an identification tag: mid (RFC 9143 §15), rid or repaired
    /// rid (RFC 8852), without the zeros some senders fill up with. `None` when
    /// nothing is left or it is not plain visible ASCII.
    #[inline]
    pub fn tag(&self) -> Option<&'a [u8]> {
        let end = self.data.iter().rposition(|byte| *byte != 0)? + 1;
        let tag = self.data.get(..end)?;
        tag.iter().all(u8::is_ascii_graphic).then_some(tag)
    }
}
