//! What a shard is told at construction or by its operator later.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use forebay_wire::clock::UnixSeconds;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::SocketId;
use crate::shared::Shared;

/// Fixed for the life of a [`Server`](crate::Server).
#[derive(Debug, Clone)]
pub struct Config {
    /// REALM of every challenge, 1–763 bytes (RFC 8489 §14.9).
    pub realm: String,
    /// SOFTWARE in answers to authenticated requests; `None` leaves it out.
    pub software: Option<String>,
    /// Whether answers carry FINGERPRINT.
    pub fingerprint: bool,
    /// How keys may be made from passwords, in order of preference; what is
    /// offered beyond MD5 is listed in every challenge (RFC 8489 §14.11). Empty
    /// is MD5 alone.
    pub algorithms: Vec<PasswordAlgorithm>,
    /// What becomes of an allocation whose REST username has expired.
    pub expiry: Expiry,
    /// How long things live.
    pub lifetimes: Lifetimes,
    /// How large the tables are.
    pub capacity: Capacity,
    /// How much one user, and the host, may hold.
    pub quota: Quota,
    /// Whether clients may take their allocations to another address (RFC
    /// 8016).
    pub mobility: bool,
    /// Where clients are sent instead of being served here.
    pub redirect: Redirect,
    /// Where clients may find out how their NAT behaves (RFC 5780), one entry
    /// per address family at most; empty switches it off.
    pub discovery: Vec<Discovery>,
    /// How many addresses a client may open to peers, and how fast.
    pub new_peers: NewPeers,
    /// How much may be relayed.
    pub bandwidth: BandwidthLimits,
    /// TCP between server and peers.
    pub tcp: TcpRelay,
    /// What the shards of the host share.
    pub shared: Shared,
    /// How many answers to unauthenticated messages a source prefix may draw.
    pub unauthenticated: PrefixBudget,
    /// Sockets from this id on are connections of clients, one id each: what
    /// comes over them is in order and not lost (RFC 8656 §3.1), and their
    /// addresses are not forged.
    pub first_stream: SocketId,
    /// Whether datagrams to peers can be sent with DF; if not, DONT-FRAGMENT
    /// is an attribute we do not know (RFC 8656 §7.2).
    pub dont_fragment: bool,
}

/// How a user's key is made from the password (RFC 8489 §18.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordAlgorithm {
    /// The only one that clients of RFC 5389 know.
    Md5,
    /// SHA-256.
    Sha256,
}

/// What the expiry of a REST username ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// New allocations; one that lives may be refreshed and used on.
    #[default]
    Lenient,
    /// Refreshes, permissions and channels too: a live allocation ends with
    /// the lifetime it was last given.
    Strict,
}

/// Lifetimes; the defaults are RFC 8656's.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Given when the client asks for none (600 s).
    pub default_allocation: Duration,
    /// The longest given (3600 s).
    pub max_allocation: Duration,
    /// Of a permission (300 s).
    pub permission: Duration,
    /// Of a channel binding (600 s).
    pub channel: Duration,
    /// How long a nonce is accepted before 438 (Stale Nonce) asks for a new one.
    pub nonce: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            default_allocation: Duration::from_secs(600),
            max_allocation: Duration::from_secs(3600),
            permission: Duration::from_secs(300),
            channel: Duration::from_secs(600),
            nonce: Duration::from_secs(3600),
        }
    }
}

/// Table sizes of one shard. All memory is taken at construction.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Allocations.
    pub allocations: u32,
    /// Permissions over all allocations.
    pub permissions: u32,
    /// Channel bindings over all allocations.
    pub channels: u32,
    /// Permissions of one allocation.
    pub permissions_per_allocation: u16,
    /// Channel bindings of one allocation.
    pub channels_per_allocation: u16,
}

/// Limits over all shards of the host; `None` is no limit. What counts is each
/// relayed address and each reserved port: an allocation with addresses of
/// both families counts twice, and one that moves counts on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quota {
    /// Of one user. For REST credentials the user is the part of the username
    /// after the expiry. Beyond it, 486 (Allocation Quota Reached).
    pub allocations_per_user: Option<u32>,
    /// Of all users. Beyond it, 508 (Insufficient Capacity).
    pub allocations: Option<u32>,
}

