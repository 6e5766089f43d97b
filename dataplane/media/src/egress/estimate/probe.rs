//! Bursts above the estimate that find out whether more would fit.

use core::time::Duration;

use forebay_wire::clock::Instant;

use super::log::{Cluster, Sent};

/// A burst lasts this long, and has at least so many packets.
const LENGTH: Duration = Duration::from_millis(40);
const MIN_PACKETS: u32 = 6;
/// Feedback for it is waited for this long.
const PATIENCE: Duration = Duration::from_millis(1_000);
/// Between bursts while more is wanted: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(1_000);
const LONGEST_PAUSE: Duration = Duration::from_millis(4_000);

#[derive(Debug, Clone, Copy)]
struct Burst {
    cluster: Cluster,
    rate: f64,
    began: Instant,
    /// Bytes sent since.
    bytes: u64,
    packets: u32,
    /// All of it is sent.
    over: bool,
    /// What came back.
    got: u32,
    got_bytes: u64,
    first: Option<(u32, i64, u16)>,
    last: (u32, i64, u16),
    last_arrival: i64,
}

/// What a burst has shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outcome {
    /// So many bits per second went through, of so many that were tried.
    Measured {
        /// Bits per second that arrived.
        rate: f64,
        /// Bits per second that were sent.
        tried: f64,
    },
    /// Too little came back to tell.
    Lost,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Prober {
    burst: Option<Burst>,
    cluster: Cluster,
    pause: Duration,
    next: Option<Instant>,
}

impl Prober {
    pub(crate) fn new() -> Self {
        Self {
            burst: None,
            cluster: 0,
            pause: FIRST_PAUSE,
            next: None,
        }
    }

    /// The burst that packets sent now belong to; zero when there is none.
    #[inline]
    pub(crate) fn cluster(&self) -> Cluster {
        match &self.burst {
            Some(burst) if !burst.over => burst.cluster,
            _ => 0,
        }
    }

    /// A packet was sent while a burst lasts.
    #[inline]
    pub(crate) fn sent(&mut self, size: usize) {
        if let Some(burst) = &mut self.burst
            && !burst.over
        {
            burst.bytes += size as u64;
            burst.packets += 1;
        }
    }

    /// Whether a burst may begin now.
    pub(crate) fn may_begin(&self, now: Instant) -> bool {
        self.burst.is_none() && self.next.is_none_or(|at| now >= at)
    }

    /// Begins a burst of `rate` bits per second.
    pub(crate) fn begin(&mut self, now: Instant, rate: f64) {
        self.cluster = self.cluster.checked_add(1).unwrap_or(1);
        self.burst = Some(Burst {
            cluster: self.cluster,
            rate,
            began: now,
            bytes: 0,
            packets: 0,
            over: false,
            got: 0,
            got_bytes: 0,
            first: None,
            last: (0, 0, 0),
            last_arrival: i64::MIN,
        });
    }

    /// Bytes of padding due now; `None` when no burst lasts.
    pub(crate) fn due(&mut self, now: Instant) -> Option<u64> {
        let burst = self.burst.as_mut().filter(|burst| !burst.over)?;
        let passed = now.since(burst.began);
        if passed >= LENGTH && burst.packets >= MIN_PACKETS {
            burst.over = true;
            return None;
        }
        // The first step's worth is due at once.
        let passed = (passed + Duration::from_millis(5)).as_secs_f64();
        let due = (burst.rate * passed / 8.0) as u64;
        Some(due.saturating_sub(burst.bytes))
    }

    /// A packet of a burst arrived at this time, microseconds.
    pub(crate) fn arrived(&mut self, sent: &Sent, arrival: i64) {
        if let Some(burst) = &mut self.burst
            && burst.cluster == sent.cluster
        {
            burst.got += 1;
            burst.got_bytes += u64::from(sent.size);
            if burst.first.is_none() {
                burst.first = Some((sent.time, arrival, sent.size));
            }
            burst.last = (sent.time, arrival, sent.size);
            burst.last_arrival = burst.last_arrival.max(arrival);
        }
    }

    /// What the burst has shown, once it is known.
    pub(crate) fn outcome(&mut self, now: Instant) -> Option<Outcome> {
        let burst = self.burst.as_ref()?;
        let late = now.since(burst.began) > LENGTH * 2 + PATIENCE;
        // Four fifths are enough: the rest may be lost.
        let enough = burst.over && burst.got * 5 >= burst.packets * 4 && burst.got >= 4;
        if !enough && !late {
            return None;
        }
        let outcome = burst
            .first
            .filter(|_| enough)
            .and_then(|first| {
                let sent = i64::from(burst.last.0.wrapping_sub(first.0) as i32);
                let arrived = burst.last_arrival - first.1;
                if sent <= 1_000 || arrived <= 1_000 {
                    return None;
                }
                // Between the first and the last packet went all but one.
                let out = (burst.got_bytes - u64::from(burst.last.2)) as f64 * 8e6 / sent as f64;
                let arrival = (burst.got_bytes - u64::from(first.2)) as f64 * 8e6 / arrived as f64;
                let rate = if arrival < 0.9 * out {
                    // The path is full: a little below lets queues drain.
                    0.95 * arrival
                } else {
                    out.min(arrival)
                };
                Some(Outcome::Measured { rate, tried: out })
            })
            .unwrap_or(Outcome::Lost);
        self.burst = None;
        match outcome {
            Outcome::Measured { rate, tried } if rate >= 0.9 * tried => {
                self.pause = FIRST_PAUSE;
                self.next = Some(now);
            }
            _ => {
                self.next = Some(now + self.pause);
                self.pause = (self.pause * 3 / 2).min(LONGEST_PAUSE);
            }
        }
        Some(outcome)
    }

    /// The estimate fell: look again whether it was for long, but not at once.
    pub(crate) fn after_drop(&mut self, now: Instant) {
        let at = now + FIRST_PAUSE;
        if self.next.is_none_or(|next| next < at) {
            self.next = Some(at);
        }
    }
}
