//! Writing a feedback packet's body.

use super::{REFERENCE_TICKS, TICK_MICROS, symbol};
use crate::clock::Instant;

const LONGEST_RUN: u16 = 0x1FFF;
const ONE_BIT: u16 = 14;
const TWO_BIT: u16 = 7;
/// Sender, media source, base, count, reference time, feedback count.
const FIXED: usize = 16;

/// Symbols that are not in a chunk yet. They always fit one.
#[derive(Clone, Copy)]
struct Pending {
    /// The first 14, two bits each, the first one in the top bits of 28.
    symbols: u32,
    count: u16,
    has_large: bool,
    uniform: bool,
}

impl Pending {
    const NONE: Self = Self {
        symbols: 0,
        count: 0,
        has_large: false,
        uniform: true,
    };

    const fn symbol(self, index: u16) -> u8 {
        (self.symbols >> (26 - 2 * index) & 3) as u8
    }

    const fn takes(self, symbol: u8) -> bool {
        if self.uniform && (self.count == 0 || self.symbol(0) == symbol) {
            return self.count < LONGEST_RUN;
        }
        let vector = if self.has_large || symbol == symbol::LARGE {
            TWO_BIT
        } else {
            ONE_BIT
        };
        self.count < vector
    }

    const fn push(&mut self, symbol: u8) {
        self.uniform = self.uniform && (self.count == 0 || self.symbol(0) == symbol);
        self.has_large = self.has_large || symbol == symbol::LARGE;
        if self.count < ONE_BIT {
            self.symbols |= (symbol as u32) << (26 - 2 * self.count);
        }
        self.count += 1;
    }

    /// The chunk of as many symbols as one holds; keeps the others. Only the
    /// last chunk may have room for more symbols than there are.
    fn take(&mut self, last: bool) -> u16 {
        let one_bit = self.count == ONE_BIT || last && self.count > TWO_BIT;
        if self.uniform {
            let chunk = u16::from(self.symbol(0)) << 13 | self.count;
            *self = Self::NONE;
            return chunk;
        }
        if one_bit {
            let bits = (0..ONE_BIT).fold(0, |bits, i| bits << 1 | u16::from(self.symbol(i)));
            *self = Self::NONE;
            return 0x8000 | bits;
        }
        let chunk = 0xC000 | (self.symbols >> 14) as u16;
        let rest = *self;
        *self = Self::NONE;
        for index in TWO_BIT..rest.count {
            self.push(rest.symbol(index));
        }
        chunk
    }
}

/// Chunks written to the front of the room, and those still pending.
#[derive(Clone, Copy)]
struct Chunks {
    pending: Pending,
    len: usize,
}

impl Chunks {
    /// `None` when there is no room for another chunk.
    fn push(&mut self, symbol: u8, room: &mut [u8]) -> Option<()> {
        while !self.pending.takes(symbol) {
            self.flush_one(false, room)?;
        }
        self.pending.push(symbol);
        Some(())
    }

    fn push_lost(&mut self, mut count: u16, room: &mut [u8]) -> Option<()> {
        while count > 0 {
            self.push(symbol::LOST, room)?;
            count -= 1;
            if self.pending.uniform {
                let more = count.min(LONGEST_RUN - self.pending.count);
                self.pending.count += more;
                count -= more;
            }
        }
        Some(())
    }

    fn flush_one(&mut self, last: bool, room: &mut [u8]) -> Option<()> {
        let into = room.get_mut(self.len..)?.first_chunk_mut()?;
        *into = self.pending.take(last).to_be_bytes();
        self.len += 2;
        Some(())
    }
}

/// The fields of a feedback packet that do not follow from the arrivals.
pub(in crate::rtcp) struct Head {
    pub(in crate::rtcp) sender: u32,
    pub(in crate::rtcp) media: u32,
    pub(in crate::rtcp) feedback_count: u8,
}

/// What was written.
pub(in crate::rtcp) struct Encoded {
    /// Bytes of body, a multiple of four.
    pub(in crate::rtcp) len: usize,
    /// How many of the arrivals it tells.
    pub(in crate::rtcp) arrivals: usize,
}

