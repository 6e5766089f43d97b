//! All state of a shard: allocations with their permissions and channels, and
//! the indices that find them. Keeps slots, indices and lists consistent;
//! knows nothing of time, requests or policy.

mod check;
mod connections;
mod deletions;
mod entries;
mod index;
mod relay_pool;
mod reservations;
mod slab;

use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};

pub(crate) use connections::{Asked, Connections, PeerData, Stage};
pub(crate) use deletions::{Deletions, Gone};
pub(crate) use entries::{
    Allocation, Chain, Channel, Link, Mobility, Origin, Permission, Relay, Reservation,
    ReservationToken,
};
pub(crate) use index::{Keyed, feed_ip};
pub(crate) use relay_pool::{OfferedPair, RelayPool};
pub(crate) use reservations::Reservations;
pub(crate) use slab::NONE;

use crate::config::Capacity;
use crate::ids::{ChannelNumber, FiveTuple, SocketId};

use index::Index;
use slab::Slab;

/// No socket has this id: ids are dense.
const NOWHERE: SocketId = SocketId(u32::MAX);

pub(crate) struct Tables {
    pub(crate) allocations: Slab<Allocation>,
    pub(crate) permissions: Slab<Permission>,
    pub(crate) channels: Slab<Channel>,
    by_tuple: Index,
    /// Allocations whose client has moved, by where to.
    by_next: Index,
    by_relay: Vec<u32>,
    by_permitted: Index,
    by_number: Index,
    by_peer: Index,
    keyed: Keyed,
}

impl Tables {
    pub(crate) fn new(capacity: &Capacity, keyed: Keyed) -> Self {
        let allocations = Slab::new(capacity.allocations);
        let permissions = Slab::new(capacity.permissions);
        let channels = Slab::new(capacity.channels);
        Self {
            by_tuple: Index::new(allocations.capacity()),
            by_next: Index::new(moving(allocations.capacity())),
            // Second families, sockets being closed and relays in hand have ids too.
            by_relay: vec![NONE; allocations.capacity() * 2],
            by_permitted: Index::new(permissions.capacity()),
            by_number: Index::new(channels.capacity()),
            by_peer: Index::new(channels.capacity()),
            allocations,
            permissions,
            channels,
            keyed,
        }
    }

    pub(crate) fn memory(&self) -> usize {
        let indices = [
            &self.by_tuple,
            &self.by_next,
            &self.by_permitted,
            &self.by_number,
            &self.by_peer,
        ];
        self.allocations.memory()
            + self.permissions.memory()
            + self.channels.memory()
            + indices.map(Index::memory).iter().sum::<usize>()
            + self.by_relay.capacity() * size_of::<u32>()
    }

    /// Makes room for a socket number before it is given out.
    pub(crate) fn reserve_relay(&mut self, relay: SocketId) {
        let index = relay.0 as usize;
        if index >= self.by_relay.len() {
            self.by_relay.resize(index + 1, NONE);
        }
    }

    // Allocations

    #[inline]
    pub(crate) fn allocation_of(&self, tuple: &FiveTuple) -> Option<u32> {
        let same = |slot| {
            self.allocations
                .get(slot)
                .is_some_and(|found| found.tuple == *tuple)
        };
        self.by_tuple.find(hash_tuple(&self.keyed, tuple), same)
    }

    #[inline]
    pub(crate) fn allocation_behind(&self, relay: SocketId) -> Option<u32> {
        self.by_relay
            .get(relay.0 as usize)
            .copied()
            .filter(|&slot| slot != NONE)
    }

    /// The tuple and the relays must be free.
    pub(crate) fn add_allocation(&mut self, allocation: Allocation) -> Option<u32> {
        let Self {
            allocations,
            by_tuple,
            keyed,
            ..
        } = self;
        let tuple = allocation.tuple;
        let sockets = [false, true].map(|v6| allocation.relay(v6).map(|relay| relay.socket));
        let slot = allocations.insert(allocation)?;
        by_tuple.insert(hash_tuple(keyed, &tuple), slot, |slot| {
            allocations
                .get(slot)
                .map_or(0, |found| hash_tuple(keyed, &found.tuple))
        });
        for socket in sockets.into_iter().flatten() {
            self.reserve_relay(socket);
            self.by_relay[socket.0 as usize] = slot;
        }
        Some(slot)
    }

