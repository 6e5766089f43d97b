//! Values in slots with stable dense indices.

use core::marker::PhantomData;

/// A typed slot number.
pub(crate) trait Slot: Copy {
    /// The slot of this number.
    fn new(index: u32) -> Self;
    /// Its number.
    fn index(self) -> usize;
}

/// A fixed number of slots. Memory is reserved at construction and touched
/// when first used.
pub(crate) struct Slab<S, T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    capacity: usize,
    slot: PhantomData<S>,
}

impl<S: Slot, T> Slab<S, T> {
    pub(crate) fn new(capacity: u32) -> Self {
        let capacity = capacity.min(u32::MAX - 1) as usize;
        Self {
            slots: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
            capacity,
            slot: PhantomData,
        }
    }

    /// Slots there are.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    #[inline]
    pub(crate) fn get(&self, slot: S) -> Option<&T> {
        self.slots.get(slot.index())?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: S) -> Option<&mut T> {
        self.slots.get_mut(slot.index())?.as_mut()
    }

    /// `None` when every slot is taken.
    pub(crate) fn insert(&mut self, value: T) -> Option<S> {
        if let Some(index) = self.free.pop() {
            *self.slots.get_mut(index as usize)? = Some(value);
            return Some(S::new(index));
        }
        if self.slots.len() == self.capacity {
            return None;
        }
        let index = self.slots.len() as u32;
        self.slots.push(Some(value));
        Some(S::new(index))
    }

    pub(crate) fn remove(&mut self, slot: S) -> Option<T> {
        let value = self.slots.get_mut(slot.index())?.take()?;
        self.free.push(slot.index() as u32);
        Some(value)
    }

    /// Slots that were ever used, taken or not.
    pub(crate) fn used(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Option<T>>() + self.free.capacity() * size_of::<u32>()
    }
}
