//! The reference: what a TURN server must do, said as plainly as possible.
//!
//! The model sees exactly what the shards see, datagram by datagram and in
//! the order they look at them, and says what has to come out. It keeps three
//! things per allocation, each with the moment it ends: the allocation itself,
//! its permissions by peer address, its channels by number. A thing lives
//! while `now < expires`; nothing else makes it die but a Refresh with
//! lifetime zero or a policy that denies it.
//!
//! What is dead may still take up room in a table for a while (a channel for
//! five minutes by rule, everything else for as long as a timer is late), so
//! dead entries are kept until [`GRACE`] has passed: they relay nothing, and
//! serve only to tell a table that is full from one that ought not to be.
//!
//! - this file: the state, and packets that are relayed (RFC 8656 §11, §12)
//! - [`faults`]: what is wrong with a request, and what granting it would do
//! - [`requests`]: whether the answer is right, and what it changes
//! - [`auth`]: who a request is from (RFC 8489 §9.2)

mod auth;
mod faults;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use forebay_turn::{
    Capacity, Deletion, Expiry, Lifetimes, PasswordAlgorithm, Quota, SocketId, Usage,
};

use crate::accounts::Accounts;
use crate::addresses::{LISTENER_PORT, Plan, Policy, RELAY_PORTS};
use crate::network::{Packet, SECOND, Time};
use crate::stun::{Message, Transaction, attribute, channel_data, parse_channel_data};

pub(crate) use requests::Context;

/// How long number and peer of a dead channel stay reserved for each other
/// (RFC 8656 §12).
const CHANNEL_GUARD: Time = 300 * SECOND;

/// How late a timer may be in giving room back. Nothing else depends on it.
const GRACE: Time = SECOND;

/// How long a request may be repeated with the same transaction id (RFC 8489
/// §6.3.1).
const RETRANSMISSION: Time = 40 * SECOND;

/// A client's five-tuple, and the worker that its packets are steered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tuple {
    pub(crate) worker: usize,
    pub(crate) listener: SocketId,
    pub(crate) client: SocketAddr,
    pub(crate) local: IpAddr,
}

/// A relay socket of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Relay {
    pub(crate) worker: usize,
    pub(crate) socket: SocketId,
}

pub(crate) struct Allocation {
    pub(crate) username: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) algorithm: [u8; 4],
    pub(crate) relay: Relay,
    pub(crate) relayed: SocketAddr,
    pub(crate) expires: Time,
    pub(crate) permissions: BTreeMap<IpAddr, Time>,
    pub(crate) channels: BTreeMap<u16, Channel>,
    pub(crate) usage: Usage,
    /// The Allocate that made it, and when.
    origin: (Transaction, Time),
}

impl Allocation {
    /// Whether packets to and from this address may be relayed.
    fn permits(&self, ip: IpAddr, now: Time) -> bool {
        self.permissions
            .get(&ip)
            .is_some_and(|expires| now < *expires)
    }
}

pub(crate) struct Channel {
    pub(crate) peer: SocketAddr,
    pub(crate) expires: Time,
}

/// An allocation that ended and whose end the shard has yet to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) at: Time,
    pub(crate) reason: Deletion,
    pub(crate) usage: Usage,
    /// What it took up in the tables.
    permissions: usize,
    channels: usize,
}

/// An allocation that its client deleted a moment ago.
struct Goodbye {
    at: Time,
    transaction: Transaction,
    username: Vec<u8>,
    key: Vec<u8>,
}

/// A datagram that has to come out of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// A payload, as it is, to a peer.
    Peer {
        relay: SocketId,
        destination: SocketAddr,
        payload: Vec<u8>,
    },
    /// A payload to a client, as ChannelData.
    Channel {
        tuple: Tuple,
        number: u16,
        payload: Vec<u8>,
    },
    /// A payload to a client, as a Data indication.
    Indication {
        tuple: Tuple,
        peer: SocketAddr,
        payload: Vec<u8>,
    },
}

/// Why nothing has to come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dropped {
    Malformed,
    NoAllocation,
    NoChannel,
    NoPermission,
    Denied,
}

/// Everything the shards of one host are supposed to know.
pub(crate) struct Model {
    pub(crate) realm: String,
    pub(crate) expiry: Expiry,
    /// Whether clients of RFC 5389 may come in.
    pub(crate) takes_md5: bool,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) capacity: Capacity,
    pub(crate) quota: Quota,
    pub(crate) fingerprint: bool,
    pub(crate) plan: Plan,
    pub(crate) policy: Policy,
    pub(crate) accounts: Accounts,
    pub(crate) allocations: BTreeMap<Tuple, Allocation>,
    pub(crate) ended: BTreeMap<Relay, Ended>,
    pub(crate) created: BTreeSet<Relay>,
    /// Requests that silence was accepted for because the budget for
    /// unauthenticated answers may have been spent.
    pub(crate) unpaid: u64,
    now: Time,
    goodbyes: BTreeMap<Tuple, Goodbye>,
    /// Allocations that a repeated goodbye may have ended, in this batch.
    doubtful: BTreeSet<Tuple>,
    nonces: BTreeMap<Vec<u8>, auth::Issued>,
}

