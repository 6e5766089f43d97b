//! Real-time priority while a worker has more to do than its core can carry.
//!
//! Under overload the kernel's receive processing, left equal, takes half of
//! the core for datagrams that are then dropped. Otherwise real time gains
//! nothing and makes every sleep dearer, so it is on only while the worker
//! never sleeps.

use std::time::Duration;

use forebay_sys::{Errno, priority};
use forebay_wire::clock::Instant;

/// Observations in a row without a sleep that count as saturation.
const SATURATED: u32 = 3;
/// How long real time is kept before it is tried without. Short against what
/// an operator watches, long against the [`SATURATED`] observations it takes to
/// come back.
const HOLD: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct RealTime {
    allowed: bool,
    /// While in force: until when.
    until: Option<Instant>,
    sleeps: u64,
    without_sleep: u32,
}

impl RealTime {
    /// Finds out whether the calling thread may have it.
    pub(super) fn probe(wanted: bool) -> (Self, Result<(), Errno>) {
        let outcome = if wanted {
            priority::real_time().and_then(|()| priority::ordinary())
        } else {
            Ok(())
        };
        let this = Self {
            allowed: wanted && outcome.is_ok(),
            until: None,
            sleeps: 0,
            without_sleep: 0,
        };
        (this, outcome)
    }

    pub(super) const fn allowed(&self) -> bool {
        self.allowed
    }

    /// Decides anew; called in housekeeping.
    pub(super) fn observe(&mut self, now: Instant) {
        if !self.allowed {
            return;
        }
        let sleeps = priority::sleeps();
        let slept = std::mem::replace(&mut self.sleeps, sleeps) != sleeps;
        self.without_sleep = if slept { 0 } else { self.without_sleep + 1 };
        // A change the kernel refuses leaves the thread as it is and is tried
        // again later.
        match self.until {
            Some(until) if now >= until && priority::ordinary().is_ok() => {
                self.until = None;
                self.without_sleep = 0;
            }
            None if self.without_sleep >= SATURATED => {
                self.without_sleep = 0;
                if priority::real_time().is_ok() {
                    self.until = Some(now + HOLD);
                }
            }
            _ => {}
        }
    }
}
