//! A server with virtual time and a small STUN client over it.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::wrong_self_convention
)]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use forebay_turn::{
    BandwidthLimits, Capacity, ChannelNumber, ClientAddr, Command, Config, Credentials, Deletion,
    Expiry, FiveTuple, Lifetimes, NewPeers, OfferedRelay, Outcome, PasswordAlgorithm, PeerAddr,
    PeerConnection, PeerPolicy, PrefixBudget, Quota, Refusal, RelayMapping, RelayedAddr, ReplyFrom,
    Secret, Seeds, Server, Shared, SocketId, TcpRelay, ToClient, ToPeer, User,
};
use forebay_wire::clock::{Instant, Now, UnixSeconds};
use forebay_wire::stun::{AttributeType, Builder, Class, Message, Method, TransactionId};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;

pub const REALM: &str = "example.org";
pub const SECRET: &str = "north";
pub const RELAY_V4: &str = "192.0.2.10";
pub const RELAY_V6: &str = "2001:db8::10";
pub const PEER: &str = "8.8.4.4:5000";
pub const PEER_V6: &str = "[2606:4700::1]:5000";
pub const FIRST_RELAY: u32 = 16;

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn config() -> Config {
    Config {
        realm: REALM.into(),
        software: None,
        fingerprint: false,
        algorithms: vec![PasswordAlgorithm::Md5],
        expiry: Expiry::Lenient,
        lifetimes: Lifetimes::default(),
        capacity: Capacity {
            allocations: 64,
            permissions: 256,
            channels: 128,
            permissions_per_allocation: 16,
            channels_per_allocation: 8,
        },
        quota: Quota::default(),
        mobility: false,
        redirect: Default::default(),
        discovery: Vec::new(),
        new_peers: NewPeers::default(),
        bandwidth: BandwidthLimits::default(),
        tcp: TcpRelay::default(),
        shared: Shared::default(),
        unauthenticated: PrefixBudget {
            per_second: 0,
            burst: 0,
        },
        first_stream: SocketId(u32::MAX),
        dont_fragment: false,
    }
}

pub fn seeds() -> Seeds {
    Seeds {
        nonce_key: [7; 16],
        hash_key: 0x1234_5678_9abc_def0,
        random: 42,
    }
}

pub fn secret(id: &str) -> Secret {
    Secret {
        id: id.into(),
        key: id.as_bytes().to_vec(),
        not_after: None,
    }
}

pub fn user(name: &str, password: &str) -> User {
    User {
        name: name.into(),
        password: password.into(),
    }
}

pub fn policy() -> PeerPolicy {
    PeerPolicy {
        relays: [RELAY_V4, RELAY_V6]
            .map(|at| RelayMapping {
                local: ip(at),
                public: ip(at),
            })
            .to_vec(),
        ..PeerPolicy::default()
    }
}

