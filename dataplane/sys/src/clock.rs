//! The clocks a worker reads.

use core::time::Duration;

use nix::time::ClockId;

fn read(clock: ClockId) -> Duration {
    // Neither clock can fail on Linux; a zero would only delay a timer.
    clock.now().map(Duration::from).unwrap_or_default()
}

/// CLOCK_MONOTONIC.
#[inline]
pub fn monotonic() -> Duration {
    read(ClockId::CLOCK_MONOTONIC)
}

/// CLOCK_REALTIME since the Unix epoch.
#[inline]
pub fn unix() -> Duration {
    read(ClockId::CLOCK_REALTIME)
}

/// CPU time the calling thread has used.
pub fn thread_cpu() -> Duration {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}
