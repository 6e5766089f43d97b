//! The address plan: who lives where, and which peers policy lets through.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use forebay_turn::{PeerPolicy, RelayMapping};
use ipnet::IpNet;

use crate::random::Random;

pub(crate) const LISTENER_PORT: u16 = 3478;
pub(crate) const RELAY_PORTS: std::ops::RangeInclusive<u16> = 50_000..=50_799;
/// Peers below are refused by policy.
pub(crate) const LOWEST_PEER_PORT: u16 = 1024;

/// Special-purpose addresses that no default policy may let through, in every
/// disguise IPv6 offers for an IPv4 address.
const SPECIAL: [&str; 14] = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.9",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.4.4",
    "192.168.1.1",
    "224.0.0.251",
    "255.255.255.255",
    "::1",
    "fe80::1",
    "fd00::17",
    "::ffff:127.0.0.1",
    "64:ff9b::a00:1",
];

/// The hosts of a run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Local addresses of each listening socket; more than one means it is
    /// bound to the wildcard.
    pub(crate) listeners: Vec<Vec<IpAddr>>,
    pub(crate) relays: Vec<RelayMapping>,
    pub(crate) peers: Vec<SocketAddr>,
}

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let mut v4 = vec![v4(203, 0, 113, 1)];
        if random.percent(30.0) {
            v4.push(self::v4(203, 0, 113, 2));
        }
        let public = self::v4(203, 0, 113, 7);
        let local = if random.percent(40.0) {
            self::v4(10, 0, 0, 5)
        } else {
            public
        };
        let relay6 = v6(0x2001, 7);
        let mut peers = Vec::new();
        for number in 0..random.between(2, 7) as u8 {
            let ip = match number % 4 {
                0 => self::v4(8, 8, number, 1),
                1 => v6(0x2600, u16::from(number)),
                2 => self::v4(9, 9, 0, number),
                _ => self::v4(10, 77, 0, number),
            };
            peers.push(SocketAddr::new(ip, 4000 + u16::from(number)));
            if random.percent(30.0) {
                peers.push(SocketAddr::new(ip, 5000 + u16::from(number)));
            }
        }
        Self {
            listeners: vec![v4, vec![v6(0x2001, 1)]],
            relays: vec![
                RelayMapping { local, public },
                RelayMapping {
                    local: relay6,
                    public: relay6,
                },
            ],
            peers,
        }
    }

    /// The server's address for a family.
    pub(crate) fn server(&self, ipv6: bool, random: &mut Random) -> SocketAddr {
        SocketAddr::new(
            *random.pick(&self.listeners[usize::from(ipv6)]),
            LISTENER_PORT,
        )
    }

    /// The listening socket of this address.
    pub(crate) fn listener(&self, address: SocketAddr) -> Option<u32> {
        let at = self
            .listeners
            .iter()
            .position(|locals| locals.contains(&address.ip()))?;
        (address.port() == LISTENER_PORT).then_some(at as u32)
    }

    /// The local relay address behind a public one (one-to-one NAT).
    pub(crate) fn to_local(&self, public: SocketAddr) -> SocketAddr {
        let mapping = self
            .relays
            .iter()
            .find(|mapping| mapping.public == public.ip());
        match mapping {
            Some(mapping) if RELAY_PORTS.contains(&public.port()) => {
                SocketAddr::new(mapping.local, public.port())
            }
            _ => public,
        }
    }

    /// The public relay address of a local one.
    pub(crate) fn to_public(&self, local: SocketAddr) -> SocketAddr {
        let mapping = self
            .relays
            .iter()
            .find(|mapping| mapping.local == local.ip());
        match mapping {
            Some(mapping) if RELAY_PORTS.contains(&local.port()) => {
                SocketAddr::new(mapping.public, local.port())
            }
            _ => local,
        }
    }

    /// A peer nobody may reach, of this family.
    pub(crate) fn forbidden(&self, ipv6: bool, random: &mut Random) -> SocketAddr {
        loop {
            let ip = match random.between(0, 5) {
                0 => *random.pick(&self.listeners[usize::from(ipv6)]),
                _ => random
                    .pick(&SPECIAL)
                    .parse()
                    .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            };
            if ip.is_ipv6() == ipv6 {
                let port = if self.listeners.iter().flatten().any(|own| *own == ip) {
                    LISTENER_PORT
                } else {
                    4000
                };
                return SocketAddr::new(ip, port);
            }
        }
    }
}

/// The policies a run switches between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// 9.9.0.0/16 is denied.
    pub(crate) strict: bool,
}

impl Policy {
    /// In the form a shard takes.
    pub(crate) fn configured(self, plan: &Plan) -> PeerPolicy {
        let net = |text: &str| text.parse::<IpNet>().ok();
        let own = plan.listeners.iter().flatten();
        PeerPolicy {
            allow: net("10.77.0.0/16").into_iter().collect(),
            deny: if self.strict {
                net("9.9.0.0/16").into_iter().collect()
            } else {
                Vec::new()
            },
            never: own.map(|ip| SocketAddr::new(*ip, LISTENER_PORT)).collect(),
            never_tcp: Vec::new(),
            relays: plan.relays.clone(),
            media: Vec::new(),
            relay_ports: RELAY_PORTS,
            lowest_port: LOWEST_PEER_PORT,
        }
    }

    /// Whether any port of an address may be reached, read off the address
    /// plan rather than derived from ranges.
    pub(crate) fn reaches(self, plan: &Plan, ip: IpAddr) -> bool {
        match ip {
            _ if plan.relays.iter().any(|mapping| mapping.public == ip) => true,
            IpAddr::V4(ip) => match ip.octets() {
                [5 | 8, ..] | [10, 77, ..] => true,
                [9, 9, ..] => !self.strict,
                _ => false,
            },
            IpAddr::V6(ip) => matches!(ip.segments()[0], 0x2600 | 0x2a00),
        }
    }

    /// Whether a peer may be reached.
    pub(crate) fn allows(self, plan: &Plan, peer: SocketAddr) -> bool {
        let opened = matches!(peer.ip(), IpAddr::V4(ip) if ip.octets()[..2] == [10, 77]);
        let port = match peer.port() {
            port if plan
                .relays
                .iter()
                .any(|mapping| mapping.public == peer.ip()) =>
            {
                RELAY_PORTS.contains(&port)
            }
            port if opened => port > 0,
            port => port >= LOWEST_PEER_PORT,
        };
        port && self.reaches(plan, peer.ip())
    }
}

pub(crate) const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// Short names for IPv6 networks: the prefix tells the role.
pub(crate) const fn v6(prefix: u16, host: u16) -> IpAddr {
    let second = if prefix == 0x2001 { 0x0db8 } else { 1 };
    IpAddr::V6(Ipv6Addr::new(prefix, second, 0, 0, 0, 0, 0, host))
}