/// The REST password of a username under a secret.
pub fn rest_password(secret: &str, username: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(username.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

pub struct World {
    pub server: Server,
    pub now: Now,
    pub timers: Vec<(Instant, u64)>,
    pub events: Vec<Command>,
    pub closed: Vec<SocketId>,
    /// Relays handed in singly.
    pub offered: usize,
    /// Whether a listening socket can be opened.
    pub listens: bool,
    /// Listening sockets opened.
    pub listening: usize,
    /// Connections that clients bound.
    pub bound: Vec<PeerConnection>,
    /// Connections the server told to close, and that are not closed yet.
    pub hanging: Vec<PeerConnection>,
    free: Vec<SocketId>,
    next_socket: u32,
    pub mapping: Option<(IpAddr, IpAddr)>,
}

impl World {
    pub fn new(config: Config) -> Self {
        let mut server = Server::new(config, seeds());
        server.set_credentials(&Credentials {
            secrets: vec![secret(SECRET)],
            users: vec![user("alice", "wonder")],
        });
        server.set_policy(&policy());
        let mut world = Self {
            server,
            now: Now {
                instant: Instant::from_nanos(5_000_000_000),
                unix: UnixSeconds(1_800_000_000),
            },
            timers: Vec::new(),
            events: Vec::new(),
            closed: Vec::new(),
            offered: 0,
            listens: true,
            listening: 0,
            bound: Vec::new(),
            hanging: Vec::new(),
            free: Vec::new(),
            next_socket: FIRST_RELAY,
            mapping: None,
        };
        world.offer();
        world
    }

    /// Keeps a few relays of both families in hand.
    pub fn offer(&mut self) {
        for v6 in [false, true] {
            let held = |world: &Self| {
                if v6 {
                    world.server.relays_held().v6
                } else {
                    world.server.relays_held().v4
                }
            };
            while held(self) < 4 {
                let socket = self.free.pop().unwrap_or_else(|| {
                    self.next_socket += 1;
                    SocketId(self.next_socket - 1)
                });
                let port = 50_000 + socket.0 as u16;
                let public = ip(if v6 { RELAY_V6 } else { RELAY_V4 });
                let local = self
                    .mapping
                    .filter(|&(_, to)| to == public)
                    .map_or(public, |(from, _)| from);
                let relay = OfferedRelay {
                    socket,
                    local: SocketAddr::new(local, port),
                    relayed: RelayedAddr(SocketAddr::new(public, port)),
                };
                if self.server.offer_relay(relay).is_err() {
                    self.free.push(socket);
                    break;
                }
                self.offered += 1;
            }
        }
    }

    pub fn drain(&mut self) {
        while let Some(command) = self.server.next_command() {
            match command {
                Command::Arm { token, at } => {
                    assert!(
                        self.timers.iter().all(|&(_, armed)| armed != token),
                        "armed twice"
                    );
                    assert!(at >= self.now.instant);
                    self.timers.push((at, token));
                    assert!(self.timers.len() <= self.server.timers());
                }
                Command::CloseRelay(socket) => {
                    self.closed.push(socket);
                    self.free.push(socket);
                }
                event => self.events.push(event),
            }
        }
        while let Some(connection) = self.server.next_to_close() {
            assert!(!self.hanging.contains(&connection), "told twice");
            self.hanging.push(connection);
        }
        assert_eq!(self.server.check(), Ok(()));
    }

    /// Lets time pass and fires what is due, in order.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now.instant + by;
        let start = self.now;
        while let Some(next) = (0..self.timers.len()).min_by_key(|&i| self.timers[i]) {
            if self.timers[next].0 > end {
                break;
            }
            let (at, token) = self.timers.swap_remove(next);
            self.now.instant = at;
            self.now.unix = UnixSeconds(start.unix.0 + at.since(start.instant).as_secs());
            self.server.on_timer(self.now, token);
            self.drain();
        }
        self.now = Now {
            instant: end,
            unix: UnixSeconds(start.unix.0 + by.as_secs()),
        };
    }

    /// Lets time pass without firing a timer.
    pub fn advance_lazily(&mut self, by: Duration) {
        self.now = Now {
            instant: self.now.instant + by,
            unix: UnixSeconds(self.now.unix.0 + by.as_secs()),
        };
    }

    pub fn raw(&mut self, tuple: &FiveTuple, datagram: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut answer = vec![0; Server::MAX_ANSWER];
        let mut outcome = self.server.request(self.now, tuple, datagram, &mut answer);
        if let Outcome::Listen { v6 } = outcome {
            self.drain();
            let listener = self.listener(v6);
            outcome =
                self.server
                    .request_with_listener(self.now, tuple, datagram, &mut answer, listener);
        }
        self.drain();
        self.offer();
        match outcome {
            Outcome::Reply(len) | Outcome::ReplyFrom(ReplyFrom { len, .. }) => {
                answer.truncate(len);
                Ok(answer)
            }
            Outcome::Silent(refusal) => Err(refusal),
            Outcome::Elsewhere(shard) => panic!("sent to shard {shard}"),
            Outcome::Listen { .. } => panic!("asked for another socket"),
            Outcome::Later => Ok(Vec::new()),
            Outcome::Bound { len, connection } => {
                self.bound.push(connection);
                answer.truncate(len);
                Ok(answer)
            }
        }
    }

    fn listener(&mut self, v6: bool) -> Option<OfferedRelay> {
        if !self.listens {
            return None;
        }
        let socket = self.free.pop().unwrap_or_else(|| {
            self.next_socket += 1;
            SocketId(self.next_socket - 1)
        });
        self.listening += 1;
        let address = SocketAddr::new(
            ip(if v6 { RELAY_V6 } else { RELAY_V4 }),
            50_000 + socket.0 as u16,
        );
        Some(OfferedRelay {
            socket,
            local: address,
            relayed: RelayedAddr(address),
        })
    }

    pub fn channel(&mut self, client: &Client, number: u16) -> Result<ToPeer, Refusal> {
        let verdict = self.server.channel_to_peer(
            self.now,
            &client.tuple,
            ChannelNumber::new(number).unwrap(),
        );
        assert_eq!(self.server.next_command(), None);
        verdict
    }

    pub fn send(&mut self, client: &Client, peer: &str) -> Result<ToPeer, Refusal> {
        let verdict = self
            .server
            .send_to_peer(self.now, &client.tuple, PeerAddr(addr(peer)));
        assert_eq!(self.server.next_command(), None);
        verdict
    }

    pub fn from_peer(&mut self, relay: SocketId, peer: &str) -> Result<ToClient, Refusal> {
        let verdict = self.server.from_peer(self.now, relay, addr(peer));
        assert_eq!(self.server.next_command(), None);
        verdict
    }

    pub fn deletions(&self) -> Vec<Deletion> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Command::Deleted { reason, .. } => Some(*reason),
                _ => None,
            })
            .collect()
    }

    /// The relay socket and allocation id of the latest allocation.
    pub fn latest(&self) -> (SocketId, forebay_turn::AllocationId, SocketAddr) {
        self.events
            .iter()
            .rev()
            .find_map(|event| match event {
                Command::Created {
                    allocation,
                    relayed,
                    ..
                } => Some((
                    SocketId(u32::from(relayed.0.port()) - 50_000),
                    *allocation,
                    relayed.0,
                )),
                _ => None,
            })
            .unwrap()
    }
}

