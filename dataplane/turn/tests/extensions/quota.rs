//! Quotas over all that one user holds, on all shards.

use forebay_turn::{Config, Quota, Shared};
use forebay_wire::stun::AttributeType;

use super::common::*;
use super::mobility::{come_back, elsewhere, mobile, roam};
use super::{offer_pair, with_both_families, with_next_port, with_token};

fn limited(per_user: Option<u32>, total: Option<u32>) -> Config {
    let mut config = mobile();
    config.quota = Quota {
        allocations_per_user: per_user,
        allocations: total,
    };
    config
}

#[test]
fn a_second_family_counts() {
    let mut world = World::new(limited(Some(3), None));
    let mut first = Client::alice(4000);
    assert_eq!(
        first.allocate_with(&mut world, &with_both_families).code(),
        0
    );
    let second = Client::alice(4001).allocate_with(&mut world, &with_both_families);
    assert_eq!(second.code(), 0);
    assert_eq!(
        second.view().get(AttributeType::ADDRESS_ERROR_CODE),
        Some(&[2, 0, 4, 86][..]),
        "what is left is given"
    );
    let mut third = Client::alice(4002);
    assert_eq!(third.allocate_with(&mut world, &|_| {}).code(), 486);
    first.call(
        &mut world,
        forebay_wire::stun::Method::REFRESH,
        &|message| {
            family(message, 2);
            message.push_u32(AttributeType::LIFETIME, 0).unwrap();
        },
    );
    assert_eq!(third.allocate_with(&mut world, &|_| {}).code(), 0);
}

#[test]
fn a_reserved_port_counts_until_it_is_given_back() {
    let mut world = World::new(limited(Some(2), None));
    offer_pair(&mut world, 51_000);
    let pair = Client::alice(4000).allocate_with(&mut world, &with_next_port);
    assert_eq!(pair.code(), 0);
    let token = *pair.view().reservation_token().unwrap();
    assert_eq!(
        Client::alice(4001)
            .allocate_with(&mut world, &|_| {})
            .code(),
        486
    );
    let claimed = Client::alice(4001).allocate_with(&mut world, &with_token(token));
    assert_eq!(claimed.code(), 0, "counted once");
    assert_eq!(
        Client::alice(4002)
            .allocate_with(&mut world, &|_| {})
            .code(),
        486
    );

    let mut world = World::new(limited(Some(2), None));
    offer_pair(&mut world, 51_000);
    Client::alice(4000).allocate_with(&mut world, &with_next_port);
    world.advance(secs(30));
    assert_eq!(
        Client::alice(4001)
            .allocate_with(&mut world, &|_| {})
            .code(),
        0
    );

    let mut world = World::new(limited(Some(1), None));
    offer_pair(&mut world, 51_000);
    let refused = Client::alice(4000).allocate_with(&mut world, &with_next_port);
    assert_eq!(refused.code(), 486);
    assert_eq!(world.server.pairs_held().v4, 1);
}

#[test]
fn kept_through_a_move() {
    let mut world = World::new(limited(Some(1), None));
    let mut alice = Client::alice(4000);
    let (_, ticket) = roam(&mut world, &mut alice);
    let mut moved = elsewhere(5000);
    assert_eq!(come_back(&mut world, &mut moved, &ticket).code(), 0);
    assert!(world.server.arrived(&moved.tuple));
    assert_eq!(alice.allocate_with(&mut world, &|_| {}).code(), 486);
    assert_eq!(moved.refresh(&mut world, Some(0)).code(), 0);
    assert_eq!(alice.allocate_with(&mut world, &|_| {}).code(), 0);
}

#[test]
fn one_user_and_all_users_on_all_shards() {
    let shared = Shared::new(3, 64);
    let mut worlds: Vec<World> = (0..3)
        .map(|shard| {
            let mut config = limited(Some(2), Some(4));
            config.shared = shared.of(shard);
            World::new(config)
        })
        .collect();
    for (shard, code) in [(0, 0), (1, 0), (2, 486), (0, 486)] {
        let mut alice = Client::alice(4000 + shard as u16 * 10 + code % 7);
        assert_eq!(
            alice.allocate_with(&mut worlds[shard], &|_| {}).code(),
            code,
            "shard {shard}"
        );
    }
    for (user, code) in [("bob", 0), ("carol", 0), ("dave", 508)] {
        let mut client = Client::rest(&worlds[2], "198.18.0.2:4000", user, 600, SECRET);
        client
            .tuple
            .client
            .0
            .set_port(4000 + u16::from(user.as_bytes()[0]));
        let answer = client.allocate_with(&mut worlds[2], &|_| {});
        assert_eq!(answer.code(), code, "{user}");
    }
    assert_eq!(shared.held(), 4);
    worlds[1].advance(secs(600));
    assert_eq!(shared.held(), 3);
    assert_eq!(
        Client::alice(5000)
            .allocate_with(&mut worlds[2], &|_| {})
            .code(),
        0
    );
}
