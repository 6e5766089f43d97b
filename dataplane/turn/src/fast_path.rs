//! What every relayed packet goes through: two hash look-ups and a few array
//! reads, no allocation.

use core::net::SocketAddr;

use forebay_wire::clock::Now;

use crate::bandwidth::Direction;
use crate::ids::{
    AllocationId, ChannelNumber, ClientFlow, FiveTuple, PeerAddr, PeerFlow, SocketId,
};
use crate::server::Server;
use crate::tables::{Allocation, Channel, Permission, Tables};
use crate::verdict::{Framing, Refusal, ToClient, ToPeer};

impl Server {
    /// Fast path: ChannelData from a client.
    pub fn channel_to_peer(
        &mut self,
        now: Now,
        tuple: &FiveTuple,
        channel: ChannelNumber,
    ) -> Result<ToPeer, Refusal> {
        let slot = self.live_allocation(now, tuple)?;
        let flow = self
            .tables
            .channel_numbered(slot, channel)
            .ok_or(Refusal::NoChannel)?;
        let channel = self.tables.channels.get(flow).ok_or(Refusal::NoChannel)?;
        if channel.expires <= now.instant {
            return Err(Refusal::NoChannel);
        }
        let (permission, destination) = (channel.permission, channel.destination);
        self.live_permission(now, permission)?;
        self.leave_for(now, slot, destination, flow)
    }

    /// Fast path: a Send indication whose XOR-PEER-ADDRESS is `peer`.
    pub fn send_to_peer(
        &mut self,
        now: Now,
        tuple: &FiveTuple,
        peer: PeerAddr,
    ) -> Result<ToPeer, Refusal> {
        let slot = self.live_allocation(now, tuple)?;
        // A peer with a channel keeps the channel's flow.
        if let Some((flow, channel)) = self.bound_channel(slot, peer.0) {
            let (permission, destination) = (channel.permission, channel.destination);
            self.live_permission(now, permission)?;
            return self.leave_for(now, slot, destination, flow);
        }
        let found = self
            .tables
            .permission_of(slot, peer.0.ip())
            .ok_or(Refusal::NoPermission)?;
        let permission = self.live_permission(now, found)?;
        self.policy
            .admit(permission.reach, peer.0)
            .map_err(|_| Refusal::PeerDenied)?;
        let destination = if self.translates {
            self.policy.behind(peer.0)
        } else {
            peer.0
        };
        let flow = self.tables.channels.capacity() as u32 + found;
        self.leave_for(now, slot, destination, flow)
    }

    /// The relay of the destination's family takes it, bandwidth permitting.
    #[inline]
    fn leave_for(
        &mut self,
        now: Now,
        slot: u32,
        destination: SocketAddr,
        flow: u32,
    ) -> Result<ToPeer, Refusal> {
        let allocation = self
            .tables
            .allocations
            .get(slot)
            .ok_or(Refusal::NoAllocation)?;
        let relay = allocation
            .relay(destination.is_ipv6())
            .filter(|relay| now.instant < relay.expires && !relay.tcp)
            .ok_or(Refusal::NoAllocation)?;
        let to = ToPeer {
            allocation: self.id(slot),
            relay: relay.socket,
            destination,
            flow: PeerFlow(flow),
        };
        if self.bandwidth.is_limited() {
            let account = allocation.account;
            self.bandwidth
                .admit(now.instant, slot, account, Direction::ToPeer)?;
        }
        Ok(to)
    }

    /// A client sends from a five-tuple without an allocation: if it is where
    /// it has moved to, its allocation is served there alone from now on (RFC
    /// 8016 §3.2), and true is returned. Ask after
    /// [`Refusal::NoAllocation`], and then ask the fast path again; verdicts
    /// of [`Server::from_peer`] given before no longer hold.
    #[cold]
    pub fn arrived(&mut self, tuple: &FiveTuple) -> bool {
        match self.tables.allocation_moving_to(tuple) {
            Some(slot) => {
                self.tables.complete_move(slot);
                true
            }
            None => false,
        }
    }

