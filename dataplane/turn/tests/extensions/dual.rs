//! Relays of both families in one allocation (RFC 8656 §7.2, §8.2).

use forebay_turn::{Command, Refusal, SocketId};
use forebay_wire::stun::{AttributeType, Method};

use super::common::*;
use super::with_both_families;

/// Allocates both; the IPv4 and IPv6 sockets.
fn both(world: &mut World, client: &mut Client) -> [SocketId; 2] {
    let answer = client.allocate_with(world, &with_both_families);
    assert_eq!(answer.code(), 0);
    let id = answer.view().transaction_id();
    let relayed: Vec<_> = answer
        .view()
        .attributes()
        .filter(|(kind, _)| *kind == AttributeType::XOR_RELAYED_ADDRESS)
        .map(|(_, value)| {
            // Port behind the family, XOR the cookie's upper half.
            let port = u16::from_be_bytes([value[2], value[3]]) ^ 0x2112;
            (value[1], port)
        })
        .collect();
    assert_eq!(relayed.len(), 2, "{id:?}");
    assert_eq!((relayed[0].0, relayed[1].0), (1, 2));
    assert!(
        answer
            .view()
            .get(AttributeType::ADDRESS_ERROR_CODE)
            .is_none()
    );
    [relayed[0].1, relayed[1].1].map(|port| SocketId(u32::from(port) - 50_000))
}

fn refresh_family(world: &mut World, client: &mut Client, v6: bool, lifetime: u32) -> Answer {
    client.call(world, Method::REFRESH, &|message| {
        family(message, if v6 { 2 } else { 1 });
        message.push_u32(AttributeType::LIFETIME, lifetime).unwrap();
    })
}

#[test]
fn permissions_and_channels_of_both_families() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let [v4, v6] = both(&mut world, &mut alice);
    assert_eq!(
        alice.permit(&mut world, &["9.9.9.9:1", "[2606:4700::9]:1"]),
        0
    );
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    assert_eq!(alice.bind(&mut world, 0x4001, PEER_V6), 0);
    assert_eq!(world.channel(&alice, 0x4000).unwrap().relay, v4);
    assert_eq!(world.channel(&alice, 0x4001).unwrap().relay, v6);
    assert_eq!(world.send(&alice, "9.9.9.9:7000").unwrap().relay, v4);
    assert_eq!(world.send(&alice, "[2606:4700::9]:7000").unwrap().relay, v6);
    for (relay, peer) in [(v4, PEER), (v6, PEER_V6)] {
        let to = world.from_peer(relay, peer).unwrap();
        assert_eq!(to.tuple, alice.tuple);
    }
    assert_eq!(world.server.allocations(), 1);
}

#[test]
fn one_family_is_deleted_by_itself() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let [v4, v6] = both(&mut world, &mut alice);
    alice.bind(&mut world, 0x4000, PEER);
    alice.bind(&mut world, 0x4001, PEER_V6);
    assert_eq!(
        refresh_family(&mut world, &mut alice, true, 0).lifetime(),
        0
    );
    assert_eq!(world.closed, [v6]);
    assert_eq!(world.channel(&alice, 0x4001), Err(Refusal::NoChannel));
    assert_eq!(world.from_peer(v6, PEER_V6), Err(Refusal::NoAllocation));
    assert!(world.channel(&alice, 0x4000).is_ok());
    assert_eq!(alice.permit(&mut world, &[PEER_V6]), 443);
    assert_eq!(alice.bind(&mut world, 0x4002, PEER_V6), 443);
    assert_eq!(
        refresh_family(&mut world, &mut alice, true, 600).code(),
        443
    );
    assert_eq!(refresh_family(&mut world, &mut alice, false, 0).code(), 0);
    assert_eq!(world.closed, [v6, v4]);
    assert_eq!(world.server.allocations(), 0);
    let ends = world
        .events
        .iter()
        .filter(|event| matches!(event, Command::Deleted { .. }));
    assert_eq!(ends.count(), 1);
}

