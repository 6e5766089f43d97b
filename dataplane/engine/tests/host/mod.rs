//! A shard with memory in place of the kernel: batches are built from
//! datagrams, transmits are taken apart into datagrams again.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary uses its own part"
)]

pub mod client;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use forebay_engine::{
    Arena, Command, Counters, DropReason, Progress, RxBatch, RxSlot, Shard, ShardConfig,
    TrafficClass, TxBatch,
};
use forebay_turn::{
    Capacity, Config, Credentials, Lifetimes, OfferedRelay, PeerPolicy, PrefixBudget, Quota,
    RelayMapping, RelayedAddr, Seeds, SocketId, User,
};
use forebay_wire::clock::{Instant, Now, UnixSeconds};

/// The listening sockets: IPv4, then IPv6.
pub const LISTEN: [&str; 2] = ["192.0.2.1:3478", "[2001:db8::1]:3478"];
/// Relays that are kept offered, per family.
const READY: usize = 8;
pub const SOCKETS: u32 = 4096;
/// Receive memory of one slot, headroom included.
const STRIDE: usize = 1 << 16;
const PORTS: RangeInclusive<u16> = 49152..=65535;

/// A datagram that left the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub socket: SocketId,
    pub source: Option<IpAddr>,
    pub destination: SocketAddr,
    pub class: TrafficClass,
    pub bytes: Vec<u8>,
}

pub struct Host {
    pub shard: Shard,
    pub now: Now,
    pub tx: TxBatch,
    pub memory: Vec<u8>,
    pub slots: Vec<RxSlot>,
    /// Open relay sockets and what they are bound to.
    pub relays: HashMap<SocketId, SocketAddr>,
    /// Commands other than `CloseRelay`, in order.
    pub commands: Vec<Command>,
    spare: Vec<SocketId>,
}

pub fn config() -> ShardConfig {
    ShardConfig {
        turn: Config {
            realm: "example.org".into(),
            software: None,
            fingerprint: false,
            algorithms: Vec::new(),
            expiry: Default::default(),
            lifetimes: Lifetimes::default(),
            capacity: Capacity {
                allocations: 1024,
                permissions: 4096,
                channels: 4096,
                permissions_per_allocation: 64,
                channels_per_allocation: 64,
            },
            quota: Quota::default(),
            mobility: false,
            redirect: Default::default(),
            discovery: Vec::new(),
            new_peers: Default::default(),
            bandwidth: Default::default(),
            tcp: Default::default(),
            shared: Default::default(),
            unauthenticated: PrefixBudget {
                per_second: 0,
                burst: 0,
            },
            first_stream: SocketId(SOCKETS),
            dont_fragment: true,
        },
        media: None,
        listeners: LISTEN.len() as u32,
        sockets: SOCKETS,
        streams: 0,
        max_segment: 1452,
        requests_per_batch: 8,
    }
}

