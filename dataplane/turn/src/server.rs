//! The server: one shard's allocations and the requests that make them.

use core::net::SocketAddr;
use std::collections::VecDeque;

use forebay_wire::clock::Now;

use crate::answer::Style;
use crate::auth::{AuthFailures, Authenticator};
use crate::bandwidth::Bandwidth;
use crate::command::{Command, Deletion, Surveyed, Usage};
use crate::config::{Capacity, Config, Credentials, Discovery, Lifetimes, Quota, Seeds, TcpRelay};
use crate::icmp::IcmpPace;
use crate::ids::{AllocationId, FiveTuple, PeerConnection, RelayedAddr, SocketId};
use crate::pace::Pace;
use crate::policy::PeerPolicy;
use crate::redirect::Redirects;
use crate::shared::Shared;
use crate::tables::{
    Allocation, Connections, Deletions, Keyed, Mobility, OfferedPair, RelayPool, Reservations,
    Tables,
};
use crate::tickets::Tickets;
use crate::verdict::Refusal;

/// A relay socket that is bound and receiving, ready to be given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferedRelay {
    /// The socket.
    pub socket: SocketId,
    /// The address it is bound to.
    pub local: SocketAddr,
    /// The address clients are told.
    pub relayed: RelayedAddr,
}

/// How many relays the server holds ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelaysHeld {
    /// IPv4 relays in hand.
    pub v4: usize,
    /// IPv6 relays in hand.
    pub v6: usize,
}

/// An answer that does not simply go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyFrom {
    /// The first so many bytes of the lent buffer.
    pub len: usize,
    /// The socket and the local address to send from, and where to.
    pub tuple: FiveTuple,
}

/// What became of a STUN message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Send the first `n` bytes of the lent buffer back to the source.
    Reply(usize),
    /// Send them from another of our sockets, or to another port (RFC 5780).
    ReplyFrom(ReplyFrom),
    /// Nothing to send, counted under this reason.
    Silent(Refusal),
    /// The shard with this number holds what the request is about (a mobility
    /// ticket or a reservation token names it): give the request to it, and
    /// whatever else comes from the client to this address.
    Elsewhere(u16),
    /// An Allocate for TCP needs a listening socket: open one of this family
    /// and hand it in with [`Server::request_with_listener`].
    Listen {
        /// IPv6 rather than IPv4.
        v6: bool,
    },
    /// Nothing to send yet: [`Server::connected`] gives the answer.
    Later,
    /// Send the first `len` bytes of the lent buffer back to the source, and
    /// what follows them over its connection is the peer's, as what comes over
    /// it from now on is for the peer (RFC 6062 §5.4).
    Bound {
        /// Bytes.
        len: usize,
        /// The peer's connection.
        connection: PeerConnection,
    },
}

/// The socket for an Allocate that asks for one that listens.
pub(crate) enum Listening {
    /// Ask for it.
    Ask,
    /// It was opened.
    Offered(OfferedRelay),
    /// It could not be, or has been given out.
    Unavailable,
}

/// One shard's TURN server.
///
/// # Calling contract
/// - Time never goes backwards between calls.
/// - `channel_to_peer`, `send_to_peer`, `from_peer` and `count` are the fast
///   path: no allocation, no command is queued. Nor does `icmp` queue any.
/// - `request`, `on_timer` and the administrative calls may queue commands;
///   fetch [`Server::next_command`] until it is empty after each of them. A
///   request is dropped while the queue has no room for what it may need.
/// - They may also end connections with peers: fetch
///   [`Server::next_to_close`] until it is empty before waiting again.
/// - Hand in relays with `offer_relay` before requests, so that Allocate finds
///   one; with none in hand of the family asked for, it answers 508, or 440 if
///   neither the policy's relays nor any offer so far was of that family.
///
/// # Authentication
/// Long-term credentials (RFC 8489 §9.2) with the password algorithms of
/// [`Config::algorithms`], USERNAME or USERHASH, and whichever integrity
/// attribute the client prefers; clients of RFC 5389 need know none of it.
/// Once an allocation is made, its user's requests are checked against the key
/// it was made with: a withdrawn secret does not end it, nor, where expiry is
/// lenient, does a REST username whose expiry has passed, so a call is not cut
/// off halfway; a new allocation needs a current credential.
pub struct Server {
    pub(crate) tables: Tables,
    pub(crate) reservations: Reservations,
    pub(crate) connections: Connections,
    pub(crate) tcp: TcpRelay,
    pub(crate) listening: Listening,
    /// Of clients' connections, one bit each from `first_stream` on.
    pub(crate) byte_streams: Vec<u64>,
    /// Cells of accounts this shard has opened and not closed, counted once
    /// per opening.
    pub(crate) counted: u64,
    pub(crate) shared: Shared,
    pub(crate) tickets: Tickets,
    pub(crate) mobility: bool,
    pub(crate) first_stream: SocketId,
    pub(crate) dont_fragment: bool,
    pub(crate) new_peers: [Option<Pace>; 2],
    pub(crate) icmp_pace: IcmpPace,
    pub(crate) bandwidth: Bandwidth,
    pub(crate) deletions: Deletions,
    pub(crate) relays: RelayPool,
    pub(crate) auth: Authenticator,
    pub(crate) policy: PeerPolicy,
    /// Whether relay addresses have to be translated at all.
    pub(crate) translates: bool,
    pub(crate) style: Style,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) quota: Quota,
    pub(crate) limits: Capacity,
    pub(crate) draining: bool,
    pub(crate) redirects: Redirects,
    pub(crate) discovery: Box<[Discovery]>,
    pub(crate) commands: VecDeque<Command>,
}

