//! Slots, and the way from a key to its slot.

mod index;
mod keys;
mod slab;

pub(crate) use index::{Index, Keyed, feed_ip};
pub(crate) use keys::KeyMap;
pub(crate) use slab::{Slab, Slot};

/// A session's slot: dense, below [`Capacity::sessions`](crate::Capacity);
/// also the `flow` of [`Output::commit`](crate::Output::commit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionSlot(pub(crate) u32);

/// A track's slot: dense, below [`Capacity::tracks`](crate::Capacity).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TrackSlot(pub(crate) u32);

/// A received stream's slot: one SSRC of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StreamSlot(pub(crate) u32);

macro_rules! slot {
    ($($name:ident),*) => {$(
        impl Slot for $name {
            fn new(index: u32) -> Self {
                Self(index)
            }
            #[inline]
            fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}
slot!(SessionSlot, TrackSlot, StreamSlot);
