//! One fixed message of every kind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use forebay_ipc::*;

/// Messages by the name of their golden file.
pub(crate) type Named<M> = Vec<(&'static str, M)>;

/// All of them, each way.
pub(crate) fn all() -> (Named<ToDataplane>, Named<FromDataplane>) {
    let v4 = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
    let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7));
    let id = AllocationId {
        worker: 1,
        slot: 70_000,
        generation: 3,
    };
    let drain = DrainProgress {
        remaining: 12,
        seconds_left: 600,
        at_most: 2,
    };
    let name = |s: &str| Text::new(s).unwrap();
    let command = |id, command| ToDataplane::Command { id, command };
    let mut to = vec![
        (
            "hello",
            ToDataplane::Hello(Hello {
                version: VERSION,
                role: Role::Controller,
                software: name("forebay-controlplane 0.1.0"),
                allocations: true,
            }),
        ),
        (
            "set_credentials",
            command(
                7,
                Command::SetCredentials(SetCredentials {
                    generation: Generation(2),
                    secrets: List::new(vec![RestSecret {
                        id: name("2026-11"),
                        key: Sensitive::new(Bytes::new(*b"north").unwrap()),
                        not_after: Some(1_800_000_000),
                    }])
                    .unwrap(),
                    users: List::new(vec![User {
                        name: Text::new("probe").unwrap(),
                        password: Sensitive::new(Text::new("pässword").unwrap()),
                    }])
                    .unwrap(),
                }),
            ),
        ),
        (
            "set_policy",
            command(
                8,
                Command::SetPolicy(SetPolicy {
                    generation: Generation(3),
                    allow: List::new(vec![
                        Prefix::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8).unwrap(),
                    ])
                    .unwrap(),
                    deny: List::new(vec![Prefix::new(v6, 64).unwrap()]).unwrap(),
                    lowest_port: 1024,
                }),
            ),
        ),
        (
            "drain",
            command(
                9,
                Command::Drain {
                    within_seconds: Some(600),
                    at_most: 2,
                },
            ),
        ),
        (
            "delete_allocation",
            command(10, Command::DeleteAllocation(id)),
        ),
    ];
    let mut from = vec![
        (
            "welcome",
            FromDataplane::Welcome(Welcome {
                version: VERSION,
                software: name("forebay-dataplane 0.1.0"),
                boot: BootId(*b"0123456789abcdef"),
                started_at: 1_790_000_000,
                realm: Text::new("example.org").unwrap(),
            }),
        ),
        (
            "rejected",
            FromDataplane::Rejected(Rejected {
                reason: RejectionReason::ControllerPresent,
                text: Text::new("another controller is connected").unwrap(),
                version: VERSION,
            }),
        ),
        (
            "snapshot_begin",
            FromDataplane::SnapshotBegin(SnapshotBegin {
                listeners: List::new(vec![
                    Listener {
                        transport: Transport::Udp,
                        address: SocketAddr::new(v4, 3478),
                    },
                    Listener {
                        transport: Transport::Tls,
                        address: SocketAddr::new(v6, 443),
                    },
                ])
                .unwrap(),
                relays: List::new(vec![Relay {
                    local: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5)),
                    public: v4,
                }])
                .unwrap(),
                relay_ports: PortRange {
                    first: 49_152,
                    last: 65_535,
                },
                credentials: Some(Generation(2)),
                policy: None,
                drain: Some(drain),
                certificate: Some(media::Fingerprint([0xcd; 32])),
            }),
        ),
        (
            "workers",
            FromDataplane::Workers(
                List::new(vec![
                    Worker {
                        index: 0,
                        core: Some(2),
                        relay_ports: 8192,
                        allocation_capacity: 8192,
                    },
                    Worker {
                        index: 1,
                        core: None,
                        relay_ports: 8192,
                        allocation_capacity: 8192,
                    },
                ])
                .unwrap(),
            ),
        ),
        (
            "allocations",
            FromDataplane::Allocations(
                List::new(vec![Allocation {
                    id,
                    client: SocketAddr::new(v6, 50_000),
                    relayed: SocketAddr::new(v4, 49_999),
                    username: Text::new("1790000000:ann").unwrap(),
                    created_at: 1_789_999_000,
                }])
                .unwrap(),
            ),
        ),
        (
            "snapshot_end",
            FromDataplane::SnapshotEnd(SnapshotEnd { allocations: 1 }),
        ),
        (
            "ack",
            FromDataplane::Ack(Ack {
                id: 7,
                outcome: Outcome::Stale,
                text: Text::new("generation 2 is in force").unwrap(),
            }),
        ),
        (
            "deleted",
            FromDataplane::Deleted(
                List::new(vec![Deleted {
                    id,
                    username: Text::new("1790000000:ann").unwrap(),
                    reason: Deletion::ClosedByClient,
                    lived_seconds: 61,
                    usage: Usage {
                        to_peer_packets: 1,
                        to_peer_bytes: 1_200,
                        to_client_packets: 1 << 20,
                        to_client_bytes: 1 << 40,
                    },
                }])
                .unwrap(),
            ),
        ),
        (
            "stats",
            FromDataplane::Stats(StatsDigest {
                worker: 1,
                table: 0xdead_beef,
                values: List::new(vec![0, 23, 24, 1 << 40]).unwrap(),
                events_lost: 5,
            }),
        ),
        ("drain_progress", FromDataplane::Drain(drain)),
    ];
    to.extend(super::media_samples::commands());
    to.extend(super::operate::requests());
    from.extend(super::media_samples::reports());
    from.extend(super::operate::reports());
    (to, from)
}
