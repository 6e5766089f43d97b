//! A TURN client: it allocates, keeps or forgets what it was given, talks to
//! peers, repeats what is not answered, and lives behind a NAT.
//!
//! - this file: what a client is and what it decides to do next
//! - [`transactions`]: requests, their retransmission and their answers

mod transactions;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::accounts::{Account, Accounts};
use crate::addresses::{Plan, RELAY_PORTS};
use crate::network::{Packet, SECOND, Time};
use crate::random::Random;
use crate::stun::{Class, Transaction, Writer, attribute, channel_data, method};

pub(crate) use transactions::Intent;
use transactions::Pending;

/// What a client needs of the world while it acts, and what it hands back.
pub(crate) struct Turn<'a> {
    pub(crate) now: Time,
    pub(crate) unix: u64,
    pub(crate) random: &'a mut Random,
    pub(crate) plan: &'a Plan,
    pub(crate) accounts: &'a Accounts,
    /// Relayed addresses other clients told about, as signaling would.
    pub(crate) known_relays: &'a [SocketAddr],
    /// Sent at once, in order.
    pub(crate) out: Vec<Packet>,
    /// Transactions to look at again, and when.
    pub(crate) timers: Vec<(Time, Transaction)>,
}

pub(crate) struct Client {
    /// Behind the NAT.
    pub(crate) address: SocketAddr,
    server: SocketAddr,
    account: Account,
    habits: Habits,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    /// PASSWORD-ALGORITHMS that came with it.
    offer: Vec<u8>,
    session: Option<Session>,
    pending: BTreeMap<Transaction, Pending>,
    /// Payload bytes that came, for the report.
    pub(crate) received: u64,
}

/// What makes one client differ from another.
struct Habits {
    /// Lets allocations, permissions and channels run out.
    forgetful: bool,
    /// Sends well-formed requests that have to be refused.
    odd_percent: f64,
    /// Has the wrong password now and then.
    mistyping: bool,
    fingerprint: bool,
    /// Knows RFC 8489: takes the algorithm it is offered.
    modern: bool,
    /// Sends USERHASH where its name can be found by it.
    hashed: bool,
    /// Sends both integrity attributes.
    doubly: bool,
    largest_payload: u64,
}

