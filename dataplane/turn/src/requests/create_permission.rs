//! CreatePermission (RFC 8656 §10).

use core::net::{IpAddr, SocketAddr};

use forebay_wire::clock::Instant;
use forebay_wire::stun::ErrorCode;

use crate::policy::Reach;
use crate::server::Server;
use crate::tables::{Link, Permission, Tables};

use super::Request;

impl Server {
    /// Installs or refreshes a permission for every address named, or none at
    /// all.
    pub(super) fn create_permission(&mut self, request: &Request<'_, '_>) -> Result<(), ErrorCode> {
        let slot = self.own_allocation(request)?;
        let peers = request.message.xor_peer_addresses();
        if request.message.malformed().is_some() || peers.clone().next().is_none() {
            return Err(ErrorCode::BAD_REQUEST);
        }
        if peers
            .clone()
            .any(|peer| !self.relays_to(slot, peer.is_ipv6()))
        {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        // What is installed has passed the policy already.
        let missing =
            |tables: &Tables, peer: &SocketAddr| tables.permission_of(slot, peer.ip()).is_none();
        if peers
            .clone()
            .any(|peer| missing(&self.tables, &peer) && self.policy.reach(peer.ip()).is_err())
        {
            return Err(ErrorCode::FORBIDDEN);
        }
        let new = peers
            .clone()
            .filter(|peer| missing(&self.tables, peer))
            .count();
        if !self.may_open(request.now.instant, slot, new as u32) {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        let before = self.permissions_of(slot);
        for peer in peers.clone() {
            if missing(&self.tables, &peer)
                && !self
                    .policy
                    .reach(peer.ip())
                    .is_ok_and(|reach| self.install(slot, peer.ip(), reach).is_some())
            {
                self.uninstall(slot, before);
                return Err(ErrorCode::INSUFFICIENT_CAPACITY);
            }
        }
        let expires = request.now.instant + self.lifetimes.permission;
        for peer in peers {
            if let Some(permission) = self.tables.permission_of(slot, peer.ip()) {
                self.extend_permission(permission, expires);
            }
        }
        Ok(())
    }

    /// Whether an allocation has a relayed address of the family.
    pub(super) fn relays_to(&self, allocation: u32, v6: bool) -> bool {
        self.tables
            .allocations
            .get(allocation)
            .is_some_and(|found| found.relay(v6).is_some())
    }

    /// Whether an allocation, and its user, may have so many new permissions by
    /// now.
    pub(super) fn may_open(&mut self, now: Instant, allocation: u32, new: u32) -> bool {
        let Some(found) = self.tables.allocations.get_mut(allocation) else {
            return false;
        };
        let [own, user] = self.new_peers;
        if new == 0 {
            return true;
        }
        own.is_none_or(|pace| pace.take(now, &mut found.peers_paced, new))
            && user.is_none_or(|pace| {
                let account = self.shared.accounts().pace(found.account);
                account.is_none_or(|account| pace.take_shared(now, &account.peers, new))
            })
    }

    fn permissions_of(&self, allocation: u32) -> u32 {
        self.tables
            .allocations
            .get(allocation)
            .map_or(0, |found| found.permissions.len)
    }

    /// Adds a permission that has expired already, to be extended at once.
    /// `None` without room.
    pub(super) fn install(&mut self, allocation: u32, ip: IpAddr, reach: Reach) -> Option<u32> {
        if self.permissions_of(allocation) >= u32::from(self.limits.permissions_per_allocation) {
            return None;
        }
        self.tables.add_permission(Permission {
            allocation,
            ip,
            expires: Instant::default(),
            reach,
            channels: 0,
            link: Link::ALONE,
        })
    }

    /// Takes back the youngest permissions until `keep` remain.
    pub(super) fn uninstall(&mut self, allocation: u32, keep: u32) {
        while let Some(found) = self.tables.allocations.get(allocation)
            && found.permissions.len > keep
        {
            let youngest = found.permissions.head;
            self.tables.remove_permission(youngest);
        }
    }

    pub(super) fn extend_permission(&mut self, slot: u32, expires: Instant) {
        if let Some(permission) = self.tables.permissions.get_mut(slot) {
            permission.expires = expires;
            self.arm_permission(slot);
        }
    }
}
