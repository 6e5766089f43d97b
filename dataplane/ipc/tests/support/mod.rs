//! Messages of every kind, drawn at random or filled to the brim.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "test code")]

pub(crate) mod largest;
mod media;
mod media_largest;
mod media_samples;
mod operate;
pub(crate) mod samples;

use std::net::{IpAddr, SocketAddr};

use forebay_ipc::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) fn text<const MAX: usize>() -> impl Strategy<Value = Text<MAX>> {
    any::<String>().prop_map(|s| Text::truncated(&s))
}

fn list<T: Clone + std::fmt::Debug, const MAX: usize>(
    element: impl Strategy<Value = T>,
) -> impl Strategy<Value = List<T, MAX>> {
    vec(element, 0..=MAX.min(9)).prop_map(|v| List::new(v).unwrap())
}

fn address() -> impl Strategy<Value = IpAddr> {
    any::<IpAddr>()
}

// Scope and flow label are not part of the protocol.
fn endpoint() -> impl Strategy<Value = SocketAddr> {
    (address(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn prefix() -> impl Strategy<Value = Prefix> {
    (address(), 0..=128u8).prop_map(|(ip, length)| {
        Prefix::new(ip, if ip.is_ipv4() { length % 33 } else { length }).unwrap()
    })
}

fn generation() -> impl Strategy<Value = Generation> {
    any::<u64>().prop_map(Generation)
}

fn allocation_id() -> impl Strategy<Value = AllocationId> {
    any::<(u16, u32, u32)>().prop_map(|(worker, slot, generation)| AllocationId {
        worker,
        slot,
        generation,
    })
}

fn secret() -> impl Strategy<Value = RestSecret> {
    (text(), vec(any::<u8>(), 0..=256), any::<Option<u64>>()).prop_map(|(id, key, not_after)| {
        RestSecret {
            id,
            key: Sensitive::new(Bytes::new(key).unwrap()),
            not_after,
        }
    })
}

fn user() -> impl Strategy<Value = User> {
    (text(), text()).prop_map(|(name, password)| User {
        name,
        password: Sensitive::new(password),
    })
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (generation(), list(secret()), list(user())).prop_map(|(generation, secrets, users)| {
            Command::SetCredentials(SetCredentials {
                generation,
                secrets,
                users,
            })
        }),
        (generation(), list(prefix()), list(prefix()), any::<u16>()).prop_map(
            |(generation, allow, deny, lowest_port)| Command::SetPolicy(SetPolicy {
                generation,
                allow,
                deny,
                lowest_port
            })
        ),
        any::<(Option<u32>, u32)>().prop_map(|(within_seconds, at_most)| Command::Drain {
            within_seconds,
            at_most
        }),
        Just(Command::Reload),
        allocation_id().prop_map(Command::DeleteAllocation),
        media::command(),
    ]
}

pub(crate) fn to_dataplane() -> impl Strategy<Value = ToDataplane> {
    prop_oneof![
        (any::<u16>(), any::<bool>(), text(), any::<bool>()).prop_map(
            |(version, controller, software, allocations)| {
                let role = if controller {
                    Role::Controller
                } else {
                    Role::Observer
                };
                ToDataplane::Hello(Hello {
                    version,
                    role,
                    software,
                    allocations,
                })
            }
        ),
        (any::<u32>(), command()).prop_map(|(id, command)| ToDataplane::Command { id, command }),
        operate::request(),
    ]
}

fn drain() -> impl Strategy<Value = DrainProgress> {
    any::<(u32, u32, u32)>().prop_map(|(remaining, seconds_left, at_most)| DrainProgress {
        remaining,
        seconds_left,
        at_most,
    })
}

fn snapshot_begin() -> impl Strategy<Value = SnapshotBegin> {
    let transport = prop_oneof![
        Just(Transport::Udp),
        Just(Transport::Tcp),
        Just(Transport::Tls),
        Just(Transport::Dtls)
    ];
    (
        list(
            (transport, endpoint())
                .prop_map(|(transport, address)| Listener { transport, address }),
        ),
        list((address(), address()).prop_map(|(local, public)| Relay { local, public })),
        any::<(u16, u16)>().prop_map(|(first, last)| PortRange { first, last }),
        option::of(generation()),
        option::of(generation()),
        option::of(drain()),
        option::of(media::fingerprint()),
    )
        .prop_map(
            |(listeners, relays, relay_ports, credentials, policy, drain, certificate)| {
                SnapshotBegin {
                    listeners,
                    relays,
                    relay_ports,
                    credentials,
                    policy,
                    drain,
                    certificate,
                }
            },
        )
}

fn allocation() -> impl Strategy<Value = Allocation> {
    (
        allocation_id(),
        endpoint(),
        endpoint(),
        text(),
        any::<u64>(),
    )
        .prop_map(|(id, client, relayed, username, created_at)| Allocation {
            id,
            client,
            relayed,
            username,
            created_at,
        })
}

fn deleted() -> impl Strategy<Value = Deleted> {
    let reason = prop_oneof![
        Just(Deletion::Expired),
        Just(Deletion::ClosedByClient),
        Just(Deletion::Administrative),
        Just(Deletion::Disconnected),
        Just(Deletion::Unseen),
        Just(Deletion::Stopped)
    ];
    (
        allocation_id(),
        text(),
        reason,
        any::<u64>(),
        any::<[u64; 4]>(),
    )
        .prop_map(
            |(id, username, reason, lived_seconds, [a, b, c, d])| Deleted {
                id,
                username,
                reason,
                lived_seconds,
                usage: Usage {
                    to_peer_packets: a,
                    to_peer_bytes: b,
                    to_client_packets: c,
                    to_client_bytes: d,
                },
            },
        )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Done),
        Just(Outcome::Stale),
        Just(Outcome::Invalid),
        Just(Outcome::NotFound),
        Just(Outcome::Busy),
        Just(Outcome::Forbidden),
    ]
}

