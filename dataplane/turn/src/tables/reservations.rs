//! Ports held for a second allocation.

use core::hash::Hasher;

use super::entries::{Reservation, ReservationToken};
use super::index::{Index, Keyed};
use super::slab::Slab;

/// Reservations by token.
pub(crate) struct Reservations {
    pub(crate) slots: Slab<Reservation>,
    by_token: Index,
    keyed: Keyed,
}

impl Reservations {
    /// Held at once: each lasts thirty seconds, so this many are over a hundred
    /// pairs a second.
    const MOST: u32 = 4096;

    pub(crate) fn new(allocations: u32, keyed: Keyed) -> Self {
        let slots = Slab::new(allocations.min(Self::MOST));
        Self {
            by_token: Index::new(slots.capacity()),
            slots,
            keyed,
        }
    }

    pub(crate) fn find(&self, token: &ReservationToken) -> Option<u32> {
        let same = |slot| {
            self.slots
                .get(slot)
                .is_some_and(|found| found.token == *token)
        };
        self.by_token.find(hash(&self.keyed, token), same)
    }

    /// The token must be new. `None` without room.
    pub(crate) fn add(&mut self, reservation: Reservation) -> Option<u32> {
        let Self {
            slots,
            by_token,
            keyed,
        } = self;
        let token = reservation.token;
        let slot = slots.insert(reservation)?;
        by_token.insert(hash(keyed, &token), slot, |slot| {
            slots.get(slot).map_or(0, |found| hash(keyed, &found.token))
        });
        Some(slot)
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Reservation> {
        let gone = self.slots.remove(slot)?;
        self.by_token.remove(hash(&self.keyed, &gone.token), slot);
        Some(gone)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let live = (0..self.slots.used()).filter_map(|slot| Some((slot, self.slots.get(slot)?)));
        for (slot, reservation) in live {
            if self.find(&reservation.token) != Some(slot) {
                return Err("a token does not lead to its reservation");
            }
            if !self.slots.has_timer(slot) {
                return Err("a reservation has no timer that would end it");
            }
        }
        if self.by_token.len() != self.slots.len() {
            return Err("a token leads to what is gone");
        }
        Ok(())
    }

    pub(crate) fn memory(&self) -> usize {
        self.slots.memory() + self.by_token.memory()
    }
}

fn hash(keyed: &Keyed, token: &ReservationToken) -> u64 {
    keyed.hash(|hasher| hasher.write_u64(u64::from_ne_bytes(*token)))
}
