//! Transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

mod encoder;
mod statuses;

pub(super) use encoder::{Head, encode};
pub use statuses::{Arrival, Received, Statuses};

use super::feedback::parties;

/// Microseconds of a tick, the unit of deltas.
const TICK_MICROS: i64 = 250;
/// Ticks of a unit of the reference time (64 ms).
const REFERENCE_TICKS: i64 = 256;

/// What a 14-bit chunk says of a packet.
mod symbol {
    pub(super) const LOST: u8 = 0;
    pub(super) const SMALL: u8 = 1;
    pub(super) const LARGE: u8 = 2;
    pub(super) const RESERVED: u8 = 3;
}

/// Which packets of a transport have arrived, and when.
#[derive(Debug, Clone, Copy)]
pub struct TransportCc<'a> {
    /// Who reports.
    pub sender: u32,
    /// Any of the sources reported on.
    pub media: u32,
    /// Transport-wide sequence number of the first packet reported on.
    pub base: u16,
    /// How many packets from `base` on are reported on, lost ones included.
    pub count: u16,
    /// Counts the feedback packets, modulo 256.
    pub feedback_count: u8,
    reference: i32,
    chunks: &'a [[u8; 2]],
    deltas: &'a [u8],
}

impl<'a> TransportCc<'a> {
    pub(in crate::rtcp) fn read(body: &'a [u8]) -> Option<Self> {
        let (sender, media, body) = parties(body)?;
        let (&[b0, b1, c0, c1, r0, r1, r2, feedback_count], rest) = body.split_first_chunk()?;
        let count = u16::from_be_bytes([c0, c1]);
        let (chunks, deltas) = statuses::measure(count, rest)?;
        Some(Self {
            sender,
            media,
            base: u16::from_be_bytes([b0, b1]),
            count,
            feedback_count,
            reference: i32::from_be_bytes([r0, r1, r2, 0]) >> 8,
            chunks,
            deltas,
        })
    }

    /// The reference time, microseconds on the reporter's clock modulo 12.4
    /// days: 2^24 units of 64 ms.
    pub const fn reference_micros(&self) -> i64 {
        self.reference as i64 * REFERENCE_TICKS * TICK_MICROS
    }

    /// Every packet reported on, in order of sequence numbers. At most 65,535,
    /// whatever the length of the feedback: see [`received`](Self::received)
    /// for what costs no more than the bytes it came in.
    pub fn statuses(&self) -> Statuses<'a> {
        Statuses::new(self)
    }

    /// The packets that have arrived, in order of sequence numbers. Runs of
    /// lost ones are skipped in one step.
    pub fn received(&self) -> Received<'a> {
        Received(self.statuses())
    }
}
