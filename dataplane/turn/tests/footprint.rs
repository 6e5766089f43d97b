//! Memory is taken once.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::alloc::System;

use common::*;
use forebay_turn::{Capacity, Server};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test, so that no other thread allocates meanwhile.
#[test]
fn nothing_is_allocated_after_the_start() {
    per_allocation();
    fast_path();
    churn();
}

fn per_allocation() {
    let mut large = config();
    large.capacity = Capacity {
        allocations: 10_000,
        permissions: 10_000,
        channels: 10_000,
        ..large.capacity
    };
    large.unauthenticated = forebay_turn::PrefixBudget {
        per_second: 1000,
        burst: 2000,
    };
    let region = Region::new(ALLOCATOR);
    let server = Server::new(large, seeds());
    let change = region.change();
    let taken = change.bytes_allocated - change.bytes_deallocated;
    let told = server.memory();
    assert!(taken.abs_diff(told) < 4096, "{taken} taken, {told} told");
    println!(
        "{} bytes per allocation with a permission and a channel",
        told / 10_000
    );
    assert!(told / 10_000 < 1000, "{told}");
}

fn fast_path() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    alice.bind(&mut world, 0x4000, PEER);
    alice.permit(&mut world, &["9.9.9.9:1"]);
    let id = world.latest().1;
    let peers = [addr(PEER), addr("9.9.9.9:5000"), addr("1.1.1.1:5000")];
    let number = forebay_turn::ChannelNumber::new(0x4000).unwrap();
    let region = Region::new(ALLOCATOR);
    let mut relayed = 0;
    for _ in 0..1000 {
        relayed += u32::from(
            world
                .server
                .channel_to_peer(world.now, &alice.tuple, number)
                .is_ok(),
        );
        for peer in peers {
            relayed += u32::from(
                world
                    .server
                    .send_to_peer(world.now, &alice.tuple, forebay_turn::PeerAddr(peer))
                    .is_ok(),
            );
            relayed += u32::from(world.server.from_peer(world.now, relay, peer).is_ok());
        }
        world.server.count_to_peer(id, 1, 100);
        world.server.count_to_client(id, 1, 100);
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    assert_eq!(relayed, 5000);
}

/// Tables filled, emptied and filled again do not grow. Each Allocate makes
/// the one allocation its announcement carries.
fn churn() {
    let mut world = World::new(config());
    let before = world.server.memory();
    let mut answer = vec![0; Server::MAX_ANSWER];
    for round in 0..40 {
        let mut clients: Vec<Client> = (0..64)
            .map(|port| Client::alice(4000 + round * 64 + port))
            .collect();
        for client in &mut clients {
            client.allocate(&mut world);
            let signed = client.signed(forebay_wire::stun::Method::CHANNEL_BIND, &|message| {
                message.push_channel_number(0x4000).unwrap();
                message
                    .push_xor_address(
                        forebay_wire::stun::AttributeType::XOR_PEER_ADDRESS,
                        addr(PEER),
                    )
                    .unwrap();
            });
            let region = Region::new(ALLOCATOR);
            let outcome = world
                .server
                .request(world.now, &client.tuple, &signed, &mut answer);
            let change = region.change();
            assert!(matches!(outcome, forebay_turn::Outcome::Reply(_)));
            assert_eq!((change.allocations, change.reallocations), (0, 0));
            world.drain();
        }
        for client in &mut clients {
            assert_eq!(client.refresh(&mut world, Some(0)).code(), 0);
        }
    }
    assert_eq!(world.server.memory(), before);
}
