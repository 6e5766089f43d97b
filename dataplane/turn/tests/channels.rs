//! ChannelBind (RFC 8656 §12) and what it does to packets.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use forebay_turn::{ChannelNumber, Framing, PeerAddr, Refusal};
use forebay_wire::stun::{AttributeType, Method};

fn channel(number: u16) -> Framing {
    Framing::Channel(ChannelNumber::new(number).unwrap())
}

#[test]
fn packets_flow_both_ways() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    assert_eq!(world.channel(&alice, 0x4000), Err(Refusal::NoChannel));
    assert_eq!(world.from_peer(relay, PEER), Err(Refusal::NoPermission));
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);

    let out = world.channel(&alice, 0x4000).unwrap();
    assert_eq!(
        (out.relay, out.destination, out.allocation),
        (relay, addr(PEER), world.latest().1)
    );
    assert!((out.flow.0 as usize) < world.server.peer_flows());
    let back = world.from_peer(relay, PEER).unwrap();
    assert_eq!(
        (back.tuple, back.framing, back.allocation),
        (alice.tuple, channel(0x4000), out.allocation)
    );

    // A Send indication to the same peer keeps in line with the channel.
    let sent = world.send(&alice, PEER).unwrap();
    assert_eq!(sent, out);
    // Another port of the same address has the permission but no channel.
    let other = world.send(&alice, "8.8.4.4:5001").unwrap();
    assert_ne!(other.flow, out.flow);
    assert!((other.flow.0 as usize) < world.server.peer_flows());
    let data = world.from_peer(relay, "8.8.4.4:5001").unwrap();
    assert_eq!(
        data.framing,
        Framing::DataIndication(PeerAddr(addr("8.8.4.4:5001")))
    );
    assert_eq!(
        world.from_peer(relay, "8.8.8.8:5000"),
        Err(Refusal::NoPermission)
    );
    // Nobody else's five-tuple or relay socket.
    assert_eq!(
        world.channel(&Client::alice(4001), 0x4000),
        Err(Refusal::NoAllocation)
    );
    let mut bob = Client::alice(4001);
    let other_relay = bob.allocate(&mut world);
    assert_eq!(world.channel(&bob, 0x4000), Err(Refusal::NoChannel));
    assert_eq!(
        world.from_peer(other_relay, PEER),
        Err(Refusal::NoPermission)
    );
    assert_eq!(
        world.from_peer(forebay_turn::SocketId(9999), PEER),
        Err(Refusal::NoAllocation)
    );
}

#[test]
fn v6_works_the_same() {
    let mut world = World::new(config());
    let mut alice = Client::new("[2001:db8:1::1]:4000", "alice", "wonder");
    let relay = alice.allocate_v6(&mut world);
    assert_eq!(alice.bind(&mut world, 0x7FFF, PEER_V6), 0);
    assert_eq!(
        world.channel(&alice, 0x7FFF).unwrap().destination,
        addr(PEER_V6)
    );
    assert_eq!(
        world.from_peer(relay, PEER_V6).unwrap().framing,
        channel(0x7FFF)
    );
}

#[test]
fn malformed_and_misplaced_requests() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 437);
    alice.allocate(&mut world);
    for number in [0x3FFF, 0x8000, 0, 0xFFFF] {
        assert_eq!(alice.bind(&mut world, number, PEER), 400);
    }
    let no_number = alice.call(&mut world, Method::CHANNEL_BIND, &|message| {
        message
            .push_xor_address(AttributeType::XOR_PEER_ADDRESS, addr(PEER))
            .unwrap();
    });
    assert_eq!(no_number.code(), 400);
    let no_peer = alice.call(&mut world, Method::CHANNEL_BIND, &|message| {
        message.push_channel_number(0x4000).unwrap();
    });
    assert_eq!(no_peer.code(), 400);
    let misshapen = alice.call(&mut world, Method::CHANNEL_BIND, &|message| {
        message.push_channel_number(0x4000).unwrap();
        message
            .push(AttributeType::XOR_PEER_ADDRESS, &[0, 1, 2])
            .unwrap();
    });
    assert_eq!(misshapen.code(), 400);
    assert_eq!(alice.bind(&mut world, 0x4000, PEER_V6), 443);
    assert_eq!(alice.bind(&mut world, 0x4000, "10.0.0.1:5000"), 403);
    assert_eq!(alice.bind(&mut world, 0x4000, "8.8.4.4:0"), 403);
    assert_eq!(alice.bind(&mut world, 0x4000, "8.8.4.4:53"), 403);
    assert_eq!(
        world.send(&alice, PEER),
        Err(Refusal::NoPermission),
        "refused requests install nothing"
    );
}

