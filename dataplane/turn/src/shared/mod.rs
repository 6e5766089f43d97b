//! What the shards of one host share: atomics in tables of fixed size, made at
//! start. Only requests touch the accounts; the fast path touches the bandwidth
//! and only where a cap is set.

mod accounts;
mod bandwidth;

use std::sync::Arc;

pub(crate) use accounts::{Accounts, Full};
pub(crate) use bandwidth::HostBandwidth;

/// One shard's view of it. Clones share.
#[derive(Debug, Clone)]
pub struct Shared {
    tables: Arc<Tables>,
    shard: u16,
    shards: u16,
}

#[derive(Debug)]
struct Tables {
    accounts: Accounts,
    bandwidth: HostBandwidth,
}

impl Shared {
    /// For a host of `shards` shards with so many allocations over all of them.
    pub fn new(shards: u16, allocations: u32) -> Self {
        Self {
            tables: Arc::new(Tables {
                accounts: Accounts::new(allocations),
                bandwidth: HostBandwidth::new(shards),
            }),
            shard: 0,
            shards: shards.max(1),
        }
    }

    /// The view of the shard with this number.
    pub fn of(&self, shard: u16) -> Self {
        Self {
            tables: Arc::clone(&self.tables),
            shard,
            shards: self.shards,
        }
    }

    /// Allocated relay addresses and reserved ports over all shards.
    pub fn held(&self) -> u64 {
        self.tables.accounts.total()
    }

    /// Bytes of memory, once per host.
    pub fn memory(&self) -> usize {
        self.tables.accounts.memory() + self.tables.bandwidth.memory()
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.tables.accounts
    }

    pub(crate) fn bandwidth(&self) -> &HostBandwidth {
        &self.tables.bandwidth
    }

    pub(crate) const fn shard(&self) -> u16 {
        self.shard
    }

    pub(crate) const fn shards(&self) -> u16 {
        self.shards
    }
}

impl Default for Shared {
    /// For a shard that is alone.
    fn default() -> Self {
        Self::new(1, 1024)
    }
}
