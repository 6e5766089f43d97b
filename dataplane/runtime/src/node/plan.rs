//! From settings and host to what each worker gets. Pure: everything that is
//! decided can be tested without a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use forebay_turn::{
    BandwidthLimits, Capacity, Config, EventRate, Lifetimes, MediaMapping, NewPeers,
    PasswordAlgorithm, PeerPolicy, PrefixBudget, Quota, RelayMapping, Shared, SocketId, TcpRelay,
};
use ipnet::IpNet;

use super::discovery::discoveries;
use super::host::Host;
use crate::config::{Algorithm, Expiry, Peers, Settings};
use crate::streams::ClientTransport;
use crate::worker::media_sockets::port_of;

/// Relay sockets of one worker that may be closing while their successors are
/// open already.
const CLOSING: u32 = 256;

/// Connects of one allocation that may be under way at once: enough for a
/// client that asks several peers, too few to knock on many doors that stay
/// shut for thirty seconds each.
const CONNECTING: u16 = 16;

/// A host that cannot do what the settings ask. Names the key to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct PlanError {
    /// The key, dotted.
    pub key: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

/// What the node is going to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The core of each worker.
    pub cores: Vec<usize>,
    /// Listening addresses, in the order they are opened.
    pub listen: Vec<SocketAddr>,
    /// Relay addresses.
    pub relays: Vec<RelayMapping>,
    /// The relay ports of each worker; disjoint.
    pub ports: Vec<Vec<u16>>,
    /// One worker's TURN server.
    pub turn: Config,
    /// Listening addresses of other clients, with what is spoken there.
    pub front: Vec<(ClientTransport, SocketAddr)>,
    /// Socket ids of one worker: listeners, relays given out, ready and closing.
    pub sockets: u32,
    /// Connections of clients one worker may have.
    pub streams: u32,
    /// The forwarder; `None` where only TURN is served.
    pub media: Option<MediaPlan>,
    /// What was chosen because the settings left it open, for the log.
    pub chosen: Vec<String>,
    never: Vec<SocketAddr>,
    never_tcp: Vec<SocketAddr>,
    relay_ports: std::ops::RangeInclusive<u16>,
}

/// Where media is received, and how much of it.
#[derive(Debug, Clone)]
pub struct MediaPlan {
    /// Its addresses.
    pub addresses: Vec<RelayMapping>,
    /// The first worker's port; the next worker has the next one.
    pub port: u16,
    /// The TCP port of all workers; `None` where media comes over UDP alone.
    pub tcp: Option<u16>,
    /// One worker's forwarder.
    pub forwarder: forebay_media::Config,
}

impl MediaPlan {
    /// A worker's addresses.
    pub fn of_worker(&self, worker: usize) -> impl Iterator<Item = MediaMapping> + '_ {
        self.on(port_of(self.port, worker))
    }

    /// Whether this is the UDP port of one of so many workers.
    fn has_port(&self, port: u16, workers: usize) -> bool {
        (0..workers).any(|worker| port_of(self.port, worker) == port)
    }

    /// Where clients may connect to.
    pub fn tcp(&self) -> impl Iterator<Item = MediaMapping> + '_ {
        self.tcp.into_iter().flat_map(|port| self.on(port))
    }

    /// Connections one worker may have: one for each session.
    pub fn streams(&self) -> u32 {
        self.tcp.map_or(0, |_| self.forwarder.capacity.sessions)
    }

    fn on(&self, port: u16) -> impl Iterator<Item = MediaMapping> + '_ {
        self.addresses.iter().map(move |address| MediaMapping {
            local: SocketAddr::new(address.local, port),
            public: SocketAddr::new(address.public, port),
        })
    }
}

