//! What arrived of one stream (RFC 3550 §6.4.1, appendix A).

use core::time::Duration;

use forebay_wire::clock::Instant;

use crate::packet::Sequence;

/// Numbers behind the highest that are told apart: more than ten tries of a
/// retransmission take at 600 packets/s.
const WINDOW: u64 = 1024;
/// Nanoseconds of a second.
const NANOS: u64 = 1_000_000_000;

/// How a number compares with those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The next, or one further on: `missing` numbers before it were skipped.
    Ahead { missing: u64 },
    /// Behind the highest, and not seen before.
    Behind,
    /// Seen before, or too old to tell.
    Known,
}

/// Counts of one stream.
#[derive(Debug)]
pub(crate) struct Reception {
    base: u64,
    highest: u64,
    seen: [u64; (WINDOW / 64) as usize],
    /// Packets of the stream itself, late ones included.
    received: u64,
    /// Packets that came by retransmission.
    healed: u64,
    clock_rate: u32,
    /// Arrival minus timestamp, RTP clock units, of the packet before.
    transit: u32,
    /// Sixteenths of RTP clock units.
    jitter: u32,
    reported: Reported,
    summed: Reported,
}

/// Counts at the time of a report.
#[derive(Debug, Clone, Copy, Default)]
struct Reported {
    expected: u64,
    received: u64,
    healed: u64,
}

/// What a receiver report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statistics {
    pub(crate) fraction_lost: u8,
    pub(crate) lost: i32,
    pub(crate) highest: u32,
    pub(crate) jitter: u32,
}

impl Reception {
    pub(crate) fn new(first: Sequence, clock_rate: u32) -> Self {
        // A stream starts at any number and its first packets may come out of
        // order: there is always room below.
        Self {
            base: first.0,
            highest: first.0.saturating_sub(1),
            seen: [0; (WINDOW / 64) as usize],
            received: 0,
            healed: 0,
            clock_rate: clock_rate.max(1),
            transit: 0,
            jitter: 0,
            reported: Reported::default(),
            summed: Reported::default(),
        }
    }

    fn slot(sequence: u64) -> (usize, u64) {
        let bit = sequence % WINDOW;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    /// Takes a packet's number in.
    #[inline]
    pub(crate) fn arrived(&mut self, sequence: Sequence, healed: bool) -> Place {
        let sequence = sequence.0;
        let (word, bit) = Self::slot(sequence);
        let place = if sequence > self.highest || self.received + self.healed == 0 {
            let skipped = sequence.saturating_sub(self.highest + 1);
            if skipped >= WINDOW {
                self.seen.fill(0);
            } else {
                for number in self.highest + 1..sequence {
                    let (word, bit) = Self::slot(number);
                    self.seen[word] &= !bit;
                }
            }
            self.highest = sequence;
            Place::Ahead { missing: skipped }
        } else if sequence + WINDOW <= self.highest
            || sequence < self.base
            || self.seen[word] & bit != 0
        {
            return Place::Known;
        } else {
            Place::Behind
        };
        self.seen[word] |= bit;
        if healed {
            self.healed += 1;
        } else {
            self.received += 1;
        }
        place
    }

    /// Takes the arrival time of a packet of the stream itself in.
    #[inline]
    pub(crate) fn timed(&mut self, now: Instant, timestamp: u32) {
        let (seconds, rest) = (now.as_nanos() / NANOS, now.as_nanos() % NANOS);
        let rate = u64::from(self.clock_rate);
        let arrival = seconds.wrapping_mul(rate).wrapping_add(rest * rate / NANOS);
        let transit = (arrival as u32).wrapping_sub(timestamp);
        let previous = core::mem::replace(&mut self.transit, transit);
        if self.received > 1 {
            let change = (transit.wrapping_sub(previous) as i32).unsigned_abs();
            // A jump of the clock is no jitter.
            if change < self.clock_rate * 2 {
                self.jitter = (self.jitter + change).saturating_sub((self.jitter + 8) >> 4);
            }
        }
    }

    /// The highest number.
    pub(crate) fn highest(&self) -> Sequence {
        Sequence(self.highest)
    }

    /// The number nearest to the highest that ends in these 16 bits.
    pub(crate) fn extend(&self, low: u16) -> Sequence {
        let ahead = low.wrapping_sub(self.highest as u16) as i16;
        Sequence(self.highest.saturating_add_signed(i64::from(ahead)))
    }

    fn counts(&self) -> Reported {
        Reported {
            expected: (self.highest + 1).saturating_sub(self.base),
            received: self.received,
            healed: self.healed,
        }
    }

    /// For a receiver report; what was lost since the last one counts anew.
    pub(crate) fn report(&mut self) -> Statistics {
        let now = self.counts();
        let before = core::mem::replace(&mut self.reported, now);
        let expected = now.expected - before.expected;
        let lost = expected.saturating_sub(now.received - before.received);
        let fraction = (lost * 256).checked_div(expected).unwrap_or(0);
        let total = now.expected as i64 - now.received as i64;
        Statistics {
            fraction_lost: fraction.min(255) as u8,
            lost: total.clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest: self.highest as u32,
            jitter: self.jitter >> 4,
        }
    }

    /// Packets lost for good since the last call: retransmissions did not
    /// heal them.
    pub(crate) fn lost_for_good(&mut self) -> u64 {
        let now = self.counts();
        let before = core::mem::replace(&mut self.summed, now);
        let came = now.received - before.received + now.healed - before.healed;
        (now.expected - before.expected).saturating_sub(came)
    }

    pub(crate) fn jitter(&self) -> Duration {
        let units = u64::from(self.jitter >> 4);
        Duration::from_nanos(units * NANOS / u64::from(self.clock_rate))
    }
}