/// An answer, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn view(&self) -> Message<'_> {
        Message::parse(&self.bytes).unwrap()
    }

    /// 0 for success.
    pub fn code(&self) -> u16 {
        match self.view().class() {
            Class::Success => 0,
            Class::Error => self.view().error_code().unwrap().0.get(),
            other => panic!("answered with {other:?}"),
        }
    }

    pub fn lifetime(&self) -> u32 {
        self.view().lifetime().unwrap()
    }
}

pub struct Client {
    pub tuple: FiveTuple,
    pub username: Vec<u8>,
    pub password: Vec<u8>,
    pub nonce: Vec<u8>,
    pub transactions: u64,
}

type Fill<'f> = dyn Fn(&mut Builder<'_>) + 'f;

impl Client {
    /// Static user alice at 198.18.0.1.
    pub fn alice(port: u16) -> Self {
        Self::new(&format!("198.18.0.1:{port}"), "alice", "wonder")
    }

    pub fn new(at: &str, username: &str, password: &str) -> Self {
        let client = addr(at);
        let local = ip(if client.is_ipv4() {
            "198.18.0.254"
        } else {
            "2001:db8::fe"
        });
        Self {
            tuple: FiveTuple {
                socket: SocketId(0),
                client: ClientAddr(client),
                local,
            },
            username: username.as_bytes().to_vec(),
            password: password.as_bytes().to_vec(),
            nonce: Vec::new(),
            transactions: u64::from(client.port()) << 32,
        }
    }

    /// A REST user whose credential expires this many seconds from now.
    pub fn rest(world: &World, at: &str, user: &str, ttl: i64, secret: &str) -> Self {
        let username = format!("{}:{user}", world.now.unix.0 as i64 + ttl);
        Self::new(at, &username, &rest_password(secret, &username))
    }

    pub fn next_id(&mut self) -> TransactionId {
        self.transactions += 1;
        let mut id = [0xAB; 12];
        id[4..].copy_from_slice(&self.transactions.to_be_bytes());
        TransactionId(id)
    }

    pub fn key(&self) -> [u8; 16] {
        Md5::digest(
            [
                &self.username[..],
                b":",
                REALM.as_bytes(),
                b":",
                &self.password,
            ]
            .concat(),
        )
        .into()
    }

    pub fn plain(&mut self, method: Method, fill: &Fill<'_>) -> Vec<u8> {
        let mut buffer = vec![0; 4096];
        let mut message =
            Builder::new(&mut buffer, Class::Request, method, self.next_id()).unwrap();
        fill(&mut message);
        let len = message.len();
        buffer.truncate(len);
        buffer
    }