/// Turns arrivals into steps: how many were lost before each, and its delta.
/// Arrivals that do not rise are left out.
#[derive(Clone, Copy)]
struct Steps {
    next: u16,
    ticks: i64,
}

struct Step {
    lost: u16,
    delta: i64,
}

impl Steps {
    fn step(&mut self, sequence: u16, at: Instant) -> Option<Step> {
        let lost = sequence.wrapping_sub(self.next);
        if lost >= 0x8000 {
            return None;
        }
        let ticks = ticks(at);
        let delta = ticks - self.ticks;
        self.next = sequence.wrapping_add(1);
        self.ticks = ticks;
        Some(Step { lost, delta })
    }
}

fn ticks(at: Instant) -> i64 {
    // 2^64 ns are less than 2^47 ticks.
    (at.as_nanos() / (TICK_MICROS as u64 * 1000)) as i64
}

/// Writes the body for the arrivals from the first one on that fit: until the
/// room, the 65,535 packets of a report or the ±8.19 s of a delta end. `None`
/// without arrivals, or when there is no room for the first.
pub(in crate::rtcp) fn encode(
    head: &Head,
    arrivals: impl Iterator<Item = (u16, Instant)> + Clone,
    room: &mut [u8],
) -> Option<Encoded> {
    let (base, first) = arrivals.clone().next()?;
    let reference = ticks(first) / REFERENCE_TICKS;
    let start = Steps {
        next: base,
        ticks: reference * REFERENCE_TICKS,
    };
    let (fixed, room) = room.split_first_chunk_mut::<FIXED>()?;
    // The body must be able to end on a multiple of four.
    let room = room.get_mut(..room.len() & !3)?;

    let mut chunks = Chunks {
        pending: Pending::NONE,
        len: 0,
    };
    let mut steps = start;
    let (mut told, mut count, mut deltas) = (0, 0_u16, 0);
    for (sequence, at) in arrivals.clone() {
        let before = (chunks, steps);
        let Some(step) = steps.step(sequence, at) else {
            told += 1;
            continue;
        };
        let symbol = match step.delta {
            0..=255 => symbol::SMALL,
            _ => symbol::LARGE,
        };
        let grown = i16::try_from(step.delta)
            .ok()
            .and_then(|_| step.lost.checked_add(1)?.checked_add(count))
            .filter(|_| {
                chunks.push_lost(step.lost, room).is_some()
                    && chunks.push(symbol, room).is_some()
                    && chunks.len + 2 + deltas + usize::from(symbol) <= room.len()
            });
        let Some(grown) = grown else {
            (chunks, steps) = before;
            break;
        };
        count = grown;
        deltas += usize::from(symbol);
        told += 1;
    }
    if count == 0 {
        return None;
    }
    while chunks.pending.count > 0 {
        chunks.flush_one(true, room)?;
    }

    let end = steps.next;
    let mut steps = start;
    let mut free = room.get_mut(chunks.len..)?;
    for (sequence, at) in arrivals.take(told) {
        if let Some(step) = steps.step(sequence, at) {
            free = put_delta(step.delta, free)?;
        }
    }
    debug_assert_eq!(steps.next, end);
    let used = chunks.len + deltas;
    let len = used.next_multiple_of(4);
    room.get_mut(used..len)?.fill(0);

    let [_, r0, r1, r2] = (reference as u32).to_be_bytes();
    fixed[0..4].copy_from_slice(&head.sender.to_be_bytes());
    fixed[4..8].copy_from_slice(&head.media.to_be_bytes());
    fixed[8..10].copy_from_slice(&base.to_be_bytes());
    fixed[10..12].copy_from_slice(&count.to_be_bytes());
    fixed[12..16].copy_from_slice(&[r0, r1, r2, head.feedback_count]);
    Some(Encoded {
        len: FIXED + len,
        arrivals: told,
    })
}

fn put_delta(delta: i64, free: &mut [u8]) -> Option<&mut [u8]> {
    if let Ok(small) = u8::try_from(delta) {
        let (into, rest) = free.split_first_mut()?;
        *into = small;
        return Some(rest);
    }
    let (into, rest) = free.split_first_chunk_mut()?;
    *into = (delta as i16).to_be_bytes();
    Some(rest)
}
