//! What a seed decides before the first event.

use std::time::Duration;

use forebay_turn::{
    BandwidthLimits, Capacity, Config, Expiry, Lifetimes, NewPeers, PasswordAlgorithm,
    PrefixBudget, Quota, Shared, SocketId, TcpRelay,
};

use crate::accounts::Accounts;
use crate::addresses::{Plan, Policy};
use crate::network::{MILLISECOND, SECOND, Time, Weather};
use crate::random::Random;

/// Everything that stays as it is during a run.
pub(crate) struct Scenario {
    pub(crate) workers: usize,
    pub(crate) plan: Plan,
    pub(crate) policy: Policy,
    pub(crate) accounts: Accounts,
    pub(crate) weather: Weather,
    pub(crate) turn: Config,
    pub(crate) clients: usize,
    pub(crate) nats: usize,
    /// Share of events that a hostile sender makes up.
    pub(crate) hostility_percent: f64,
    /// Time between two things a client does, lower and upper bound.
    pub(crate) pace: (Time, Time),
    pub(crate) relay_sockets: u32,
    /// Relay ports per worker.
    pub(crate) relay_ports: usize,
    pub(crate) relays_ready: usize,
    pub(crate) requests_per_batch: u16,
    pub(crate) max_segment: u16,
    /// Transmits, pieces and header bytes of a transmit batch.
    pub(crate) tx: (usize, usize, usize),
    pub(crate) queue_limit: usize,
    pub(crate) batch_limit: usize,
    pub(crate) merge_percent: f64,
    /// How long a datagram waits at most until its worker wakes.
    pub(crate) wake_delay: Time,
}

impl Scenario {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let plan = Plan::draw(random);
        let accounts = Accounts::new(random);
        let cramped = random.percent(25.0);
        let narrow = random.percent(10.0);
        let clients = random.skewed(1, 24) as usize;
        let allocations = if cramped {
            random.between(1, 6) as u32
        } else {
            64
        };
        let short = random.percent(60.0);
        let workers = random.between(1, 3) as usize;
        Self {
            workers,
            policy: Policy {
                strict: random.percent(30.0),
            },
            plan,
            accounts,
            weather: Weather::draw(random),
            turn: Config {
                realm: random
                    .pick(&["example.org", "r", "a realm of some length.example.net"])
                    .to_string(),
                software: random.percent(50.0).then(|| "Forebay".into()),
                fingerprint: random.percent(50.0),
                algorithms: match random.weighted(&[(6, 0), (3, 1), (1, 2)]) {
                    0 => vec![PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5],
                    1 => vec![PasswordAlgorithm::Md5],
                    _ => vec![PasswordAlgorithm::Sha256],
                },
                expiry: if random.percent(30.0) {
                    Expiry::Strict
                } else {
                    Expiry::Lenient
                },
                lifetimes: if short {
                    short_lifetimes(random)
                } else {
                    Lifetimes::default()
                },
                capacity: Capacity {
                    allocations,
                    permissions: if cramped {
                        random.between(1, 12) as u32
                    } else {
                        1024
                    },
                    channels: if cramped {
                        random.between(1, 12) as u32
                    } else {
                        1024
                    },
                    permissions_per_allocation: if cramped {
                        random.between(1, 6) as u16
                    } else {
                        32
                    },
                    channels_per_allocation: if cramped {
                        random.between(1, 6) as u16
                    } else {
                        32
                    },
                },
                quota: Quota {
                    allocations_per_user: random.percent(30.0).then(|| random.between(1, 4) as u32),
                    allocations: random.percent(10.0).then(|| random.between(1, 12) as u32),
                },
                mobility: false,
                redirect: Default::default(),
                discovery: Vec::new(),
                new_peers: NewPeers::default(),
                bandwidth: BandwidthLimits::default(),
                tcp: TcpRelay::default(),
                shared: Shared::new(workers as u16, 256),
                unauthenticated: if random.percent(30.0) {
                    PrefixBudget {
                        per_second: random.between(1, 20) as u32,
                        burst: random.between(1, 20) as u32,
                    }
                } else {
                    PrefixBudget {
                        per_second: 0,
                        burst: 0,
                    }
                },
                first_stream: SocketId(u32::MAX),
                dont_fragment: true,
            },
            clients,
            nats: random.between(1, 1 + clients as u64) as usize,
            hostility_percent: if random.percent(60.0) {
                random.between(1, 40) as f64
            } else {
                0.0
            },
            pace: {
                let low = random.skewed(MILLISECOND / 10, 100 * MILLISECOND);
                (low, low + random.skewed(MILLISECOND, 20 * SECOND))
            },
            relay_sockets: if cramped {
                random.between(2, 12) as u32
            } else {
                160
            },
            relay_ports: if cramped {
                random.between(1, 8) as usize
            } else {
                100
            },
            relays_ready: if cramped {
                random.between(0, 3) as usize
            } else {
                8
            },
            requests_per_batch: if narrow {
                64
            } else {
                random.skewed(1, 64) as u16
            },
            max_segment: random.between(200, 1472) as u16,
            tx: if narrow {
                (8, 16, 4096)
            } else {
                (8192, 65_536, 8 << 20)
            },
            queue_limit: random.skewed(16, 1024) as usize,
            batch_limit: random.skewed(1, 200) as usize,
            merge_percent: *random.pick(&[0.0, 50.0, 100.0]),
            wake_delay: random.skewed(1000, 20 * MILLISECOND),
        }
    }
}

fn short_lifetimes(random: &mut Random) -> Lifetimes {
    let mut seconds = |low, high| Duration::from_secs(random.between(low, high));
    let default = seconds(2, 30);
    Lifetimes {
        default_allocation: default,
        max_allocation: default + seconds(0, 90),
        permission: seconds(1, 30),
        channel: seconds(1, 60),
        nonce: seconds(5, 120),
    }
}