/// Commands that may wait beyond those of one request: a batch of requests
/// whose caller fetches only afterwards.
const COMMANDS: usize = 1024;

impl Server {
    /// The longest answer ever written.
    pub const MAX_ANSWER: usize = 1280;

    /// Takes all memory the shard will ever use, except for what one
    /// [`Command::Created`] carries, credentials, policy, a byte for each
    /// connection, and relay sockets with ids of more than twice the
    /// allocations. Until a policy is set, that
    /// of [`PeerPolicy::default`] holds.
    ///
    /// Realm and software are cut at 763 and 509 bytes, and lifetimes brought
    /// in order (default at most maximum).
    pub fn new(mut config: Config, seeds: Seeds) -> Self {
        config.realm.truncate(config.realm.floor_char_boundary(763));
        if let Some(software) = &mut config.software {
            software.truncate(software.floor_char_boundary(509));
        }
        let keyed = Keyed::new(seeds.hash_key);
        let Config {
            lifetimes,
            capacity,
            ..
        } = config;
        let tables = Tables::new(&capacity, keyed);
        let slots = tables.allocations.capacity();
        Self {
            tables,
            reservations: Reservations::new(capacity.allocations, keyed),
            connections: Connections::new(config.tcp.connections, slots, keyed),
            tcp: config.tcp,
            listening: Listening::Ask,
            byte_streams: Vec::new(),
            counted: 0,
            tickets: Tickets::new(seeds.nonce_key, seeds.random),
            mobility: config.mobility,
            first_stream: config.first_stream,
            dont_fragment: config.dont_fragment,
            new_peers: [config.new_peers.per_allocation, config.new_peers.per_user].map(Pace::of),
            icmp_pace: IcmpPace::default(),
            bandwidth: Bandwidth::new(config.bandwidth, config.shared.clone(), slots),
            shared: config.shared.clone(),
            deletions: Deletions::new(capacity.allocations, keyed),
            relays: RelayPool::new(capacity.allocations, seeds.random),
            auth: Authenticator::new(&config, &seeds, keyed),
            policy: PeerPolicy::default(),
            translates: false,
            lifetimes: Lifetimes {
                default_allocation: lifetimes.default_allocation.min(lifetimes.max_allocation),
                ..lifetimes
            },
            quota: config.quota,
            limits: capacity,
            draining: false,
            redirects: Redirects::new(config.redirect, config.first_stream, config.shared.shard()),
            discovery: config.discovery.into(),
            commands: VecDeque::with_capacity(COMMANDS + commands_per_request(&capacity)),
            style: Style {
                realm: config.realm.into(),
                software: config.software.map(String::into_boxed_str),
                fingerprint: config.fingerprint,
            },
        }
    }

    /// Replaces who may allocate; live allocations keep their key.
    pub fn set_credentials(&mut self, credentials: &Credentials) {
        self.auth.set_credentials(credentials);
    }

    /// Requests that were refused for their credentials.
    pub fn auth_failures(&self) -> &AuthFailures {
        self.auth.failures()
    }

