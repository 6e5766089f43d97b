//! Messages filled to the brim.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use forebay_ipc::*;

pub(crate) fn full_text<const MAX: usize>() -> Text<MAX> {
    Text::new("x".repeat(MAX)).unwrap()
}

pub(crate) fn full_list<T: Clone, const MAX: usize>(element: T) -> List<T, MAX> {
    List::new(vec![element; MAX]).unwrap()
}

/// Every message that has a bound, filled up to it.
pub(crate) fn all() -> (Vec<ToDataplane>, Vec<FromDataplane>) {
    let ip = IpAddr::V6(Ipv6Addr::from([0xff; 16]));
    let endpoint = SocketAddr::new(ip, u16::MAX);
    let id = AllocationId {
        worker: u16::MAX,
        slot: u32::MAX,
        generation: u32::MAX,
    };
    let generation = Generation(u64::MAX);
    let drain = DrainProgress {
        remaining: u32::MAX,
        seconds_left: u32::MAX,
        at_most: u32::MAX,
    };
    let secret = RestSecret {
        id: full_text(),
        key: Sensitive::new(Bytes::new(vec![0xff; limits::SECRET_KEY]).unwrap()),
        not_after: Some(u64::MAX),
    };
    let user = User {
        name: full_text(),
        password: Sensitive::new(full_text()),
    };
    let prefix = Prefix::new(ip, 128).unwrap();
    let command = |command| ToDataplane::Command {
        id: u32::MAX,
        command,
    };
    let mut to = vec![
        command(Command::SetCredentials(SetCredentials {
            generation,
            secrets: full_list(secret),
            users: full_list(user),
        })),
        command(Command::SetPolicy(SetPolicy {
            generation,
            allow: full_list(prefix),
            deny: full_list(prefix),
            lowest_port: u16::MAX,
        })),
    ];
    let usage = Usage {
        to_peer_packets: u64::MAX,
        to_peer_bytes: u64::MAX,
        to_client_packets: u64::MAX,
        to_client_bytes: u64::MAX,
    };
    let mut from = vec![
        FromDataplane::Welcome(Welcome {
            version: u16::MAX,
            software: full_text(),
            boot: BootId([0xff; 16]),
            started_at: u64::MAX,
            realm: full_text(),
        }),
        FromDataplane::SnapshotBegin(SnapshotBegin {
            listeners: full_list(Listener {
                transport: Transport::Tls,
                address: endpoint,
            }),
            relays: full_list(Relay {
                local: ip,
                public: ip,
            }),
            relay_ports: PortRange {
                first: u16::MAX,
                last: u16::MAX,
            },
            credentials: Some(generation),
            policy: Some(generation),
            drain: Some(drain),
            certificate: Some(media::Fingerprint([0xff; 32])),
        }),
        FromDataplane::Workers(full_list(Worker {
            index: u16::MAX,
            core: Some(u16::MAX),
            relay_ports: u32::MAX,
            allocation_capacity: u32::MAX,
        })),
        FromDataplane::Allocations(full_list(Allocation {
            id,
            client: endpoint,
            relayed: endpoint,
            username: full_text(),
            created_at: u64::MAX,
        })),
        FromDataplane::Deleted(full_list(Deleted {
            id,
            username: full_text(),
            reason: Deletion::Administrative,
            lived_seconds: u64::MAX,
            usage,
        })),
        FromDataplane::Stats(StatsDigest {
            worker: u16::MAX,
            table: u32::MAX,
            values: full_list(u64::MAX),
            events_lost: u64::MAX,
        }),
    ];
    to.extend(
        super::media_largest::commands(endpoint)
            .into_iter()
            .map(command),
    );
    from.extend(super::media_largest::reports(endpoint));
    from.extend(super::operate::largest());
    (to, from)
}