impl Host {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: ShardConfig) -> Self {
        let seeds = Seeds {
            nonce_key: [7; 16],
            hash_key: 8,
            random: 9,
        };
        let mut shard = Shard::new(config, seeds);
        shard.set_credentials(&Credentials {
            secrets: Vec::new(),
            users: vec![User {
                name: client::USER.into(),
                password: client::PASSWORD.into(),
            }],
        });
        let everywhere = ["0.0.0.0/0", "::/0"].map(|net| net.parse().expect("a network"));
        let local = |listen: &str| listen.parse::<SocketAddr>().expect("an address").ip();
        shard.set_policy(&PeerPolicy {
            allow: everywhere.to_vec(),
            deny: Vec::new(),
            never: LISTEN
                .map(|listen| listen.parse().expect("an address"))
                .to_vec(),
            relays: LISTEN
                .map(|listen| RelayMapping {
                    local: local(listen),
                    public: local(listen),
                })
                .to_vec(),
            media: Vec::new(),
            relay_ports: PORTS,
            lowest_port: 1024,
            never_tcp: Vec::new(),
        });
        let mut host = Self {
            shard,
            now: Now {
                instant: Instant::from_nanos(3_000_000_000),
                unix: UnixSeconds(1_700_000_000),
            },
            tx: TxBatch::with_capacity(1024, 4096, 1 << 16),
            memory: vec![0; STRIDE * RxBatch::MAX_SLOTS],
            slots: Vec::with_capacity(RxBatch::MAX_SLOTS),
            relays: HashMap::new(),
            commands: Vec::new(),
            spare: (LISTEN.len() as u32..SOCKETS).rev().map(SocketId).collect(),
        };
        host.offer_relays();
        host
    }

    /// The address of a listening socket; connections came to the first one.
    pub fn listening(socket: SocketId) -> SocketAddr {
        let listener = if socket.0 < SOCKETS { socket.0 } else { 0 };
        LISTEN[listener as usize].parse().expect("an address")
    }

    pub fn offer_relays(&mut self) {
        for (family, listen) in LISTEN.iter().enumerate() {
            let ip = listen.parse::<SocketAddr>().expect("an address").ip();
            loop {
                let held = self.shard.relays_held();
                let held = if family == 0 { held.v4 } else { held.v6 };
                let Some(&socket) = self.spare.last().filter(|_| held < READY) else {
                    break;
                };
                let local = SocketAddr::new(ip, 50_000 + socket.0 as u16);
                let offered = OfferedRelay {
                    socket,
                    local,
                    relayed: RelayedAddr(local),
                };
                if self.shard.offer_relay(offered).is_err() {
                    break;
                }
                self.spare.pop();
                self.relays.insert(socket, local);
            }
        }
    }

    /// Adds a slot to the next batch. Several datagrams are merged as GRO
    /// merges them: all as long as the first, the last may be shorter.
    pub fn receive(
        &mut self,
        socket: SocketId,
        source: SocketAddr,
        class: TrafficClass,
        datagrams: &[impl AsRef<[u8]>],
    ) {
        let local = match self.relays.get(&socket) {
            Some(local) => local.ip(),
            None => Self::listening(socket).ip(),
        };
        let start = self.slots.len() * STRIDE + RxBatch::HEADROOM;
        let segment = datagrams[0].as_ref().len();
        let mut at = start;
        for datagram in datagrams {
            let datagram = datagram.as_ref();
            assert!(datagram.len() <= segment);
            self.memory[at..at + datagram.len()].copy_from_slice(datagram);
            at += datagram.len();
        }
        self.slots.push(RxSlot {
            socket,
            source,
            local,
            start: start as u32,
            len: (at - start) as u32,
            segment: segment as u16,
            headroom: RxBatch::HEADROOM as u16,
            class,
        });
    }

    /// Handles the batch as a worker does and gives the datagrams it sends, in
    /// order.
    pub fn run(&mut self) -> Vec<Sent> {
        self.handle();
        self.tx.check(self.memory.len()).expect("a sound batch");
        let mut sent = Vec::new();
        for transmit in &self.tx.transmits {
            let mut bytes = Vec::new();
            for piece in self.tx.pieces_of(transmit) {
                let arena: &[u8] = if piece.arena == Arena::Headers {
                    &self.tx.headers
                } else {
                    &self.memory
                };
                let start = piece.start as usize;
                bytes.extend_from_slice(&arena[start..start + piece.len as usize]);
            }
            let mut datagrams: Vec<&[u8]> = match transmit.segment {
                Some(segment) => bytes.chunks(segment.into()).collect(),
                None => vec![&bytes],
            };
            assert_eq!(datagrams.len(), usize::from(transmit.datagrams));
            sent.extend(datagrams.drain(..).map(|bytes| Sent {
                socket: transmit.socket,
                source: transmit.source,
                destination: transmit.destination,
                class: transmit.class,
                bytes: bytes.to_vec(),
            }));
        }
        for sent in &sent {
            let listening = !(LISTEN.len() as u32..SOCKETS).contains(&sent.socket.0);
            assert_eq!(
                sent.source.is_some(),
                listening,
                "only listeners choose a source"
            );
        }
        self.housekeep();
        sent
    }

    /// Only the shard's part of a round; the transmits stay in `tx`.
    pub fn handle(&mut self) {
        let mut rx = RxBatch {
            memory: &mut self.memory,
            slots: &self.slots,
        };
        let progress = self.shard.handle(self.now, &mut rx, &mut self.tx);
        assert_eq!(progress, Progress::Done, "relaying is done at once");
        self.slots.clear();
    }

    /// Runs timers, carries out commands and offers relays.
    pub fn housekeep(&mut self) {
        if self
            .shard
            .next_deadline()
            .is_some_and(|at| at <= self.now.instant)
        {
            self.shard.on_timeout(self.now, &mut self.tx);
        }
        while let Some(command) = self.shard.next_command() {
            match command {
                Command::CloseRelay(socket) => {
                    self.relays.remove(&socket).expect("an open relay");
                    self.spare.push(socket);
                }
                command => self.commands.push(command),
            }
        }
        self.offer_relays();
        self.shard.check().expect("a sound shard");
    }

    /// Receives one datagram and runs the batch.
    pub fn exchange(&mut self, socket: SocketId, source: SocketAddr, datagram: &[u8]) -> Vec<Sent> {
        self.receive(socket, source, TrafficClass(0), &[datagram]);
        self.run()
    }

    pub fn pass(&mut self, time: Duration) {
        self.now.instant = self.now.instant + time;
        self.now.unix.0 += time.as_secs();
    }

    /// The relay socket bound to an address.
    pub fn relay_at(&self, address: SocketAddr) -> SocketId {
        let found = self.relays.iter().find(|&(_, local)| *local == address);
        *found.expect("a relay at this address").0
    }

    pub fn counters(&self) -> &Counters {
        self.shard.counters()
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.shard.counters().dropped(reason)
    }
}
