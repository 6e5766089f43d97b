//! What is wrong with a request, and what granting it would do.
//!
//! A request may have several faults at once; RFC 8656 does not order them, so
//! every error code that fits is collected and any of them will do. A request
//! without a fault must be granted.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::{Allocation, CHANNEL_GUARD, Channel, Context, Ended, Model, RETRANSMISSION, Tuple};
use crate::accounts::quota_user;
use crate::stun::{Message, attribute};

/// What is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// It must be refused, with any of these codes.
    pub(super) must: Vec<u16>,
    /// It may be refused with one of these: a table may not have got back yet
    /// what is dead.
    pub(super) may: Vec<u16>,
}

impl Faults {
    fn must(&mut self, wrong: bool, code: u16) {
        if wrong {
            self.must.push(code);
        }
    }

    /// A table of this size, with this many live and dead entries besides, is
    /// to take `more`.
    fn room(&mut self, size: usize, live: usize, dead: usize, more: usize, code: u16) {
        if more > 0 && live + more > size {
            self.must.push(code);
        } else if more > 0 && live + dead + more > size {
            self.may.push(code);
        }
    }
}

/// A granted request's effect, once the answer has been found right.
pub(super) enum Effect {
    None,
    Allocate {
        lifetime: u64,
        ipv6: bool,
    },
    Refresh {
        lifetime: u64,
    },
    /// A repeated goodbye that may have hit the wrong allocation.
    Doubt,
    Permit(BTreeSet<IpAddr>),
    Bind(u16, SocketAddr),
}

impl Model {
    pub(super) fn allocate(
        &self,
        context: &Context<'_>,
        tuple: Tuple,
        request: &Message,
        username: &[u8],
        faults: &mut Faults,
    ) -> Effect {
        if let Some(allocation) = self.allocations.get(&tuple) {
            // A retransmission is granted again, unchanged.
            let (transaction, at) = allocation.origin;
            let repeated = transaction == request.transaction && allocation.username == username;
            if repeated && context.now < at + RETRANSMISSION {
                faults.must.clear();
                return Effect::None;
            }
            faults.must.extend([437, 441]);
        }
        match request.get(attribute::REQUESTED_TRANSPORT) {
            Some([protocol, _, _, _]) => faults.must(*protocol != 17, 442),
            _ => faults.must(true, 400),
        }
        let family = match request.get(attribute::REQUESTED_ADDRESS_FAMILY) {
            None => 1,
            Some([family, _, _, _]) => *family,
            Some(_) => 0,
        };
        if !(1..=2).contains(&family) {
            faults.must.extend([440, 400]);
        }
        if request.get(attribute::RESERVATION_TOKEN).is_some() {
            faults.must.extend([400, 420, 508]);
        }
        // No pair of ports is ever in hand here.
        let even = request.get(attribute::EVEN_PORT);
        let pair = even.is_some_and(|bits| bits.first().is_some_and(|bits| bits & 0x80 != 0));
        faults.must(even.is_some_and(|bits| bits.len() != 1), 400);
        faults.must(pair, 508);
        let more = 1 + usize::from(pair);
        let user = quota_user(username);
        // Quotas hold for all workers together.
        let held = self
            .allocations
            .values()
            .filter(|allocation| quota_user(&allocation.username) == user)
            .count();
        let dead = self
            .ended
            .keys()
            .filter(|relay| relay.worker == tuple.worker)
            .count();
        let ended = self.ended.len();
        if let Some(quota) = self.quota.allocations_per_user {
            faults.room(quota as usize, held, ended, more, 486);
        }
        if let Some(quota) = self.quota.allocations {
            faults.room(quota as usize, self.allocations.len(), ended, more, 508);
        }
        let ipv6 = family == 2;
        let fits = |relayed: &SocketAddr| {
            relayed.is_ipv6() == ipv6 && (even.is_none() || relayed.port().is_multiple_of(2))
        };
        let in_hand = context
            .offered
            .iter()
            .filter(|(_, relayed)| fits(relayed))
            .count();
        faults.must(in_hand == 0 || context.draining, 508);
        faults.room(
            self.capacity.allocations as usize,
            self.of_worker(tuple.worker).count(),
            dead,
            1,
            508,
        );
        Effect::Allocate {
            lifetime: self.granted_lifetime(request),
            ipv6,
        }
    }

