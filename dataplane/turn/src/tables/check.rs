//! The tables' own invariants.

use super::slab::{NONE, Slab};
use super::{Chain, Link, Relay, Tables};

impl Tables {
    /// Verifies that slots, indices and lists agree.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let (mut permissions, mut channels) = (0, 0);
        let (mut relays, mut moving) = (0, 0);
        for (slot, allocation) in taken(&self.allocations) {
            if self.allocation_of(&allocation.tuple) != Some(slot) {
                return Err("a five-tuple does not lead to its allocation");
            }
            for (index, relay) in allocation.relays.iter().enumerate() {
                let Some(relay) = relay else { continue };
                if self.allocation_behind(relay.socket) != Some(slot) {
                    return Err("a relay does not lead to its allocation");
                }
                if Relay::index(relay.relayed.is_ipv6()) != index {
                    return Err("a relay stands in the other family's place");
                }
            }
            if allocation.width() == 0 {
                return Err("an allocation has no relay");
            }
            if allocation
                .relays
                .iter()
                .flatten()
                .map(|relay| relay.expires)
                .max()
                != Some(allocation.expires)
            {
                return Err("an allocation does not expire with its last relay");
            }
            relays += allocation.width();
            if let Some(next) = &allocation.next {
                moving += 1;
                if self.allocation_moving_to(next) != Some(slot) {
                    return Err("a new five-tuple does not lead to its allocation");
                }
            }
            permissions += walk(allocation.permissions, |at| {
                let found = self.permissions.get(at)?;
                (found.allocation == slot).then_some(found.link)
            })?;
            channels += walk(allocation.channels, |at| {
                let found = self.channels.get(at)?;
                (found.allocation == slot).then_some(found.link)
            })?;
        }
        if (permissions, channels) != (self.permissions.len(), self.channels.len()) {
            return Err("a permission or a channel is on no list");
        }
        let known = self.by_relay.iter().filter(|&&slot| slot != NONE);
        if known.count() != relays {
            return Err("a relay leads to no allocation");
        }
        let mut bound = 0;
        for (slot, permission) in taken(&self.permissions) {
            if self.permission_of(permission.allocation, permission.ip) != Some(slot) {
                return Err("an address does not lead to its permission");
            }
            let owner = self.allocations.get(permission.allocation);
            if owner.is_none_or(|owner| owner.relay(permission.ip.is_ipv6()).is_none()) {
                return Err("a permission is for a family without a relay");
            }
            bound += permission.channels as usize;
        }
        if bound != self.channels.len() {
            return Err("channels and permissions disagree on their number");
        }
        for (slot, channel) in taken(&self.channels) {
            if self.channel_numbered(channel.allocation, channel.number) != Some(slot) {
                return Err("a number does not lead to its channel");
            }
            if self.channel_to(channel.allocation, channel.peer) != Some(slot) {
                return Err("a peer does not lead to its channel");
            }
            let permission = self.permissions.get(channel.permission);
            if permission.is_none_or(|found| {
                found.allocation != channel.allocation || found.ip != channel.peer.ip()
            }) {
                return Err("a channel has another's permission");
            }
        }
        let entries = [
            (self.by_tuple.len(), self.allocations.len()),
            (self.by_next.len(), moving),
            (self.by_permitted.len(), self.permissions.len()),
            (self.by_number.len(), self.channels.len()),
            (self.by_peer.len(), self.channels.len()),
        ];
        if entries.iter().any(|(indexed, live)| indexed != live) {
            return Err("an index holds what is gone");
        }
        Ok(())
    }
}

fn taken<T>(slab: &Slab<T>) -> impl Iterator<Item = (u32, &T)> {
    (0..slab.used()).filter_map(|slot| Some((slot, slab.get(slot)?)))
}

/// Walks a list and gives its length.
pub(super) fn walk(
    chain: Chain,
    link: impl Fn(u32) -> Option<Link>,
) -> Result<usize, &'static str> {
    let (mut at, mut previous, mut len) = (chain.head, NONE, 0);
    while at != NONE {
        let Some(found) = link(at).filter(|found| found.previous == previous) else {
            return Err("a list is broken");
        };
        len += 1;
        if len > chain.len {
            return Err("a list is longer than it says");
        }
        (previous, at) = (at, found.next);
    }
    if len != chain.len {
        return Err("a list is shorter than it says");
    }
    Ok(len as usize)
}
