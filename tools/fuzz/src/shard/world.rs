//! The shard with its sockets, its clock and what is on its way to it.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashSet;

use forebay_engine::{
    Command, Progress, RxBatch, RxSlot, Shard, ShardConfig, TrafficClass, TxBatch,
};
use forebay_turn::{
    AllocationId, Capacity, Config, Expiry, Lifetimes, OfferedRelay, PasswordAlgorithm, PeerPolicy,
    PrefixBudget, Quota, RelayedAddr, Seeds, SocketId, TcpRelay,
};
use forebay_wire::clock::{Instant, Now, UnixSeconds};
use forebay_wire::stun::{AttributeType, Icmp, Message, Method, TransactionId};

use super::batch::Handled;
use super::places::{self, CLIENTS, LISTENERS, RELAYS, SOCKETS, local_of};
use super::requests;
use super::tcp::Peers;

pub(super) const REALM: &str = "example.org";

const FIRST_PORT: u16 = 50_000;
/// Receive memory of one batch.
const MEMORY: usize = 256 * 1024;

pub(super) struct World {
    pub(super) shard: Shard,
    pub(super) now: Now,
    slots: Vec<RxSlot>,
    memory: Vec<u8>,
    pub(super) tx: TxBatch,
    /// Ids of relay sockets that are closed.
    pub(super) closed: Vec<SocketId>,
    pub(super) open: HashSet<SocketId>,
    pub(super) peers: Peers,
    live: Vec<(AllocationId, SocketAddr)>,
    nonces: [Vec<u8>; CLIENTS.len()],
    last: Option<(usize, Vec<u8>)>,
    transactions: u32,
    datagrams: u64,
    memory_at_start: usize,
}

impl World {
    /// `setting` chooses the sizes of the transmit batch and the budget.
    pub(super) fn new(setting: u8) -> Self {
        let config = ShardConfig {
            turn: Config {
                realm: REALM.to_owned(),
                software: (setting & 1 != 0).then(|| "fuzz".to_owned()),
                fingerprint: setting & 2 != 0,
                algorithms: vec![PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5],
                expiry: if setting & 16 == 0 {
                    Expiry::Lenient
                } else {
                    Expiry::Strict
                },
                lifetimes: Lifetimes::default(),
                capacity: Capacity {
                    allocations: 6,
                    permissions: 16,
                    channels: 12,
                    permissions_per_allocation: 6,
                    channels_per_allocation: 4,
                },
                quota: Quota {
                    allocations_per_user: (setting & 4 != 0).then_some(2),
                    allocations: None,
                },
                mobility: true,
                redirect: Default::default(),
                discovery: Vec::new(),
                new_peers: Default::default(),
                bandwidth: Default::default(),
                tcp: TcpRelay {
                    connections: 5,
                    connections_per_allocation: 3,
                    connecting_per_allocation: 2,
                },
                shared: Default::default(),
                unauthenticated: PrefixBudget {
                    per_second: 50,
                    burst: 100,
                },
                first_stream: SocketId(SOCKETS),
                dont_fragment: true,
            },
            media: None,
            listeners: LISTENERS.len() as u32,
            sockets: SOCKETS,
            streams: 2,
            max_segment: 1400,
            requests_per_batch: 4,
        };
        let seeds = Seeds {
            nonce_key: [3; 16],
            hash_key: 5,
            random: 7,
        };
        let mut shard = Shard::new(config, seeds);
        shard.set_credentials(&requests::credentials());
        shard.set_policy(&places::policy());
        for (_, socket) in CLIENTS {
            shard.set_byte_stream(socket, socket.0 >= SOCKETS);
        }
        let tx = match setting & 8 {
            0 => TxBatch::with_capacity(512, 2048, 64 * 1024),
            _ => TxBatch::with_capacity(8, 24, 2048),
        };
        let start = Now {
            instant: Instant::from_nanos(1 << 40),
            unix: UnixSeconds(1_800_000_000),
        };
        let mut world = Self {
            memory_at_start: shard.memory(),
            shard,
            now: start,
            slots: Vec::new(),
            memory: Vec::new(),
            tx,
            closed: (LISTENERS.len() as u32..SOCKETS).map(SocketId).collect(),
            open: HashSet::new(),
            peers: Peers::default(),
            live: Vec::new(),
            nonces: Default::default(),
            last: None,
            transactions: 0,
            datagrams: 0,
        };
        world.offer();
        world
    }

    /// The last nonce a client was told; empty before the first.
    pub(super) fn nonce(&self, client: usize) -> &[u8] {
        &self.nonces[client]
    }

    pub(super) fn next_transaction(&mut self) -> TransactionId {
        self.transactions += 1;
        let mut id = [0; 12];
        id[..4].copy_from_slice(&self.transactions.to_be_bytes());
        TransactionId(id)
    }

