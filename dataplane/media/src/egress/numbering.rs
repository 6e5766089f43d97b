//! From source numbers to outgoing ones and back.
//!
//! What is forwarded of a source falls into stretches: within one, numbers
//! keep their distance, so real losses stay visible and heal by
//! retransmission; between two, what was left out on purpose leaves no gap.
//! Every packet of a stretch is rewritten the same way, so a stretch is also
//! all the memory a retransmission needs.

use crate::packet::Sequence;

/// Stretches remembered per stream. One per picture while layers are left
/// out: at least a second.
const STRETCHES: usize = 32;
/// Outgoing numbers below the highest that may still be sent late.
const LATE: u64 = 1024;
/// A larger hole in a source is no loss to be healed: it is closed.
const MAX_HOLE: u64 = 512;

/// What tells one source from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Source {
    /// Place in the track's encodings.
    pub(crate) encoding: u8,
    /// Which stream of that encoding.
    pub(crate) epoch: u16,
}

/// How the packets of a stretch are rewritten. Shifts are added, wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shifts {
    /// To the RTP timestamp.
    pub(crate) timestamp: u32,
    /// To the picture id (RFC 7741, RFC 9628), or the frame number of a
    /// dependency descriptor.
    pub(crate) picture: u16,
    /// To the dependency descriptor's frame number.
    pub(crate) frame: u16,
    /// To TL0PICIDX.
    pub(crate) base: u8,
    /// To KEYIDX.
    pub(crate) key: u8,
    /// The highest spatial layer forwarded: its last packet ends the picture.
    pub(crate) spatial: u8,
}

#[derive(Debug, Clone, Copy, Default)]
struct Stretch {
    /// First and last number in the source.
    first: u64,
    last: u64,
    /// What the first one became.
    out: u64,
    source: Source,
    shifts: Shifts,
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its 48-bit index; the low 16 bits are its sequence number.
    pub(crate) index: u64,
    /// How it is rewritten.
    pub(crate) shifts: Shifts,
}

/// Where a packet came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) source: Source,
    pub(crate) sequence: Sequence,
    pub(crate) shifts: Shifts,
}

/// The numbering of one outgoing stream.
///
/// No index is ever given out twice: what is sealed under an index is sealed
/// once (RFC 7714 §8.4), whatever the source does.
#[derive(Debug, Clone)]
pub(crate) struct Numbering {
    stretches: [Stretch; STRETCHES],
    newest: usize,
    /// The next index that was never given out.
    next: u64,
    /// One bit per index below `next`: given out.
    used: [u64; (LATE / 64) as usize],
    /// The highest number of the newest source that was seen, forwarded or
    /// left out; `None` when a new stretch must be begun explicitly.
    seen: Option<u64>,
    /// What was seen last was left out, with this timestamp.
    omitted: Option<u32>,
}

impl Numbering {
    /// Begins below 2^15, so that a receiver that joins late cannot guess the
    /// rollover counter wrong (RFC 3711 §3.3.1).
    pub(crate) fn new(random: u32) -> Self {
        let next = u64::from(random & 0x3fff) + 1;
        Self {
            // A stretch that covers no number.
            stretches: [Stretch {
                first: u64::MAX,
                last: 0,
                out: u64::MAX,
                ..Stretch::default()
            }; STRETCHES],
            newest: 0,
            next,
            used: [0; (LATE / 64) as usize],
            seen: None,
            omitted: None,
        }
    }

    /// The next index that was never given out.
    #[cfg(test)]
    pub(crate) fn next_index(&self) -> u64 {
        self.next
    }

    /// Whether a number of the source being numbered is above all seen.
    #[inline]
    pub(crate) fn in_order(&self, sequence: Sequence) -> bool {
        self.seen.is_none_or(|seen| sequence.0 > seen)
    }

    /// Goes on with a source, at this number. What precedes it is never
    /// forwarded.
    pub(crate) fn begin(&mut self, source: Source, sequence: Sequence, shifts: Shifts) -> Place {
        self.open(source, sequence.0, sequence.0, shifts);
        self.seen = Some(sequence.0);
        self.omitted = None;
        self.take(sequence.0)
    }

