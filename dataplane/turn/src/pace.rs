//! Rates kept without a timer: a budget is one number, the time at which it is
//! full again (GCRA's theoretical arrival time), which is both level and last
//! use.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

use forebay_wire::clock::Instant;

use crate::config::EventRate;

/// A rate of single events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Nanoseconds between two.
    interval: u64,
    /// How far ahead of now the budget may be spent, nanoseconds.
    ahead: u64,
}

impl Pace {
    /// `None` where there is no limit.
    pub(crate) fn of(rate: EventRate) -> Option<Self> {
        let interval = 1_000_000_000_u64.checked_div(rate.per_second.into())?;
        Some(Self {
            interval,
            ahead: interval.saturating_mul(rate.burst.max(1).into()),
        })
    }

    fn after(self, now: Instant, full_at: u64, events: u32) -> Option<u64> {
        let now = now.as_nanos();
        let after = full_at.max(now) + self.interval.saturating_mul(events.into());
        (after - now <= self.ahead).then_some(after)
    }

    /// Spends so many events of a budget, or none at all.
    pub(crate) fn take(self, now: Instant, full_at: &mut Instant, events: u32) -> bool {
        let after = self.after(now, full_at.as_nanos(), events);
        if let Some(after) = after {
            *full_at = Instant::from_nanos(after);
        }
        after.is_some()
    }

    /// The same for a budget that shards share.
    pub(crate) fn take_shared(self, now: Instant, full_at: &AtomicU64, events: u32) -> bool {
        full_at
            .fetch_update(Relaxed, Relaxed, |full_at| self.after(now, full_at, events))
            .is_ok()
    }
}

/// A rate of bytes. Whether there is budget is asked before a run of packets,
/// what they took is spent afterwards: a run is never cut, and what it took too
/// much the next ones pay for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speed {
    bits_per_second: u64,
    ahead: u64,
}

impl Speed {
    /// `burst`: how long the speed may be exceeded without limit after a pause.
    pub(crate) fn new(bits_per_second: u64, burst: Duration) -> Self {
        Self {
            bits_per_second: bits_per_second.max(1),
            ahead: u64::try_from(burst.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// The same for each of so many.
    pub(crate) fn shared_by(self, many: u64) -> Self {
        Self {
            bits_per_second: (self.bits_per_second / many.max(1)).max(1),
            ..self
        }
    }

    pub(crate) fn has(self, now: Instant, full_at: u64) -> bool {
        full_at <= now.as_nanos().saturating_add(self.ahead)
    }

    fn after(self, now: Instant, full_at: u64, bytes: u32) -> u64 {
        // 2^32 bytes times 8 · 10^9 overflow 64 bits; the quotient need not.
        let cost = u128::from(bytes) * 8_000_000_000 / u128::from(self.bits_per_second);
        let cost = u64::try_from(cost).unwrap_or(u64::MAX);
        full_at.max(now.as_nanos()).saturating_add(cost)
    }

    pub(crate) fn spend(self, now: Instant, full_at: &mut u64, bytes: u32) {
        *full_at = self.after(now, *full_at, bytes);
    }

    pub(crate) fn spend_shared(self, now: Instant, full_at: &AtomicU64, bytes: u32) {
        // The closure never declines.
        let _ = full_at.fetch_update(Relaxed, Relaxed, |full_at| {
            Some(self.after(now, full_at, bytes))
        });
    }
}
