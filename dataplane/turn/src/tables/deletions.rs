//! Which allocations clients have just deleted, so that a retransmitted
//! Refresh with lifetime zero is answered like the first.

use core::hash::Hasher;

use forebay_wire::clock::Instant;
use forebay_wire::stun::TransactionId;

use crate::auth::{Key, UserTag};
use crate::ids::FiveTuple;

use super::index::{Keyed, feed_ip};

/// A deletion by the client.
pub(crate) struct Gone {
    pub(crate) tuple: FiveTuple,
    pub(crate) transaction: TransactionId,
    pub(crate) user: UserTag,
    pub(crate) key: Key,
    pub(crate) until: Instant,
}

/// One place per hash of the five-tuple; a later deletion takes the place of
/// an earlier one. Who is displaced gets 437, which RFC 8656 §7.4 tells clients to
/// take as success.
pub(crate) struct Deletions {
    places: Vec<Option<Gone>>,
    keyed: Keyed,
}

impl Deletions {
    /// Enough for 40 seconds of a shard that deletes a hundred allocations a
    /// second.
    const MOST: usize = 4096;

    pub(crate) fn new(allocations: u32, keyed: Keyed) -> Self {
        let places = (allocations as usize)
            .clamp(1, Self::MOST)
            .next_power_of_two();
        Self {
            places: core::iter::repeat_with(|| None).take(places).collect(),
            keyed,
        }
    }

    fn place(&self, tuple: &FiveTuple) -> usize {
        let hash = self.keyed.hash(|hasher| {
            feed_ip(hasher, tuple.client.0.ip());
            hasher.write_u64(u64::from(tuple.socket.0) << 16 | u64::from(tuple.client.0.port()));
        });
        hash as usize & (self.places.len() - 1)
    }

    pub(crate) fn note(&mut self, gone: Gone) {
        let place = self.place(&gone.tuple);
        self.places[place] = Some(gone);
    }

    pub(crate) fn find(&self, now: Instant, tuple: &FiveTuple) -> Option<&Gone> {
        self.places[self.place(tuple)]
            .as_ref()
            .filter(|gone| gone.tuple == *tuple && now < gone.until)
    }

    pub(crate) fn memory(&self) -> usize {
        self.places.capacity() * size_of::<Option<Gone>>()
    }
}