    /// The relayed address of one of the live allocations.
    pub(super) fn relayed(&self, index: usize) -> Option<SocketAddr> {
        let index = index.checked_rem(self.live.len())?;
        self.live.get(index).map(|(_, relayed)| *relayed)
    }

    /// A client's datagrams of equal size (the last may be shorter), merged.
    pub(super) fn client_sends(&mut self, client: usize, bytes: &[u8], segment: Option<usize>) {
        let (source, socket) = CLIENTS[client];
        if segment.is_none() {
            self.last = Some((client, bytes.to_vec()));
        }
        if let Ok(message) = Message::parse(bytes)
            && message.method() == Method::CONNECT
        {
            self.peers.asked += 1;
        }
        self.receive(socket, source, local_of(socket), bytes, segment);
    }

    /// What a peer sends to one of the relay sockets, given out or not.
    pub(super) fn peer_sends(&mut self, relay: usize, from: SocketAddr, total: usize, each: usize) {
        let count = SOCKETS as usize - LISTENERS.len();
        let socket = SocketId((LISTENERS.len() + relay % count) as u32);
        let local = relay_of(socket);
        if self.open.contains(&socket) && from.is_ipv4() == local.local.is_ipv4() {
            let bytes: Vec<u8> = (0..total).map(|i| i as u8).collect();
            self.receive(socket, from, local.local, &bytes, Some(each));
        }
    }

    /// An ICMP error of what one of the relay sockets sent: whoever is told is
    /// told in one message.
    pub(super) fn icmp(&mut self, relay: usize, to: SocketAddr, icmp: Icmp) {
        self.handle();
        self.tx.clear();
        let count = SOCKETS as usize - LISTENERS.len();
        let socket = SocketId((LISTENERS.len() + relay % count) as u32);
        self.shard.icmp(self.now, socket, to, icmp, &mut self.tx);
        assert!(self.tx.transmits.len() <= 1);
        for transmit in &self.tx.transmits {
            assert!(CLIENTS.contains(&(transmit.destination, transmit.socket)));
            let message = Message::parse(&self.tx.headers).expect("a message");
            let told = message.get(AttributeType::ICMP).and_then(Icmp::decode);
            assert_eq!(told, Some(icmp));
            assert!(message.xor_peer_address().is_some() && message.data().is_none());
        }
        self.tx.clear();
    }

    /// The last single datagram of a client once more, perhaps after a change.
    pub(super) fn repeat_last(&mut self, change: u8) {
        if let Some((client, mut bytes)) = self.last.clone() {
            if change >= 0x80
                && let Some(byte) = bytes.get_mut(usize::from(change & 0x7F))
            {
                *byte ^= 1;
            }
            self.client_sends(client, &bytes, None);
        }
    }

    fn receive(
        &mut self,
        socket: SocketId,
        source: SocketAddr,
        local: SocketAddr,
        bytes: &[u8],
        segment: Option<usize>,
    ) {
        // The kernel merges up to 64 KiB, at most 64 datagrams and none empty.
        let segment = segment.unwrap_or(bytes.len()).min(bytes.len());
        let most = segment.saturating_mul(64).min(60_000);
        let bytes = &bytes[..bytes.len().min(most)];
        let full = self.memory.len() + RxBatch::HEADROOM + bytes.len() > MEMORY;
        if full || self.slots.len() == RxBatch::MAX_SLOTS {
            self.handle();
        }
        self.memory
            .resize(self.memory.len() + RxBatch::HEADROOM, 0xEE);
        self.slots.push(RxSlot {
            socket,
            source,
            local: local.ip(),
            start: self.memory.len() as u32,
            len: bytes.len() as u32,
            segment: segment as u16,
            headroom: match socket.0 >= SOCKETS {
                true => 0,
                false => RxBatch::HEADROOM as u16,
            },
            class: TrafficClass(bytes.len() as u8),
        });
        self.memory.extend_from_slice(bytes);
        self.datagrams += bytes.len().div_ceil(segment.max(1)).max(1) as u64;
    }

    /// One round: the batch, the timers that are due, the commands.
    pub(super) fn handle(&mut self) {
        let before = self.memory.clone();
        let made_with = capacities(&self.tx);
        let mut rx = RxBatch {
            memory: &mut self.memory,
            slots: &self.slots,
        };
        let progress = self.shard.handle(self.now, &mut rx, &mut self.tx);
        assert_eq!(progress, Progress::Done, "relaying is done at once");
        assert_eq!(
            made_with,
            capacities(&self.tx),
            "the transmit batch never grows"
        );
        let handled = Handled {
            slots: &self.slots,
            before: &before,
            memory: &self.memory,
            tx: &self.tx,
            open: &self.open,
        };
        for (client, answer) in handled.check() {
            if let Ok(message) = Message::parse(&answer)
                && let Some(nonce) = message.nonce()
            {
                self.nonces[client] = nonce.to_vec();
            }
        }
        self.slots.clear();
        self.memory.clear();
        self.settle();
        self.conserved();
    }