    /// Replaces the peer policy and drops the permissions, channels and
    /// connections that it now denies.
    pub fn set_policy(&mut self, policy: &PeerPolicy) {
        self.policy.clone_from(policy);
        self.translates = policy.translates();
        for slot in 0..self.tables.channels.used() {
            let Some(channel) = self.tables.channels.get_mut(slot) else {
                continue;
            };
            if policy.judge(channel.peer).is_allowed() {
                channel.destination = policy.behind(channel.peer);
            } else {
                self.tables.remove_channel(slot);
            }
        }
        for slot in 0..self.tables.permissions.used() {
            let timed = self.tables.permissions.has_timer(slot);
            let Some(permission) = self.tables.permissions.get_mut(slot) else {
                continue;
            };
            match policy.reach(permission.ip) {
                // Expired while a channel referred to it, which a policy about
                // ports has just removed: no timer will come for it.
                Ok(_) if permission.channels == 0 && !timed => {
                    self.tables.remove_permission(slot);
                }
                Ok(reach) => permission.reach = reach,
                // Its channels, denied with it, are gone.
                Err(_) => self.tables.remove_permission(slot),
            }
        }
        self.close_denied();
    }

    /// Refuses new allocations from now on, with 508 or, where other servers
    /// are known, by sending clients there; live ones go on.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Hands in a ready relay socket.
    ///
    /// # Errors
    /// Given back when as many of its family are in hand as there are free
    /// allocation slots, or 1024, and when an allocation still has the socket.
    pub fn offer_relay(&mut self, relay: OfferedRelay) -> Result<(), OfferedRelay> {
        if self.tables.allocation_behind(relay.socket).is_some() {
            return Err(relay);
        }
        self.relays.offer(relay, self.room())?;
        self.tables.reserve_relay(relay.socket);
        Ok(())
    }

    /// Takes a relay back that was handed in singly or, where there is none,
    /// splits a pair. `None` when none of the family is in hand.
    pub fn take_back_relay(&mut self, v6: bool) -> Option<OfferedRelay> {
        self.relays.take(v6)
    }

    /// Hands in two ready relay sockets of one address, an even port and the
    /// one above it, for clients that ask for both. Where no other relay is
    /// left they are given out singly.
    ///
    /// False, and the pair is the caller's still, when it is no such pair, when
    /// as many relays of its family are in hand as there are free allocation
    /// slots, or 64 pairs, and when an allocation still has one of the sockets.
    pub fn offer_pair(&mut self, even: OfferedRelay, odd: OfferedRelay) -> bool {
        let (low, high) = (even.relayed.0, odd.relayed.0);
        let pair = low.ip() == high.ip()
            && low.port().is_multiple_of(2)
            && low.port().checked_add(1) == Some(high.port());
        let held = [even, odd].map(|relay| self.tables.allocation_behind(relay.socket));
        let room = self.room();
        let taken =
            pair && held == [None, None] && self.relays.offer_pair(OfferedPair { even, odd }, room);
        if taken {
            self.tables.reserve_relay(even.socket);
            self.tables.reserve_relay(odd.socket);
        }
        taken
    }

    /// Allocations that may still be made: a reserved port is sure of its slot.
    pub(crate) fn room(&self) -> usize {
        self.tables
            .allocations
            .room()
            .saturating_sub(self.reservations.len())
    }

    /// Relays in hand that are no part of a pair.
    pub fn relays_held(&self) -> RelaysHeld {
        self.relays.held()
    }

    /// Pairs of relays in hand.
    pub fn pairs_held(&self) -> RelaysHeld {
        self.relays.pairs_held()
    }

    /// Ports reserved and not yet claimed.
    pub fn reservations(&self) -> usize {
        self.reservations.len()
    }