impl Plan {
    /// Decides everything the settings leave open.
    pub fn new(settings: &Settings, host: &Host) -> Result<Self, PlanError> {
        let mut chosen = Vec::new();
        let cores = cores(settings, host)?;
        let workers = cores.len();
        let mut listen = match &settings.listen.udp {
            Some(addresses) => addresses.clone(),
            None => {
                let mut addresses = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 3478))];
                if host.ipv6 {
                    addresses.push(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 3478)));
                } else {
                    chosen.push("this host has no IPv6: listening on IPv4 alone".to_owned());
                }
                addresses
            }
        };
        let relays = relays(settings, host, &mut chosen)?;
        let discovery = discoveries(&settings.nat_discovery, host, &relays, &mut listen)?;
        let media = media(settings, &relays, workers)?;
        let front = front(settings);
        let ours: Vec<SocketAddr> = listen
            .iter()
            .copied()
            .chain(front.iter().map(|(_, address)| *address))
            .chain(media.iter().flat_map(MediaPlan::tcp).map(|tcp| tcp.local))
            .collect();
        let ports = deal_ports(settings, &ours, media.as_ref(), workers)?;
        let capacity = capacity(settings, workers, ports.iter().map(Vec::len).sum());
        let families = families(&relays);
        let ready = u32::try_from(settings.relay.ready * families).unwrap_or(u32::MAX);
        // An allocation may have a relay of each.
        let held = capacity
            .allocations
            .saturating_mul(u32::try_from(families).unwrap_or(1).max(1));
        let listeners = u32::try_from(listen.len()).unwrap_or(u32::MAX);
        let sockets = listeners
            .saturating_add(media_sockets(media.as_ref()))
            .saturating_add(held)
            .saturating_add(ready)
            .saturating_add(CLOSING);
        let [never, never_tcp] = never(
            settings,
            host,
            &listen,
            &front,
            &relays,
            media.as_ref(),
            workers,
        );
        let streams = streams(settings, &front, workers);
        let tcp = tcp_relay(settings, streams);
        Ok(Self {
            sockets,
            streams,
            cores,
            listen,
            ports,
            turn: Config {
                discovery,
                ..turn_config(settings, capacity, (sockets, tcp), workers)
            },
            front,
            media,
            chosen,
            never,
            never_tcp,
            relays,
            relay_ports: settings.relay.ports.ports(),
        })
    }

    /// Connections of media one worker may have.
    pub fn media_streams(&self) -> u32 {
        self.media.as_ref().map_or(0, MediaPlan::streams)
    }

    /// The peer policy with these lists of the operator's.
    pub fn policy(&self, allow: Vec<IpNet>, deny: Vec<IpNet>, lowest_port: u16) -> PeerPolicy {
        PeerPolicy {
            allow,
            deny,
            never: self.never.clone(),
            never_tcp: self.never_tcp.clone(),
            relays: self.relays.clone(),
            media: self
                .media
                .iter()
                .flat_map(|media| (0..self.cores.len()).flat_map(|worker| media.of_worker(worker)))
                .collect(),
            relay_ports: self.relay_ports.clone(),
            lowest_port,
        }
    }

    /// The peer policy of a configuration file.
    pub fn policy_of(&self, peers: &Peers) -> PeerPolicy {
        let networks =
            |list: &[crate::config::Network]| list.iter().map(|network| network.0).collect();
        self.policy(
            networks(&peers.allow),
            networks(&peers.deny),
            peers.lowest_port,
        )
    }

    /// Relay ports over all workers, each counted once for all addresses.
    pub fn port_range(&self) -> std::ops::RangeInclusive<u16> {
        self.relay_ports.clone()
    }
}

fn cores(settings: &Settings, host: &Host) -> Result<Vec<usize>, PlanError> {
    let error = |message| PlanError {
        key: "cores.pin",
        message,
    };
    let Some(pin) = &settings.cores.pin else {
        if host.cores.is_empty() {
            return Err(error(
                "the kernel does not tell which cores are allowed; name them".to_owned(),
            ));
        }
        return Ok(host.cores.clone());
    };
    if let Some(core) = pin.iter().find(|core| !host.cores.contains(core)) {
        return Err(error(format!(
            "core {core} is not among the cores this process may use ({}); see AllowedCPUs=, CPUAffinity= or taskset",
            list(&host.cores)
        )));
    }
    Ok(pin.clone())
}