    /// Takes a relayed address from an allocation, with the permissions and
    /// channels of its family.
    pub(crate) fn remove_relay(&mut self, slot: u32, v6: bool) -> Option<Relay> {
        let mut at = self.allocations.get(slot)?.channels.head;
        while let Some(channel) = self.channels.get(at) {
            let (channel, next) = (at, channel.link.next);
            if self.channels.get(channel)?.peer.is_ipv6() == v6 {
                self.remove_channel(channel);
            }
            at = next;
        }
        let mut at = self.allocations.get(slot)?.permissions.head;
        while let Some(permission) = self.permissions.get(at) {
            let (permission, next, ip) = (at, permission.link.next, permission.ip);
            if ip.is_ipv6() == v6 {
                self.remove_permission(permission);
            }
            at = next;
        }
        let gone = self.allocations.get_mut(slot)?.relays[Relay::index(v6)].take()?;
        self.forget_relay(gone.socket);
        Some(gone)
    }

    fn forget_relay(&mut self, socket: SocketId) {
        if let Some(entry) = self.by_relay.get_mut(socket.0 as usize) {
            *entry = NONE;
        }
    }

    // Moving clients (RFC 8016)

    /// Whether a client may come back, but is at no five-tuple now.
    #[inline]
    pub(crate) fn is_detached(tuple: &FiveTuple) -> bool {
        tuple.socket == NOWHERE
    }

    /// The allocation whose client has moved to this five-tuple.
    pub(crate) fn allocation_moving_to(&self, tuple: &FiveTuple) -> Option<u32> {
        if self.by_next.len() == 0 {
            return None;
        }
        let same = |slot| {
            self.allocations
                .get(slot)
                .is_some_and(|found| found.next.as_ref() == Some(tuple))
        };
        self.by_next.find(hash_tuple(&self.keyed, tuple), same)
    }

    /// Whether another client may move before those that have done so show up.
    pub(crate) fn has_room_to_move(&self) -> bool {
        self.by_next.len() < moving(self.allocations.capacity())
    }

    /// Notes where a client has moved to, in place of what was noted before.
    /// The tuple must be free and there must be room.
    pub(crate) fn set_next(&mut self, slot: u32, tuple: FiveTuple) {
        self.clear_next(slot);
        let Self {
            allocations,
            by_next,
            keyed,
            ..
        } = self;
        let Some(allocation) = allocations.get_mut(slot) else {
            return;
        };
        allocation.next = Some(tuple);
        by_next.insert(hash_tuple(keyed, &tuple), slot, |slot| {
            allocations
                .get(slot)
                .and_then(|found| found.next.as_ref())
                .map_or(0, |next| hash_tuple(keyed, next))
        });
    }

    /// Forgets where a client was to move to.
    pub(crate) fn clear_next(&mut self, slot: u32) -> Option<FiveTuple> {
        let next = self.allocations.get_mut(slot)?.next.take()?;
        self.by_next.remove(hash_tuple(&self.keyed, &next), slot);
        Some(next)
    }

    /// The client is where it has moved to; its old five-tuple is forgotten.
    pub(crate) fn complete_move(&mut self, slot: u32) {
        if let Some(next) = self.clear_next(slot) {
            self.change_tuple(slot, next);
        }
    }

    /// The client is nowhere until it comes back with its ticket.
    pub(crate) fn detach(&mut self, slot: u32) {
        let Some(allocation) = self.allocations.get(slot) else {
            return;
        };
        // Nobody else's, and nothing can come from it.
        let nowhere = FiveTuple {
            socket: NOWHERE,
            local: IpAddr::V4(slot.into()),
            ..allocation.tuple
        };
        self.change_tuple(slot, nowhere);
    }

