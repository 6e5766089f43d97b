//! From a key to a slot, the key itself living in the slot.

use core::hash::{BuildHasher, Hasher};
use core::net::IpAddr;

use foldhash::fast::{FixedState, FoldHasher};
use hashbrown::HashTable;

/// Slot numbers found by the hash of what lies in the slot.
pub(crate) struct Index {
    table: HashTable<u32>,
}

impl Index {
    /// Room for `capacity` entries. Twice that is reserved: below half load
    /// the table clears its tombstones in place and never grows.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            table: HashTable::with_capacity(capacity * 2),
        }
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        self.table.find(hash, |&slot| same(slot)).copied()
    }

    /// The key must not be present. `rehash` gives the hash of a slot's key.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32, rehash: impl Fn(u32) -> u64) {
        self.table.insert_unique(hash, slot, |&slot| rehash(slot));
    }

    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        if let Ok(entry) = self.table.find_entry(hash, |&found| found == slot) {
            entry.remove();
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.table.allocation_size()
    }
}

/// Hashes keys with a seed the network does not know.
#[derive(Clone, Copy)]
pub(crate) struct Keyed(u64);

impl Keyed {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    #[inline]
    pub(crate) fn hash(&self, feed: impl FnOnce(&mut FoldHasher<'_>)) -> u64 {
        let mut hasher = FixedState::with_seed(self.0).build_hasher();
        feed(&mut hasher);
        hasher.finish()
    }
}

/// Feeds an address without the detour over enum discriminants.
#[inline]
pub(crate) fn feed_ip(hasher: &mut impl Hasher, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => hasher.write_u32(ip.to_bits()),
        IpAddr::V6(ip) => hasher.write_u128(ip.to_bits()),
    }
}