fn relays(
    settings: &Settings,
    host: &Host,
    chosen: &mut Vec<String>,
) -> Result<Vec<RelayMapping>, PlanError> {
    let addresses = match &settings.relay.addresses {
        Some(addresses) => addresses.clone(),
        None if host.default_addresses.is_empty() => {
            return Err(PlanError {
                key: "relay.addresses",
                message: "this host has no default route to take a relay address from; name the addresses".to_owned(),
            });
        }
        None => {
            chosen.push(format!(
                "relay addresses {}, of the default routes; set relay.addresses to choose others",
                list(&host.default_addresses)
            ));
            host.default_addresses.clone()
        }
    };
    let public = |local: IpAddr| {
        let mapped = settings
            .relay
            .external
            .iter()
            .find(|external| external.relay == local);
        mapped.map_or(local, |external| external.public)
    };
    if let Some(external) = settings
        .relay
        .external
        .iter()
        .find(|external| !addresses.contains(&external.relay))
    {
        return Err(PlanError {
            key: "relay.external",
            message: format!(
                "{} is not a relay address ({})",
                external.relay,
                list(&addresses)
            ),
        });
    }
    Ok(addresses
        .into_iter()
        .map(|local| RelayMapping {
            local,
            public: public(local),
        })
        .collect())
}

fn media(
    settings: &Settings,
    relays: &[RelayMapping],
    workers: usize,
) -> Result<Option<MediaPlan>, PlanError> {
    let media = &settings.media;
    if !media.enabled {
        return Ok(None);
    }
    if usize::from(media.port) + workers > usize::from(u16::MAX) + 1 {
        return Err(PlanError {
            key: "media.port",
            message: format!(
                "no port is left for {workers} workers from {} up",
                media.port
            ),
        });
    }
    let public = |local: &IpAddr| {
        let mapped = media
            .external
            .iter()
            .find(|external| external.address == *local);
        mapped.map_or(*local, |external| external.public)
    };
    let addresses = match &media.addresses {
        None => relays.to_vec(),
        Some(addresses) => addresses
            .iter()
            .map(|local| RelayMapping {
                local: *local,
                public: public(local),
            })
            .collect(),
    };
    let share = |total: u32| {
        total
            .div_ceil(u32::try_from(workers).unwrap_or(u32::MAX))
            .max(1)
    };
    Ok(Some(MediaPlan {
        addresses,
        port: media.port,
        tcp: (media.tcp != 0).then_some(media.tcp),
        forwarder: forebay_media::Config {
            capacity: forebay_media::Capacity {
                sessions: share(media.sessions),
                tracks: share(media.tracks),
                subscriptions: share(media.subscriptions),
                cache: media.cache << 20,
            },
            mtu: media.mtu,
            max_bitrate: media.max_bitrate,
            start_bitrate: media.start_bitrate,
        },
    }))
}

fn front(settings: &Settings) -> Vec<(ClientTransport, SocketAddr)> {
    let listen = &settings.listen;
    [
        (ClientTransport::Tcp, &listen.tcp),
        (ClientTransport::Tls, &listen.tls),
        (ClientTransport::Dtls, &listen.dtls),
    ]
    .into_iter()
    .flat_map(|(transport, list)| list.iter().map(move |address| (transport, *address)))
    .collect()
}

/// A worker's share of the connections; none where none can come.
fn streams(settings: &Settings, front: &[(ClientTransport, SocketAddr)], workers: usize) -> u32 {
    if front.is_empty() {
        return 0;
    }
    let workers = u32::try_from(workers).unwrap_or(u32::MAX);
    settings.limits.streams.div_ceil(workers)
}

