//! Feedback about single packets and pictures (RFC 4585, RFC 5104) and REMB.

use super::{split_u32, word};

/// Generic NACK (RFC 4585 §6.2.1).
#[derive(Debug, Clone, Copy)]
pub struct Nack<'a> {
    /// Who asks.
    pub sender: u32,
    /// Whose packets are missing.
    pub media: u32,
    entries: &'a [[u8; 4]],
}

impl<'a> Nack<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let (head, rest) = body.split_first_chunk::<8>()?;
        let (entries, _) = rest.as_chunks();
        (!entries.is_empty()).then_some(Self {
            sender: word(head, 0),
            media: word(head, 1),
            entries,
        })
    }

    /// The sequence numbers asked for: up to 17 per four bytes of the packet.
    pub fn sequences(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.entries.iter().flat_map(|&[p0, p1, b0, b1]| {
            let first = u16::from_be_bytes([p0, p1]);
            let mut left = u32::from(u16::from_be_bytes([b0, b1])) << 1 | 1;
            core::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 17).then(|| first.wrapping_add(bit as u16))
            })
        })
    }
}

/// PLI (RFC 4585 §6.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureLoss {
    /// Who asks.
    pub sender: u32,
    /// Whose keyframe is needed.
    pub media: u32,
}

impl PictureLoss {
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let head = body.first_chunk::<8>()?;
        Some(Self {
            sender: word(head, 0),
            media: word(head, 1),
        })
    }
}

/// FIR (RFC 5104 §4.3.1).
#[derive(Debug, Clone, Copy)]
pub struct FullIntraRequest<'a> {
    /// Who asks.
    pub sender: u32,
    entries: &'a [[u8; 8]],
}

impl<'a> FullIntraRequest<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let (head, rest) = body.split_first_chunk::<8>()?;
        let (entries, _) = rest.as_chunks();
        (!entries.is_empty()).then_some(Self {
            sender: word(head, 0),
            entries,
        })
    }

    /// Whose keyframe is needed, and the command's sequence number: a repeated
    /// number repeats the command.
    pub fn requests(&self) -> impl ExactSizeIterator<Item = (u32, u8)> + use<'a> {
        self.entries.iter().map(|entry| (word(entry, 0), entry[4]))
    }
}

/// REMB (draft-alvestrand-rmcat-remb-03).
#[derive(Debug, Clone, Copy)]
pub struct Remb<'a> {
    /// Who reports.
    pub sender: u32,
    /// Bits per second for all the sources together, saturating.
    pub bitrate: u64,
    sources: &'a [[u8; 4]],
}

impl<'a> Remb<'a> {
    pub(super) const NAME: [u8; 4] = *b"REMB";

    /// Application-layer feedback begins with a name of the application.
    pub(super) fn is(body: &[u8]) -> bool {
        body.get(8..12) == Some(&Self::NAME)
    }

    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let (head, rest) = body.split_first_chunk::<16>()?;
        let value = word(head, 3);
        let count = (value >> 24) as usize;
        let exponent = value >> 18 & 0x3F;
        let mantissa = u64::from(value & 0x3_FFFF);
        let saturates = mantissa.leading_zeros() < exponent;
        Some(Self {
            sender: word(head, 0),
            bitrate: if saturates {
                u64::MAX
            } else {
                mantissa << exponent
            },
            sources: rest.as_chunks().0.get(..count)?,
        })
    }

    /// The sources it is about, at most 255.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.sources.iter().map(|ssrc| u32::from_be_bytes(*ssrc))
    }
}

/// The number and exponent of a REMB bitrate, rounded down to what fits.
pub(super) const fn remb_rate(bitrate: u64) -> u32 {
    let bits = 64 - bitrate.leading_zeros();
    let exponent = bits.saturating_sub(18);
    exponent << 18 | (bitrate >> exponent) as u32
}

/// The two sources in front of every feedback message.
pub(super) fn parties(body: &[u8]) -> Option<(u32, u32, &[u8])> {
    let (sender, rest) = split_u32(body)?;
    let (media, rest) = split_u32(rest)?;
    Some((sender, media, rest))
}
