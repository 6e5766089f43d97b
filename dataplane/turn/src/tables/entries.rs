//! What the tables hold.

use core::net::{IpAddr, SocketAddr};

use forebay_wire::clock::Instant;
use forebay_wire::stun::TransactionId;

use crate::auth::{Key, UserTag};
use crate::command::Usage;
use crate::ids::{ChannelNumber, FiveTuple, SocketId};
use crate::policy::Reach;

use super::slab::NONE;

/// An allocation (RFC 8656 §3.2).
pub(crate) struct Allocation {
    pub(crate) tuple: FiveTuple,
    pub(crate) relay: SocketId,
    pub(crate) relayed: SocketAddr,
    pub(crate) expires: Instant,
    /// Authenticates later requests of the same user, whatever has become of
    /// the secret.
    pub(crate) key: Key,
    pub(crate) user: UserTag,
    /// Slot of the user's account.
    pub(crate) account: u32,
    /// The request that made it, to answer its retransmissions.
    pub(crate) origin: Origin,
    pub(crate) usage: Usage,
    pub(crate) permissions: Chain,
    pub(crate) channels: Chain,
}

/// The Allocate request an allocation came from.
pub(crate) struct Origin {
    pub(crate) transaction: TransactionId,
    pub(crate) at: Instant,
    /// LIFETIME answered, seconds.
    pub(crate) granted: u32,
    /// Whether an additional address family was asked for and refused.
    pub(crate) additional_refused: bool,
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
