//! A way with a delay, a bottleneck and loss.

use std::collections::VecDeque;
use std::time::Duration;

use forebay_wire::clock::Instant;

use super::Dice;

pub(crate) struct Link {
    pub delay: Duration,
    /// Bits per second.
    pub rate: Option<u64>,
    /// What the queue before the bottleneck holds.
    pub queue: Duration,
    /// Of a thousand.
    pub loss: u64,
    /// Of a thousand: late by another delay.
    pub reorder: u64,
    /// Milliseconds, at most, by which the delay varies; order is kept.
    pub jitter: u64,
    /// Handed on only this often, all at once: a receiver without a processor.
    pub lumps: Option<Duration>,
    last: Instant,
    pub dice: Dice,
    free_at: Instant,
    flying: VecDeque<(Instant, Vec<u8>)>,
    pub dropped: u64,
    pub bytes: u64,
}

impl Link {
    pub(crate) fn new(delay: u64, rate: Option<u64>) -> Self {
        Self {
            delay: Duration::from_millis(delay),
            rate,
            queue: Duration::from_millis(300),
            loss: 0,
            reorder: 0,
            jitter: 0,
            lumps: None,
            last: Instant::default(),
            dice: Dice(delay + 77),
            free_at: Instant::default(),
            flying: VecDeque::new(),
            dropped: 0,
            bytes: 0,
        }
    }

    pub(crate) fn lossy(mut self, per_mille: u64) -> Self {
        self.loss = per_mille;
        self
    }

    pub(crate) fn push(&mut self, now: Instant, datagram: Vec<u8>) {
        if self.dice.chance(self.loss) {
            self.dropped += 1;
            return;
        }
        let mut at = now;
        if let Some(rate) = self.rate {
            let begin = self.free_at.max(now);
            if begin.since(now) > self.queue {
                self.dropped += 1;
                return;
            }
            let bits = (datagram.len() as u64 + 28) * 8;
            self.free_at = begin + Duration::from_nanos(bits * 1_000_000_000 / rate);
            at = self.free_at;
        }
        self.bytes += datagram.len() as u64;
        let late = if self.dice.chance(self.reorder) {
            Duration::from_millis(1 + self.dice.roll() % 30)
        } else {
            Duration::ZERO
        };
        let mut at = at + self.delay + late;
        if self.jitter > 0 {
            let more = self.dice.roll() % (self.jitter * 1_000);
            at = (at + Duration::from_micros(more)).max(self.last);
            self.last = at;
        } else if let Some(lumps) = self.lumps {
            let period = lumps.as_nanos() as u64;
            at = Instant::from_nanos(at.as_nanos().next_multiple_of(period));
            self.last = at;
        } else {
            at = at.max(self.last);
        }
        let place = self.flying.partition_point(|(other, _)| *other <= at);
        self.flying.insert(place, (at, datagram));
    }

    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, Vec<u8>)> {
        match self.flying.front() {
            Some((at, _)) if *at <= now => self.flying.pop_front(),
            _ => None,
        }
    }
}