pub(crate) fn from_dataplane() -> impl Strategy<Value = FromDataplane> {
    let reason = prop_oneof![
        Just(RejectionReason::Version),
        Just(RejectionReason::ControllerPresent),
        Just(RejectionReason::TooManyObservers),
        Just(RejectionReason::Forbidden),
    ];
    let worker = any::<(u16, Option<u16>, u32, u32)>().prop_map(
        |(index, core, relay_ports, allocation_capacity)| Worker {
            index,
            core,
            relay_ports,
            allocation_capacity,
        },
    );
    prop_oneof![
        (
            any::<u16>(),
            text(),
            any::<[u8; 16]>(),
            any::<u64>(),
            text()
        )
            .prop_map(|(version, software, boot, started_at, realm)| {
                FromDataplane::Welcome(Welcome {
                    version,
                    software,
                    boot: BootId(boot),
                    started_at,
                    realm,
                })
            }),
        (reason, text(), any::<u16>()).prop_map(|(reason, text, version)| FromDataplane::Rejected(
            Rejected {
                reason,
                text,
                version
            }
        )),
        snapshot_begin().prop_map(FromDataplane::SnapshotBegin),
        list(worker).prop_map(FromDataplane::Workers),
        list(allocation()).prop_map(FromDataplane::Allocations),
        any::<u32>()
            .prop_map(|allocations| FromDataplane::SnapshotEnd(SnapshotEnd { allocations })),
        (any::<u32>(), outcome(), text()).prop_map(|(id, outcome, text)| FromDataplane::Ack(Ack {
            id,
            outcome,
            text
        })),
        list(deleted()).prop_map(FromDataplane::Deleted),
        (
            any::<u16>(),
            any::<u32>(),
            vec(any::<u64>(), 0..=limits::STATS),
            any::<u64>()
        )
            .prop_map(|(worker, table, values, events_lost)| FromDataplane::Stats(
                StatsDigest {
                    worker,
                    table,
                    values: List::new(values).unwrap(),
                    events_lost
                }
            )),
        drain().prop_map(FromDataplane::Drain),
        media::report(),
        operate::report(),
    ]
}