/// A live allocation as the client sees it.
struct Session {
    relayed: SocketAddr,
    refresh_at: Time,
    permissions: BTreeSet<IpAddr>,
    channels: BTreeMap<u16, SocketAddr>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, turn: &mut Turn<'_>) -> Self {
        let ipv6 = address.is_ipv6();
        let odd = turn.random.percent(50.0);
        Self {
            address,
            server: turn.plan.server(ipv6, turn.random),
            account: turn.accounts.issue(turn.unix, 600, turn.random),
            habits: Habits {
                forgetful: turn.random.percent(40.0),
                odd_percent: if odd {
                    turn.random.between(1, 30) as f64
                } else {
                    0.0
                },
                mistyping: turn.random.percent(20.0),
                fingerprint: turn.random.percent(50.0),
                modern: turn.random.percent(50.0),
                hashed: turn.random.percent(30.0),
                doubly: turn.random.percent(20.0),
                largest_payload: turn.random.skewed(20, 1400),
            },
            realm: Vec::new(),
            nonce: Vec::new(),
            offer: Vec::new(),
            session: None,
            pending: BTreeMap::new(),
            received: 0,
        }
    }

    /// The relayed address, to be told to others.
    pub(crate) fn relayed(&self) -> Option<SocketAddr> {
        self.session.as_ref().map(|session| session.relayed)
    }

    /// Does something.
    pub(crate) fn act(&mut self, turn: &mut Turn<'_>) {
        if turn.random.percent(self.habits.odd_percent) {
            return self.act_oddly(turn);
        }
        let Some(session) = &self.session else {
            if self.pending.is_empty() {
                self.start(turn);
            }
            return;
        };
        if session.refresh_at <= turn.now && !self.habits.forgetful {
            let lifetime = turn
                .random
                .percent(50.0)
                .then(|| turn.random.between(1, 4000) as u32);
            return self.request(Intent::Refresh(lifetime), turn);
        }
        let choice =
            turn.random
                .weighted(&[(10, 0), (8, 1), (30, 2), (40, 3), (1, 4), (1, 5), (4, 6)]);
        match choice {
            0 => {
                let peers = (0..turn.random.between(1, 3))
                    .map(|_| self.peer(turn))
                    .collect();
                self.request(Intent::Permit(peers), turn);
            }
            1 => self.bind(turn),
            2 => self.send_burst(turn),
            3 => self.channel_burst(turn),
            4 => self.request(Intent::Refresh(Some(0)), turn),
            5 => self.request(Intent::Binding, turn),
            _ => self.renew(turn),
        }
    }

    /// Leaves for good; some say goodbye.
    pub(crate) fn leave(&mut self, turn: &mut Turn<'_>) {
        if self.session.is_some() && turn.random.percent(50.0) {
            self.request(Intent::Refresh(Some(0)), turn);
        }
    }

    fn start(&mut self, turn: &mut Turn<'_>) {
        if turn.random.percent(20.0) {
            self.account = turn
                .accounts
                .issue(turn.unix, turn.random.skewed(1, 3600), turn.random);
        }
        if self.habits.mistyping && turn.random.percent(30.0) {
            self.account.password.push('x');
        }
        let ipv6 = turn.random.percent(30.0);
        let even = turn.random.percent(10.0);
        let lifetime = turn
            .random
            .percent(50.0)
            .then(|| turn.random.skewed(1, 10_000) as u32);
        self.request(
            Intent::Allocate {
                ipv6,
                even,
                lifetime,
            },
            turn,
        );
    }

    /// Binds a new channel, or an old one again.
    fn bind(&mut self, turn: &mut Turn<'_>) {
        let peer = self.peer(turn);
        let Some(session) = &self.session else { return };
        let bound = session.channels.iter().find(|(_, bound)| **bound == peer);
        let number = bound.map_or_else(|| a_channel(turn.random), |(number, _)| *number);
        self.request(Intent::Bind(number, peer), turn);
    }

    /// Refreshes what is there: permissions of known peers and channels.
    fn renew(&mut self, turn: &mut Turn<'_>) {
        let Some(session) = &self.session else { return };
        let channels: Vec<_> = session
            .channels
            .iter()
            .map(|(number, peer)| (*number, *peer))
            .collect();
        let peers: Vec<_> = session
            .permissions
            .iter()
            .map(|ip| SocketAddr::new(*ip, 4000))
            .collect();
        for (number, peer) in channels {
            self.request(Intent::Bind(number, peer), turn);
        }
        if !peers.is_empty() {
            self.request(Intent::Permit(peers), turn);
        }
    }

    fn send_burst(&mut self, turn: &mut Turn<'_>) {
        let mut peer = self.peer(turn);
        let permitted = self.session.as_ref().map(|session| &session.permissions);
        for _ in 0..4 {
            // Mostly to those it has a permission for.
            if permitted.is_some_and(|permitted| permitted.contains(&peer.ip())) {
                break;
            }
            peer = self.peer(turn);
        }
        let payloads = self.payloads(turn);
        for payload in payloads {
            let kind = Writer::new(Class::Indication, method::SEND, turn.random.bytes());
            let message = if turn.random.percent(50.0) {
                kind.with_address(attribute::XOR_PEER_ADDRESS, peer)
                    .with(attribute::DATA, &payload)
            } else {
                kind.with(attribute::DATA, &payload)
                    .with_address(attribute::XOR_PEER_ADDRESS, peer)
            };
            self.send(message.finish(), turn);
        }
    }

    fn channel_burst(&mut self, turn: &mut Turn<'_>) {
        let Some(session) = &self.session else { return };
        let mut numbers: Vec<u16> = session.channels.keys().copied().collect();
        if numbers.is_empty() {
            numbers.push(a_channel(turn.random));
        }
        // Interleaved over several channels, as video simulcast would.
        let spread = turn.random.between(1, numbers.len() as u64) as usize;
        for (index, payload) in self.payloads(turn).into_iter().enumerate() {
            let mut message = channel_data(numbers[index % spread], &payload);
            if turn.random.percent(10.0) {
                message.resize(message.len().next_multiple_of(4), 0);
            }
            self.send(message, turn);
        }
    }

    /// A frame's worth of payloads: equal in size, the last one shorter.
    fn payloads(&self, turn: &mut Turn<'_>) -> Vec<Vec<u8>> {
        let count = turn.random.skewed(1, 30);
        let size = turn.random.between(0, self.habits.largest_payload) as usize;
        let last = turn.random.between(0, size as u64) as usize;
        let mut payloads = vec![vec![0; size]; count as usize];
        if turn.random.percent(50.0) {
            payloads[count as usize - 1].truncate(last);
        }
        for payload in &mut payloads {
            turn.random.fill(payload);
        }
        payloads
    }

    /// Somebody to talk to: a peer, another client's relay, rarely somebody
    /// policy forbids or the wrong family.
    fn peer(&self, turn: &mut Turn<'_>) -> SocketAddr {
        let ipv6 = self
            .session
            .as_ref()
            .is_some_and(|session| session.relayed.is_ipv6());
        let mut peers: Vec<SocketAddr> = turn.plan.peers.clone();
        peers.extend(turn.known_relays);
        if !turn.random.percent(4.0) {
            peers.retain(|peer| peer.is_ipv6() == ipv6);
        }
        if peers.is_empty() || turn.random.percent(3.0) {
            return turn.plan.forbidden(ipv6, turn.random);
        }
        let mut peer = *turn.random.pick(&peers);
        if turn.random.percent(3.0) {
            peer.set_port(*turn.random.pick(&[
                0,
                53,
                1023,
                1024,
                4001,
                *RELAY_PORTS.end(),
                65_535,
            ]));
        }
        peer
    }

    fn send(&self, bytes: Vec<u8>, turn: &mut Turn<'_>) {
        let ecn = if turn.random.percent(5.0) {
            turn.random.between(1, 3) as u8
        } else {
            0
        };
        turn.out.push(Packet {
            source: self.address,
            destination: self.server,
            ecn,
            bytes,
        });
    }

    fn install(&mut self, relayed: SocketAddr, lifetime: u32, now: Time) {
        let refresh_at = now + Time::from(lifetime) * SECOND * 2 / 3;
        self.session = Some(Session {
            relayed,
            refresh_at,
            permissions: BTreeSet::new(),
            channels: BTreeMap::new(),
        });
    }
}

/// One of few numbers from both ends of the range clients choose from.
fn a_channel(random: &mut Random) -> u16 {
    let number = random.between(0, 20) as u16;
    if number < 16 {
        0x4000 + number
    } else {
        0x8000 - number + 15
    }
}