    pub(super) fn refresh(
        &self,
        tuple: Tuple,
        request: &Message,
        username: &[u8],
        faults: &mut Faults,
    ) -> Effect {
        let zero = request.u32(attribute::LIFETIME) == Some(0);
        let repeated = self.goodbyes.get(&tuple).is_some_and(|goodbye| {
            goodbye.transaction == request.transaction && goodbye.username == username
        });
        if zero && repeated {
            // Clients take 437 as success, so a server may forget goodbyes.
            // It must not end what another Allocate has made meanwhile, unless
            // it has forgotten.
            let heir = self.allocations.get(&tuple);
            let forgotten = heir.map_or(
                437,
                |heir| if heir.username == username { 443 } else { 441 },
            );
            faults.may.push(forgotten);
            return if heir.is_some() {
                Effect::Doubt
            } else {
                Effect::Refresh { lifetime: 0 }
            };
        }
        let Some(allocation) = self.owned(tuple, username, faults) else {
            return Effect::None;
        };
        let family = request.get(attribute::REQUESTED_ADDRESS_FAMILY);
        let own = if allocation.relayed.is_ipv6() { 2 } else { 1 };
        if family.is_some_and(|family| family.first() != Some(&own)) {
            faults.must.extend([443, 400]);
        }
        Effect::Refresh {
            lifetime: if zero {
                0
            } else {
                self.granted_lifetime(request)
            },
        }
    }

    pub(super) fn create_permission(
        &self,
        tuple: Tuple,
        request: &Message,
        username: &[u8],
        faults: &mut Faults,
    ) -> Effect {
        let Some(allocation) = self.owned(tuple, username, faults) else {
            return Effect::None;
        };
        let peers = request.addresses(attribute::XOR_PEER_ADDRESS);
        faults.must(peers.is_empty() || peers.contains(&None), 400);
        let ips: BTreeSet<IpAddr> = peers.iter().flatten().map(SocketAddr::ip).collect();
        for ip in &ips {
            self.check_peer(
                allocation,
                *ip,
                self.policy.reaches(&self.plan, *ip),
                faults,
            );
        }
        self.check_permissions(tuple, allocation, &ips, faults);
        Effect::Permit(ips)
    }

    pub(super) fn channel_bind(
        &self,
        tuple: Tuple,
        request: &Message,
        username: &[u8],
        faults: &mut Faults,
    ) -> Effect {
        let Some(allocation) = self.owned(tuple, username, faults) else {
            return Effect::None;
        };
        let number = match request.get(attribute::CHANNEL_NUMBER) {
            Some([a, b, _, _]) => u16::from_be_bytes([*a, *b]),
            _ => 0,
        };
        faults.must(!(0x4000..=0x7FFF).contains(&number), 400);
        let Some(peer) = request.address(attribute::XOR_PEER_ADDRESS) else {
            faults.must(true, 400);
            return Effect::None;
        };
        for (other, channel) in &allocation.channels {
            if (*other == number) != (channel.peer == peer) {
                let reserved = self.now < channel.expires + CHANNEL_GUARD;
                if reserved {
                    faults.must.push(400);
                } else {
                    faults.may.push(400);
                }
            }
        }
        self.check_peer(
            allocation,
            peer.ip(),
            self.policy.allows(&self.plan, peer),
            faults,
        );
        self.check_permissions(tuple, allocation, &BTreeSet::from([peer.ip()]), faults);
        let reserved = |channel: &&Channel| self.now < channel.expires + CHANNEL_GUARD;
        let count = |of: &Allocation| {
            let live = of.channels.values().filter(reserved).count();
            (live, of.channels.len() - live)
        };
        let own = allocation.channels.get(&number);
        let more =
            usize::from(own.is_none_or(|channel| self.now >= channel.expires + CHANNEL_GUARD));
        let (live, dead) = count(allocation);
        faults.room(
            self.capacity.channels_per_allocation.into(),
            live,
            dead,
            more,
            508,
        );
        let all = self.of_worker(tuple.worker).map(count);
        let (live, dead) = all.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        let ended: usize = self
            .ended_of(tuple.worker)
            .map(|ended| ended.channels)
            .sum();
        faults.room(
            self.capacity.channels as usize,
            live,
            dead + ended,
            more,
            508,
        );
        Effect::Bind(number, peer)
    }

