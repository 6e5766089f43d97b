//! The relay ports of one address: which are free, taken, or in use by some
//! other program. Constant time, and nothing but numbers, so that its one
//! promise can be tested: a port is always in exactly one of the three.

use std::collections::VecDeque;

use forebay_wire::clock::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Belongs to another worker or lies outside the range.
    Foreign,
    Free,
    Taken,
    Aside,
}

/// See the module documentation.
#[derive(Debug)]
pub struct RelayPorts {
    free: Vec<u16>,
    aside: VecDeque<(Instant, u16)>,
    states: Box<[State]>,
    taken: usize,
}

impl RelayPorts {
    /// Takes over these ports; doubles count once.
    pub fn new(ports: &[u16]) -> Self {
        let mut states = vec![State::Foreign; 1 << 16].into_boxed_slice();
        let mut free = Vec::with_capacity(ports.len());
        for port in ports {
            if states[usize::from(*port)] == State::Foreign {
                states[usize::from(*port)] = State::Free;
                free.push(*port);
            }
        }
        Self {
            aside: VecDeque::with_capacity(free.len()),
            free,
            states,
            taken: 0,
        }
    }

    /// Takes the free port that `random` falls on, so that nobody outside can
    /// tell the next one (RFC 6056).
    pub fn take(&mut self, random: u32) -> Option<u16> {
        let count = self.free.len() as u64;
        // The high half of the product is uniform over 0..count, but for a
        // bias of count / 2^32.
        let index = (u64::from(random) * count) >> 32;
        if count == 0 {
            return None;
        }
        let port = self.free.swap_remove(index as usize);
        self.states[usize::from(port)] = State::Taken;
        self.taken += 1;
        Some(port)
    }

    /// Gives a taken port back. Others are left as they are.
    pub fn give(&mut self, port: u16) {
        if self.leave(port) {
            self.states[usize::from(port)] = State::Free;
            self.free.push(port);
        }
    }

    /// Keeps a taken port out of use until `until`: another program has it.
    pub fn set_aside(&mut self, port: u16, until: Instant) {
        if self.leave(port) {
            self.states[usize::from(port)] = State::Aside;
            self.aside.push_back((until, port));
        }
    }

    /// Frees the ports set aside whose time has come, oldest first and at most
    /// `limit`, so that no call takes long.
    pub fn retry(&mut self, now: Instant, limit: usize) {
        for _ in 0..limit {
            match self.aside.front() {
                Some((until, port)) if *until <= now => {
                    self.states[usize::from(*port)] = State::Free;
                    self.free.push(*port);
                    self.aside.pop_front();
                }
                _ => return,
            }
        }
    }

    /// Ports that can be taken now.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Ports in use.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Ports another program has.
    pub fn aside(&self) -> usize {
        self.aside.len()
    }

    /// Bytes of memory, taken at construction.
    pub fn memory(&self) -> usize {
        self.states.len() * size_of::<State>()
            + self.free.capacity() * size_of::<u16>()
            + self.aside.capacity() * size_of::<(Instant, u16)>()
    }

    fn leave(&mut self, port: u16) -> bool {
        let taken = self.states[usize::from(port)] == State::Taken;
        self.taken -= usize::from(taken);
        taken
    }
}
