//! Relay sockets in hand.

use crate::server::{OfferedRelay, RelaysHeld};

/// Open relay sockets of both families, given out at random so that the next
/// port cannot be foretold (RFC 8656 §7.2), and a few pairs of an even port
/// and the one above for those who ask for both.
pub(crate) struct RelayPool {
    v4: Family,
    v6: Family,
    random: u64,
}

/// An even port and the one above it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfferedPair {
    pub(crate) even: OfferedRelay,
    pub(crate) odd: OfferedRelay,
}

struct Family {
    single: Vec<OfferedRelay>,
    pairs: Vec<OfferedPair>,
    /// Whether one was ever offered.
    seen: bool,
}

impl Family {
    fn new(most: usize) -> Self {
        Self {
            // One more for what a pair leaves.
            single: Vec::with_capacity(most + 1),
            pairs: Vec::with_capacity(RelayPool::MOST_PAIRS.min(most / 2)),
            seen: false,
        }
    }

    fn memory(&self) -> usize {
        self.single.capacity() * size_of::<OfferedRelay>()
            + self.pairs.capacity() * size_of::<OfferedPair>()
    }

    fn held(&self) -> usize {
        self.single.len() + self.pairs.len() * 2
    }

    fn is_full(&self) -> bool {
        self.single.len() + 1 >= self.single.capacity()
    }

    /// Splits a pair where nothing else is left. Gives the even port.
    fn split(&mut self) -> Option<OfferedRelay> {
        if self.single.len() == self.single.capacity() {
            return None;
        }
        let OfferedPair { even, odd } = self.pairs.pop()?;
        self.single.push(odd);
        Some(even)
    }
}

impl RelayPool {
    /// Relays of one family held at most. Callers keep a few dozen in hand; a
    /// larger pool costs memory and holds ports other shards could use.
    const MOST: usize = 1024;
    /// Pairs of one family held at most.
    const MOST_PAIRS: usize = 64;

    pub(crate) fn new(allocations: u32, seed: u64) -> Self {
        let most = Self::MOST.min(allocations as usize);
        Self {
            v4: Family::new(most),
            v6: Family::new(most),
            random: seed,
        }
    }

    fn family(&self, v6: bool) -> &Family {
        if v6 { &self.v6 } else { &self.v4 }
    }

    fn family_mut(&mut self, v6: bool) -> &mut Family {
        if v6 { &mut self.v6 } else { &mut self.v4 }
    }

    /// Given back when `room` relays of its family, or as many as fit, are in
    /// hand.
    pub(crate) fn offer(&mut self, relay: OfferedRelay, room: usize) -> Result<(), OfferedRelay> {
        let family = self.family_mut(relay.relayed.0.is_ipv6());
        if family.held() >= room || family.is_full() {
            return Err(relay);
        }
        family.single.push(relay);
        family.seen = true;
        Ok(())
    }

    /// The same for a pair; false if it is not taken.
    pub(crate) fn offer_pair(&mut self, pair: OfferedPair, room: usize) -> bool {
        let family = self.family_mut(pair.even.relayed.0.is_ipv6());
        if family.held() + 2 > room || family.pairs.len() == family.pairs.capacity() {
            return false;
        }
        family.pairs.push(pair);
        family.seen = true;
        true
    }

    pub(crate) fn take(&mut self, v6: bool) -> Option<OfferedRelay> {
        let random = self.next_random();
        let family = self.family_mut(v6);
        if family.single.is_empty() {
            return family.split();
        }
        let pick = pick(random, family.single.len());
        Some(family.single.swap_remove(pick))
    }

    /// One whose port as told to the client is even (RFC 8656 §7.2). Looks at
    /// the relays in hand from a random one on.
    pub(crate) fn take_even(&mut self, v6: bool) -> Option<OfferedRelay> {
        let random = self.next_random();
        let family = self.family_mut(v6);
        let start = pick(random, family.single.len());
        let even = (start..family.single.len())
            .chain(0..start)
            .find(|&index| is_even(&family.single[index]));
        match even {
            Some(index) => Some(family.single.swap_remove(index)),
            None => family.split(),
        }
    }

    pub(crate) fn take_pair(&mut self, v6: bool) -> Option<OfferedPair> {
        let random = self.next_random();
        let pairs = &mut self.family_mut(v6).pairs;
        (!pairs.is_empty()).then(|| pairs.swap_remove(pick(random, pairs.len())))
    }

    /// Whether [`RelayPool::take`], or `take_even`, would find one.
    pub(crate) fn has(&self, v6: bool, even: bool) -> bool {
        let family = self.family(v6);
        let fits = |relay: &OfferedRelay| !even || is_even(relay);
        !family.pairs.is_empty() || family.single.iter().any(fits)
    }

    /// Relays that are no part of a pair.
    pub(crate) fn held(&self) -> RelaysHeld {
        RelaysHeld {
            v4: self.v4.single.len(),
            v6: self.v6.single.len(),
        }
    }

    pub(crate) fn pairs_held(&self) -> RelaysHeld {
        RelaysHeld {
            v4: self.v4.pairs.len(),
            v6: self.v6.pairs.len(),
        }
    }

    /// Whether a relay of the family was ever offered.
    pub(crate) fn has_seen(&self, v6: bool) -> bool {
        self.family(v6).seen
    }

    /// SplitMix64: the ports in hand were already chosen at random by their
    /// owner, this only unlinks order of use from order of opening.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn memory(&self) -> usize {
        self.v4.memory() + self.v6.memory()
    }
}

fn is_even(relay: &OfferedRelay) -> bool {
    relay.relayed.0.port().is_multiple_of(2)
}

/// An index below `len`, or zero.
fn pick(random: u64, len: usize) -> usize {
    ((u128::from(random) * len as u128) >> 64) as usize
}