/// A worker's connections with peers; none where no client could use them.
fn tcp_relay(settings: &Settings, streams: u32) -> TcpRelay {
    let listen = &settings.listen;
    if !settings.relay.tcp || (listen.tcp.is_empty() && listen.tls.is_empty()) {
        return TcpRelay::default();
    }
    TcpRelay {
        connections: streams.div_ceil(2),
        connections_per_allocation: settings.limits.peer_connections_per_allocation,
        connecting_per_allocation: CONNECTING.min(settings.limits.peer_connections_per_allocation),
    }
}

fn media_sockets(media: Option<&MediaPlan>) -> u32 {
    media.map_or(0, |media| {
        u32::try_from(media.addresses.len()).unwrap_or(u32::MAX)
    })
}

/// Deals the ports like cards, so that every worker gets a share of every
/// stretch of the range: in pairs of an even and the odd port above it, since
/// clients may ask for an even one (RFC 8656 §7.2), or singly when there are
/// not enough pairs to go round. The ports we listen on ourselves stay out.
fn deal_ports(
    settings: &Settings,
    listen: &[SocketAddr],
    media: Option<&MediaPlan>,
    workers: usize,
) -> Result<Vec<Vec<u16>>, PlanError> {
    let range = settings.relay.ports.ports();
    let pairs = usize::from(range.end() / 2) - usize::from(range.start() / 2) + 1;
    let mut hands = vec![Vec::new(); workers];
    let ours = |port: u16| {
        listen.iter().any(|address| address.port() == port)
            || media.is_some_and(|media| {
                (media.port..=port_of(media.port, workers.saturating_sub(1))).contains(&port)
            })
    };
    let free = range.filter(|port| !ours(*port));
    for (index, port) in free.enumerate() {
        let card = if pairs > workers {
            usize::from(port / 2)
        } else {
            index
        };
        hands[card % workers].push(port);
    }
    if hands.iter().any(Vec::is_empty) {
        return Err(PlanError {
            key: "relay.ports",
            message: format!(
                "{} leaves a worker without a port ({workers} workers)",
                settings.relay.ports
            ),
        });
    }
    Ok(hands)
}

fn capacity(settings: &Settings, workers: usize, ports: usize) -> Capacity {
    let limits = &settings.limits;
    let workers = u32::try_from(workers).unwrap_or(u32::MAX);
    let share = |total: u32| total.div_ceil(workers).max(1);
    let allocations = limits
        .allocations
        .unwrap_or_else(|| u32::try_from(ports).unwrap_or(u32::MAX));
    Capacity {
        allocations: share(allocations),
        permissions: share(
            limits
                .permissions
                .unwrap_or_else(|| allocations.saturating_mul(8)),
        ),
        channels: share(
            limits
                .channels
                .unwrap_or_else(|| allocations.saturating_mul(4)),
        ),
        permissions_per_allocation: limits.permissions_per_allocation,
        channels_per_allocation: limits.channels_per_allocation,
    }
}