    /// The tuple's allocation, if it is this user's.
    fn owned(&self, tuple: Tuple, username: &[u8], faults: &mut Faults) -> Option<&Allocation> {
        let Some(allocation) = self.allocations.get(&tuple) else {
            faults.must(true, 437);
            return None;
        };
        faults.must(allocation.username != username, 441);
        Some(allocation)
    }

    fn check_peer(&self, allocation: &Allocation, ip: IpAddr, allowed: bool, faults: &mut Faults) {
        faults.must(ip.is_ipv6() != allocation.relayed.is_ipv6(), 443);
        faults.must(!allowed, 403);
        if matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some()) {
            faults.must.extend([403, 443]);
        }
    }

    fn check_permissions(
        &self,
        tuple: Tuple,
        allocation: &Allocation,
        ips: &BTreeSet<IpAddr>,
        faults: &mut Faults,
    ) {
        let count = |of: &Allocation| {
            let live = of
                .permissions
                .values()
                .filter(|expires| self.now < **expires)
                .count();
            (live, of.permissions.len() - live)
        };
        let more = ips
            .iter()
            .filter(|ip| !allocation.permits(**ip, self.now))
            .count();
        let (live, dead) = count(allocation);
        faults.room(
            self.capacity.permissions_per_allocation.into(),
            live,
            dead,
            more,
            508,
        );
        let all = self.of_worker(tuple.worker).map(count);
        let (live, dead) = all.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        let ended: usize = self
            .ended_of(tuple.worker)
            .map(|ended| ended.permissions)
            .sum();
        faults.room(
            self.capacity.permissions as usize,
            live,
            dead + ended,
            more,
            508,
        );
    }

    fn ended_of(&self, worker: usize) -> impl Iterator<Item = &Ended> {
        self.ended
            .iter()
            .filter(move |(relay, _)| relay.worker == worker)
            .map(|(_, ended)| ended)
    }

    fn of_worker(&self, worker: usize) -> impl Iterator<Item = &Allocation> {
        self.allocations
            .iter()
            .filter(move |(tuple, _)| tuple.worker == worker)
            .map(|(_, allocation)| allocation)
    }

    /// Seconds (RFC 8656 §7.2).
    fn granted_lifetime(&self, request: &Message) -> u64 {
        let default = self.lifetimes.default_allocation.as_secs();
        let longest = self.lifetimes.max_allocation.as_secs();
        let asked = request.u32(attribute::LIFETIME).map_or(default, u64::from);
        asked.min(longest).max(default)
    }
}

/// 420 if the request holds an attribute that must be, and is not, understood.
pub(super) fn unknown_attributes(request: &Message) -> Vec<u16> {
    let understood = [
        attribute::USERNAME,
        attribute::CHANNEL_NUMBER,
        attribute::LIFETIME,
        attribute::XOR_PEER_ADDRESS,
        attribute::DATA,
        attribute::REALM,
        attribute::NONCE,
        attribute::REQUESTED_ADDRESS_FAMILY,
        attribute::REQUESTED_TRANSPORT,
        attribute::EVEN_PORT,
        attribute::RESERVATION_TOKEN,
        attribute::USERHASH,
        attribute::PASSWORD_ALGORITHM,
    ];
    let unknown = request
        .kinds()
        .any(|kind| kind < 0x8000 && !understood.contains(&kind));
    if unknown { vec![420] } else { Vec::new() }
}
