//! Memory for what a shard writes itself.

use core::ops::Deref;

/// Bytes appended to a fixed buffer. Unlike a `Vec`'s, its room can be lent
/// out and written in place before it counts, without being cleared first.
#[derive(Debug, Default)]
pub struct Written {
    bytes: Box<[u8]>,
    used: usize,
}

impl Written {
    /// Room for this many bytes; never grows.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: vec![0; capacity].into(),
            used: 0,
        }
    }

    /// Bytes there is room for in all.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes there is room for now.
    #[inline]
    pub fn room(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Appends a copy. False, and nothing is done, when there is no room.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) -> bool {
        let Some(room) = self.reserve(bytes.len()) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.used += bytes.len();
        true
    }

    /// The next `len` bytes, whatever they hold; `None` when there is no room.
    #[inline]
    pub(crate) fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        self.bytes.get_mut(self.used..)?.get_mut(..len)
    }

    /// Makes the first `len` bytes behind the end count; at most as many as
    /// there is room for. Returns where they start.
    #[inline]
    pub(crate) fn commit(&mut self, len: usize) -> usize {
        let start = self.used;
        self.used = (start + len).min(self.bytes.len());
        start
    }
}

impl Deref for Written {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}