fn turn_config(
    settings: &Settings,
    capacity: Capacity,
    (sockets, tcp): (u32, TcpRelay),
    workers: usize,
) -> Config {
    let workers = u16::try_from(workers).unwrap_or(u16::MAX);
    let software = &settings.auth.software;
    Config {
        realm: settings.realm.clone(),
        software: (!software.is_empty()).then(|| software.clone()),
        fingerprint: settings.auth.fingerprint,
        algorithms: settings
            .auth
            .algorithms
            .iter()
            .map(|algorithm| match algorithm {
                Algorithm::Sha256 => PasswordAlgorithm::Sha256,
                Algorithm::Md5 => PasswordAlgorithm::Md5,
            })
            .collect(),
        expiry: match settings.auth.expiry {
            Expiry::Lenient => forebay_turn::Expiry::Lenient,
            Expiry::Strict => forebay_turn::Expiry::Strict,
        },
        lifetimes: Lifetimes {
            default_allocation: settings.lifetimes.allocation,
            max_allocation: settings.lifetimes.allocation_max,
            permission: settings.lifetimes.permission,
            channel: settings.lifetimes.channel,
            nonce: settings.auth.nonce_lifetime,
        },
        capacity,
        quota: Quota {
            allocations_per_user: settings.auth.allocations_per_user,
            allocations: settings.limits.allocations,
        },
        mobility: settings.auth.mobility,
        redirect: settings.redirect.for_shards(),
        discovery: Vec::new(),
        new_peers: NewPeers {
            per_allocation: EventRate {
                per_second: settings.limits.new_peers_per_second,
                burst: settings.limits.new_peers_burst,
            },
            per_user: EventRate {
                per_second: settings.limits.new_peers_per_user_per_second,
                burst: settings.limits.new_peers_per_user_burst,
            },
        },
        bandwidth: BandwidthLimits {
            allocation: settings.limits.bandwidth_per_allocation,
            user: settings.limits.bandwidth_per_user,
            host: settings.limits.bandwidth_host,
        },
        tcp,
        shared: Shared::new(workers, capacity.allocations.saturating_mul(workers.into())),
        unauthenticated: PrefixBudget {
            per_second: settings.limits.unauthenticated_per_second,
            burst: settings.limits.unauthenticated_burst,
        },
        first_stream: SocketId(sockets),
        // Each worker finds out whether the kernel can.
        dont_fragment: true,
    }
}

fn families(relays: &[RelayMapping]) -> usize {
    let v4 = relays.iter().any(|relay| relay.local.is_ipv4());
    let v6 = relays.iter().any(|relay| relay.local.is_ipv6());
    usize::from(v4) + usize::from(v6)
}

/// Where no relay may send to, and where none may connect to besides: our own
/// sockets, under every address of theirs.
fn never(
    settings: &Settings,
    host: &Host,
    listen: &[SocketAddr],
    front: &[(ClientTransport, SocketAddr)],
    relays: &[RelayMapping],
    media: Option<&MediaPlan>,
    workers: usize,
) -> [Vec<SocketAddr>; 2] {
    let is_udp = |transport| matches!(transport, ClientTransport::Dtls);
    let of_front = |udp: bool| {
        let chosen = front.iter().filter(move |(of, _)| is_udp(*of) == udp);
        chosen.map(|(_, address)| *address)
    };
    let udp = listen.iter().copied().chain(of_front(true));
    let tcp = of_front(false).chain(settings.metrics.listen).chain(
        media
            .into_iter()
            .flat_map(MediaPlan::tcp)
            .flat_map(|tcp| [tcp.local, tcp.public]),
    );
    // A port may be TCP's and media's at once. Those who have no other way have
    // to reach media there over UDP.
    let media_has = |port| media.is_some_and(|media| media.has_port(port, workers));
    let mut never = [Vec::new(), Vec::new()];
    let all = udp.map(|address| (address, 0)).chain(tcp.map(|address| {
        let list = usize::from(media_has(address.port()));
        (address, list)
    }));
    // A policy reads port 0 as every port, which would close our relays too.
    for (address, list) in all.filter(|(address, _)| address.port() != 0) {
        own_address(address, relays, host, &mut never[list]);
    }
    never
}

/// Adds every address under which a client could reach our own socket.
fn own_address(
    address: SocketAddr,
    relays: &[RelayMapping],
    host: &Host,
    never: &mut Vec<SocketAddr>,
) {
    let mut add = |ip: IpAddr| {
        let own = SocketAddr::new(ip, address.port());
        if !never.contains(&own) {
            never.push(own);
        }
    };
    add(address.ip());
    let wildcard = address.ip().is_unspecified();
    if wildcard {
        host.addresses.iter().copied().for_each(&mut add);
    }
    for relay in relays {
        if wildcard || relay.local == address.ip() {
            add(relay.public);
        }
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    items.join(", ")
}