    /// The next queued command, oldest first.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    pub(crate) fn has_room_for_commands(&self) -> bool {
        self.commands.len() <= COMMANDS
    }

    /// Ends an allocation on the operator's behalf. False if it is gone.
    pub fn delete(&mut self, now: Now, allocation: AllocationId) -> bool {
        let live = self.id(allocation.slot) == allocation
            && self
                .tables
                .allocations
                .get(allocation.slot)
                .is_some_and(|found| now.instant < found.expires);
        if live {
            self.end(allocation.slot, Deletion::Administrative);
        }
        live
    }

    /// A client has connected on this stream's socket, over TLS or DTLS if
    /// `secure`.
    pub fn client_connected(&mut self, socket: SocketId, secure: bool) {
        self.redirects.connected(socket, secure);
    }

    /// Requests answered with 300 (Try Alternate).
    pub fn redirected(&self) -> u64 {
        self.redirects.given
    }

    /// The connection of this five-tuple is gone, and its number may be given
    /// to another: ends what it held. False if it held nothing.
    pub fn disconnected(&mut self, tuple: &FiveTuple) -> bool {
        let Some(slot) = self.tables.allocation_of(tuple) else {
            // One that was to move here stays where it is.
            let moving = self.tables.allocation_moving_to(tuple);
            if let Some(slot) = moving {
                self.tables.clear_next(slot);
            }
            return moving.is_some();
        };
        match self.tables.allocations.get(slot) {
            Some(found) if found.next.is_some() => self.tables.complete_move(slot),
            Some(found) if found.mobility != Mobility::Fixed => self.tables.detach(slot),
            _ => self.end(slot, Deletion::Disconnected),
        }
        true
    }

    /// Whether a five-tuple has a live allocation.
    pub fn has_allocation(&self, now: Now, tuple: &FiveTuple) -> bool {
        self.tables
            .allocation_of(tuple)
            .and_then(|slot| self.tables.allocations.get(slot))
            .is_some_and(|found| now.instant < found.expires)
    }

    /// Whether DONT-FRAGMENT is heeded.
    pub fn heeds_dont_fragment(&self) -> bool {
        self.dont_fragment
    }

    /// Live allocations.
    pub fn allocations(&self) -> usize {
        self.tables.allocations.len()
    }

    /// Whether a client is served, or has moved to, this five-tuple.
    pub fn serves(&self, tuple: &FiveTuple) -> bool {
        self.tables.allocation_of(tuple).is_some()
            || self.tables.allocation_moving_to(tuple).is_some()
    }

    /// What an allocation moved so far.
    pub fn usage(&self, allocation: AllocationId) -> Option<Usage> {
        if self.id(allocation.slot) != allocation {
            return None;
        }
        self.tables
            .allocations
            .get(allocation.slot)
            .map(|found| found.usage)
    }

    /// Visits the live allocations among the next `most` slots from `from` on.
    /// Gives the slot to go on with, `None` when every slot was looked at.
    pub fn survey(&self, from: u32, most: u32, visit: &mut dyn FnMut(Surveyed)) -> Option<u32> {
        let used = self.tables.allocations.used();
        let end = from.saturating_add(most).min(used);
        for slot in from..end {
            if let Some(found) = self.tables.allocations.get(slot) {
                visit(Surveyed {
                    allocation: self.id(slot),
                    tuple: found.tuple,
                    expires: found.expires,
                    usage: found.usage,
                });
            }
        }
        (end < used).then_some(end)
    }

    /// One more than the largest [`PeerFlow`](crate::PeerFlow) index.
    pub fn peer_flows(&self) -> usize {
        self.tables.channels.capacity() + self.tables.permissions.capacity()
    }

    /// The most timers armed at once.
    pub fn timers(&self) -> usize {
        self.tables.allocations.capacity()
            + self.tables.permissions.capacity()
            + self.tables.channels.capacity()
            + self.reservations.slots.capacity()
            + self.connections.capacity()
    }

    /// Verifies the server's own invariants; for tests and simulators, never
    /// called in production.
    ///
    /// # Errors
    /// Which invariant does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let slots = 0..self.tables.allocations.used();
        let relays: usize = slots
            .filter_map(|slot| self.tables.allocations.get(slot))
            .map(Allocation::width)
            .sum();
        if self.counted != (relays + self.reservations.len()) as u64 {
            return Err("accounts and relays given out disagree on their number");
        }
        if self.reservations.len() > self.tables.allocations.room() {
            return Err("a reserved port has no slot for its allocation");
        }
        self.reservations.check()?;
        self.connections.check()?;
        self.tables.check()
    }

    /// Bytes of memory taken at construction.
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + self.tables.memory()
            + self.reservations.memory()
            + self.connections.memory()
            + self.byte_streams.capacity() * size_of::<u64>()
            + self.bandwidth.memory()
            + self.deletions.memory()
            + self.relays.memory()
            + self.auth.memory()
            + self.redirects.memory()
            + size_of_val(&*self.discovery)
            + self.commands.capacity() * size_of::<Command>()
    }
}

/// An allocation on the five-tuple that has expired takes up to three commands;
/// CreatePermission arms a timer for every permission it makes, and every
/// other request queues at most three.
fn commands_per_request(capacity: &Capacity) -> usize {
    usize::from(capacity.permissions_per_allocation).max(3) + 3
}
