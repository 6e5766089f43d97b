//! From the owner's 64-bit key to a slot.

use core::hash::Hasher;

use hashbrown::HashTable;

use super::index::Keyed;
use super::slab::Slot;

/// Slots by key.
pub(crate) struct KeyMap<S> {
    keyed: Keyed,
    table: HashTable<(u64, S)>,
}

impl<S: Slot> KeyMap<S> {
    /// Room for `capacity` keys without ever growing.
    pub(crate) fn new(capacity: u32, keyed: Keyed) -> Self {
        Self {
            keyed,
            table: HashTable::with_capacity(capacity as usize * 2),
        }
    }

    fn hash(&self, key: u64) -> u64 {
        self.keyed.hash(|hasher| hasher.write_u64(key))
    }

    pub(crate) fn get(&self, key: u64) -> Option<S> {
        self.table
            .find(self.hash(key), |(found, _)| *found == key)
            .map(|(_, slot)| *slot)
    }

    /// The key must not be present.
    pub(crate) fn insert(&mut self, key: u64, slot: S) {
        let keyed = self.keyed;
        self.table
            .insert_unique(self.hash(key), (key, slot), |(key, _)| {
                keyed.hash(|hasher| hasher.write_u64(*key))
            });
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<S> {
        let entry = self
            .table
            .find_entry(self.hash(key), |(found, _)| *found == key)
            .ok()?;
        let ((_, slot), _) = entry.remove();
        Some(slot)
    }

    pub(crate) fn memory(&self) -> usize {
        self.table.allocation_size()
    }
}
