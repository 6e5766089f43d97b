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
    free: List,
    /// Even ports that are free together with the port above them.
    pairs: List,
    aside: VecDeque<(Instant, u16)>,
    states: Box<[State]>,
    taken: usize,
}

/// Ports in no order, each of which can be taken out.
#[derive(Debug)]
struct List {
    ports: Vec<u16>,
    /// Where a port stands in `ports`, if it does.
    places: Box<[u16]>,
}

impl List {
    fn new(most: usize) -> Self {
        Self {
            ports: Vec::with_capacity(most),
            places: vec![0; 1 << 16].into_boxed_slice(),
        }
    }

    fn add(&mut self, port: u16) {
        // There are at most 65,536 ports.
        self.places[usize::from(port)] = self.ports.len() as u16;
        self.ports.push(port);
    }

    /// The port must be in it.
    fn remove(&mut self, port: u16) {
        let place = self.places[usize::from(port)];
        self.ports.swap_remove(usize::from(place));
        if let Some(moved) = self.ports.get(usize::from(place)) {
            self.places[usize::from(*moved)] = place;
        }
    }

    /// The port that `random` falls on.
    fn pick(&self, random: u32) -> Option<u16> {
        // The high half of the product is uniform over 0..count, but for a
        // bias of count / 2^32.
        let index = (u64::from(random) * self.ports.len() as u64) >> 32;
        self.ports.get(index as usize).copied()
    }

    fn memory(&self) -> usize {
        (self.ports.capacity() + self.places.len()) * size_of::<u16>()
    }
}

impl RelayPorts {
    /// Takes over these ports; doubles count once.
    pub fn new(ports: &[u16]) -> Self {
        let mut all = Self {
            free: List::new(ports.len()),
            pairs: List::new(ports.len() / 2),
            aside: VecDeque::with_capacity(ports.len()),
            states: vec![State::Foreign; 1 << 16].into_boxed_slice(),
            taken: 0,
        };
        for port in ports {
            if all.states[usize::from(*port)] == State::Foreign {
                all.put(*port);
            }
        }
        all
    }

    /// Takes the free port that `random` falls on, so that nobody outside can
    /// tell the next one (RFC 6056).
    pub fn take(&mut self, random: u32) -> Option<u16> {
        let port = self.free.pick(random)?;
        self.pull(port);
        Some(port)
    }

    /// Takes an even port and the one above it, and gives the even one.
    pub fn take_pair(&mut self, random: u32) -> Option<u16> {
        let even = self.pairs.pick(random)?;
        self.pull(even);
        self.pull(even + 1);
        Some(even)
    }

    /// Gives a taken port back. Others are left as they are.
    pub fn give(&mut self, port: u16) {
        if self.leave(port) {
            self.put(port);
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
                Some(&(until, port)) if until <= now => {
                    self.put(port);
                    self.aside.pop_front();
                }
                _ => return,
            }
        }
    }

    /// Ports that can be taken now.
    pub fn free(&self) -> usize {
        self.free.ports.len()
    }

    /// Pairs that can be taken now.
    pub fn free_pairs(&self) -> usize {
        self.pairs.ports.len()
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
            + self.free.memory()
            + self.pairs.memory()
            + self.aside.capacity() * size_of::<(Instant, u16)>()
    }

    fn has_free_neighbour(&self, port: u16) -> bool {
        self.states[usize::from(port ^ 1)] == State::Free
    }

    /// A port becomes free.
    fn put(&mut self, port: u16) {
        self.states[usize::from(port)] = State::Free;
        self.free.add(port);
        if self.has_free_neighbour(port) {
            self.pairs.add(port & !1);
        }
    }

    /// A free port is taken.
    fn pull(&mut self, port: u16) {
        if self.has_free_neighbour(port) {
            self.pairs.remove(port & !1);
        }
        self.free.remove(port);
        self.states[usize::from(port)] = State::Taken;
        self.taken += 1;
    }

    fn leave(&mut self, port: u16) -> bool {
        let taken = self.states[usize::from(port)] == State::Taken;
        self.taken -= usize::from(taken);
        taken
    }
}