/// Other servers that Allocate requests are sent to with 300 (Try Alternate,
/// RFC 8489 §10), once their credentials hold. A client is sent to a server of
/// its own address family; those of one list take turns.
#[derive(Debug, Clone, Default)]
pub struct Redirect {
    /// When.
    pub when: RedirectWhen,
    /// For clients over UDP and TCP.
    pub plain: Vec<Alternate>,
    /// For clients over TLS and DTLS.
    pub secure: Vec<Alternate>,
}

/// Another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternate {
    /// Its address.
    pub address: SocketAddr,
    /// The name in its certificate, at most 255 bytes (RFC 8489 §14.16).
    pub domain: Option<Arc<str>>,
}

/// When clients are sent elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedirectWhen {
    /// While the server drains.
    Draining,
    /// Then, and instead of every 508 to an Allocate.
    #[default]
    Full,
    /// Always.
    Always,
}

/// The four transport addresses a server has for NAT behaviour discovery (RFC
/// 5780 §2): two addresses with the same two ports each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovery {
    /// By address, then by port.
    pub places: [[Place; 2]; 2],
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The listening socket, which may be a wildcard's.
    pub socket: SocketId,
    /// Where it receives.
    pub local: SocketAddr,
    /// Where clients send to.
    pub public: SocketAddr,
}

/// TCP allocations (RFC 6062), for clients that come over TCP or TLS.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpRelay {
    /// Connections with peers over all allocations of the shard; with none,
    /// such an Allocate is answered 442 (Unsupported Transport Protocol).
    pub connections: u32,
    /// Connections with peers of one allocation.
    pub connections_per_allocation: u16,
    /// Those of one allocation that may be under way at once.
    pub connecting_per_allocation: u16,
}

/// How fast permissions for addresses without one may be installed; refreshing
/// them is free. Beyond it, 508 (Insufficient Capacity), which is what RFC 8656
/// §10.2 has for every such limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewPeers {
    /// By one allocation.
    pub per_allocation: EventRate,
    /// By all allocations of one user, over all shards.
    pub per_user: EventRate,
}

/// A rate of events.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventRate {
    /// Events per second; zero is no limit.
    pub per_second: u32,
    /// Events at once after a pause, at least one.
    pub burst: u32,
}

/// Payload bits per second, to peers and to clients each by itself; `None` is
/// no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct BandwidthLimits {
    /// Of one allocation.
    pub allocation: Option<u64>,
    /// Of all allocations of one user, over all shards.
    pub user: Option<u64>,
    /// Of all shards together. While it is reached, allocations that move more
    /// than an equal share are limited first.
    pub host: Option<u64>,
}

/// A token bucket per source prefix (IPv4 /24, IPv6 /56).
#[derive(Debug, Clone, Copy)]
pub struct PrefixBudget {
    /// Answers per second; zero switches the limiter off.
    pub per_second: u32,
    /// Answers that may be drawn at once after a pause.
    pub burst: u32,
}

/// Randomness for one shard, from the operating system at start.
pub struct Seeds {
    /// Keys the nonce's authenticator; equal on all shards of a host, so that
    /// a client that moves between them is not challenged again.
    pub nonce_key: [u8; 16],
    /// Keys the hash tables.
    pub hash_key: u64,
    /// Seeds the choice among offered relays.
    pub random: u64,
}

/// Who may allocate. Replaced as a whole; allocations in place are not
/// disturbed when the secret they were made with is withdrawn.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// TURN REST secrets, tried in order.
    pub secrets: Vec<Secret>,
    /// Static users.
    pub users: Vec<User>,
}

/// A TURN REST shared secret: username `expiry:user`, password
/// base64(HMAC-SHA1(secret, username)).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret {
    /// Names the secret in logs and metrics.
    #[zeroize(skip)]
    pub id: String,
    /// The secret's bytes.
    pub key: Vec<u8>,
    /// After this time the secret authenticates nobody; `None` is no limit.
    #[zeroize(skip)]
    pub not_after: Option<UnixSeconds>,
}

/// A static user of the long-term credential mechanism (RFC 8489 §9.2). Name
/// and password are used as they are: OpaqueString preparation (RFC 8265), which
/// leaves ASCII alone, is up to whoever chooses them.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct User {
    /// The username.
    #[zeroize(skip)]
    pub name: String,
    /// The password.
    pub password: String,
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Secret")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl core::fmt::Debug for User {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
