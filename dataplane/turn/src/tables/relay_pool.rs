//! Relay sockets in hand.

use crate::server::{OfferedRelay, RelaysHeld};

/// Open relay sockets of both families, given out at random so that the next
/// port cannot be foretold (RFC 8656 §7.2).
pub(crate) struct RelayPool {
    v4: Vec<OfferedRelay>,
    v6: Vec<OfferedRelay>,
    random: u64,
    seen: Families,
}

/// Address families relays exist of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Families {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

impl RelayPool {
    /// Relays of one family held at most. Callers keep a few dozen in hand; a
    /// larger pool costs memory and holds ports other shards could use.
    const MOST: usize = 1024;

    pub(crate) fn new(allocations: u32, seed: u64) -> Self {
        let most = Self::MOST.min(allocations as usize);
        Self {
            v4: Vec::with_capacity(most),
            v6: Vec::with_capacity(most),
            random: seed,
            seen: Families::default(),
        }
    }

    fn of(&mut self, v6: bool) -> &mut Vec<OfferedRelay> {
        if v6 { &mut self.v6 } else { &mut self.v4 }
    }

    /// Given back when `room` relays of its family, or as many as fit, are in
    /// hand.
    pub(crate) fn offer(&mut self, relay: OfferedRelay, room: usize) -> Result<(), OfferedRelay> {
        let v6 = relay.relayed.0.is_ipv6();
        let pool = self.of(v6);
        if pool.len() >= room.min(pool.capacity()) {
            return Err(relay);
        }
        pool.push(relay);
        self.seen.v4 |= !v6;
        self.seen.v6 |= v6;
        Ok(())
    }

    pub(crate) fn take(&mut self, v6: bool) -> Option<OfferedRelay> {
        let random = self.next_random();
        let pool = self.of(v6);
        if pool.is_empty() {
            return None;
        }
        let pick = ((u128::from(random) * pool.len() as u128) >> 64) as usize;
        Some(pool.swap_remove(pick))
    }

    /// One whose port as told to the client is even (RFC 8656 §7.2). Looks at
    /// the relays in hand from a random one on.
    pub(crate) fn take_even(&mut self, v6: bool) -> Option<OfferedRelay> {
        let random = self.next_random();
        let pool = self.of(v6);
        let start = ((u128::from(random) * pool.len() as u128) >> 64) as usize;
        let pick = (start..pool.len())
            .chain(0..start)
            .find(|&index| pool[index].relayed.0.port().is_multiple_of(2))?;
        Some(pool.swap_remove(pick))
    }

    pub(crate) fn held(&self) -> RelaysHeld {
        RelaysHeld {
            v4: self.v4.len(),
            v6: self.v6.len(),
        }
    }

    /// Families of which a relay was ever offered.
    pub(crate) fn seen(&self) -> Families {
        self.seen
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
        (self.v4.capacity() + self.v6.capacity()) * size_of::<OfferedRelay>()
    }
}
