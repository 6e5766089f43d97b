//! What the tables hold.

use core::net::{IpAddr, SocketAddr};

use forebay_wire::clock::{Instant, UnixSeconds};
use forebay_wire::stun::{ErrorCode, TransactionId};

use crate::auth::{Key, UserTag};
use crate::command::Usage;
use crate::ids::{ChannelNumber, FiveTuple, SocketId};
use crate::policy::Reach;
use crate::server::OfferedRelay;

use super::slab::NONE;

/// An allocation (RFC 8656 §3.2).
pub(crate) struct Allocation {
    pub(crate) tuple: FiveTuple,
    /// Where its client has moved to, until that is used (RFC 8016 §3.2).
    pub(crate) next: Option<FiveTuple>,
    /// Its relayed addresses: at [`v4`](Relay::index) and at v6; at least one.
    pub(crate) relays: [Option<Relay>; 2],
    /// When the last of them expires.
    pub(crate) expires: Instant,
    /// Authenticates later requests of the same user, whatever has become of
    /// the secret.
    pub(crate) key: Key,
    /// When the username it was made with expires.
    pub(crate) until: Option<UnixSeconds>,
    pub(crate) user: UserTag,
    /// Cell of the user's account.
    pub(crate) account: u32,
    /// Of new permissions.
    pub(crate) peers_paced: Instant,
    /// Of ICMP errors told.
    pub(crate) icmp_paced: Instant,
    pub(crate) mobility: Mobility,
    /// The request that made it, to answer its retransmissions.
    pub(crate) origin: Origin,
    pub(crate) usage: Usage,
    pub(crate) permissions: Chain,
    pub(crate) channels: Chain,
}

/// One relayed transport address of an allocation.
pub(crate) struct Relay {
    pub(crate) socket: SocketId,
    pub(crate) relayed: SocketAddr,
    pub(crate) expires: Instant,
    /// It listens for peers (RFC 6062): no datagram leaves from it.
    pub(crate) tcp: bool,
}

impl Relay {
    /// The place of an address family within [`Allocation::relays`].
    #[inline]
    pub(crate) const fn index(v6: bool) -> usize {
        v6 as usize
    }

    pub(crate) fn socket(&self) -> SocketId {
        self.socket
    }
}

impl Allocation {
    /// The relayed address of a family.
    #[inline]
    pub(crate) fn relay(&self, v6: bool) -> Option<&Relay> {
        self.relays[Relay::index(v6)].as_ref()
    }

    /// How many relayed addresses it has.
    pub(crate) fn width(&self) -> usize {
        self.relays.iter().flatten().count()
    }
}

/// Whether and how often an allocation may move to another five-tuple (RFC
/// 8016).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mobility {
    Fixed,
    /// Was given tickets; `serial` is the last one's.
    Mobile {
        serial: u16,
        /// The Refresh that moved it last.
        moved_by: Option<TransactionId>,
    },
}

/// The Allocate request an allocation came from.
pub(crate) struct Origin {
    pub(crate) transaction: TransactionId,
    pub(crate) at: Instant,
    /// LIFETIME answered, seconds.
    pub(crate) granted: u32,
    /// The family that was asked for besides and could not be given, and why.
    pub(crate) refused: Option<(bool, ErrorCode)>,
    /// Of the port above, held for a second allocation.
    pub(crate) token: Option<ReservationToken>,
}

/// Names a reserved port.
pub(crate) type ReservationToken = [u8; 8];

/// The port above an even one, held for its user's next allocation (RFC 8656
/// §7.2).
pub(crate) struct Reservation {
    pub(crate) token: ReservationToken,
    pub(crate) relay: OfferedRelay,
    pub(crate) user: UserTag,
    /// Cell of the user's account, which counts it.
    pub(crate) account: u32,
    pub(crate) expires: Instant,
}

/// A permission (RFC 8656 §9). Stays in its slot, expired, for as long as a
/// channel refers to it.
pub(crate) struct Permission {
    pub(crate) allocation: u32,
    pub(crate) ip: IpAddr,
    pub(crate) expires: Instant,
    pub(crate) reach: Reach,
    /// Channels that refer to it.
    pub(crate) channels: u32,
    pub(crate) link: Link,
}

/// A channel binding (RFC 8656 §12). Stays in its slot after it expired until
/// number and peer may be bound anew.
pub(crate) struct Channel {
    pub(crate) allocation: u32,
    pub(crate) number: ChannelNumber,
    /// As the client named it.
    pub(crate) peer: SocketAddr,
    /// Where its packets are sent.
    pub(crate) destination: SocketAddr,
    pub(crate) expires: Instant,
    pub(crate) permission: u32,
    pub(crate) link: Link,
}

/// Head of an allocation's list of permissions or channels.
#[derive(Clone, Copy)]
pub(crate) struct Chain {
    pub(crate) head: u32,
    pub(crate) len: u32,
}

impl Chain {
    pub(crate) const EMPTY: Self = Self { head: NONE, len: 0 };
}

/// Neighbours in such a list.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub(crate) next: u32,
    pub(crate) previous: u32,
}

impl Link {
    pub(crate) const ALONE: Self = Self {
        next: NONE,
        previous: NONE,
    };
}
