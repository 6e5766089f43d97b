//! Walking the chunks and deltas of a feedback packet.

use core::slice;

use super::{REFERENCE_TICKS, TICK_MICROS, TransportCc, symbol};

/// A packet of the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its transport-wide sequence number.
    pub sequence: u16,
    /// When it arrived, microseconds on the same clock as
    /// [`TransportCc::reference_micros`], in steps of 250; `None` when it has
    /// not.
    pub micros: Option<i64>,
}

/// A chunk while it is read: symbols from the top.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    /// The symbol to repeat, or the vector shifted so that the next symbol
    /// stands in the top bits.
    bits: u16,
    /// Bits of a symbol of a vector; 0 for a run.
    width: u8,
    left: u16,
}

impl Chunk {
    const fn read(bytes: [u8; 2]) -> Self {
        let bits = u16::from_be_bytes(bytes);
        match bits >> 14 {
            0 | 1 => Self {
                bits: bits >> 13 & 3,
                width: 0,
                left: bits & 0x1FFF,
            },
            2 => Self {
                bits: bits << 2,
                width: 1,
                left: 14,
            },
            _ => Self {
                bits: bits << 2,
                width: 2,
                left: 7,
            },
        }
    }

    const fn next(&mut self) -> u8 {
        self.left -= 1;
        match self.width {
            0 => self.bits as u8,
            1 => {
                let symbol = self.bits >> 15;
                self.bits <<= 1;
                symbol as u8
            }
            _ => {
                let symbol = self.bits >> 14;
                self.bits <<= 2;
                symbol as u8
            }
        }
    }

    /// Bytes of deltas of its first `count` symbols; `None` when one of them
    /// is reserved.
    fn delta_len(mut self, count: u16) -> Option<usize> {
        let bytes = |symbol| match symbol {
            symbol::RESERVED => None,
            symbol => Some(usize::from(symbol)),
        };
        if self.width == 0 {
            return Some(bytes(self.bits as u8)? * usize::from(count));
        }
        (0..count).try_fold(0, |sum, _| Some(sum + bytes(self.next())?))
    }
}

/// Splits what follows the fixed fields into the chunks that hold `count`
/// symbols and the deltas of these; `None` when either is cut off or a symbol
/// is reserved.
pub(super) fn measure(count: u16, rest: &[u8]) -> Option<(&[[u8; 2]], &[u8])> {
    let (all, _) = rest.as_chunks::<2>();
    let mut left = count;
    let mut used = 0;
    let mut needed = 0;
    while left > 0 {
        let chunk = Chunk::read(*all.get(used)?);
        let taken = chunk.left.min(left);
        needed += chunk.delta_len(taken)?;
        left -= taken;
        used += 1;
    }
    let deltas = rest.get(used * 2..)?;
    Some((all.get(..used)?, deltas.get(..needed)?))
}

/// Iterates over [`TransportCc::statuses`].
#[derive(Debug, Clone)]
pub struct Statuses<'a> {
    chunks: slice::Iter<'a, [u8; 2]>,
    chunk: Chunk,
    deltas: &'a [u8],
    left: u16,
    sequence: u16,
    ticks: i64,
}

impl<'a> Statuses<'a> {
    pub(super) fn new(feedback: &TransportCc<'a>) -> Self {
        Self {
            chunks: feedback.chunks.iter(),
            chunk: Chunk {
                bits: 0,
                width: 0,
                left: 0,
            },
            deltas: feedback.deltas,
            left: feedback.count,
            sequence: feedback.base,
            ticks: i64::from(feedback.reference) * REFERENCE_TICKS,
        }
    }

    /// Makes the chunk hold a symbol. An empty run is legal and holds none.
    fn fill(&mut self) -> Option<()> {
        while self.chunk.left == 0 {
            self.chunk = Chunk::read(*self.chunks.next()?);
        }
        Some(())
    }

    fn skip_lost_run(&mut self) {
        while self.left > 0 && self.fill().is_some() {
            if self.chunk.width != 0 || self.chunk.bits != u16::from(symbol::LOST) {
                return;
            }
            let run = self.chunk.left.min(self.left);
            self.chunk.left -= run;
            self.left -= run;
            self.sequence = self.sequence.wrapping_add(run);
        }
    }
}

impl Iterator for Statuses<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.left = self.left.checked_sub(1)?;
        self.fill()?;
        let delta = match self.chunk.next() {
            symbol::SMALL => {
                let (delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(i64::from(*delta))
            }
            symbol::LARGE => {
                let (delta, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                Some(i64::from(i16::from_be_bytes(*delta)))
            }
            _ => None,
        };
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let micros = delta.map(|delta| {
            self.ticks += delta;
            self.ticks * TICK_MICROS
        });
        Some(Arrival { sequence, micros })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

/// Iterates over [`TransportCc::received`]: sequence number, and arrival in
/// microseconds as [`Arrival::micros`].
#[derive(Debug, Clone)]
pub struct Received<'a>(pub(super) Statuses<'a>);

impl Iterator for Received<'_> {
    type Item = (u16, i64);

    fn next(&mut self) -> Option<(u16, i64)> {
        loop {
            self.0.skip_lost_run();
            let Arrival { sequence, micros } = self.0.next()?;
            if let Some(micros) = micros {
                return Some((sequence, micros));
            }
        }
    }
}
