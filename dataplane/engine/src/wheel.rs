//! Timers: a hierarchical timing wheel over a fixed slab of nodes.
//!
//! Seven levels of 64 slots cover every tick of the 64-bit clock, so there is
//! no overflow list. An entry lies on the level of the highest base-64 digit in which its
//! tick differs from the wheel's; it moves down at most five times before it
//! fires. Arming is O(1), advancing is O(1) per entry moved or fired however
//! much time has passed, and nothing ever scans the entries.

use forebay_wire::clock::Instant;

/// No node.
const NONE: u32 = u32::MAX;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 7;
/// The last tick the levels reach.
const LAST: u64 = (1 << (SLOT_BITS * LEVELS as u32)) - 1;

#[derive(Debug, Clone, Copy)]
struct Node {
    token: u64,
    tick: u64,
    next: u32,
}

#[derive(Debug, Clone)]
struct Level {
    /// Bit `n` is set when slot `n` is not empty.
    occupied: u64,
    heads: [u32; SLOTS],
}

/// The wheel had no free node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WheelFull;

/// One-shot timers named by an opaque token.
///
/// A timer never fires early and at most one tick late. A finer tick wakes the
/// worker more often, a coarser one fires later.
#[derive(Debug)]
pub struct Wheel {
    /// A tick is two to this power of nanoseconds.
    tick_shift: u32,
    /// Ticks up to and including this one have fired.
    elapsed: u64,
    levels: Box<[Level; LEVELS]>,
    /// Entries that are due and not yet handed out.
    due: u32,
    free: u32,
    nodes: Box<[Node]>,
    armed: usize,
}

impl Wheel {
    /// The least a tick may be, as for [`Wheel::new`]: what the levels reach.
    pub const FINEST: u32 = u64::BITS - SLOT_BITS * LEVELS as u32;

    /// A wheel with room for `capacity` timers armed at once. A tick is two to
    /// the power of `tick_shift` nanoseconds, at least [`Wheel::FINEST`].
    pub fn new(capacity: usize, tick_shift: u32) -> Self {
        let capacity = capacity.min(NONE as usize - 1);
        let mut nodes: Box<[Node]> = (0..capacity)
            .map(|index| Node {
                token: 0,
                tick: 0,
                next: index as u32 + 1,
            })
            .collect();
        if let Some(last) = nodes.last_mut() {
            last.next = NONE;
        }
        Self {
            tick_shift: tick_shift.max(Self::FINEST),
            elapsed: 0,
            levels: Box::new(
                [const {
                    Level {
                        occupied: 0,
                        heads: [NONE; SLOTS],
                    }
                }; LEVELS],
            ),
            due: NONE,
            free: if capacity == 0 { NONE } else { 0 },
            nodes,
            armed: 0,
        }
    }

    /// Fires `token` at or at most one tick after `at`.
    pub fn arm(&mut self, token: u64, at: Instant) -> Result<(), WheelFull> {
        let index = self.free;
        let Some(node) = self.nodes.get_mut(index as usize) else {
            return Err(WheelFull);
        };
        self.free = node.next;
        node.token = token;
        node.tick = tick_at_or_after(at, self.tick_shift);
        self.armed += 1;
        self.place(index);
        Ok(())
    }

    /// Takes one timer that is due at `now`; in the order of their ticks.
    pub fn pop_due(&mut self, now: Instant) -> Option<u64> {
        let now = now.as_nanos() >> self.tick_shift;
        while self.due == NONE {
            let Some((level, slot, start)) = self.next_slot().filter(|&(_, _, start)| start <= now)
            else {
                self.elapsed = self.elapsed.max(now);
                return None;
            };
            self.elapsed = start;
            let level = &mut self.levels[level];
            level.occupied &= !(1 << slot);
            let mut index = core::mem::replace(&mut level.heads[slot], NONE);
            while index != NONE {
                let next = self.nodes[index as usize].next;
                self.place(index);
                index = next;
            }
        }
        let index = self.due;
        let node = &mut self.nodes[index as usize];
        self.due = node.next;
        node.next = self.free;
        self.free = index;
        self.armed -= 1;
        Some(node.token)
    }

    /// When to call [`Wheel::pop_due`] next: never later than the earliest
    /// timer's tick, possibly earlier when entries only move down a level.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.due != NONE {
            return Some(self.start_of(self.elapsed));
        }
        self.next_slot().map(|(_, _, start)| self.start_of(start))
    }

    /// Timers armed.
    pub fn len(&self) -> usize {
        self.armed
    }

    /// Whether no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// Bytes taken at construction.
    pub fn memory(&self) -> usize {
        size_of::<[Level; LEVELS]>() + self.nodes.len() * size_of::<Node>()
    }

    /// Puts a node where its tick belongs as seen from `elapsed`.
    fn place(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        if node.tick <= self.elapsed {
            node.next = self.due;
            self.due = index;
            return;
        }
        let differing = u64::BITS - 1 - (node.tick ^ self.elapsed).leading_zeros();
        let level = differing / SLOT_BITS;
        let slot = (node.tick >> (level * SLOT_BITS)) as usize % SLOTS;
        let level = &mut self.levels[level as usize];
        node.next = level.heads[slot];
        level.heads[slot] = index;
        level.occupied |= 1 << slot;
    }

    /// The first occupied slot in time, with the tick at which it starts. All
    /// entries of a level come before those of the level above, because they
    /// share its digit with `elapsed`.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        self.levels
            .iter()
            .enumerate()
            .find(|(_, level)| level.occupied != 0)
            .map(|(index, level)| {
                let slot = level.occupied.trailing_zeros();
                let shift = index as u32 * SLOT_BITS;
                let above = (self.elapsed >> (shift + SLOT_BITS)) << (shift + SLOT_BITS);
                (index, slot as usize, above | u64::from(slot) << shift)
            })
    }

    /// Verifies the wheel's own invariants; for tests and simulators, never
    /// called in production.
    ///
    /// # Errors
    /// Which invariant does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let mut seen = 0;
        for (index, level) in self.levels.iter().enumerate() {
            for (slot, &head) in level.heads.iter().enumerate() {
                if (head != NONE) != (level.occupied & (1 << slot) != 0) {
                    return Err("a slot's occupancy bit disagrees with its list");
                }
                for tick in self.list(head) {
                    seen += 1;
                    if tick <= self.elapsed {
                        return Err("an elapsed timer was left in a slot");
                    }
                    let shift = index as u32 * SLOT_BITS;
                    if (tick >> shift) as usize % SLOTS != slot {
                        return Err("a timer lies in the wrong slot");
                    }
                    if tick >> (shift + SLOT_BITS) != self.elapsed >> (shift + SLOT_BITS) {
                        return Err("a timer lies on too low a level");
                    }
                }
            }
        }
        seen += self.list(self.due).count();
        if seen != self.armed {
            return Err("armed timers and listed timers differ");
        }
        if self.list(self.free).count() + self.armed != self.nodes.len() {
            return Err("a node is on no list");
        }
        Ok(())
    }

    fn start_of(&self, tick: u64) -> Instant {
        Instant::from_nanos(tick << self.tick_shift)
    }

    fn list(&self, head: u32) -> impl Iterator<Item = u64> {
        core::iter::successors(self.nodes.get(head as usize), |node| {
            self.nodes.get(node.next as usize)
        })
        .map(|node| node.tick)
        .take(self.nodes.len() + 1)
    }
}

fn tick_at_or_after(at: Instant, shift: u32) -> u64 {
    let below = at.as_nanos() >> shift;
    let exact = below << shift == at.as_nanos();
    (below + u64::from(!exact)).min(LAST)
}
