//! A token bucket per client address in a table of fixed size. Addresses that
//! share a slot share its bucket, so a crowd cannot make the table grow.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Slots; 16 bytes each. At a thousand addresses a second the chance to share
/// a slot with a busy stranger is a few percent.
const SLOTS: usize = 16_384;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Milliseconds since the limiter was made.
    at: u64,
    /// Thousandths of a request.
    tokens: u64,
}

/// Who has one IPv6 address usually has the /64.
pub(super) fn prefix(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() >> 64 | 1 << 64,
    }
}

/// Admits requests by address.
#[derive(Debug)]
pub(super) struct Limiter {
    start: Instant,
    // Keyed at random, so that nobody can aim at another's slot.
    hash: RandomState,
    buckets: Mutex<Box<[Option<Bucket>]>>,
}

impl Limiter {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            hash: RandomState::new(),
            buckets: Mutex::new(vec![None; SLOTS].into_boxed_slice()),
        }
    }

    /// Whether the address may make a request now.
    pub(super) fn admit(&self, address: IpAddr, per_second: u32, burst: u32, now: Instant) -> bool {
        const REQUEST: u64 = 1_000;
        let slot = usize::try_from(self.hash.hash_one(prefix(address)) % SLOTS as u64).unwrap_or(0);
        let now = u64::try_from(now.saturating_duration_since(self.start).as_millis())
            .unwrap_or(u64::MAX);
        let full = u64::from(burst) * REQUEST;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets[slot].get_or_insert(Bucket {
            at: now,
            tokens: full,
        });
        let gained = now
            .saturating_sub(bucket.at)
            .saturating_mul(u64::from(per_second));
        bucket.tokens = bucket.tokens.saturating_add(gained).min(full);
        bucket.at = bucket.at.max(now);
        let admitted = bucket.tokens >= REQUEST;
        if admitted {
            bucket.tokens -= REQUEST;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate() {
        let limiter = Limiter::new();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let now = limiter.start;
        assert_eq!((0..10).filter(|_| limiter.admit(one, 2, 4, now)).count(), 4);
        assert!(!limiter.admit(one, 2, 4, now + Duration::from_millis(400)));
        assert!(limiter.admit(one, 2, 4, now + Duration::from_millis(500)));
        assert!(!limiter.admit(one, 2, 4, now + Duration::from_millis(500)));
        let later = now + Duration::from_secs(60);
        assert_eq!(
            (0..10).filter(|_| limiter.admit(one, 2, 4, later)).count(),
            4
        );
    }

    #[test]
    fn a_whole_ipv6_network_is_one_client() {
        let limiter = Limiter::new();
        let now = limiter.start;
        let admitted = (0..100u16)
            .filter(|i| limiter.admit(format!("2001:db8::{i:x}").parse().unwrap(), 1, 5, now))
            .count();
        assert_eq!(admitted, 5);
    }
}
