//! Workers as a daemon would start them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use forebay_engine::ShardConfig;
use forebay_ipc::stats::Stat;
use forebay_runtime::streams::StreamLimits;
use forebay_runtime::worker::listen::{self, ListenOptions};
use forebay_runtime::worker::{WorkerCommand, WorkerConfig, WorkerHandle, spawn};
use forebay_turn::{
    Capacity, Config, Credentials, Lifetimes, PeerPolicy, PrefixBudget, Quota, RelayMapping, Seeds,
    Shared, SocketId, TcpRelay, User,
};

pub const REALM: &str = "example.org";
pub const USER: &str = "alice";
pub const PASSWORD: &str = "wonder";

/// Every host of this test gets relay ports of its own, below the range that
/// the kernel gives to clients and peers, and apart from those of a run of
/// this test beside us.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

fn take_ports(count: u16) -> u16 {
    let base = 10_000 + (std::process::id() % 5) as u16 * 4_000;
    base + NEXT_PORT.fetch_add(count, Ordering::Relaxed)
}

pub struct Host {
    pub v4: SocketAddr,
    pub v6: SocketAddr,
    pub workers: Vec<WorkerHandle>,
}

pub struct Options {
    pub workers: usize,
    pub ports_per_worker: u16,
    pub ready: usize,
    pub buffers: u16,
    pub relay_buffer: usize,
    pub allocations: u32,
    pub streams: u32,
    /// Connections with peers.
    pub peers: u32,
    pub limits: StreamLimits,
    pub relay_addresses: [&'static str; 2],
    pub pass_dscp: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: 1,
            ports_per_worker: 100,
            ready: 16,
            buffers: 256,
            relay_buffer: 1 << 20,
            allocations: 256,
            streams: 0,
            peers: 0,
            limits: StreamLimits::default(),
            relay_addresses: LOOPBACK,
            pass_dscp: false,
        }
    }
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn credentials(password: &str) -> Arc<Credentials> {
    Arc::new(Credentials {
        secrets: Vec::new(),
        users: vec![User {
            name: USER.into(),
            password: password.into(),
        }],
    })
}

const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];

pub fn relays_at(addresses: [&str; 2]) -> Vec<RelayMapping> {
    addresses
        .map(|at| RelayMapping {
            local: ip(at),
            public: ip(at),
        })
        .to_vec()
}

pub fn turn(allocations: u32) -> Config {
    Config {
        realm: REALM.into(),
        software: None,
        fingerprint: false,
        algorithms: Vec::new(),
        expiry: Default::default(),
        lifetimes: Lifetimes::default(),
        capacity: Capacity {
            allocations,
            permissions: allocations * 4,
            channels: allocations * 4,
            permissions_per_allocation: 16,
            channels_per_allocation: 16,
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
        first_stream: SocketId(u32::MAX),
        dont_fragment: true,
    }
}

pub fn config(index: usize, options: &Options) -> WorkerConfig {
    let first = take_ports(options.ports_per_worker);
    let sockets = options.allocations + 2 * options.ready as u32 + 64;
    WorkerConfig {
        index,
        core: None,
        real_time: false,
        listeners: Vec::new(),
        relays: relays_at(options.relay_addresses),
        media: Vec::new(),
        dtls: None,
        relay_ports: (first..first + options.ports_per_worker).collect(),
        relays_ready: options.ready,
        relay_receive_buffer: options.relay_buffer,
        relay_send_buffer: options.relay_buffer,
        busy_poll: 0,
        pass_dscp: options.pass_dscp,
        buffers: options.buffers,
        shard: ShardConfig {
            media: None,
            turn: Config {
                first_stream: SocketId(sockets),
                tcp: TcpRelay {
                    connections: options.peers,
                    connections_per_allocation: 8,
                    connecting_per_allocation: 4,
                },
                ..turn(options.allocations)
            },
            listeners: 0,
            sockets,
            streams: options.streams,
            max_segment: 1452,
            requests_per_batch: 32,
        },
        seeds: Seeds {
            nonce_key: [7; 16],
            hash_key: 11 + index as u64,
            random: 13 + index as u64,
        },
        credentials: credentials(PASSWORD),
        policy: policy(),
        streams: options.limits,
    }
}

pub fn policy() -> Arc<PeerPolicy> {
    Arc::new(PeerPolicy {
        allow: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        relays: relays_at(LOOPBACK),
        media: Vec::new(),
        relay_ports: 10_000..=30_000,
        ..PeerPolicy::default()
    })
}

impl Host {
    pub fn new() -> Self {
        Self::with(&Options::default())
    }

    pub fn with(options: &Options) -> Self {
        let open = |address: &str| {
            listen::open(
                address.parse().unwrap(),
                options.workers,
                ListenOptions::default(),
            )
            .unwrap()
        };
        let (v4, v6) = (open("127.0.0.1:0"), open("[::1]:0"));
        let shared = Shared::new(options.workers as u16, options.allocations);
        let (address_v4, address_v6) = (v4[0].address, v6[0].address);
        let workers: Vec<WorkerHandle> = v4
            .into_iter()
            .zip(v6)
            .enumerate()
            .map(|(index, (v4, v6))| {
                let mut config = config(index, options);
                config.listeners = vec![v4, v6];
                config.shard.listeners = 2;
                config.shard.turn.mobility = true;
                config.shard.turn.shared = shared.of(index as u16);
                spawn(config).unwrap()
            })
            .collect();
        let neighbours: Arc<[_]> = workers.iter().map(WorkerHandle::mailer).collect();
        for worker in &workers {
            let told = worker.send(WorkerCommand::Neighbours(Arc::clone(&neighbours)));
            told.unwrap();
        }
        Self {
            v4: address_v4,
            v6: address_v6,
            workers,
        }
    }

    pub fn stat(&self, stat: Stat) -> u64 {
        self.workers
            .iter()
            .map(|worker| worker.stats()[stat as usize].load(Ordering::Relaxed))
            .sum()
    }

    /// Waits for the page to say so.
    pub fn until(&self, stat: Stat, good: impl Fn(u64) -> bool) -> u64 {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let value = self.stat(stat);
            if good(value) {
                return value;
            }
            assert!(Instant::now() < deadline, "{stat:?} stays at {value}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn tell(&self, command: &WorkerCommand) {
        for worker in &self.workers {
            worker.send(command.clone()).unwrap();
        }
    }

    pub fn stop(self) {
        self.tell(&WorkerCommand::Stop);
        for worker in self.workers {
            worker.join().unwrap();
        }
    }
}

pub fn peer(v6: bool) -> UdpSocket {
    let socket = UdpSocket::bind((if v6 { "::1" } else { "127.0.0.1" }, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    socket
}
