//! Peer data connections (RFC 6062): which allocation each belongs to, and
//! which are to be closed. Knows nothing of time or policy, and nothing that a
//! datagram would look at.

use core::hash::Hasher;
use core::net::SocketAddr;

use forebay_wire::clock::Instant;
use forebay_wire::stun::TransactionId;

use crate::auth::Sealer;

use super::entries::{Chain, Link};
use super::index::{Index, Keyed, feed_ip};
use super::slab::{NONE, Slab};

/// A connection between a relayed address and a peer.
pub(crate) struct PeerData {
    pub(crate) allocation: u32,
    /// As the client knows it.
    pub(crate) peer: SocketAddr,
    /// CONNECTION-ID.
    pub(crate) id: u32,
    pub(crate) stage: Stage,
    /// Of a connection under way, or one that no client has bound yet.
    pub(crate) expires: Instant,
    /// The Connect it came from; `None` when the peer connected.
    pub(crate) asked: Option<Asked>,
    pub(crate) link: Link,
}

/// A Connect request, to be answered later and to be told from another.
pub(crate) struct Asked {
    pub(crate) transaction: TransactionId,
    pub(crate) sealer: Sealer,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not yet with the peer.
    Connecting,
    /// With the peer, and no client has asked for what it says.
    Waiting,
    /// A client's connection goes on in it.
    Bound,
    /// Over; the slot is free once the caller has closed it. `told` when the
    /// caller knows.
    Closing { told: bool },
}

/// See the module documentation.
pub(crate) struct Connections {
    slots: Slab<PeerData>,
    /// By allocation: its connections, if it relays TCP.
    lists: Box<[Option<Chain>]>,
    /// Those the caller has to be told of.
    closing: u32,
    by_id: Index,
    by_peer: Index,
    keyed: Keyed,
}