    /// Lets time pass in one leap, as when the process was suspended.
    pub(super) fn advance(&mut self, by: Duration) {
        self.handle();
        let millis = self.now.instant.as_nanos() / 1_000_000;
        self.now.instant = self.now.instant + by;
        let seconds = self.now.instant.as_nanos() / 1_000_000_000 - millis / 1000;
        self.now.unix.0 += seconds;
        for _ in 0..1000 {
            if self
                .shard
                .next_deadline()
                .is_none_or(|at| at > self.now.instant)
            {
                return;
            }
            self.shard.on_timeout(self.now, &mut self.tx);
            self.settle();
        }
        unreachable!("timers that are due run out");
    }

    pub(super) fn delete(&mut self, index: usize) {
        if let Some(index) = index.checked_rem(self.live.len()) {
            let (allocation, _) = self.live[index];
            let before = self.live.len();
            // Refused when it has expired and its timer is still to fire.
            let ended = self.shard.delete(self.now, allocation);
            self.settle();
            assert_eq!(self.live.len(), before - usize::from(ended));
        }
    }

    pub(super) fn set_policy(&mut self, policy: &PeerPolicy) {
        self.handle();
        self.shard.set_policy(policy);
        self.settle();
    }

    /// After an hour without a client everything is gone but what is on offer.
    pub(super) fn check_idle(&mut self) {
        for _ in 0..4 {
            self.advance(Duration::from_secs(3601));
        }
        assert_eq!(self.shard.allocations(), 0);
        self.peers.check_idle();
        let held = self.shard.relays_held();
        assert_eq!(
            held.v4 + held.v6,
            self.open.len(),
            "every other relay was closed"
        );
        // Socket ids above twice the allocations cost a word each.
        let most = self.memory_at_start + SOCKETS as usize * size_of::<u64>();
        assert!(self.shard.memory() <= most, "tables never grow");
    }

    pub(super) fn settle(&mut self) {
        while let Some(command) = self.shard.next_command() {
            match command {
                Command::CloseRelay(socket) => {
                    assert!(self.open.remove(&socket), "closes what is open, once");
                    self.closed.push(socket);
                }
                Command::Created {
                    allocation,
                    tuple,
                    relayed,
                    ..
                } => {
                    let client = tuple.client.0;
                    assert!(CLIENTS.iter().any(|(address, _)| *address == client));
                    assert!(
                        self.open
                            .iter()
                            .any(|socket| relay_of(*socket).relayed == relayed)
                    );
                    let taken = self.live.iter().any(|(id, _)| id.slot == allocation.slot);
                    assert!(!taken, "one owner per slot");
                    self.live.push((allocation, relayed.0));
                }
                Command::Deleted { allocation, .. } => {
                    let index = self.live.iter().position(|(id, _)| *id == allocation);
                    self.live
                        .swap_remove(index.expect("ends what was created, once"));
                }
                Command::Forward { .. } => unreachable!("there is one shard"),
                Command::Tcp(command) => self.obey_tcp(command),
                Command::Dtls { .. } | Command::Media(_) => unreachable!("nothing is forwarded"),
            }
        }
        self.close_peers();
        assert_eq!(self.live.len(), self.shard.allocations());
        assert_eq!(self.shard.check(), Ok(()));
        self.offer();
    }

    /// Keeps two relays of each family on offer, as a worker does.
    fn offer(&mut self) {
        for v6 in [false, true] {
            let held = self.shard.relays_held();
            for _ in if v6 { held.v6 } else { held.v4 }..2 {
                let fits = |socket: &SocketId| relay_of(*socket).local.is_ipv6() == v6;
                let Some(index) = self.closed.iter().position(fits) else {
                    continue;
                };
                let relay = relay_of(self.closed[index]);
                if self.shard.offer_relay(relay).is_ok() {
                    self.open.insert(self.closed.remove(index));
                }
            }
        }
    }

    /// Every datagram is relayed, answered or dropped for a reason.
    fn conserved(&self) {
        let counters = self.shard.counters();
        let relayed = counters.to_peer_packets + counters.to_client_packets;
        let dropped: u64 = counters.dropped.iter().sum();
        let handled = relayed + counters.answers + dropped - self.peers.told;
        // A Connect may be answered later, or never.
        let waiting = self.datagrams - handled;
        assert!(waiting <= self.peers.asked, "{waiting} are missing");
    }
}

/// A relay socket's addresses follow from its id: even ones are IPv4.
pub(super) fn relay_of(socket: SocketId) -> OfferedRelay {
    let place = RELAYS[socket.0 as usize % 2];
    let port = FIRST_PORT + socket.0 as u16;
    OfferedRelay {
        socket,
        local: SocketAddr::new(place.local, port),
        relayed: RelayedAddr(SocketAddr::new(place.public, port)),
    }
}

fn capacities(tx: &TxBatch) -> [usize; 3] {
    [
        tx.transmits.capacity(),
        tx.pieces.capacity(),
        tx.headers.capacity(),
    ]
}
