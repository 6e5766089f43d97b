//! Datagrams, the links they cross and the queue of things to come.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::random::Random;

/// Virtual nanoseconds since the run began.
pub(crate) type Time = u64;
pub(crate) const MILLISECOND: Time = 1_000_000;
pub(crate) const SECOND: Time = 1_000 * MILLISECOND;

/// A datagram on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) ecn: u8,
    pub(crate) bytes: Vec<u8>,
}

/// What happens next. Equal times keep the order of insertion.
pub(crate) struct Queue<E> {
    events: BTreeMap<(Time, u64), E>,
    inserted: u64,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self {
            events: BTreeMap::new(),
            inserted: 0,
        }
    }

    pub(crate) fn push(&mut self, at: Time, event: E) {
        self.inserted += 1;
        self.events.insert((at, self.inserted), event);
    }

    pub(crate) fn pop(&mut self) -> Option<(Time, E)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}

/// How badly the paths of a run behave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// Base delay of a path, drawn per pair of hosts.
    pub(crate) delay: Time,
    /// Random addition per datagram; reorders.
    pub(crate) jitter: Time,
    pub(crate) loss_percent: f64,
    pub(crate) duplicate_percent: f64,
    /// Datagrams that take a detour of many delays.
    pub(crate) straggler_percent: f64,
}

impl Weather {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let bad = random.percent(50.0);
        Self {
            delay: random.skewed(MILLISECOND / 10, 120 * MILLISECOND),
            jitter: if random.percent(50.0) {
                random.skewed(1, 20 * MILLISECOND)
            } else {
                0
            },
            loss_percent: if bad {
                random.between(0, 15) as f64
            } else {
                0.0
            },
            duplicate_percent: if bad {
                random.between(0, 8) as f64
            } else {
                0.0
            },
            straggler_percent: if bad {
                random.between(0, 4) as f64
            } else {
                0.0
            },
        }
    }

    /// When copies of a datagram sent at `now` arrive; empty means lost.
    pub(crate) fn arrivals(&self, now: Time, random: &mut Random) -> Vec<Time> {
        let mut arrivals = Vec::new();
        if random.percent(self.loss_percent) {
            return arrivals;
        }
        let copies = if random.percent(self.duplicate_percent) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let mut delay = self.delay + random.between(0, self.jitter);
            if random.percent(self.straggler_percent) {
                delay += random.skewed(MILLISECOND, 30 * SECOND);
            }
            arrivals.push(now + delay);
        }
        arrivals
    }
}
