//! The rate that delay and loss allow (draft-ietf-rmcat-gcc-02 §5.5, §6).

use core::time::Duration;

use forebay_wire::clock::Instant;

use super::trend::Usage;

/// Below this nothing is worth sending.
const FLOOR: f64 = 30_000.0;
/// What overuse leaves of the throughput.
const BACK_OFF: f64 = 0.85;
/// Growth far from the known capacity, per second.
const GROWTH: f64 = 0.08;
/// Loss above this is congestion; below the other there is none.
const HIGH_LOSS: f64 = 0.10;
pub(super) const LOW_LOSS: f64 = 0.02;
/// Packets that make a share of loss worth believing.
const LOSS_PACKETS: u32 = 20;
/// The loss bound moves at most this often.
const LOSS_INTERVAL: Duration = Duration::from_millis(250);

/// The bound set by delay.
#[derive(Debug)]
pub(crate) struct DelayBound {
    rate: f64,
    max: f64,
    /// Throughput at past overuse: mean and relative deviation.
    capacity: Option<(f64, f64)>,
    changed: Option<Instant>,
    decreased: Option<Instant>,
    hold: bool,
}

impl DelayBound {
    pub(crate) fn new(start: f64, max: f64) -> Self {
        Self {
            rate: start,
            max,
            capacity: None,
            changed: None,
            decreased: None,
            hold: false,
        }
    }

    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// When overuse last lowered it.
    pub(crate) fn decreased(&self) -> Option<Instant> {
        self.decreased
    }

    /// Nothing comes back.
    pub(crate) fn silent(&mut self) {
        self.rate = (self.rate * 0.7).max(FLOOR);
    }

    /// A probe has shown this much.
    pub(crate) fn probed(&mut self, now: Instant, rate: f64) {
        if rate > self.rate {
            self.rate = rate.min(self.max);
            self.changed = Some(now);
            if self.capacity.is_some_and(|(mean, _)| rate > mean * 1.2) {
                self.capacity = None;
            }
        }
    }

    /// After each feedback.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        usage: Usage,
        throughput: Option<f64>,
        rtt: Duration,
    ) {
        let passed = self
            .changed
            .map_or(Duration::ZERO, |at| now.since(at))
            .min(Duration::from_secs(1))
            .as_secs_f64();
        self.changed = Some(now);
        match usage {
            Usage::Over => {
                let interval = rtt.clamp(Duration::from_millis(100), Duration::from_millis(300));
                let soon = self.decreased.is_some_and(|at| now.since(at) < interval);
                if let Some(throughput) = throughput
                    && (!soon || throughput < self.rate * 0.5)
                {
                    let lowered = throughput * BACK_OFF;
                    if lowered < self.rate {
                        self.rate = lowered.max(FLOOR);
                        self.learn(throughput);
                    }
                    self.decreased = Some(now);
                } else if throughput.is_none() && !soon {
                    self.rate = (self.rate * BACK_OFF).max(FLOOR);
                    self.decreased = Some(now);
                }
                self.hold = true;
            }
            // Queues drain: they are to be empty before more is tried.
            Usage::Under => self.hold = true,
            Usage::Normal if self.hold => self.hold = false,
            Usage::Normal => self.grow(passed, throughput, rtt),
        }
    }

    fn grow(&mut self, passed: f64, throughput: Option<f64>, rtt: Duration) {
        let near = match (self.capacity, throughput) {
            (Some((mean, deviation)), Some(throughput)) => {
                if throughput > mean * (1.0 + 3.0 * deviation) {
                    self.capacity = None;
                    false
                } else {
                    throughput > mean * (1.0 - 3.0 * deviation)
                }
            }
            _ => false,
        };
        let raised = if near {
            // About one packet per response time.
            let response = rtt.as_secs_f64() + 0.1;
            self.rate + (1200.0 * 8.0 / response).max(4_000.0) * passed
        } else {
            self.rate * (1.0 + GROWTH * passed) + 1_000.0 * passed
        };
        // What arrives while queues are stable fits, however little was
        // believed to.
        let raised = throughput.map_or(raised, |throughput| raised.max(throughput));
        // What is not used proves nothing: probes go beyond.
        let proven = throughput.map_or(self.max, |throughput| throughput * 1.5 + 10_000.0);
        self.rate = raised.min(proven.max(self.rate)).min(self.max);
    }

    fn learn(&mut self, sample: f64) {
        self.capacity = Some(match self.capacity {
            None => (sample, 0.1),
            Some((mean, deviation)) => {
                let error = (sample - mean).abs() / mean.max(1.0);
                if error > 0.5 {
                    (sample, 0.1)
                } else {
                    (
                        mean * 0.95 + sample * 0.05,
                        (deviation * 0.95 + error * 0.05).clamp(0.02, 0.15),
                    )
                }
            }
        });
    }
}

/// The bound set by loss.
#[derive(Debug)]
pub(crate) struct LossBound {
    /// `None` while loss bounds nothing.
    rate: Option<f64>,
    received: u32,
    lost: u32,
    changed: Option<Instant>,
    share: f64,
}

impl LossBound {
    pub(crate) fn new() -> Self {
        Self {
            rate: None,
            received: 0,
            lost: 0,
            changed: None,
            share: 0.0,
        }
    }

    pub(crate) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// Loss of late, 0–1.
    pub(crate) fn share(&self) -> f64 {
        self.share
    }

    /// A probe went through: what it showed is no longer out of bounds.
    pub(crate) fn probed(&mut self, rate: f64) {
        if let Some(bound) = &mut self.rate
            && self.share < HIGH_LOSS
        {
            *bound = bound.max(rate);
        }
    }

    pub(crate) fn packet(&mut self, received: bool) {
        if received {
            self.received += 1;
        } else {
            self.lost += 1;
        }
    }

    /// After each feedback; `estimate` is what was allowed until now.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        estimate: f64,
        throughput: Option<f64>,
        rtt: Duration,
        max: f64,
    ) {
        let total = self.received + self.lost;
        let waited = now.since(*self.changed.get_or_insert(now));
        // A thin stream is judged by few packets, but not by very few.
        if waited < LOSS_INTERVAL + rtt.min(LOSS_INTERVAL)
            || total < LOSS_PACKETS && waited < 4 * LOSS_INTERVAL
            || total < 4
        {
            return;
        }
        self.share = f64::from(self.lost) / f64::from(total);
        self.received = 0;
        self.lost = 0;
        self.changed = Some(now);
        if self.share > HIGH_LOSS {
            let mut lowered = estimate * (1.0 - 0.5 * self.share);
            // A policer drops all above its rate at once: what got through is
            // the rate.
            if self.share > 0.3
                && let Some(throughput) = throughput
            {
                lowered = lowered.min(throughput);
            }
            self.rate = Some(lowered.max(FLOOR));
        } else if self.share < LOW_LOSS
            && let Some(rate) = self.rate
        {
            let raised = rate * (1.0 + GROWTH * waited.as_secs_f64().min(1.0)) + 1_000.0;
            self.rate = (raised < max).then_some(raised);
        }
    }
}
