//! A repeated request gets the same answer (RFC 8489 §6.3.1).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use forebay_wire::stun::{AttributeType, Method};

fn allocate_request(alice: &mut Client) -> Vec<u8> {
    alice.signed(Method::ALLOCATE, &|message| {
        message
            .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .unwrap();
        message.push_u32(AttributeType::LIFETIME, 777).unwrap();
    })
}

#[test]
fn allocate() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    let request = allocate_request(&mut alice);
    let first = alice.exchange(&mut world, &request);
    assert_eq!((first.code(), first.lifetime()), (0, 777));
    for _ in 0..3 {
        world.advance(secs(13));
        assert_eq!(alice.exchange(&mut world, &request), first);
    }
    assert_eq!(world.server.allocations(), 1);
    world.advance(secs(1));
    assert_eq!(
        alice.exchange(&mut world, &request).code(),
        437,
        "no longer a retransmission"
    );
    // The same transaction id on another five-tuple is another request.
    let mut elsewhere = Client::alice(4000);
    elsewhere.tuple.socket.0 = 1;
    assert_eq!(elsewhere.exchange(&mut world, &request).code(), 0);
    assert_eq!(world.server.allocations(), 2);
}

#[test]
fn refresh_to_zero() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    let request = alice.signed(Method::REFRESH, &|message| {
        message.push_u32(AttributeType::LIFETIME, 0).unwrap();
    });
    let first = alice.exchange(&mut world, &request);
    world.advance(secs(39));
    assert_eq!(alice.exchange(&mut world, &request), first);
    assert_eq!(
        alice.refresh(&mut world, Some(0)).code(),
        437,
        "another transaction"
    );
    assert_eq!(alice.exchange(&mut world, &request), first);
    world.advance(secs(1));
    assert_eq!(alice.exchange(&mut world, &request).code(), 437);
    assert_eq!(world.deletions().len(), 1);
}

#[test]
fn a_late_deletion_does_not_hit_the_next_allocation() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    let request = alice.signed(Method::REFRESH, &|message| {
        message.push_u32(AttributeType::LIFETIME, 0).unwrap();
    });
    assert_eq!(alice.exchange(&mut world, &request).code(), 0);
    alice.allocate(&mut world);
    assert_eq!(alice.exchange(&mut world, &request).lifetime(), 0);
    assert_eq!(world.server.allocations(), 1);
}

#[test]
fn the_idempotent_ones() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    let peer = |message: &mut forebay_wire::stun::Builder<'_>| {
        message
            .push_xor_address(AttributeType::XOR_PEER_ADDRESS, addr(PEER))
            .unwrap();
    };
    let requests = [
        alice.signed(Method::CREATE_PERMISSION, &peer),
        alice.signed(Method::CHANNEL_BIND, &|message| {
            message.push_channel_number(0x4000).unwrap();
            peer(message);
        }),
        alice.signed(Method::REFRESH, &|_| {}),
        alice.signed(Method::BINDING, &|_| {}),
    ];
    for request in requests {
        let first = alice.exchange(&mut world, &request);
        assert_eq!(first.code(), 0);
        world.advance(secs(5));
        assert_eq!(alice.exchange(&mut world, &request), first);
    }
}
