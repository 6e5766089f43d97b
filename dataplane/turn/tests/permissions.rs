//! CreatePermission (RFC 8656 §10) and what permissions do to packets.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use forebay_turn::{Framing, PeerAddr, Refusal};
use forebay_wire::stun::{AttributeType, Method};

#[test]
fn a_permission_is_for_an_address_and_all_its_ports() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, &["8.8.4.4:0", "9.9.9.9:7"]), 0);
    for peer in ["8.8.4.4:5000", "8.8.4.4:1024", "9.9.9.9:65535"] {
        assert_eq!(world.send(&alice, peer).unwrap().destination, addr(peer));
        assert_eq!(
            world.from_peer(relay, peer).unwrap().framing,
            Framing::DataIndication(PeerAddr(addr(peer)))
        );
    }
    assert_eq!(
        world.send(&alice, "8.8.8.8:5000"),
        Err(Refusal::NoPermission)
    );
    assert_eq!(world.send(&alice, "8.8.4.4:1023"), Err(Refusal::PeerDenied));
    assert_eq!(world.send(&alice, "8.8.4.4:0"), Err(Refusal::PeerDenied));
    let flow = |world: &mut World, peer| world.send(&alice, peer).unwrap().flow;
    assert_eq!(
        flow(&mut world, "8.8.4.4:5000"),
        flow(&mut world, "8.8.4.4:5001"),
        "order within an address"
    );
    assert_ne!(
        flow(&mut world, "8.8.4.4:5000"),
        flow(&mut world, "9.9.9.9:5000")
    );
}

#[test]
fn a_permission_lives_five_minutes() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, &[PEER]), 0);
    world.advance(secs(200));
    assert_eq!(alice.permit(&mut world, &[PEER]), 0);
    // Traffic does not refresh it, only requests do.
    world.advance(secs(299));
    assert!(world.send(&alice, PEER).is_ok());
    assert!(world.from_peer(relay, PEER).is_ok());
    world.advance(secs(1));
    assert_eq!(world.send(&alice, PEER), Err(Refusal::NoPermission));
    assert_eq!(world.from_peer(relay, PEER), Err(Refusal::NoPermission));
}

#[test]
fn refusals_install_nothing() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    assert_eq!(alice.permit(&mut world, &[PEER]), 437);
    alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, &[]), 400);
    assert_eq!(alice.permit(&mut world, &[PEER, PEER_V6]), 443);
    assert_eq!(alice.permit(&mut world, &[PEER, "10.0.0.1:5000"]), 403);
    assert_eq!(
        alice.permit(&mut world, &[PEER, "10.0.0.1:5000", PEER_V6]),
        443,
        "family before policy"
    );
    let misshapen = alice.call(&mut world, Method::CREATE_PERMISSION, &|message| {
        message
            .push_xor_address(AttributeType::XOR_PEER_ADDRESS, addr(PEER))
            .unwrap();
        message
            .push(AttributeType::XOR_PEER_ADDRESS, &[0; 7])
            .unwrap();
    });
    assert_eq!(misshapen.code(), 400);
    assert_eq!(world.send(&alice, PEER), Err(Refusal::NoPermission));
}

#[test]
fn a_request_that_does_not_fit_is_refused_as_a_whole() {
    let mut small = config();
    small.capacity.permissions_per_allocation = 4;
    small.capacity.permissions = 6;
    let mut world = World::new(small);
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    let peer = |n: usize| format!("8.8.{n}.1:5000");
    let some = |range: std::ops::Range<usize>| range.map(peer).collect::<Vec<_>>();
    fn permit(client: &mut Client, world: &mut World, peers: &[String]) -> u16 {
        client.permit(world, &peers.iter().map(String::as_str).collect::<Vec<_>>())
    }
    assert_eq!(permit(&mut alice, &mut world, &some(0..2)), 0);
    world.advance(secs(100));
    assert_eq!(permit(&mut alice, &mut world, &some(1..6)), 508);
    world.advance(secs(200));
    // Neither were new ones made nor the old one among them refreshed.
    for n in 0..6 {
        assert_eq!(world.send(&alice, &peer(n)), Err(Refusal::NoPermission));
    }
    // Repeating an address takes no more room.
    let mut repeated = some(0..4);
    repeated.extend(some(0..4));
    assert_eq!(permit(&mut alice, &mut world, &repeated), 0);
    let mut bob = Client::alice(4001);
    bob.allocate(&mut world);
    assert_eq!(
        permit(&mut bob, &mut world, &some(0..3)),
        508,
        "the shard's table"
    );
    assert_eq!(permit(&mut bob, &mut world, &some(0..2)), 0);
    assert_eq!(
        permit(&mut alice, &mut world, &some(0..4)),
        0,
        "refreshing needs no room"
    );
    // Far more than any table holds.
    assert_eq!(permit(&mut bob, &mut world, &some(0..250)), 508);
}

#[test]
fn a_permission_waits_for_its_channel_only_while_that_lives() {
    let mut small = config();
    small.capacity.permissions = 1;
    let mut world = World::new(small);
    let mut alice = Client::alice(4000);
    alice.allocate_with(&mut world, &|message| {
        message.push_u32(AttributeType::LIFETIME, 3600).unwrap();
    });
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    world.advance(secs(899));
    assert_eq!(alice.permit(&mut world, &["9.9.9.9:1"]), 508);
    world.advance(secs(1));
    assert_eq!(alice.permit(&mut world, &["9.9.9.9:1"]), 0);
}
