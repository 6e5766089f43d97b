//! Slots with stable dense indices, a generation and one timer each.

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// A fixed number of slots. Memory is reserved at construction and touched
/// when first used.
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    capacity: usize,
}

struct Slot<T> {
    value: Option<T>,
    generation: u32,
    /// A timer for this slot is pending. It outlives the slot's owner: every
    /// deadline set later lies at or after one set earlier, so the next owner
    /// takes it over and no more than one is ever armed per slot.
    armed: bool,
}

impl<T> Slab<T> {
    pub(crate) fn new(capacity: u32) -> Self {
        let capacity = capacity.min(NONE - 1) as usize;
        Self {
            slots: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
            capacity,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn room(&self) -> usize {
        self.capacity - self.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.value.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.value.as_mut()
    }

    /// Counts the slot's owners; 0 for a slot that never had one.
    #[inline]
    pub(crate) fn generation(&self, slot: u32) -> u32 {
        self.slots
            .get(slot as usize)
            .map_or(0, |slot| slot.generation)
    }

    /// `None` when every slot is taken.
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        if let Some(index) = self.free.pop() {
            let slot = self.slots.get_mut(index as usize)?;
            slot.value = Some(value);
            slot.generation = slot.generation.wrapping_add(1);
            return Some(index);
        }
        if self.slots.len() == self.capacity {
            return None;
        }
        let index = self.slots.len() as u32;
        self.slots.push(Slot {
            value: Some(value),
            generation: 1,
            armed: false,
        });
        Some(index)
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.slots.get_mut(slot as usize)?.value.take()?;
        self.free.push(slot);
        Some(value)
    }

    /// Notes that the slot needs a timer. True if none is pending yet, which
    /// the caller then arms.
    pub(crate) fn needs_timer(&mut self, slot: u32) -> bool {
        self.slots
            .get_mut(slot as usize)
            .is_some_and(|slot| !core::mem::replace(&mut slot.armed, true))
    }

    /// Whether a timer for the slot is pending.
    pub(crate) fn has_timer(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(|slot| slot.armed)
    }

    /// Notes that the slot's timer fired. False if none was pending.
    pub(crate) fn timer_fired(&mut self, slot: u32) -> bool {
        self.slots
            .get_mut(slot as usize)
            .is_some_and(|slot| core::mem::replace(&mut slot.armed, false))
    }

    /// Slots that were ever used, taken or not: the range to visit when all
    /// entries have to be looked at.
    pub(crate) fn used(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<T>>() + self.free.capacity() * size_of::<u32>()
    }
}
