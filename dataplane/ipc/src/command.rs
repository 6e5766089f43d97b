//! What the control plane tells the data plane.

use core::net::IpAddr;

use minicbor::decode::{self, Decoder};
use minicbor::{Decode, Encode};

use crate::bounded::{Bytes, List, Sensitive, Text};
use crate::handshake::Hello;
use crate::limits;
use crate::media::{
    MediaSession, MediaSubscription, MediaTrack, SessionKey, SubscriptionKey, TrackKey,
};
use crate::operate::Cursor;
use crate::report::AllocationId;

/// Counts the versions of one piece of desired state. The data plane applies
/// a generation above the one it has and answers
/// [`Outcome::Stale`](crate::Outcome::Stale) to any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Generation(#[n(0)] pub u64);

impl Generation {
    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A message to the data plane.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToDataplane {
    /// Opens the connection.
    #[n(0)]
    Hello(#[n(0)] Hello),
    /// Asks for a change.
    #[n(1)]
    Command {
        /// Comes back in the [`Ack`](crate::Ack).
        #[n(0)]
        id: u32,
        /// The change.
        #[n(1)]
        command: Command,
    },
    /// Asks for a page of sessions, answered by one
    /// [`SessionPage`](crate::SessionPage). The first page of a list has the
    /// workers asked anew, the others tell what those said.
    #[n(2)]
    Sessions {
        /// Comes back in the page.
        #[n(0)]
        id: u32,
        /// Where the page starts; `None` for the first.
        #[n(1)]
        from: Option<Cursor>,
    },
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Command {
    /// Replace who may allocate. Allocations in place are not disturbed.
    #[n(0)]
    SetCredentials(#[n(0)] SetCredentials),
    /// Replace the peer policy.
    #[n(1)]
    SetPolicy(#[n(0)] SetPolicy),
    /// Refuse new allocations and let the old ones finish.
    #[n(2)]
    Drain {
        /// Seconds after which the data plane stops whatever remains; `None`
        /// for what it is configured to.
        #[n(0)]
        within_seconds: Option<u32>,
        /// Allocations that need not be waited for.
        #[n(1)]
        at_most: u32,
    },
    /// End one allocation.
    #[n(3)]
    DeleteAllocation(#[n(0)] AllocationId),
    /// Make a session, or change its description (ICE restart).
    #[n(4)]
    SetSession(#[n(0)] Box<MediaSession>),
    /// End a session with its tracks and subscriptions.
    #[n(5)]
    RemoveSession(#[n(0)] SessionKey),
    /// Make or change a published track.
    #[n(6)]
    SetTrack(#[n(0)] Box<MediaTrack>),
    /// End a track with its subscriptions.
    #[n(7)]
    RemoveTrack(#[n(0)] TrackKey),
    /// Make or change a subscription.
    #[n(8)]
    SetSubscription(#[n(0)] Box<MediaSubscription>),
    /// End a subscription.
    #[n(9)]
    RemoveSubscription(#[n(0)] SubscriptionKey),
    /// Read the configuration file again, as SIGHUP does. Answered by
    /// [`Reloaded`](crate::Reloaded), then the [`Ack`](crate::Ack).
    #[n(10)]
    Reload,
}

/// Who may allocate.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SetCredentials {
    /// Version of this list.
    #[n(0)]
    pub generation: Generation,
    /// TURN REST secrets, tried in order.
    #[n(1)]
    pub secrets: List<RestSecret, { limits::SECRETS }>,
    /// Static users.
    #[n(2)]
    pub users: List<User, { limits::USERS }>,
}

/// A TURN REST secret's bytes.
pub type SecretKey = Sensitive<Bytes<{ limits::SECRET_KEY }>>;

/// A static user's password.
pub type Password = Sensitive<Text<{ limits::STATIC_USER }>>;

/// A TURN REST shared secret: username `expiry:user`, password
/// base64(HMAC-SHA1(key, username)).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RestSecret {
    /// Names it in logs and metrics.
    #[n(0)]
    pub id: Text<{ limits::NAME }>,
    /// Its bytes.
    #[n(1)]
    pub key: SecretKey,
    /// Seconds since the Unix epoch after which it authenticates nobody.
    #[n(2)]
    pub not_after: Option<u64>,
}

/// A static user of the long-term credential mechanism (RFC 8489 §9.2).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct User {
    /// The username.
    #[n(0)]
    pub name: Text<{ limits::STATIC_USER }>,
    /// The password.
    #[n(1)]
    pub password: Password,
}

/// Which peers clients may reach, beside what the data plane always denies.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SetPolicy {
    /// Version of this policy.
    #[n(0)]
    pub generation: Generation,
    /// Allowed although special-purpose or denied.
    #[n(1)]
    pub allow: List<Prefix, { limits::PREFIXES }>,
    /// Denied although globally reachable.
    #[n(2)]
    pub deny: List<Prefix, { limits::PREFIXES }>,
    /// The lowest peer port clients may reach.
    #[n(3)]
    pub lowest_port: u16,
}

/// An address prefix. Bits after the length are kept as given and mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode)]
pub struct Prefix {
    #[n(0)]
    address: IpAddr,
    #[n(1)]
    length: u8,
}

impl Prefix {
    /// The prefix, if the length is within the address.
    pub const fn new(address: IpAddr, length: u8) -> Option<Self> {
        let longest = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if length <= longest {
            Some(Self { address, length })
        } else {
            None
        }
    }

    /// The address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Significant bits: at most 32 or 128.
    pub const fn length(&self) -> u8 {
        self.length
    }
}

impl<'b, C> Decode<'b, C> for Prefix {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        #[derive(Decode)]
        struct Raw {
            #[n(0)]
            address: IpAddr,
            #[n(1)]
            length: u8,
        }
        let at = d.position();
        let raw = Raw::decode(d, ctx)?;
        Self::new(raw.address, raw.length)
            .ok_or_else(|| decode::Error::message("a prefix longer than its address").at(at))
    }
}