impl Model {
    pub(crate) fn new(
        config: &forebay_turn::Config,
        plan: Plan,
        policy: Policy,
        accounts: Accounts,
    ) -> Self {
        Self {
            realm: config.realm.clone(),
            expiry: config.expiry,
            takes_md5: config.algorithms.contains(&PasswordAlgorithm::Md5),
            lifetimes: config.lifetimes,
            capacity: config.capacity,
            quota: config.quota,
            fingerprint: config.fingerprint,
            plan,
            policy,
            accounts,
            allocations: BTreeMap::new(),
            ended: BTreeMap::new(),
            created: BTreeSet::new(),
            unpaid: 0,
            now: 0,
            goodbyes: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            nonces: BTreeMap::new(),
        }
    }

    /// Lets time pass: allocations end, dead entries are forgotten.
    pub(crate) fn advance(&mut self, now: Time) {
        self.now = now;
        self.doubtful.clear();
        let expired = self
            .allocations
            .iter()
            .filter(|(_, allocation)| allocation.expires <= now);
        for tuple in expired.map(|(tuple, _)| *tuple).collect::<Vec<_>>() {
            let at = self.allocations[&tuple].expires;
            self.end(tuple, at, Deletion::Expired);
        }
        for Allocation {
            channels,
            permissions,
            ..
        } in self.allocations.values_mut()
        {
            channels.retain(|_, channel| now < channel.expires + CHANNEL_GUARD + GRACE);
            permissions.retain(|ip, expires| {
                now < *expires + GRACE || channels.values().any(|channel| channel.peer.ip() == *ip)
            });
        }
        self.goodbyes
            .retain(|_, goodbye| now < goodbye.at + RETRANSMISSION);
    }