#[test]
fn number_and_peer_stay_together() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0, "a refresh");
    assert_eq!(alice.bind(&mut world, 0x4000, "8.8.4.4:5001"), 400);
    assert_eq!(alice.bind(&mut world, 0x4001, PEER), 400);
    assert_eq!(alice.bind(&mut world, 0x4001, "8.8.4.4:5001"), 0);
    // Each bound, but not to each other.
    assert_eq!(alice.bind(&mut world, 0x4000, "8.8.4.4:5001"), 400);
}

#[test]
fn a_channel_lives_ten_minutes_and_guards_five_more() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let relay = alice.allocate_with(&mut world, &|message| {
        message.push_u32(AttributeType::LIFETIME, 3600).unwrap();
    });
    assert_eq!(relay.code(), 0);
    let relay = world.latest().0;
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    world.advance(secs(299));
    assert!(world.channel(&alice, 0x4000).is_ok());
    world.advance(secs(1));
    // The permission went first, and takes the channel's packets with it.
    assert_eq!(world.channel(&alice, 0x4000), Err(Refusal::NoPermission));
    assert_eq!(world.from_peer(relay, PEER), Err(Refusal::NoPermission));
    assert_eq!(alice.permit(&mut world, &[PEER]), 0);
    assert!(world.channel(&alice, 0x4000).is_ok());
    assert_eq!(
        world.from_peer(relay, PEER).unwrap().framing,
        channel(0x4000)
    );
    world.advance(secs(299));
    assert_eq!(alice.permit(&mut world, &[PEER]), 0);
    assert!(world.channel(&alice, 0x4000).is_ok());
    world.advance(secs(1));
    assert_eq!(world.channel(&alice, 0x4000), Err(Refusal::NoChannel));
    assert_eq!(
        world.from_peer(relay, PEER).unwrap().framing,
        Framing::DataIndication(PeerAddr(addr(PEER)))
    );
    assert!(world.send(&alice, PEER).is_ok());

    world.advance(secs(299));
    assert_eq!(alice.bind(&mut world, 0x4000, "8.8.4.4:5001"), 400);
    assert_eq!(alice.bind(&mut world, 0x4001, PEER), 400);
    world.advance(secs(1));
    assert_eq!(alice.bind(&mut world, 0x4000, "8.8.4.4:5001"), 0);
    assert_eq!(alice.bind(&mut world, 0x4001, PEER), 0);
}

#[test]
fn an_expired_channel_may_be_revived_as_it_was() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.allocate_with(&mut world, &|message| {
        message.push_u32(AttributeType::LIFETIME, 3600).unwrap();
    });
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    world.advance(secs(899));
    assert_eq!(world.channel(&alice, 0x4000), Err(Refusal::NoChannel));
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    world.advance(secs(299));
    assert!(world.channel(&alice, 0x4000).is_ok());
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    world.advance(secs(1));
    assert!(world.channel(&alice, 0x4000).is_ok());
}

#[test]
fn expiry_does_not_wait_for_the_timer() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    world.advance_lazily(secs(300));
    assert_eq!(world.channel(&alice, 0x4000), Err(Refusal::NoPermission));
    assert_eq!(alice.permit(&mut world, &[PEER]), 0);
    world.advance_lazily(secs(300));
    assert_eq!(world.channel(&alice, 0x4000), Err(Refusal::NoAllocation));
    assert_eq!(world.from_peer(relay, PEER), Err(Refusal::NoAllocation));
    assert_eq!(world.send(&alice, PEER), Err(Refusal::NoAllocation));
}

#[test]
fn limits() {
    let mut small = config();
    small.capacity.channels_per_allocation = 2;
    small.capacity.channels = 3;
    small.capacity.permissions_per_allocation = 1;
    let mut world = World::new(small);
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    assert_eq!(
        alice.bind(&mut world, 0x4001, "8.8.8.8:5000"),
        508,
        "no permission left"
    );
    assert_eq!(alice.bind(&mut world, 0x4001, "8.8.4.4:5001"), 0);
    assert_eq!(
        alice.bind(&mut world, 0x4002, "8.8.4.4:5002"),
        508,
        "allocation's limit"
    );
    let mut bob = Client::alice(4001);
    bob.allocate(&mut world);
    assert_eq!(bob.bind(&mut world, 0x4000, PEER), 0);
    assert_eq!(
        bob.bind(&mut world, 0x4001, "8.8.4.4:5001"),
        508,
        "shard's limit"
    );
    // A full table does not keep anybody from refreshing.
    assert_eq!(bob.bind(&mut world, 0x4000, PEER), 0);
    // Deleting gives all of it back.
    assert_eq!(alice.refresh(&mut world, Some(0)).code(), 0);
    assert_eq!(bob.bind(&mut world, 0x4001, "8.8.4.4:5001"), 0);
}
