//! How many strangers may cost us a handshake, or wait with nothing said.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::tally::{Refusal, Tally};

/// A network that is one source for budgets: IPv4 /24 or IPv6 /56.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Prefix(u64, bool);

impl Prefix {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(u64::from(address.to_bits() >> 8), false),
            IpAddr::V6(address) => Self((address.to_bits() >> 72) as u64, true),
        }
    }
}

/// Handshakes per second, in all and for each prefix: GCRA, whose one number
/// per bucket is both level and last use. Prefixes that hash to the same
/// bucket share it; the hash is seeded, so nobody can aim at another's.
pub(super) struct Rate {
    start: Instant,
    all: u64,
    all_interval: u64,
    sources: Vec<u64>,
    source_interval: u64,
    hasher: RandomState,
}

/// Buckets for prefixes, 8 bytes each.
const BUCKETS: usize = 8192;
/// What may come at once after a pause, in seconds' worth.
const BURST: u64 = 4;

impl Rate {
    pub(super) fn new(per_second: u32, per_source: u32, now: Instant) -> Self {
        let interval = |rate: u32| 1_000_000_000 / u64::from(rate.max(1));
        Self {
            start: now,
            all: 0,
            all_interval: interval(per_second),
            sources: vec![0; BUCKETS],
            source_interval: interval(per_source),
            hasher: RandomState::new(),
        }
    }

    /// Takes a handshake from the prefix's share and from everybody's.
    pub(super) fn take(&mut self, now: Instant, prefix: Prefix) -> Result<(), Refusal> {
        self.take_source(now, prefix)?;
        self.take_any(now)
    }

    /// From the prefix's share alone.
    pub(super) fn take_source(&mut self, now: Instant, prefix: Prefix) -> Result<(), Refusal> {
        let now = self.nanos(now);
        let bucket = (self.hasher.hash_one(prefix) % BUCKETS as u64) as usize;
        grant(&mut self.sources[bucket], now, self.source_interval).ok_or(Refusal::RateSource)
    }

    /// From everybody's share alone.
    pub(super) fn take_any(&mut self, now: Instant) -> Result<(), Refusal> {
        let now = self.nanos(now);
        grant(&mut self.all, now, self.all_interval).ok_or(Refusal::Rate)
    }

    /// Whether there is something left of everybody's share.
    pub(super) fn has_any(&self, now: Instant) -> bool {
        let now = self.nanos(now);
        grant(&mut self.all.clone(), now, self.all_interval).is_some()
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX / 2)
    }
}

fn grant(full_at: &mut u64, now: u64, interval: u64) -> Option<()> {
    let after = (*full_at).max(now) + interval;
    let burst = interval.max(Duration::from_secs(BURST).as_nanos() as u64);
    if after - now > burst {
        return None;
    }
    *full_at = after;
    Some(())
}

/// Connections that have not shown yet what they want. Clones are the same.
#[derive(Clone)]
pub(super) struct HalfOpen(Rc<Waiting>);

struct Waiting {
    most: usize,
    most_per_source: usize,
    all: RefCell<(usize, HashMap<Prefix, usize>)>,
    tally: Arc<Tally>,
}

impl HalfOpen {
    pub(super) fn new(most: u32, most_per_source: u32, tally: Arc<Tally>) -> Self {
        Self(Rc::new(Waiting {
            most: most as usize,
            most_per_source: most_per_source as usize,
            all: RefCell::default(),
            tally,
        }))
    }

    /// A place among them; free again when dropped.
    pub(super) fn enter(&self) -> Result<Place, Refusal> {
        let mut all = self.0.all.borrow_mut();
        if all.0 >= self.0.most {
            return Err(Refusal::HalfOpen);
        }
        all.0 += 1;
        self.0
            .tally
            .half_open
            .store(all.0 as u64, Ordering::Relaxed);
        Ok(Place {
            waiting: self.clone(),
            prefix: None,
        })
    }
}

/// One of them.
pub(super) struct Place {
    waiting: HalfOpen,
    prefix: Option<Prefix>,
}

impl Place {
    /// Counts it to a source as well, once that is known.
    pub(super) fn is_from(&mut self, prefix: Prefix) -> Result<(), Refusal> {
        let mut all = self.waiting.0.all.borrow_mut();
        let count = all.1.entry(prefix).or_insert(0);
        if *count >= self.waiting.0.most_per_source {
            return Err(Refusal::HalfOpenSource);
        }
        *count += 1;
        self.prefix = Some(prefix);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.waiting.0.all.borrow_mut();
        all.0 -= 1;
        let tally = &self.waiting.0.tally;
        tally.half_open.store(all.0 as u64, Ordering::Relaxed);
        let Some(prefix) = self.prefix else { return };
        if let Entry::Occupied(mut entry) = all.1.entry(prefix) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(last: u8) -> Prefix {
        Prefix::of(IpAddr::from([203, 0, last, 9]))
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(1000, 10, start);
        let granted = (0..100).filter(|_| rate.take(start, prefix(1)).is_ok());
        assert_eq!(granted.count(), 40);
        assert_eq!(rate.take(start, prefix(1)), Err(Refusal::RateSource));
        assert_eq!(rate.take(start, prefix(2)), Ok(()));
        let later = start + Duration::from_secs(1);
        let granted = (0..100).filter(|_| rate.take(later, prefix(1)).is_ok());
        assert_eq!(granted.count(), 10);
    }

    #[test]
    fn all_sources_together_are_bounded() {
        let start = Instant::now();
        let mut rate = Rate::new(20, 20, start);
        let sources = (0..=255).map(prefix);
        let granted = sources.filter(|source| rate.take(start, *source).is_ok());
        assert_eq!(granted.count(), 80);
        assert_eq!(rate.take_any(start), Err(Refusal::Rate));
    }

    #[test]
    fn places_are_given_back() {
        let half_open = HalfOpen::new(3, 2, Arc::new(Tally::default()));
        let one = Prefix::of(IpAddr::from([0x2001, 0xdb8, 0, 0x100, 0, 0, 0, 1]));
        let same = Prefix::of(IpAddr::from([0x2001, 0xdb8, 0, 0x1ff, 0, 0, 0, 2]));
        assert_eq!(one, same);
        let mut places: Vec<Place> = (0..3).filter_map(|_| half_open.enter().ok()).collect();
        assert_eq!(half_open.enter().err(), Some(Refusal::HalfOpen));
        assert_eq!(places[0].is_from(one), Ok(()));
        assert_eq!(places[1].is_from(one), Ok(()));
        assert_eq!(places[2].is_from(same), Err(Refusal::HalfOpenSource));
        places.clear();
        let mut place = half_open.enter().expect("free again");
        assert_eq!(place.is_from(one), Ok(()));
        assert!(half_open.0.all.borrow().1.len() == 1);
    }
}