    /// Numbers a packet above all seen of the current source.
    #[inline]
    pub(crate) fn forward(&mut self, sequence: Sequence, shifts: Shifts) -> Place {
        let sequence = sequence.0;
        let expected = match self.seen {
            Some(seen) => seen.wrapping_add(1),
            None => sequence,
        };
        let stretch = &mut self.stretches[self.newest];
        let hole = sequence.saturating_sub(expected);
        let adjoins = self.omitted.is_none()
            && self.next
                == stretch
                    .out
                    .wrapping_add(expected.wrapping_sub(stretch.first));
        if adjoins && hole <= MAX_HOLE && stretch.shifts == shifts {
            stretch.last = sequence;
        } else {
            // A hole after what was left out may be worth healing: it is kept.
            let first = if hole <= MAX_HOLE { expected } else { sequence };
            let source = stretch.source;
            self.open(source, first, sequence, shifts);
        }
        self.seen = Some(sequence);
        self.omitted = None;
        self.take(sequence)
    }

    /// Leaves out a packet above all seen of the current source.
    #[inline]
    pub(crate) fn omit(&mut self, sequence: Sequence, timestamp: u32) {
        let sequence = sequence.0;
        let Some(seen) = self.seen else {
            return;
        };
        let hole = sequence.saturating_sub(seen + 1);
        // Packets missing within a frame that is left out would be left out
        // as well; others keep their number.
        if hole > 0 && hole <= MAX_HOLE && self.omitted != Some(timestamp) {
            let stretch = self.stretches[self.newest];
            if self.omitted.is_none() && self.next == stretch.out + (seen + 1 - stretch.first) {
                self.stretches[self.newest].last = sequence - 1;
            } else {
                self.open(stretch.source, seen + 1, sequence - 1, stretch.shifts);
            }
            self.advance(hole);
        }
        self.seen = Some(sequence);
        self.omitted = Some(timestamp);
    }

    /// The place kept for a packet that came late; `None` when it is taken,
    /// was not kept, or is forgotten.
    #[cold]
    pub(crate) fn late(&mut self, source: Source, sequence: Sequence) -> Option<Place> {
        let stretch = self
            .stretches
            .iter()
            .find(|stretch| {
                stretch.source == source && (stretch.first..=stretch.last).contains(&sequence.0)
            })
            .copied()?;
        let index = stretch.out + (sequence.0 - stretch.first);
        if index >= self.next || self.next - index > LATE || self.is_used(index) {
            return None;
        }
        self.mark(index);
        Some(Place {
            index,
            shifts: stretch.shifts,
        })
    }

    /// An index for a packet that has no source (padding).
    pub(crate) fn insert(&mut self) -> u64 {
        let index = self.next;
        self.advance(1);
        self.mark(index);
        index
    }

    /// What was, or would have been, sent under this sequence number.
    pub(crate) fn origin(&self, number: u16) -> Option<Origin> {
        let highest = self.next.wrapping_sub(1);
        let back = (highest as u16).wrapping_sub(number);
        let index = highest.checked_sub(u64::from(back))?;
        self.stretches.iter().find_map(|stretch| {
            if stretch.first > stretch.last {
                return None;
            }
            let sequence = stretch.first + index.checked_sub(stretch.out)?;
            (sequence <= stretch.last).then_some(Origin {
                source: stretch.source,
                sequence: Sequence(sequence),
                shifts: stretch.shifts,
            })
        })
    }

    /// Opens a stretch whose first number takes the next index.
    fn open(&mut self, source: Source, first: u64, last: u64, shifts: Shifts) {
        self.newest = (self.newest + 1) % STRETCHES;
        self.stretches[self.newest] = Stretch {
            first,
            last,
            out: self.next,
            source,
            shifts,
        };
    }

    /// Takes the index of a number of the newest stretch that is at or above
    /// `next`.
    #[inline]
    fn take(&mut self, sequence: u64) -> Place {
        let stretch = &self.stretches[self.newest];
        let (index, shifts) = (stretch.out + (sequence - stretch.first), stretch.shifts);
        self.advance(index + 1 - self.next);
        self.mark(index);
        Place { index, shifts }
    }

    /// Moves `next` on; the indices passed are free to be given out late.
    #[inline]
    fn advance(&mut self, by: u64) {
        for index in self.next..self.next + by {
            self.used[Self::word(index)] &= !(1 << (index % 64));
        }
        self.next += by;
    }

    #[inline]
    fn mark(&mut self, index: u64) {
        self.used[Self::word(index)] |= 1 << (index % 64);
    }

    fn is_used(&self, index: u64) -> bool {
        self.used[Self::word(index)] & 1 << (index % 64) != 0
    }

    #[inline]
    const fn word(index: u64) -> usize {
        (index % LATE / 64) as usize
    }
}