    fn change_tuple(&mut self, slot: u32, tuple: FiveTuple) {
        let Self {
            allocations,
            by_tuple,
            keyed,
            ..
        } = self;
        let Some(allocation) = allocations.get_mut(slot) else {
            return;
        };
        by_tuple.remove(hash_tuple(keyed, &allocation.tuple), slot);
        allocation.tuple = tuple;
        by_tuple.insert(hash_tuple(keyed, &tuple), slot, |slot| {
            allocations
                .get(slot)
                .map_or(0, |found| hash_tuple(keyed, &found.tuple))
        });
    }

    /// Removes an allocation with all that hangs on it.
    pub(crate) fn remove_allocation(&mut self, slot: u32) -> Option<Allocation> {
        while let Some(channel) = self
            .allocations
            .get(slot)
            .map(|found| found.channels.head)
            .filter(|&at| at != NONE)
        {
            self.remove_channel(channel);
        }
        while let Some(permission) = self
            .allocations
            .get(slot)
            .map(|found| found.permissions.head)
            .filter(|&at| at != NONE)
        {
            self.remove_permission(permission);
        }
        self.clear_next(slot);
        let gone = self.allocations.remove(slot)?;
        self.by_tuple
            .remove(hash_tuple(&self.keyed, &gone.tuple), slot);
        for relay in gone.relays.iter().flatten() {
            self.forget_relay(relay.socket);
        }
        Some(gone)
    }

    // Permissions

    #[inline]
    pub(crate) fn permission_of(&self, allocation: u32, ip: IpAddr) -> Option<u32> {
        let same = |slot| {
            self.permissions
                .get(slot)
                .is_some_and(|found| found.allocation == allocation && found.ip == ip)
        };
        self.by_permitted
            .find(hash_permitted(&self.keyed, allocation, ip), same)
    }

    /// The allocation must be live and have no permission for the address.
    /// Becomes the first of the allocation's list.
    pub(crate) fn add_permission(&mut self, permission: Permission) -> Option<u32> {
        let Self {
            allocations,
            permissions,
            by_permitted,
            keyed,
            ..
        } = self;
        let (allocation, ip) = (permission.allocation, permission.ip);
        let owner = allocations.get_mut(allocation)?;
        let next = owner.permissions.head;
        let slot = permissions.insert(Permission {
            link: Link {
                next,
                previous: NONE,
            },
            ..permission
        })?;
        owner.permissions = Chain {
            head: slot,
            len: owner.permissions.len + 1,
        };
        if let Some(neighbour) = permissions.get_mut(next) {
            neighbour.link.previous = slot;
        }
        by_permitted.insert(hash_permitted(keyed, allocation, ip), slot, |slot| {
            permissions
                .get(slot)
                .map_or(0, |found| hash_permitted(keyed, found.allocation, found.ip))
        });
        Some(slot)
    }

    /// No channel may refer to it.
    pub(crate) fn remove_permission(&mut self, slot: u32) {
        let Some(gone) = self.permissions.remove(slot) else {
            return;
        };
        self.by_permitted
            .remove(hash_permitted(&self.keyed, gone.allocation, gone.ip), slot);
        let Link { next, previous } = gone.link;
        if let Some(neighbour) = self.permissions.get_mut(next) {
            neighbour.link.previous = previous;
        }
        if let Some(neighbour) = self.permissions.get_mut(previous) {
            neighbour.link.next = next;
        }
        if let Some(owner) = self.allocations.get_mut(gone.allocation) {
            owner.permissions.len -= 1;
            if owner.permissions.head == slot {
                owner.permissions.head = next;
            }
        }
    }

    // Channels

    #[inline]
    pub(crate) fn channel_numbered(&self, allocation: u32, number: ChannelNumber) -> Option<u32> {
        let same = |slot| {
            self.channels
                .get(slot)
                .is_some_and(|found| found.allocation == allocation && found.number == number)
        };
        self.by_number
            .find(hash_number(&self.keyed, allocation, number), same)
    }

