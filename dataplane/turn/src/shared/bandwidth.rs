//! The host's bandwidth.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What all shards together may move, and how many allocations are at it.
#[derive(Debug)]
pub(crate) struct HostBandwidth {
    /// When the budget of each direction is full again, nanoseconds.
    pub(crate) moved: [AtomicU64; 2],
    /// Per shard: a window's number above, below how many of its allocations
    /// moved something in it.
    active: Box<[AtomicU64]>,
}

const COUNT_BITS: u32 = 24;

impl HostBandwidth {
    pub(super) fn new(shards: u16) -> Self {
        Self {
            moved: Default::default(),
            active: core::iter::repeat_with(AtomicU64::default)
                .take(usize::from(shards.max(1)))
                .collect(),
        }
    }

    /// A shard tells how many of its allocations were active in a window.
    pub(crate) fn tell(&self, shard: u16, window: u64, active: u32) {
        if let Some(cell) = self.active.get(usize::from(shard)) {
            let active = u64::from(active).min((1 << COUNT_BITS) - 1);
            cell.store(window << COUNT_BITS | active, Relaxed);
        }
    }

    /// Active allocations over all shards, as told about the window before
    /// `window` or the one before that: shards do not tell in one moment, and
    /// one that has gone quiet does not tell at all.
    pub(crate) fn active(&self, window: u64) -> u64 {
        let recent = window.saturating_sub(2);
        self.active
            .iter()
            .map(|cell| cell.load(Relaxed))
            .filter(|word| word >> COUNT_BITS >= recent)
            .map(|word| word & ((1 << COUNT_BITS) - 1))
            .sum()
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.active)
    }
}