    /// A new policy takes away what it denies.
    pub(crate) fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
        for allocation in self.allocations.values_mut() {
            allocation
                .permissions
                .retain(|ip, _| policy.reaches(&self.plan, *ip));
            allocation
                .channels
                .retain(|_, channel| policy.allows(&self.plan, channel.peer));
        }
    }

    /// ChannelData or a Send indication from a client. `None` when the
    /// datagram is neither.
    pub(crate) fn client_datagram(
        &mut self,
        tuple: Tuple,
        datagram: &[u8],
    ) -> Option<Result<Delivery, Dropped>> {
        match datagram {
            [0x40..=0x7F, ..] => Some(self.channel_data(tuple, datagram)),
            [0x00, 0x16, ..] => Some(self.send_indication(tuple, datagram)),
            [0..=3, ..] => None,
            _ => Some(Err(Dropped::Malformed)),
        }
    }

    fn channel_data(&mut self, tuple: Tuple, datagram: &[u8]) -> Result<Delivery, Dropped> {
        let (number, payload) = parse_channel_data(datagram).ok_or(Dropped::Malformed)?;
        let allocation = self.allocations.get(&tuple).ok_or(Dropped::NoAllocation)?;
        let channel = allocation
            .channels
            .get(&number)
            .filter(|channel| self.now < channel.expires);
        let channel = channel.ok_or(Dropped::NoChannel)?;
        self.relay_to_peer(tuple, channel.peer, payload)
    }

    fn send_indication(&mut self, tuple: Tuple, datagram: &[u8]) -> Result<Delivery, Dropped> {
        let message = Message::parse(datagram).ok_or(Dropped::Malformed)?;
        let understood = [
            attribute::XOR_PEER_ADDRESS,
            attribute::DATA,
            attribute::DONT_FRAGMENT,
            attribute::USERNAME,
            attribute::REALM,
            attribute::NONCE,
        ];
        if message
            .kinds()
            .any(|kind| kind < 0x8000 && !understood.contains(&kind))
        {
            return Err(Dropped::Malformed);
        }
        let peer = message
            .address(attribute::XOR_PEER_ADDRESS)
            .ok_or(Dropped::Malformed)?;
        let payload = message.get(attribute::DATA).ok_or(Dropped::Malformed)?;
        self.relay_to_peer(tuple, peer, payload)
    }

    fn relay_to_peer(
        &mut self,
        tuple: Tuple,
        peer: SocketAddr,
        payload: &[u8],
    ) -> Result<Delivery, Dropped> {
        let allocation = self
            .allocations
            .get_mut(&tuple)
            .ok_or(Dropped::NoAllocation)?;
        if !allocation.permits(peer.ip(), self.now) {
            return Err(Dropped::NoPermission);
        }
        if !self.policy.allows(&self.plan, peer) {
            return Err(Dropped::Denied);
        }
        allocation.usage.to_peer_packets += 1;
        allocation.usage.to_peer_bytes += payload.len() as u64;
        let destination = self.plan.to_local(peer);
        Ok(Delivery::Peer {
            relay: allocation.relay.socket,
            destination,
            payload: payload.to_vec(),
        })
    }

    /// A datagram that came to a relay socket.
    pub(crate) fn peer_datagram(
        &mut self,
        relay: Relay,
        source: SocketAddr,
        payload: &[u8],
    ) -> Result<Delivery, Dropped> {
        let peer = self.plan.to_public(source);
        let owner = self
            .allocations
            .iter_mut()
            .find(|(_, allocation)| allocation.relay == relay);
        let (tuple, allocation) = owner.ok_or(Dropped::NoAllocation)?;
        if !allocation.permits(peer.ip(), self.now) {
            return Err(Dropped::NoPermission);
        }
        allocation.usage.to_client_packets += 1;
        allocation.usage.to_client_bytes += payload.len() as u64;
        let (tuple, payload) = (*tuple, payload.to_vec());
        let bound = allocation
            .channels
            .iter()
            .find(|(_, channel)| channel.peer == peer && self.now < channel.expires);
        Ok(match bound {
            Some((number, _)) => Delivery::Channel {
                tuple,
                number: *number,
                payload,
            },
            None => Delivery::Indication {
                tuple,
                peer,
                payload,
            },
        })
    }

    /// A relayed datagram did not leave, because the transmit batch was full.
    pub(crate) fn not_relayed(&mut self, worker: usize, delivery: &Delivery) {
        let usage = |allocation: &mut Allocation, payload: &[u8]| match delivery {
            Delivery::Peer { .. } => {
                allocation.usage.to_peer_packets -= 1;
                allocation.usage.to_peer_bytes -= payload.len() as u64;
            }
            _ => {
                allocation.usage.to_client_packets -= 1;
                allocation.usage.to_client_bytes -= payload.len() as u64;
            }
        };
        for (tuple, allocation) in &mut self.allocations {
            match delivery {
                Delivery::Peer { relay, payload, .. }
                    if allocation.relay
                        == (Relay {
                            worker,
                            socket: *relay,
                        }) =>
                {
                    usage(allocation, payload);
                }
                Delivery::Channel {
                    tuple: to, payload, ..
                }
                | Delivery::Indication {
                    tuple: to, payload, ..
                } if to == tuple => {
                    usage(allocation, payload);
                }
                _ => {}
            }
        }
    }

    /// The shard closes a relay: a doubtful allocation on it is gone.
    pub(crate) fn relay_closed(&mut self, relay: Relay) {
        let owner = self.doubtful.iter().find(|tuple| {
            self.allocations
                .get(tuple)
                .is_some_and(|found| found.relay == relay)
        });
        if let Some(tuple) = owner.copied() {
            self.end(tuple, self.now, Deletion::ClosedByClient);
        }
    }

    /// The operator ends an allocation.
    pub(crate) fn delete(&mut self, relay: Relay) {
        let owner = self
            .allocations
            .iter()
            .find(|(_, allocation)| allocation.relay == relay);
        if let Some(tuple) = owner.map(|(tuple, _)| *tuple) {
            self.end(tuple, self.now, Deletion::Administrative);
        }
    }

    /// Datagrams that something live decides upon, and when it expires.
    pub(crate) fn borders(&self) -> Vec<(Time, Packet)> {
        let mut borders = Vec::new();
        let packet = |source, destination, bytes| Packet {
            source,
            destination,
            ecn: 0,
            bytes,
        };
        for (tuple, allocation) in &self.allocations {
            let server = SocketAddr::new(tuple.local, LISTENER_PORT);
            let relay = self.plan.to_local(allocation.relayed);
            for (ip, expires) in &allocation.permissions {
                let from = self
                    .plan
                    .to_local(SocketAddr::new(*ip, *RELAY_PORTS.start()));
                borders.push((*expires, packet(from, relay, b"from the peer".to_vec())));
                borders.push((
                    allocation.expires,
                    packet(from, relay, b"to nobody".to_vec()),
                ));
            }
            for (number, channel) in &allocation.channels {
                let data = channel_data(*number, b"to the peer");
                let from = self.plan.to_local(channel.peer);
                borders.push((channel.expires, packet(tuple.client, server, data.clone())));
                borders.push((
                    channel.expires,
                    packet(from, relay, b"channel or not".to_vec()),
                ));
                borders.push((allocation.expires, packet(tuple.client, server, data)));
            }
        }
        borders
    }

    /// Whether this relay socket is some live allocation's.
    pub(crate) fn owns(&self, relay: Relay) -> bool {
        self.allocations
            .values()
            .any(|allocation| allocation.relay == relay)
    }

    fn end(&mut self, tuple: Tuple, at: Time, reason: Deletion) {
        if let Some(gone) = self.allocations.remove(&tuple) {
            let (permissions, channels) = (gone.permissions.len(), gone.channels.len());
            self.ended.insert(
                gone.relay,
                Ended {
                    at,
                    reason,
                    usage: gone.usage,
                    permissions,
                    channels,
                },
            );
        }
    }
}
