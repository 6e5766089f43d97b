//! How many answers strangers may draw.

use core::hash::Hasher;
use core::net::IpAddr;

use forebay_wire::clock::Instant;

use crate::config::PrefixBudget;
use crate::ids::ClientAddr;
use crate::tables::Keyed;

/// Token buckets for IPv4 /24 and IPv6 /56 prefixes, in a fixed table without
/// keys: prefixes that hash to the same bucket share it. The hash is seeded,
/// so nobody can aim at another's bucket, and a flood from all prefixes at
/// once is bounded by the size of the table.
pub(crate) struct PrefixBudgets {
    /// Per bucket, the time at which it is full again (GCRA's theoretical
    /// arrival time): one number is both level and last use.
    full_at: Vec<Instant>,
    interval: u64,
    burst: u64,
    keyed: Keyed,
}

impl PrefixBudgets {
    /// One prefix under attack takes along one in this many others; 8 bytes
    /// each.
    const BUCKETS: usize = 8192;

    pub(crate) fn new(budget: PrefixBudget, keyed: Keyed) -> Self {
        let buckets = if budget.per_second == 0 {
            0
        } else {
            Self::BUCKETS
        };
        Self {
            full_at: vec![Instant::default(); buckets],
            interval: 1_000_000_000 / u64::from(budget.per_second.max(1)),
            burst: u64::from(budget.burst.max(1)),
            keyed,
        }
    }

    /// Takes one answer from the client's prefix. False if none is left.
    pub(crate) fn take(&mut self, now: Instant, client: ClientAddr) -> bool {
        let bucket = self.bucket(client);
        let Some(full_at) = self.full_at.get(bucket).map(|&at| self.full_after(now, at)) else {
            return true;
        };
        let granted = self.grants(now, full_at);
        if granted {
            self.full_at[bucket] = full_at;
        }
        granted
    }

    /// Whether an answer is left to the client's prefix.
    pub(crate) fn has(&self, now: Instant, client: ClientAddr) -> bool {
        self.full_at
            .get(self.bucket(client))
            .is_none_or(|&at| self.grants(now, self.full_after(now, at)))
    }

    fn bucket(&self, client: ClientAddr) -> usize {
        let hash = self.keyed.hash(|hasher| match client.0.ip() {
            IpAddr::V4(ip) => hasher.write_u32(ip.to_bits() >> 8),
            IpAddr::V6(ip) => hasher.write_u64((ip.to_bits() >> 72) as u64),
        });
        hash as usize & (Self::BUCKETS - 1)
    }

    /// When the bucket would be full again after one more answer.
    fn full_after(&self, now: Instant, full_at: Instant) -> Instant {
        Instant::from_nanos(full_at.as_nanos().max(now.as_nanos()) + self.interval)
    }

    fn grants(&self, now: Instant, full_at: Instant) -> bool {
        full_at.as_nanos() - now.as_nanos() <= self.interval * self.burst
    }

    pub(crate) fn memory(&self) -> usize {
        self.full_at.capacity() * size_of::<Instant>()
    }
}