    /// A request with credentials, as the client knows them.
    pub fn signed(&mut self, method: Method, fill: &Fill<'_>) -> Vec<u8> {
        let key = self.key();
        let mut buffer = vec![0; 65_000];
        let mut message =
            Builder::new(&mut buffer, Class::Request, method, self.next_id()).unwrap();
        fill(&mut message);
        message
            .push(AttributeType::USERNAME, &self.username)
            .unwrap();
        message
            .push(AttributeType::REALM, REALM.as_bytes())
            .unwrap();
        message.push(AttributeType::NONCE, &self.nonce).unwrap();
        sign(&mut message, &key);
        let len = message.len();
        buffer.truncate(len);
        buffer
    }

    /// Sends as is.
    pub fn exchange(&self, world: &mut World, datagram: &[u8]) -> Answer {
        Answer {
            bytes: world.raw(&self.tuple, datagram).unwrap(),
        }
    }

    /// Fetches a nonce.
    pub fn challenge(&mut self, world: &mut World) -> Answer {
        let request = self.plain(Method::ALLOCATE, &|_| {});
        let answer = self.exchange(world, &request);
        assert_eq!(answer.code(), 401);
        self.nonce = answer.view().nonce().unwrap().to_vec();
        assert_eq!(answer.view().realm(), Some(REALM.as_bytes()));
        answer
    }

    /// Sends a signed request, fetching a nonce first when there is none, and
    /// checks the answer's integrity.
    pub fn call(&mut self, world: &mut World, method: Method, fill: &Fill<'_>) -> Answer {
        if self.nonce.is_empty() {
            self.challenge(world);
        }
        let request = self.signed(method, fill);
        let answer = self.exchange(world, &request);
        self.check(&request, &answer);
        answer
    }

    pub fn check(&self, request: &[u8], answer: &Answer) {
        let view = answer.view();
        assert_eq!(
            view.transaction_id(),
            Message::parse(request).unwrap().transaction_id()
        );
        match (answer.code(), view.integrity()) {
            (400 | 401 | 438, None) => {}
            (_, Some(integrity)) => {
                let mac = hmac(
                    &self.key(),
                    &[&integrity.input.header, integrity.input.body].concat(),
                );
                assert_eq!(mac, *integrity.mac, "answer's integrity");
            }
            (code, None) => panic!("answer {code} without integrity"),
        }
    }

    pub fn allocate_with(&mut self, world: &mut World, fill: &Fill<'_>) -> Answer {
        self.call(world, Method::ALLOCATE, &|message| {
            message
                .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
                .unwrap();
            fill(message);
        })
    }

    /// Allocates an IPv4 relay and gives its socket.
    pub fn allocate(&mut self, world: &mut World) -> SocketId {
        let answer = self.allocate_with(world, &|_| {});
        assert_eq!(answer.code(), 0, "{answer:?}");
        world.latest().0
    }

    pub fn allocate_v6(&mut self, world: &mut World) -> SocketId {
        let answer = self.allocate_with(world, &|message| family(message, 2));
        assert_eq!(answer.code(), 0);
        world.latest().0
    }

    pub fn refresh(&mut self, world: &mut World, lifetime: Option<u32>) -> Answer {
        self.call(world, Method::REFRESH, &|message| {
            if let Some(lifetime) = lifetime {
                message.push_u32(AttributeType::LIFETIME, lifetime).unwrap();
            }
        })
    }

    pub fn permit(&mut self, world: &mut World, peers: &[&str]) -> u16 {
        self.call(world, Method::CREATE_PERMISSION, &|message| {
            for peer in peers {
                message
                    .push_xor_address(AttributeType::XOR_PEER_ADDRESS, addr(peer))
                    .unwrap();
            }
        })
        .code()
    }

    pub fn bind(&mut self, world: &mut World, number: u16, peer: &str) -> u16 {
        self.call(world, Method::CHANNEL_BIND, &|message| {
            message.push_channel_number(number).unwrap();
            message
                .push_xor_address(AttributeType::XOR_PEER_ADDRESS, addr(peer))
                .unwrap();
        })
        .code()
    }
}

pub fn family(message: &mut Builder<'_>, number: u8) {
    message
        .push(AttributeType::REQUESTED_ADDRESS_FAMILY, &[number, 0, 0, 0])
        .unwrap();
}

pub fn hmac(key: &[u8], bytes: &[u8]) -> [u8; 20] {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).unwrap();
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

pub fn sign(message: &mut Builder<'_>, key: &[u8]) {
    let input = message.integrity_input();
    let mac = hmac(key, &[&input.header, input.body].concat());
    message.push_integrity(&mac).unwrap();
}
