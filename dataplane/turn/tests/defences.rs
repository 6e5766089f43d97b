//! What a hostile client tries at requests, where no other file's subject
//! covers it. docs/defences.md lists them all.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::SocketAddr;

use common::*;
use forebay_turn::{PeerPolicy, Refusal};
use forebay_wire::stun::{AttributeType, Method};

/// 10.0.0.1 and 169.254.169.254 in every encoding (IPv4-mapped,
/// IPv4-compatible, 6to4, Teredo as server and as client, NAT64 with either
/// prefix, ISATAP), and themselves.
const DENIED: [&str; 17] = [
    "10.0.0.1",
    "169.254.169.254",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::10.0.0.1",
    "::169.254.169.254",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::1",
    "2001:0:a00:1::f7f7:f7f7",
    "2001:0:808:808::f5ff:fffe",
    "2001:0:808:808::5601:5601",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::10.0.0.1",
    "64:ff9b:1::169.254.169.254",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:169.254.169.254",
];

fn family_of(peer: SocketAddr) -> usize {
    usize::from(peer.is_ipv6())
}

/// A client with a relay of either family, at this port and the next.
fn pair(world: &mut World, port: u16) -> [Client; 2] {
    let mut v4 = Client::alice(port);
    v4.allocate(world);
    let mut v6 = Client::alice(port + 1);
    v6.allocate_v6(world);
    [v4, v6]
}

#[test]
fn no_request_installs_a_denied_peer_in_any_encoding() {
    let mut world = World::new(config());
    let mut clients = pair(&mut world, 4000);
    for at in DENIED {
        let peer = SocketAddr::new(ip(at), 5000);
        let client = &mut clients[family_of(peer)];
        let text = peer.to_string();
        assert_eq!(client.permit(&mut world, &[&text]), 403, "{at}");
        assert_eq!(client.bind(&mut world, 0x4000, &text), 403, "{at}");
        assert!(
            matches!(
                world.send(client, &text),
                Err(Refusal::PeerDenied | Refusal::NoPermission)
            ),
            "{at}"
        );
        assert_eq!(world.channel(client, 0x4000), Err(Refusal::NoChannel));
    }
}

/// What was fine becomes denied, however it was written.
#[test]
fn a_new_policy_finds_every_encoding() {
    let open = PeerPolicy {
        allow: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        ..policy()
    };
    let mut world = World::new(config());
    for (at, port) in DENIED.iter().zip((4000..).step_by(2)) {
        let peer = SocketAddr::new(ip(at), 5000);
        let text = peer.to_string();
        world.server.set_policy(&open);
        world.drain();
        let mut clients = pair(&mut world, port);
        let client = &mut clients[family_of(peer)];
        assert_eq!(client.bind(&mut world, 0x4000, &text), 0, "{at}");
        assert!(world.send(client, &text).is_ok(), "{at}");
        world.server.set_policy(&policy());
        world.drain();
        assert_eq!(
            world.channel(client, 0x4000),
            Err(Refusal::NoChannel),
            "{at}"
        );
        assert!(world.send(client, &text).is_err(), "{at}");
        for client in &mut clients {
            assert_eq!(client.refresh(&mut world, Some(0)).code(), 0);
        }
    }
}

/// A client that is itself behind a relay of this host could make packets go
/// round for ever: a relay never reaches an address the host listens on.
#[test]
fn no_relay_leads_back_to_the_server() {
    let listening = ["198.18.0.254:3478", "[2001:db8::fe]:3478"];
    let mut world = World::new(config());
    world.server.set_policy(&PeerPolicy {
        allow: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        never: listening.map(addr).to_vec(),
        ..policy()
    });
    let mut clients = pair(&mut world, 4000);
    for peer in listening {
        let client = &mut clients[family_of(addr(peer))];
        assert_eq!(client.bind(&mut world, 0x4000, peer), 403);
        // The permission is for the address, and its other ports are open.
        let beside = peer.replace(":3478", ":5000");
        assert_eq!(client.permit(&mut world, &[&beside]), 0);
        assert!(world.send(client, &beside).is_ok());
        assert_eq!(world.send(client, peer), Err(Refusal::PeerDenied));
    }
}

/// Whoever cannot prove a password leaves nothing behind, whatever is asked.
#[test]
fn nothing_is_kept_before_integrity_holds() {
    let mut world = World::new(config());
    let held = |world: &World| {
        (
            world.server.relays_held().v4,
            world.server.relays_held().v6,
            world.timers.len(),
            world.events.len(),
        )
    };
    let before = held(&world);
    let mut nonce = Vec::new();
    for round in 0..200_u16 {
        // Everyone at an address of their own.
        let at = format!("198.18.{}.{}:{}", round / 100, round % 100, 4000 + round);
        let mut client = Client::new(&at, "alice", "guess");
        if round % 2 == 1 {
            client.nonce.clone_from(&nonce);
        }
        for method in [
            Method::ALLOCATE,
            Method::REFRESH,
            Method::CREATE_PERMISSION,
            Method::CHANNEL_BIND,
        ] {
            let request = client.signed(method, &|message| {
                message
                    .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
                    .unwrap();
                message
                    .push_xor_address(AttributeType::XOR_PEER_ADDRESS, addr(PEER))
                    .unwrap();
                message.push_channel_number(0x4000).unwrap();
            });
            let answer = client.exchange(&mut world, &request);
            assert!([401, 438].contains(&answer.code()), "{}", answer.code());
            nonce = answer.view().nonce().unwrap().to_vec();
            client.nonce.clone_from(&nonce);
        }
        assert!(world.send(&client, PEER).is_err());
    }
    assert_eq!(held(&world), before);
    // And everything is still there for who can.
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
}

/// A MAC that differs in one bit, wherever it does, is as wrong as any other;
/// the comparison itself is `subtle`'s.
#[test]
fn every_byte_of_a_mac_counts() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    let request = alice.signed(Method::ALLOCATE, &|message| {
        message
            .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .unwrap();
    });
    for bit in 0..20 * 8 {
        let mut wrong = request.clone();
        let at = wrong.len() - 20 + bit / 8;
        wrong[at] ^= 1 << (bit % 8);
        assert_eq!(alice.exchange(&mut world, &wrong).code(), 401, "bit {bit}");
        let mut nonce = alice.nonce.clone();
        if let Some(byte) = nonce.get_mut(bit / 8).filter(|_| bit % 8 == 0) {
            *byte = if *byte == b'A' { b'B' } else { b'A' };
            let mut other = Client::alice(4000);
            other.nonce = nonce;
            let request = other.signed(Method::REFRESH, &|_| {});
            assert_eq!(other.exchange(&mut world, &request).code(), 438, "{bit}");
        }
    }
    assert_eq!(alice.exchange(&mut world, &request).code(), 0);
}
