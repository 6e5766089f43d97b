//! How fast addresses may be opened to peers.

use forebay_turn::{EventRate, NewPeers, Shared};

use super::common::*;

fn world(per_allocation: u32, per_user: u32, shared: Shared) -> World {
    let rate = |burst| EventRate {
        per_second: burst / 4,
        burst,
    };
    let mut config = config();
    config.new_peers = NewPeers {
        per_allocation: rate(per_allocation),
        per_user: rate(per_user),
    };
    config.shared = shared;
    World::new(config)
}

#[test]
fn of_one_allocation() {
    let mut world = world(4, 0, Shared::default());
    let mut alice = Client::alice(4000);
    alice.allocate(&mut world);
    let peers = ["9.9.9.1:1", "9.9.9.2:1", "9.9.9.3:1"];
    assert_eq!(alice.permit(&mut world, &peers), 0);
    assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    assert_eq!(alice.permit(&mut world, &["9.9.9.4:1"]), 508);
    assert_eq!(alice.bind(&mut world, 0x4001, "9.9.9.4:5000"), 508);
    // What is open already is free to refresh, and to bind.
    for _ in 0..10 {
        assert_eq!(alice.permit(&mut world, &peers), 0);
        assert_eq!(alice.bind(&mut world, 0x4000, PEER), 0);
    }
    assert_eq!(alice.bind(&mut world, 0x4002, "9.9.9.1:5000"), 0);
    world.advance(secs(1));
    assert_eq!(alice.permit(&mut world, &["9.9.9.4:1"]), 0);
    assert_eq!(alice.permit(&mut world, &["9.9.9.5:1"]), 508);
    // Another allocation has its own budget.
    let mut other = Client::alice(4001);
    other.allocate(&mut world);
    assert_eq!(other.permit(&mut world, &peers), 0);
}

#[test]
fn of_one_user_on_all_shards() {
    let shared = Shared::new(2, 64);
    let mut worlds = [0, 1].map(|shard| world(0, 4, shared.of(shard)));
    for (index, world) in worlds.iter_mut().enumerate() {
        let mut alice = Client::alice(4000);
        alice.allocate(world);
        assert_eq!(alice.permit(world, &["9.9.9.1:1"]), 0);
        assert_eq!(
            alice.permit(world, &["9.9.9.2:1"]),
            if index == 0 { 0 } else { 508 }
        );
        let more = alice.permit(world, &["9.9.9.3:1"]);
        assert_eq!(more, if index == 0 { 0 } else { 508 }, "{index}");
        if index == 0 {
            alice.refresh(world, None);
        }
    }
    let mut bob = Client::rest(&worlds[0], "198.18.0.9:1", "bob", 600, SECRET);
    bob.allocate(&mut worlds[0]);
    assert_eq!(bob.permit(&mut worlds[0], &["9.9.9.9:1"]), 0);
}
