//! Bytes of any kind: nothing panics, and nothing that is not authentic
//! changes anything.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use forebay_turn::{Outcome, Server};
use forebay_wire::stun::{AttributeType, Builder, Method};
use proptest::prelude::*;

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![
        Just(Method::BINDING),
        Just(Method::ALLOCATE),
        Just(Method::REFRESH),
        Just(Method::CREATE_PERMISSION),
        Just(Method::CHANNEL_BIND),
        (0..0x1000_u16).prop_map(|number| Method::new(number).unwrap()),
    ]
}

/// Attributes of known and unknown types with values of any shape.
fn attributes() -> impl Strategy<Value = Vec<(u16, Vec<u8>)>> {
    let kind = prop_oneof![
        4 => prop::sample::select(vec![
            0x0006_u16, 0x000C, 0x000D, 0x0012, 0x0014, 0x0015, 0x0017, 0x0018, 0x0019, 0x001A, 0x0022, 0x8000, 0x8022,
        ]),
        1 => any::<u16>(),
    ];
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..24),
        prop::collection::vec(any::<u8>(), 4),
        prop::collection::vec(any::<u8>(), 8),
        Just(vec![17, 0, 0, 0]),
        Just(vec![2, 0, 0, 0]),
        Just(vec![0x40, 0, 0, 0]),
    ];
    prop::collection::vec((kind, value), 0..8)
}

fn push(message: &mut Builder<'_>, attributes: &[(u16, Vec<u8>)]) {
    for (kind, value) in attributes {
        // Integrity and fingerprint are the client's own.
        if !matches!(kind, 0x0008 | 0x001C | 0x8028) {
            message.push(AttributeType(*kind), value).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut world = World::new(config());
        let _ = world.raw(&Client::alice(4000).tuple, &bytes);
        prop_assert_eq!(world.server.allocations(), 0);
        prop_assert!(world.events.is_empty());
    }

    /// Signed requests with any attributes, with and without an allocation.
    #[test]
    fn any_request(allocated: bool, requests in prop::collection::vec((method(), attributes()), 1..6)) {
        let mut world = World::new(config());
        let mut alice = Client::alice(4000);
        alice.challenge(&mut world);
        if allocated {
            alice.allocate(&mut world);
        }
        for (method, attributes) in requests {
            let datagram = alice.signed(method, &|message| push(message, &attributes));
            if let Ok(answer) = world.raw(&alice.tuple, &datagram) {
                let answer = Answer { bytes: answer };
                prop_assert!(answer.bytes.len() <= 300);
                if method != Method::BINDING {
                    alice.check(&datagram, &answer);
                }
            }
        }
    }

    /// A valid request, damaged anywhere before its integrity.
    #[test]
    fn damage_is_noticed(at: prop::sample::Index, change in 1..=255_u8, which in 0..4_usize) {
        let mut world = World::new(config());
        let mut alice = Client::alice(4000);
        if which == 0 {
            alice.challenge(&mut world);
        } else {
            alice.allocate(&mut world);
        }
        let peer = |message: &mut Builder<'_>| {
            message.push_xor_address(AttributeType::XOR_PEER_ADDRESS, addr(PEER)).unwrap();
        };
        let mut datagram = match which {
            0 => alice.signed(Method::ALLOCATE, &|message| {
                message.push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0]).unwrap();
            }),
            1 => alice.signed(Method::REFRESH, &|message| {
                message.push_u32(AttributeType::LIFETIME, 0).unwrap();
            }),
            2 => alice.signed(Method::CREATE_PERMISSION, &peer),
            _ => alice.signed(Method::CHANNEL_BIND, &|message| {
                message.push_channel_number(0x4000).unwrap();
                peer(message);
            }),
        };
        let covered = datagram.len() - 4;
        let at = at.index(covered);
        datagram[at] ^= change;
        let before = (world.server.allocations(), world.events.len());
        if let Ok(answer) = world.raw(&alice.tuple, &datagram) {
            let answer = Answer { bytes: answer };
            // Turned into a Binding request, it needs no integrity.
            let binding = answer.view().method() == Method::BINDING;
            prop_assert!(binding || matches!(answer.code(), 400 | 401), "{}", answer.code());
        }
        prop_assert_eq!((world.server.allocations(), world.events.len()), before);
        prop_assert!(world.send(&alice, PEER).is_err());
    }
}

#[test]
fn the_longest_answers_fit() {
    let mut long = config();
    long.realm = "r".repeat(2000);
    long.software = Some("s".repeat(2000));
    long.fingerprint = true;
    let mut world = World::new(long);
    let mut client = Client::new("[2001:db8:1::1]:4000", "alice", "wonder");
    let request = client.plain(Method::ALLOCATE, &|_| {});
    let mut answer = vec![0; Server::MAX_ANSWER];
    let outcome = world
        .server
        .request(world.now, &client.tuple, &request, &mut answer);
    let Outcome::Reply(len) = outcome else {
        panic!("{outcome:?}");
    };
    let challenge = Answer {
        bytes: answer[..len].to_vec(),
    };
    assert_eq!(challenge.view().realm().unwrap().len(), 763);

    // Signed under that realm.
    client.nonce = challenge.view().nonce().unwrap().to_vec();
    let realm = challenge.view().realm().unwrap().to_vec();
    let key = md5(&[&b"alice:"[..], &realm, b":wonder"].concat());
    let request = client.plain(Method::ALLOCATE, &|message| {
        message
            .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .unwrap();
        for kind in 0x7000..0x7040 {
            message.push_empty(AttributeType(kind)).unwrap();
        }
        message.push(AttributeType::USERNAME, b"alice").unwrap();
        message.push(AttributeType::REALM, &realm).unwrap();
        message
            .push(AttributeType::NONCE, &client_nonce(&challenge))
            .unwrap();
        sign(message, &key);
    });
    let answer = client.exchange(&mut world, &request);
    assert_eq!(answer.code(), 420);
    assert_eq!(answer.view().software().unwrap().len(), 509);
}

fn client_nonce(challenge: &Answer) -> Vec<u8> {
    challenge.view().nonce().unwrap().to_vec()
}

fn md5(bytes: &[u8]) -> [u8; 16] {
    use md5::{Digest, Md5};
    Md5::digest(bytes).into()
}
