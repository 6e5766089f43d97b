//! Sender and receiver reports (RFC 3550 §6.4).

use super::{split_u32, word};

/// Wall-clock time: seconds since 1900 in the upper half, fractions in the
/// lower (RFC 3550 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The middle 32 bits, in units of 2^-16 s, as reports echo it.
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// What a receiver says of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// Share of packets lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost so far, −2^23 – 2^23 − 1 (duplicates count against it).
    pub lost: i32,
    /// Highest sequence number received, with its cycles in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter in units of the codec's clock.
    pub jitter: u32,
    /// [`NtpTime::middle`] of the last sender report; 0 for none.
    pub last_report: u32,
    /// Time since the last sender report, in units of 2^-16 s.
    pub delay: u32,
}

impl ReportBlock {
    /// Bytes of a block.
    pub const LEN: usize = 24;

    const fn read(bytes: &[u8; Self::LEN]) -> Self {
        let loss = word(bytes, 1);
        Self {
            ssrc: word(bytes, 0),
            fraction_lost: (loss >> 24) as u8,
            lost: (loss << 8) as i32 >> 8,
            highest_sequence: word(bytes, 2),
            jitter: word(bytes, 3),
            last_report: word(bytes, 4),
            delay: word(bytes, 5),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let lost = self.lost.clamp(-0x80_0000, 0x7F_FFFF) as u32 & 0x00FF_FFFF;
        let words = [
            self.ssrc,
            u32::from(self.fraction_lost) << 24 | lost,
            self.highest_sequence,
            self.jitter,
            self.last_report,
            self.delay,
        ];
        let mut bytes = [0; Self::LEN];
        for (into, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *into = word.to_be_bytes();
        }
        bytes
    }
}

/// SR.
#[derive(Debug, Clone, Copy)]
pub struct SenderReport<'a> {
    /// Who sends.
    pub ssrc: u32,
    /// Wall-clock time of the report.
    pub ntp: NtpTime,
    /// The same moment on the media clock.
    pub rtp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
    blocks: &'a [[u8; ReportBlock::LEN]],
}

impl<'a> SenderReport<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = body.split_first_chunk::<24>()?;
        Some(Self {
            ssrc: word(fixed, 0),
            ntp: NtpTime(u64::from(word(fixed, 1)) << 32 | u64::from(word(fixed, 2))),
            rtp: word(fixed, 3),
            packets: word(fixed, 4),
            octets: word(fixed, 5),
            blocks: blocks(count, rest)?,
        })
    }

    /// Its report blocks, at most 31.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + use<'a> {
        self.blocks.iter().map(ReportBlock::read)
    }
}

/// RR.
#[derive(Debug, Clone, Copy)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    blocks: &'a [[u8; ReportBlock::LEN]],
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        let (ssrc, rest) = split_u32(body)?;
        let blocks = blocks(count, rest)?;
        Some(Self { ssrc, blocks })
    }

    /// Its report blocks, at most 31.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + use<'a> {
        self.blocks.iter().map(ReportBlock::read)
    }
}

/// What follows the blocks is a profile's extension.
fn blocks(count: u8, rest: &[u8]) -> Option<&[[u8; ReportBlock::LEN]]> {
    rest.as_chunks().0.get(..usize::from(count))
}