impl Connections {
    /// Takes no memory where there is no room for a connection.
    pub(crate) fn new(connections: u32, allocations: usize, keyed: Keyed) -> Self {
        let slots = Slab::new(connections);
        let lists = if connections == 0 { 0 } else { allocations };
        Self {
            by_id: Index::new(slots.capacity()),
            by_peer: Index::new(slots.capacity()),
            slots,
            lists: core::iter::repeat_n(None, lists).collect(),
            closing: NONE,
            keyed,
        }
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&PeerData> {
        self.slots.get(slot)
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut PeerData> {
        self.slots.get_mut(slot)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// Slots to visit when all have to be looked at.
    pub(crate) fn used(&self) -> u32 {
        self.slots.used()
    }

    /// Slots taken, those of closing connections among them.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn needs_timer(&mut self, slot: u32) -> bool {
        self.slots.needs_timer(slot)
    }

    pub(crate) fn timer_fired(&mut self, slot: u32) -> bool {
        self.slots.timer_fired(slot)
    }

    /// The allocation relays TCP from now on.
    pub(crate) fn open(&mut self, allocation: u32) {
        if let Some(list) = self.lists.get_mut(allocation as usize) {
            *list = Some(Chain::EMPTY);
        }
    }

    /// The connections of an allocation that relays TCP.
    pub(crate) fn list(&self, allocation: u32) -> Option<Chain> {
        *self.lists.get(allocation as usize)?
    }

    /// Connections of an allocation that are not yet with their peer.
    pub(crate) fn under_way(&self, allocation: u32) -> usize {
        let mut at = self.list(allocation).map_or(NONE, |list| list.head);
        let mut count = 0;
        while let Some(found) = self.slots.get(at) {
            count += usize::from(found.stage == Stage::Connecting);
            at = found.link.next;
        }
        count
    }

    pub(crate) fn with_id(&self, id: u32) -> Option<u32> {
        let same = |slot| self.slots.get(slot).is_some_and(|found| found.id == id);
        self.by_id.find(hash_id(&self.keyed, id), same)
    }

    pub(crate) fn to_peer(&self, allocation: u32, peer: SocketAddr) -> Option<u32> {
        let same = |slot| {
            self.slots
                .get(slot)
                .is_some_and(|found| found.allocation == allocation && found.peer == peer)
        };
        self.by_peer
            .find(hash_peer(&self.keyed, allocation, peer), same)
    }

    /// The allocation must relay TCP, id and peer be new. `None` without room.
    pub(crate) fn add(&mut self, connection: PeerData) -> Option<u32> {
        let Self {
            slots,
            lists,
            by_id,
            by_peer,
            keyed,
            ..
        } = self;
        let PeerData {
            allocation,
            peer,
            id,
            ..
        } = connection;
        let list = lists.get_mut(allocation as usize)?.as_mut()?;
        let next = list.head;
        let slot = slots.insert(PeerData {
            link: Link {
                next,
                previous: NONE,
            },
            ..connection
        })?;
        *list = Chain {
            head: slot,
            len: list.len + 1,
        };
        if let Some(neighbour) = slots.get_mut(next) {
            neighbour.link.previous = slot;
        }
        by_id.insert(hash_id(keyed, id), slot, |slot| {
            slots.get(slot).map_or(0, |found| hash_id(keyed, found.id))
        });
        by_peer.insert(hash_peer(keyed, allocation, peer), slot, |slot| {
            slots
                .get(slot)
                .map_or(0, |found| hash_peer(keyed, found.allocation, found.peer))
        });
        Some(slot)
    }

    /// The connection is over and the caller is to close it.
    pub(crate) fn close(&mut self, slot: u32) {
        if self.unlist(slot) {
            let next = core::mem::replace(&mut self.closing, slot);
            self.mark(slot, next, false);
            if let Some(neighbour) = self.slots.get_mut(next) {
                neighbour.link.previous = slot;
            }
        }
    }

    /// The caller is closing it.
    pub(crate) fn hung_up(&mut self, slot: u32) {
        if self.unlist(slot) {
            self.mark(slot, NONE, true);
        }
    }

    fn mark(&mut self, slot: u32, next: u32, told: bool) {
        if let Some(found) = self.slots.get_mut(slot) {
            found.stage = Stage::Closing { told };
            found.asked = None;
            found.link = Link {
                next,
                previous: NONE,
            };
        }
    }

    /// All connections of an allocation are over, and it relays TCP no longer.
    pub(crate) fn close_all(&mut self, allocation: u32) {
        while let Some(list) = self.list(allocation)
            && list.head != NONE
        {
            self.close(list.head);
        }
        if let Some(list) = self.lists.get_mut(allocation as usize) {
            *list = None;
        }
    }

    /// The next connection the caller is to close; told once.
    pub(crate) fn next_to_close(&mut self) -> Option<u32> {
        let slot = self.closing;
        let found = self.slots.get_mut(slot)?;
        found.stage = Stage::Closing { told: true };
        self.closing = found.link.next;
        if let Some(neighbour) = self.slots.get_mut(self.closing) {
            neighbour.link.previous = NONE;
        }
        Some(slot)
    }

    /// A closing connection is closed: its slot is free.
    pub(crate) fn released(&mut self, slot: u32) {
        let told = self.slots.get(slot).map(|found| (found.stage, found.link));
        if let Some((Stage::Closing { told }, link)) = told {
            if !told {
                self.detach(slot, link);
            }
            self.slots.remove(slot);
        }
    }

    /// Takes it out of the list of those to be told.
    fn detach(&mut self, slot: u32, Link { next, previous }: Link) {
        if let Some(neighbour) = self.slots.get_mut(next) {
            neighbour.link.previous = previous;
        }
        match self.slots.get_mut(previous) {
            Some(neighbour) => neighbour.link.next = next,
            None if self.closing == slot => self.closing = next,
            None => {}
        }
    }

    /// Takes a connection from its allocation. False if it is closing already.
    fn unlist(&mut self, slot: u32) -> bool {
        let Some(found) = self.slots.get(slot) else {
            return false;
        };
        if matches!(found.stage, Stage::Closing { .. }) {
            return false;
        }
        let (allocation, Link { next, previous }) = (found.allocation, found.link);
        self.by_id.remove(hash_id(&self.keyed, found.id), slot);
        self.by_peer
            .remove(hash_peer(&self.keyed, allocation, found.peer), slot);
        if let Some(neighbour) = self.slots.get_mut(next) {
            neighbour.link.previous = previous;
        }
        if let Some(neighbour) = self.slots.get_mut(previous) {
            neighbour.link.next = next;
        }
        if let Some(Some(list)) = self.lists.get_mut(allocation as usize) {
            list.len -= 1;
            if list.head == slot {
                list.head = next;
            }
        }
        true
    }

    /// Verifies that slots, indices and lists agree.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let mut listed = 0;
        for (allocation, list) in self.lists.iter().enumerate() {
            let Some(list) = list else { continue };
            listed += super::check::walk(*list, |at| {
                let found = self.slots.get(at)?;
                let open = !matches!(found.stage, Stage::Closing { .. });
                (open && found.allocation as usize == allocation).then_some(found.link)
            })?;
        }
        let mut open = 0;
        for slot in 0..self.slots.used() {
            let Some(found) = self.slots.get(slot) else {
                continue;
            };
            match found.stage {
                Stage::Closing { .. } => continue,
                Stage::Connecting | Stage::Waiting if !self.slots.has_timer(slot) => {
                    return Err("a connection has no timer that would end it");
                }
                _ => {}
            }
            open += 1;
            if self.with_id(found.id) != Some(slot)
                || self.to_peer(found.allocation, found.peer) != Some(slot)
            {
                return Err("a connection is not found by its id or peer");
            }
        }
        if (open, self.by_id.len(), self.by_peer.len()) != (listed, listed, listed) {
            return Err("connections, their lists and their indices disagree on their number");
        }
        Ok(())
    }

    pub(crate) fn memory(&self) -> usize {
        self.slots.memory()
            + size_of_val(&*self.lists)
            + self.by_id.memory()
            + self.by_peer.memory()
    }
}

fn hash_id(keyed: &Keyed, id: u32) -> u64 {
    keyed.hash(|hasher| hasher.write_u32(id))
}

fn hash_peer(keyed: &Keyed, allocation: u32, peer: SocketAddr) -> u64 {
    keyed.hash(|hasher| {
        feed_ip(hasher, peer.ip());
        hasher.write_u64(u64::from(allocation) << 16 | u64::from(peer.port()));
    })
}
