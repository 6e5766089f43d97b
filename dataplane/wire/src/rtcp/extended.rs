//! Extended reports (RFC 3611): those by which a receiver that sends nothing
//! measures its round trip.

use super::report::NtpTime;
use super::{split_u32, word};

pub(super) const RECEIVER_REFERENCE_TIME: u8 = 4;
pub(super) const DLRR: u8 = 5;

/// XR.
#[derive(Debug, Clone, Copy)]
pub struct ExtendedReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    blocks: &'a [u8],
}

/// A block of an extended report.
#[derive(Debug, Clone, Copy)]
pub enum Block<'a> {
    /// The receiver's clock (RFC 3611 §4.4).
    ReceiverReferenceTime(NtpTime),
    /// Answers to such clocks (RFC 3611 §4.5).
    DelaySinceLast(&'a [[u8; Dlrr::LEN]]),
    /// A block nobody here reads, or a known one of the wrong length; its type.
    Other(u8),
}

/// The answer to one receiver's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dlrr {
    /// The receiver.
    pub ssrc: u32,
    /// [`NtpTime::middle`] of its last reference time; 0 for none.
    pub last_report: u32,
    /// Time since it came, in units of 2^-16 s.
    pub delay: u32,
}

impl Dlrr {
    /// Bytes of an answer.
    pub const LEN: usize = 12;

    /// Reads one of the answers of [`Block::DelaySinceLast`].
    pub const fn read(bytes: &[u8; Self::LEN]) -> Self {
        Self {
            ssrc: word(bytes, 0),
            last_report: word(bytes, 1),
            delay: word(bytes, 2),
        }
    }
}

impl<'a> ExtendedReport<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let (ssrc, blocks) = split_u32(body)?;
        Some(Self { ssrc, blocks })
    }

    /// Its blocks; one that reaches past the end ends them.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'a>> + use<'a> {
        let mut rest = self.blocks;
        core::iter::from_fn(move || {
            let (&[kind, _, l0, l1], after) = rest.split_first_chunk::<4>()?;
            let len = usize::from(u16::from_be_bytes([l0, l1])) * 4;
            let (body, after) = after.split_at_checked(len)?;
            rest = after;
            Some(block(kind, body))
        })
    }
}

fn block(kind: u8, body: &[u8]) -> Block<'_> {
    match kind {
        RECEIVER_REFERENCE_TIME => match <[u8; 8]>::try_from(body) {
            Ok(time) => Block::ReceiverReferenceTime(NtpTime(u64::from_be_bytes(time))),
            Err(_) => Block::Other(kind),
        },
        DLRR => match body.as_chunks() {
            (answers, []) => Block::DelaySinceLast(answers),
            _ => Block::Other(kind),
        },
        _ => Block::Other(kind),
    }
}