    /// Fast path: a datagram on a relay socket; `source` as the kernel gave it.
    pub fn from_peer(
        &mut self,
        now: Now,
        relay: SocketId,
        source: SocketAddr,
    ) -> Result<ToClient, Refusal> {
        let slot = self
            .tables
            .allocation_behind(relay)
            .ok_or(Refusal::NoAllocation)?;
        let allocation = self
            .tables
            .allocations
            .get(slot)
            .ok_or(Refusal::NoAllocation)?;
        let relay = allocation.relay(source.is_ipv6());
        if relay.is_none_or(|relay| relay.expires <= now.instant)
            || Tables::is_detached(&allocation.tuple)
        {
            return Err(Refusal::NoAllocation);
        }
        let peer = if self.translates {
            self.policy.shown(source)
        } else {
            source
        };
        let framing = match self.bound_channel(slot, peer) {
            Some((_, channel)) => {
                self.live_permission(now, channel.permission)?;
                if now.instant < channel.expires {
                    Framing::Channel(channel.number)
                } else {
                    Framing::DataIndication(PeerAddr(peer))
                }
            }
            None => {
                let found = self
                    .tables
                    .permission_of(slot, peer.ip())
                    .ok_or(Refusal::NoPermission)?;
                self.live_permission(now, found)?;
                Framing::DataIndication(PeerAddr(peer))
            }
        };
        let to = ToClient {
            allocation: self.id(slot),
            tuple: allocation.tuple,
            framing,
            flow: ClientFlow(slot),
        };
        if self.bandwidth.is_limited() {
            let account = allocation.account;
            self.bandwidth
                .admit(now.instant, slot, account, Direction::ToClient)?;
        }
        Ok(to)
    }

    /// The channel of a peer, also while it is expired but its number not yet
    /// free.
    #[inline]
    fn bound_channel(&self, allocation: u32, peer: SocketAddr) -> Option<(u32, &Channel)> {
        let flow = self.tables.channel_to(allocation, peer)?;
        Some((flow, self.tables.channels.get(flow)?))
    }

    /// Fast path: adds to an allocation's usage.
    pub fn count_to_peer(&mut self, allocation: AllocationId, packets: u32, bytes: u32) {
        if let Some(found) = self.named_mut(allocation) {
            found.usage.to_peer_packets += u64::from(packets);
            found.usage.to_peer_bytes += u64::from(bytes);
            let account = found.account;
            if self.bandwidth.is_limited() {
                self.bandwidth
                    .spend(allocation.slot, account, Direction::ToPeer, bytes);
            }
        }
    }

    /// Fast path: adds to an allocation's usage.
    pub fn count_to_client(&mut self, allocation: AllocationId, packets: u32, bytes: u32) {
        if let Some(found) = self.named_mut(allocation) {
            found.usage.to_client_packets += u64::from(packets);
            found.usage.to_client_bytes += u64::from(bytes);
            let account = found.account;
            if self.bandwidth.is_limited() {
                self.bandwidth
                    .spend(allocation.slot, account, Direction::ToClient, bytes);
            }
        }
    }

    #[inline]
    fn live_allocation(&self, now: Now, tuple: &FiveTuple) -> Result<u32, Refusal> {
        let slot = self
            .tables
            .allocation_of(tuple)
            .ok_or(Refusal::NoAllocation)?;
        match self.tables.allocations.get(slot) {
            Some(allocation) if now.instant < allocation.expires => Ok(slot),
            _ => Err(Refusal::NoAllocation),
        }
    }

    #[inline]
    pub(crate) fn live_permission(&self, now: Now, slot: u32) -> Result<&Permission, Refusal> {
        match self.tables.permissions.get(slot) {
            Some(permission) if now.instant < permission.expires => Ok(permission),
            _ => Err(Refusal::NoPermission),
        }
    }

    #[inline]
    fn named_mut(&mut self, allocation: AllocationId) -> Option<&mut Allocation> {
        if self.tables.allocations.generation(allocation.slot) != allocation.generation {
            return None;
        }
        self.tables.allocations.get_mut(allocation.slot)
    }
}
