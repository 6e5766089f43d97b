//! Refresh (RFC 8656 §8), expiry and deletion.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use forebay_turn::{Command, Deletion, Refusal, Usage};
use forebay_wire::stun::AttributeType;

#[test]
fn an_allocation_ends_at_its_lifetime() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    alice.permit(&mut world, &[PEER]);
    world.advance(secs(590));
    alice.permit(&mut world, &[PEER]);
    world.advance_lazily(secs(9));
    assert!(world.send(&alice, PEER).is_ok());
    world.advance(secs(1));
    assert_eq!(world.send(&alice, PEER), Err(Refusal::NoAllocation));
    assert_eq!(
        (world.closed.as_slice(), world.deletions()),
        (&[relay][..], vec![Deletion::Expired])
    );
    assert_eq!(world.server.allocations(), 0);
    assert_eq!(alice.refresh(&mut world, None).code(), 437);
}

#[test]
fn a_refresh_counts_from_now() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    for (asked, given) in [
        (None, 600),
        (Some(1), 600),
        (Some(2000), 2000),
        (Some(9999), 3600),
        (Some(700), 700),
    ] {
        world.advance(secs(599));
        assert_eq!(alice.refresh(&mut world, asked).lifetime(), given);
    }
    // The last one shortened it, although a later end was promised before.
    world.advance(secs(699));
    assert_eq!(world.server.allocations(), 1);
    world.advance(secs(1));
    assert_eq!(world.server.allocations(), 0);
}

#[test]
fn the_slots_next_owner_ends_on_time_too() {
    let mut world = World::new(config());
    for round in 0..5 {
        let mut alice = Client::alice(4000 + round);
        let lifetime = if round % 2 == 0 { 3600 } else { 600 };
        alice.allocate_with(&mut world, &|message| {
            message.push_u32(AttributeType::LIFETIME, lifetime).unwrap();
        });
        if round % 2 == 0 {
            world.advance(secs(7));
            assert_eq!(alice.refresh(&mut world, Some(0)).lifetime(), 0);
        } else {
            world.advance(secs(599));
            assert_eq!(world.server.allocations(), 1);
            world.advance(secs(1));
        }
        assert_eq!(world.server.allocations(), 0);
    }
}

#[test]
fn lifetime_zero_deletes_at_once() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    alice.bind(&mut world, 0x4000, PEER);
    let id = world.latest().1;
    world.server.count_to_peer(id, 2, 300);
    world.server.count_to_client(id, 1, 100);
    let usage = Usage {
        to_peer_packets: 2,
        to_peer_bytes: 300,
        to_client_packets: 1,
        to_client_bytes: 100,
    };
    assert_eq!(world.server.usage(id), Some(usage));
    assert_eq!(alice.refresh(&mut world, Some(0)).lifetime(), 0);
    assert_eq!(world.channel(&alice, 0x4000), Err(Refusal::NoAllocation));
    assert_eq!(world.from_peer(relay, PEER), Err(Refusal::NoAllocation));
    assert_eq!(world.closed, [relay]);
    let gone = Command::Deleted {
        allocation: id,
        reason: Deletion::ClosedByClient,
        usage,
    };
    assert_eq!(world.events.last(), Some(&gone));
    // A stale id names nobody, also when the slot has a new owner.
    alice.allocate(&mut world);
    let next = world.latest().1;
    assert_eq!(next.slot, id.slot);
    assert_eq!(world.server.usage(id), None);
    world.server.count_to_peer(id, 1, 1);
    assert_eq!(world.server.usage(next), Some(Usage::default()));
    // Nothing of the former owner's is left.
    assert_eq!(world.channel(&alice, 0x4000), Err(Refusal::NoChannel));
    assert_eq!(world.send(&alice, PEER), Err(Refusal::NoPermission));
    world.advance(secs(599));
    assert_eq!(world.server.allocations(), 1, "old timers do not end it");
}

#[test]
fn a_family_of_another_kind_is_refused() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    let refresh = |alice: &mut Client, world: &mut World, number| {
        alice
            .call(world, forebay_wire::stun::Method::REFRESH, &|message| {
                family(message, number);
            })
            .code()
    };
    assert_eq!(refresh(&mut alice, &mut world, 1), 0);
    assert_eq!(refresh(&mut alice, &mut world, 2), 443);
    assert_eq!(refresh(&mut alice, &mut world, 9), 443);
}

#[test]
fn the_operator_may_end_it() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let relay = alice.allocate(&mut world);
    let id = world.latest().1;
    assert!(world.server.delete(world.now, id));
    world.drain();
    assert!(!world.server.delete(world.now, id));
    assert_eq!(
        (world.closed.as_slice(), world.deletions()),
        (&[relay][..], vec![Deletion::Administrative])
    );
    assert_eq!(alice.refresh(&mut world, None).code(), 437);
}

#[test]
fn a_new_allocation_needs_no_timer_to_have_ended_the_old() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let old = alice.allocate(&mut world);
    world.advance_lazily(secs(600));
    alice.allocate(&mut world);
    assert_eq!(
        (world.closed.as_slice(), world.deletions()),
        (&[old][..], vec![Deletion::Expired])
    );
    world.advance(secs(599));
    assert_eq!(world.server.allocations(), 1);
}

#[test]
fn an_allocation_may_last_for_days() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    alice.bind(&mut world, 0x4000, PEER);
    for _ in 0..1000 {
        world.advance(secs(240));
        alice.nonce.clear();
        assert_eq!(alice.refresh(&mut world, None).code(), 0);
        assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
        assert!(world.channel(&alice, 0x4000).is_ok());
    }
    assert!(world.timers.len() <= 3);
}
