//! The bandwidth towards one session, estimated from what it reports back.

mod log;
mod probe;
mod rate;
mod throughput;
mod trend;

use core::time::Duration;

use forebay_wire::clock::Instant;

use log::SendLog;
use probe::{Outcome, Prober};
use rate::{DelayBound, LOW_LOSS, LossBound};
use throughput::Throughput;
use trend::{Trend, Usage};

/// A receiver's own bound (REMB) holds this long.
const BOUND_LIFE: Duration = Duration::from_secs(5);
/// Without feedback for so long, and for so many packets, less is sent.
const SILENCE: Duration = Duration::from_millis(1_500);
const SILENT_PACKETS: u64 = 20;
/// Between two steps of a probe's padding.
pub(crate) const STEP: Duration = Duration::from_millis(5);
/// Used until a round-trip time is known.
const FIRST_RTT: Duration = Duration::from_millis(200);

/// What feedback says of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Its transport-wide sequence number.
    pub(crate) number: u16,
    /// When it arrived, microseconds of the receiver's clock.
    pub(crate) arrival: Option<i64>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Estimator {
    log: SendLog,
    trend: Trend,
    delay: DelayBound,
    loss: LossBound,
    throughput: Throughput,
    probe: Prober,
    bound: Option<(f64, Instant)>,
    max: f64,
    /// When feedback came last, and how many packets had been sent by then.
    heard: Option<(Instant, u64)>,
    /// When silence was last acted upon.
    silence: Option<Instant>,
    /// For send times as 64 bits.
    sent: i64,
    reference: Reference,
    /// More than the estimate is wanted: what the next layer, and all, need.
    wanted: Option<Wanted>,
}

/// The receiver's clock wraps every 12.4 days.
#[derive(Debug, Default)]
struct Reference {
    last: Option<i64>,
    turns: i64,
}

impl Reference {
    /// Microseconds in a turn: 2^24 times 64 ms.
    const TURN: i64 = 64_000 << 24;

    /// What is to be added to times near this one.
    fn turn(&mut self, reference: i64) -> i64 {
        if let Some(last) = self.last.replace(reference) {
            if last - reference > Self::TURN / 2 {
                self.turns += Self::TURN;
            } else if reference - last > Self::TURN / 2 {
                self.turns -= Self::TURN;
            }
        }
        self.turns
    }
}

/// What subscriptions would use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wanted {
    /// Bits per second with the next layer.
    pub(crate) next: u64,
    /// Bits per second with every layer.
    pub(crate) all: u64,
}

impl Estimator {
    /// Bits per second to start with, and never to exceed.
    pub(crate) fn new(start: u64, max: u64) -> Self {
        Self {
            log: SendLog::new(),
            trend: Trend::new(),
            delay: DelayBound::new(start as f64, max as f64),
            loss: LossBound::new(),
            throughput: Throughput::default(),
            probe: Prober::new(),
            bound: None,
            max: max as f64,
            heard: None,
            silence: None,
            sent: 0,
            reference: Reference::default(),
            wanted: None,
        }
    }

    /// Bits per second the session can take.
    pub(crate) fn estimate(&self, now: Instant) -> u64 {
        let mut rate = self.delay.rate().min(self.max);
        if let Some(loss) = self.loss.rate() {
            rate = rate.min(loss);
        }
        if let Some((bound, at)) = self.bound
            && now.since(at) < BOUND_LIFE
        {
            rate = rate.min(bound);
        }
        rate as u64
    }

    /// Whether it rests on anything.
    pub(crate) fn heard(&self) -> bool {
        self.heard.is_some() || self.bound.is_some()
    }

    /// Whether loss of late is none to speak of.
    pub(crate) fn is_lossless(&self) -> bool {
        self.loss.share() < LOW_LOSS
    }

    /// The transport-wide number the next packet carries.
    #[inline]
    pub(crate) fn next_number(&self) -> u16 {
        self.log.next()
    }

    /// A packet with that number was sent.
    #[inline]
    pub(crate) fn sent(&mut self, now: Instant, size: usize) {
        self.log.push(now, size, self.probe.cluster());
        self.probe.sent(size);
    }

