//! Sessions and reloads: fixed, random, and filled to the brim.

use forebay_ipc::*;
use proptest::option;
use proptest::prelude::*;

use super::samples::Named;
use super::{allocation_id, endpoint, list, text};

/// Commands and requests by the name of their golden file.
pub(crate) fn requests() -> Named<ToDataplane> {
    vec![
        (
            "reload",
            ToDataplane::Command {
                id: 20,
                command: Command::Reload,
            },
        ),
        (
            "list_sessions",
            ToDataplane::Sessions {
                id: 21,
                from: Some(Cursor {
                    worker: 1,
                    slot: 70_000,
                }),
            },
        ),
    ]
}

fn session() -> Session {
    Session {
        id: AllocationId {
            worker: 1,
            slot: 70_000,
            generation: 3,
        },
        uuid: SessionUuid([0x5a; 16]),
        username: Text::new("1790000000:ann").unwrap(),
        transport: Transport::Dtls,
        client: "[2001:db8::7]:50000".parse().unwrap(),
        server: "[2001:db8::1]:3478".parse().unwrap(),
        relayed: "203.0.113.7:49999".parse().unwrap(),
        created_at: 1_789_999_000,
        expires_in: Some(599),
        usage: Usage {
            to_peer_packets: 1,
            to_peer_bytes: 1_200,
            to_client_packets: 1 << 20,
            to_client_bytes: 1 << 40,
        },
        measured_at: 77_000_000,
        relay_transport: Transport::Tcp,
    }
}

/// Answers by the name of their golden file.
pub(crate) fn reports() -> Named<FromDataplane> {
    vec![
        (
            "sessions",
            FromDataplane::Sessions(SessionPage {
                id: 21,
                sessions: List::new(vec![session()]).unwrap(),
                next: Some(Cursor { worker: 2, slot: 0 }),
            }),
        ),
        (
            "reloaded",
            FromDataplane::Reloaded(Reloaded {
                id: 20,
                changes: List::new(vec![ConfigChange {
                    key: Text::new("relay.ready").unwrap(),
                    from: Text::new("256").unwrap(),
                    to: Text::new("512").unwrap(),
                    needs_restart: true,
                }])
                .unwrap(),
                error: Text::new("").unwrap(),
            }),
        ),
    ]
}

/// The largest answers.
pub(crate) fn largest() -> Vec<FromDataplane> {
    use super::largest::{full_list, full_text};
    let endpoint = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
        .parse()
        .unwrap();
    let most = u64::MAX;
    vec![
        FromDataplane::Sessions(SessionPage {
            id: u32::MAX,
            sessions: full_list(Session {
                id: AllocationId {
                    worker: u16::MAX,
                    slot: u32::MAX,
                    generation: u32::MAX,
                },
                uuid: SessionUuid([0xff; 16]),
                username: full_text(),
                transport: Transport::Dtls,
                client: endpoint,
                server: endpoint,
                relayed: endpoint,
                created_at: most,
                expires_in: Some(u32::MAX),
                usage: Usage {
                    to_peer_packets: most,
                    to_peer_bytes: most,
                    to_client_packets: most,
                    to_client_bytes: most,
                },
                measured_at: most,
                relay_transport: Transport::Dtls,
            }),
            next: Some(Cursor {
                worker: u16::MAX,
                slot: u32::MAX,
            }),
        }),
        FromDataplane::Reloaded(Reloaded {
            id: u32::MAX,
            changes: full_list(ConfigChange {
                key: full_text(),
                from: full_text(),
                to: full_text(),
                needs_restart: true,
            }),
            error: full_text(),
        }),
    ]
}

fn cursor() -> impl Strategy<Value = Option<Cursor>> {
    option::of(any::<(u16, u32)>().prop_map(|(worker, slot)| Cursor { worker, slot }))
}

/// A request at random.
pub(crate) fn request() -> impl Strategy<Value = ToDataplane> {
    (any::<u32>(), cursor()).prop_map(|(id, from)| ToDataplane::Sessions { id, from })
}

fn any_session() -> impl Strategy<Value = Session> {
    let transport = prop_oneof![
        Just(Transport::Udp),
        Just(Transport::Tcp),
        Just(Transport::Tls),
        Just(Transport::Dtls)
    ];
    (
        (
            (allocation_id(), any::<[u8; 16]>(), text()),
            [transport.clone(), transport],
        ),
        (endpoint(), endpoint(), endpoint()),
        (any::<[u64; 6]>(), any::<Option<u32>>()),
    )
        .prop_map(
            |(
                ((id, uuid, username), [transport, relay_transport]),
                (client, server, relayed),
                ([created_at, measured_at, a, b, c, d], expires_in),
            )| Session {
                id,
                uuid: SessionUuid(uuid),
                username,
                transport,
                client,
                server,
                relayed,
                created_at,
                expires_in,
                usage: Usage {
                    to_peer_packets: a,
                    to_peer_bytes: b,
                    to_client_packets: c,
                    to_client_bytes: d,
                },
                measured_at,
                relay_transport,
            },
        )
}

/// An answer at random.
pub(crate) fn report() -> impl Strategy<Value = FromDataplane> {
    let change =
        (text(), text(), text(), any::<bool>()).prop_map(|(key, from, to, needs_restart)| {
            ConfigChange {
                key,
                from,
                to,
                needs_restart,
            }
        });
    prop_oneof![
        (any::<u32>(), list(any_session()), cursor()).prop_map(|(id, sessions, next)| {
            FromDataplane::Sessions(SessionPage { id, sessions, next })
        }),
        (any::<u32>(), list(change), text()).prop_map(|(id, changes, error)| {
            FromDataplane::Reloaded(Reloaded { id, changes, error })
        }),
    ]
}
