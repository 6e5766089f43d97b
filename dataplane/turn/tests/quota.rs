//! Allocations per user (RFC 8656 §7.2, 486).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use forebay_turn::Quota;

fn world(most: u32) -> World {
    let mut limited = config();
    limited.quota = Quota {
        allocations_per_user: Some(most),
        allocations: None,
    };
    World::new(limited)
}

fn code(world: &mut World, client: &mut Client) -> u16 {
    client.allocate_with(world, &|_| {}).code()
}

#[test]
fn counted_and_given_back() {
    let mut world = world(2);
    let mut first = Client::alice(4000);
    first.allocate(&mut world);
    Client::alice(4001).allocate(&mut world);
    let mut third = Client::alice(4002);
    assert_eq!(code(&mut world, &mut third), 486);
    assert_eq!(first.refresh(&mut world, Some(0)).code(), 0);
    assert_eq!(code(&mut world, &mut third), 0);
    assert_eq!(code(&mut world, &mut Client::alice(4003)), 486);
    let id = world.latest().1;
    world.server.delete(world.now, id);
    world.drain();
    assert_eq!(code(&mut world, &mut Client::alice(4003)), 0);
    world.advance(secs(600));
    assert_eq!(world.server.allocations(), 0);
    Client::alice(4004).allocate(&mut world);
    Client::alice(4005).allocate(&mut world);
    assert_eq!(code(&mut world, &mut Client::alice(4006)), 486);
}

#[test]
fn rest_users_are_told_apart_by_what_follows_the_expiry() {
    let mut world = world(1);
    let mut port = 4000;
    let mut attempt = |world: &mut World, user: &str, ttl| {
        port += 1;
        let mut client = Client::rest(world, &format!("198.18.0.1:{port}"), user, ttl, SECRET);
        code(world, &mut client)
    };
    assert_eq!(attempt(&mut world, "carol", 600), 0);
    assert_eq!(attempt(&mut world, "carol", 601), 486);
    assert_eq!(attempt(&mut world, "dave", 600), 0);
    assert_eq!(attempt(&mut world, "carol:2", 600), 0);
}

#[test]
fn failed_attempts_cost_nothing() {
    let mut world = world(1);
    for port in 0..5 {
        let mut wrong = Client::new(&format!("198.18.0.1:{}", 4000 + port), "alice", "wrong");
        assert_eq!(code(&mut world, &mut wrong), 401);
        let mut bad = Client::alice(4100 + port);
        assert_eq!(
            bad.allocate_with(&mut world, &|message| family(message, 7))
                .code(),
            440
        );
    }
    Client::alice(4200).allocate(&mut world);
}