    /// Transport-wide feedback came: packets in the order of their numbers,
    /// times on the receiver's clock as `reference` is.
    pub(crate) fn on_feedback(
        &mut self,
        now: Instant,
        rtt: Option<Duration>,
        reference: i64,
        fates: impl Iterator<Item = Fate>,
    ) {
        self.heard = Some((now, self.log.count()));
        let turns = self.reference.turn(reference);
        let rtt = rtt.unwrap_or(FIRST_RTT);
        let before = self.estimate(now);
        for fate in fates {
            let Some(arrival) = fate.arrival.map(|arrival| arrival + turns) else {
                // It may have been reordered, and come in a later report; as
                // lost it counts when it has been long on the way.
                if let Some(sent) = self.log.look(fate.number) {
                    let age = ((now.as_nanos() / 1_000) as u32).wrapping_sub(sent.time);
                    if age > 50_000 {
                        self.log.take(fate.number);
                        self.loss.packet(false);
                    }
                }
                continue;
            };
            let Some(sent) = self.log.take(fate.number) else {
                continue;
            };
            self.sent += i64::from(sent.time.wrapping_sub(self.sent as u32) as i32);
            self.loss.packet(true);
            self.throughput.add(arrival, sent.size);
            self.trend.packet(self.sent, arrival);
            if sent.cluster != 0 {
                self.probe.arrived(&sent, arrival);
            }
        }
        let throughput = self.throughput.bits_per_second();
        self.delay.update(now, self.trend.usage(), throughput, rtt);
        self.loss
            .update(now, before as f64, throughput, rtt, self.max);
        self.take_outcome(now);
        if self.estimate(now) * 10 < before * 9 {
            self.probe.after_drop(now);
        }
    }

    fn take_outcome(&mut self, now: Instant) {
        match self.probe.outcome(now) {
            Some(Outcome::Measured { rate, .. }) if self.trend.usage() != Usage::Over => {
                self.delay.probed(now, rate);
                self.loss.probed(rate);
            }
            _ => {}
        }
    }

    /// Now and then: a receiver that has fallen silent may get nothing at all.
    pub(crate) fn on_tick(&mut self, now: Instant) {
        let Some((heard, sent)) = self.heard else {
            return;
        };
        let last = self.silence.unwrap_or(heard).max(heard);
        if now.since(last) >= SILENCE && self.log.count() > sent + SILENT_PACKETS {
            self.silence = Some(now);
            self.delay.silent();
        }
    }

    /// Without transport-wide feedback: the share lost of so many packets,
    /// from a receiver report.
    pub(crate) fn on_loss(&mut self, now: Instant, rtt: Option<Duration>, lost: u32, total: u32) {
        for _ in 0..lost.min(1_000) {
            self.loss.packet(false);
        }
        for _ in 0..total.saturating_sub(lost).min(1_000) {
            self.loss.packet(true);
        }
        let before = self.estimate(now) as f64;
        self.loss
            .update(now, before, None, rtt.unwrap_or(FIRST_RTT), self.max);
    }

    /// The receiver's own bound (REMB). Where it is all there is, it is the
    /// estimate.
    pub(crate) fn on_bound(&mut self, now: Instant, bits_per_second: u64) {
        let bound = bits_per_second as f64;
        self.bound = Some((bound, now));
        if self.heard.is_none() {
            self.delay.probed(now, bound);
        }
    }

    /// What would be used if there were room for it; `None` when all is.
    pub(crate) fn set_wanted(&mut self, wanted: Option<Wanted>) {
        self.wanted = wanted;
    }

    /// Begins a probe when one is useful and allowed; whether padding is due
    /// from now on.
    pub(crate) fn maybe_probe(&mut self, now: Instant) -> bool {
        self.take_outcome(now);
        let Some(wanted) = self.wanted else {
            return false;
        };
        if !self.probe.may_begin(now)
            || self.trend.usage() != Usage::Normal
            || self.loss.share() > 0.15
            || self
                .delay
                .decreased()
                .is_some_and(|at| now.since(at) < Duration::from_millis(500))
        {
            return false;
        }
        let estimate = self.estimate(now) as f64;
        // Enough for the next layer, no further than three times what is
        // known, and no further than is of use.
        let next = wanted.next as f64 * 1.3;
        let rate = next
            .max(estimate * 2.0)
            .min(estimate * 3.0 + 200_000.0)
            .min(wanted.all as f64 * 1.3)
            .min(self.max);
        if rate <= estimate * 1.05 {
            return false;
        }
        self.probe.begin(now, rate);
        true
    }

    /// Bytes of padding due now; `None` when no probe lasts.
    pub(crate) fn padding_due(&mut self, now: Instant) -> Option<u64> {
        self.probe.due(now)
    }
}
