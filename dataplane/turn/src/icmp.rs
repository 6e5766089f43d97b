//! ICMP errors of what was sent to peers (RFC 8656 §11.5).

use core::net::SocketAddr;

use forebay_wire::clock::{Instant, Now};
use forebay_wire::stun::Icmp;

use crate::config::EventRate;
use crate::ids::{FiveTuple, PeerAddr, SocketId};
use crate::pace::Pace;
use crate::server::Server;
use crate::tables::Tables;

/// A client that probes the path MTU of a few peers draws about as many. Errors
/// are forged easily, and what is above this tells a client nothing new.
const PER_ALLOCATION: EventRate = EventRate {
    per_second: 10,
    burst: 10,
};
/// Of all allocations of a shard together: about a thousandth of its packets.
const PER_SHARD: EventRate = EventRate {
    per_second: 1000,
    burst: 250,
};

/// Why a client is not told of an ICMP error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untold {
    /// Not of a type that is relayed, no allocation on the relay socket, or no
    /// permission for where the datagram was going.
    Refused,
    /// There were too many.
    Limited,
}

/// Limits how many clients are told.
pub(crate) struct IcmpPace {
    allocation: Option<Pace>,
    shard: Option<Pace>,
    full_at: Instant,
}

impl Default for IcmpPace {
    fn default() -> Self {
        Self {
            allocation: Pace::of(PER_ALLOCATION),
            shard: Pace::of(PER_SHARD),
            full_at: Instant::default(),
        }
    }
}

impl IcmpPace {
    /// Spends one message of both budgets, or of none.
    fn take(&mut self, now: Instant, allocation: &mut Instant) -> bool {
        let mut own = *allocation;
        let granted = self
            .allocation
            .is_none_or(|pace| pace.take(now, &mut own, 1))
            && self
                .shard
                .is_none_or(|pace| pace.take(now, &mut self.full_at, 1));
        if granted {
            *allocation = own;
        }
        granted
    }
}

impl Server {
    /// A datagram sent from a relay socket to `destination`, as the kernel
    /// tells it (port 0 where it cannot), met with an ICMP error; ICMPv6 if it
    /// is an IPv6 address. Whom to tell, and of which peer. Whoever sent the
    /// error needs no permission, the datagram's destination does.
    ///
    /// # Errors
    /// Why nobody is to be told.
    pub fn icmp(
        &mut self,
        now: Now,
        relay: SocketId,
        destination: SocketAddr,
        icmp: Icmp,
    ) -> Result<(FiveTuple, PeerAddr), Untold> {
        let relayed = match destination {
            SocketAddr::V4(_) => matches!(icmp.kind, 3 | 11),
            SocketAddr::V6(_) => matches!(icmp.kind, 1..=3),
        };
        if !relayed {
            return Err(Untold::Refused);
        }
        let slot = self
            .tables
            .allocation_behind(relay)
            .ok_or(Untold::Refused)?;
        let peer = if self.translates {
            self.policy.shown(destination)
        } else {
            destination
        };
        let permission = self
            .tables
            .permission_of(slot, peer.ip())
            .ok_or(Untold::Refused)?;
        self.live_permission(now, permission)
            .map_err(|_| Untold::Refused)?;
        let allocation = self
            .tables
            .allocations
            .get_mut(slot)
            .ok_or(Untold::Refused)?;
        let live = allocation
            .relay(destination.is_ipv6())
            .is_some_and(|relay| now.instant < relay.expires);
        if !live || Tables::is_detached(&allocation.tuple) {
            return Err(Untold::Refused);
        }
        if !self.icmp_pace.take(now.instant, &mut allocation.icmp_paced) {
            return Err(Untold::Limited);
        }
        Ok((allocation.tuple, PeerAddr(peer)))
    }
}