#[test]
fn a_repeated_deletion_of_one_family_is_answered_like_the_first() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    both(&mut world, &mut alice);
    let request = alice.signed(Method::REFRESH, &|message| {
        family(message, 2);
        message.push_u32(AttributeType::LIFETIME, 0).unwrap();
    });
    for _ in 0..2 {
        assert_eq!(alice.exchange(&mut world, &request).lifetime(), 0);
    }
    assert_eq!(world.server.allocations(), 1);
    assert_eq!(world.closed.len(), 1);
}

#[test]
fn each_family_expires_by_itself() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let [v4, v6] = both(&mut world, &mut alice);
    assert_eq!(
        refresh_family(&mut world, &mut alice, true, 1800).lifetime(),
        1800
    );
    world.advance(secs(599));
    alice.permit(&mut world, &["9.9.9.9:7000"]);
    assert!(world.from_peer(v4, "9.9.9.9:7000").is_ok());
    world.advance_lazily(secs(1));
    assert_eq!(
        world.from_peer(v4, "9.9.9.9:7000"),
        Err(Refusal::NoAllocation)
    );
    assert_eq!(
        world.send(&alice, "9.9.9.9:7000"),
        Err(Refusal::NoAllocation)
    );
    world.advance(secs(1));
    assert_eq!(world.closed, [v4]);
    assert_eq!(alice.permit(&mut world, &["[2606:4700::9]:1"]), 0);
    assert!(world.from_peer(v6, "[2606:4700::9]:1").is_ok());
    world.advance(secs(1200));
    assert_eq!(world.closed, [v4, v6]);
    assert_eq!(world.server.allocations(), 0);
}

#[test]
fn nothing_else_may_be_asked_beside_both() {
    let mut world = World::new(config());
    let mut bob = Client::alice(4100);
    let first = bob.allocate_with(&mut world, &|message| {
        message
            .push(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[1, 0, 0, 0])
            .unwrap();
    });
    assert_eq!(first.code(), 400);
    let mixed = bob.allocate_with(&mut world, &|message| {
        family(message, 1);
        with_both_families(message);
    });
    assert_eq!(mixed.code(), 400);
    let pair = bob.allocate_with(&mut world, &|message| {
        super::with_next_port(message);
        with_both_families(message);
    });
    assert_eq!(pair.code(), 400);
    assert_eq!(world.server.allocations(), 0);
}

#[test]
fn a_host_with_one_family_says_so() {
    let mut world = World::new(config());
    let mut server = forebay_turn::Server::new(config(), seeds());
    server.set_credentials(&forebay_turn::Credentials {
        secrets: vec![],
        users: vec![user("alice", "wonder")],
    });
    let mut only_v4 = policy();
    only_v4.relays.retain(|relay| relay.public.is_ipv4());
    server.set_policy(&only_v4);
    world.server = server;
    super::offer_pair(&mut world, 51_000);
    let mut alice = Client::alice(4000);
    let mut bytes = vec![0; forebay_turn::Server::MAX_ANSWER];
    let mut ask = |world: &mut World, alice: &Client, request: &[u8]| {
        let outcome = world
            .server
            .request(world.now, &alice.tuple, request, &mut bytes);
        match outcome {
            forebay_turn::Outcome::Reply(len) => Answer {
                bytes: bytes[..len].to_vec(),
            },
            other => panic!("{other:?}"),
        }
    };
    let request = alice.plain(Method::ALLOCATE, &|_| {});
    alice.nonce = ask(&mut world, &alice, &request)
        .view()
        .nonce()
        .unwrap()
        .to_vec();
    let request = alice.signed(Method::ALLOCATE, &|message| {
        message
            .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .unwrap();
        with_both_families(message);
    });
    let answer = ask(&mut world, &alice, &request);
    assert_eq!(answer.code(), 0);
    assert!(answer.view().xor_relayed_address().unwrap().is_ipv4());
    assert_eq!(
        answer.view().get(AttributeType::ADDRESS_ERROR_CODE),
        Some(&[2, 0, 4, 40][..])
    );
}