    #[inline]
    pub(crate) fn channel_to(&self, allocation: u32, peer: SocketAddr) -> Option<u32> {
        let same = |slot| {
            self.channels.get(slot).is_some_and(|found| {
                found.allocation == allocation
                    && found.peer.port() == peer.port()
                    && found.peer.ip() == peer.ip()
            })
        };
        self.by_peer
            .find(hash_peer(&self.keyed, allocation, peer), same)
    }

    /// The allocation must be live, number and peer unbound, the permission
    /// the allocation's own.
    pub(crate) fn add_channel(&mut self, channel: Channel) -> Option<u32> {
        let Self {
            allocations,
            permissions,
            channels,
            by_number,
            by_peer,
            keyed,
            ..
        } = self;
        let (allocation, number, peer, permission) = (
            channel.allocation,
            channel.number,
            channel.peer,
            channel.permission,
        );
        let owner = allocations.get_mut(allocation)?;
        let next = owner.channels.head;
        let slot = channels.insert(Channel {
            link: Link {
                next,
                previous: NONE,
            },
            ..channel
        })?;
        owner.channels = Chain {
            head: slot,
            len: owner.channels.len + 1,
        };
        if let Some(neighbour) = channels.get_mut(next) {
            neighbour.link.previous = slot;
        }
        if let Some(permission) = permissions.get_mut(permission) {
            permission.channels += 1;
        }
        by_number.insert(hash_number(keyed, allocation, number), slot, |slot| {
            channels.get(slot).map_or(0, |found| {
                hash_number(keyed, found.allocation, found.number)
            })
        });
        by_peer.insert(hash_peer(keyed, allocation, peer), slot, |slot| {
            channels
                .get(slot)
                .map_or(0, |found| hash_peer(keyed, found.allocation, found.peer))
        });
        Some(slot)
    }

    /// Gives back the permission it referred to.
    pub(crate) fn remove_channel(&mut self, slot: u32) -> Option<u32> {
        let gone = self.channels.remove(slot)?;
        self.by_number
            .remove(hash_number(&self.keyed, gone.allocation, gone.number), slot);
        self.by_peer
            .remove(hash_peer(&self.keyed, gone.allocation, gone.peer), slot);
        let Link { next, previous } = gone.link;
        if let Some(neighbour) = self.channels.get_mut(next) {
            neighbour.link.previous = previous;
        }
        if let Some(neighbour) = self.channels.get_mut(previous) {
            neighbour.link.next = next;
        }
        if let Some(owner) = self.allocations.get_mut(gone.allocation) {
            owner.channels.len -= 1;
            if owner.channels.head == slot {
                owner.channels.head = next;
            }
        }
        if let Some(permission) = self.permissions.get_mut(gone.permission) {
            permission.channels -= 1;
        }
        Some(gone.permission)
    }
}

/// Clients that may be moving at once: rare, and over within a round trip.
fn moving(allocations: usize) -> usize {
    allocations.min(1024)
}

/// The local address is left out: a client that sends to several addresses of
/// one listener is rare, and equality looks at it.
#[inline]
fn hash_tuple(keyed: &Keyed, tuple: &FiveTuple) -> u64 {
    keyed.hash(|hasher| {
        feed_ip(hasher, tuple.client.0.ip());
        hasher.write_u64(u64::from(tuple.socket.0) << 16 | u64::from(tuple.client.0.port()));
    })
}

#[inline]
fn hash_permitted(keyed: &Keyed, allocation: u32, ip: IpAddr) -> u64 {
    keyed.hash(|hasher| {
        feed_ip(hasher, ip);
        hasher.write_u32(allocation);
    })
}

#[inline]
fn hash_number(keyed: &Keyed, allocation: u32, number: ChannelNumber) -> u64 {
    keyed.hash(|hasher| hasher.write_u64(u64::from(allocation) << 16 | u64::from(number.get())))
}

#[inline]
fn hash_peer(keyed: &Keyed, allocation: u32, peer: SocketAddr) -> u64 {
    keyed.hash(|hasher| {
        feed_ip(hasher, peer.ip());
        hasher.write_u64(u64::from(allocation) << 16 | u64::from(peer.port()));
    })
}
