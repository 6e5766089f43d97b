//! REST credentials that run out, and why credentials are refused.

use forebay_turn::{Config, Expiry};
use forebay_wire::clock::UnixSeconds;
use forebay_wire::stun::Method;

use crate::common::*;
use crate::habits::Habits;
use crate::modern;

fn strict() -> World {
    World::new(Config {
        expiry: Expiry::Strict,
        ..modern()
    })
}

#[test]
fn strict_expiry_ends_a_live_allocation() {
    let mut world = strict();
    let at = "198.18.0.1:4000";
    let mut carol = Client::rest(&world, at, "carol", 60, SECRET);
    carol.allocate(&mut world);
    assert_eq!(carol.bind(&mut world, 0x4000, PEER), 0);
    world.advance(secs(59));
    assert_eq!(carol.refresh(&mut world, None).code(), 0);
    world.advance(secs(31));
    assert_eq!(carol.refresh(&mut world, None).code(), 401);
    assert_eq!(carol.permit(&mut world, &[PEER]), 401);
    assert_eq!(carol.bind(&mut world, 0x4000, PEER), 401);
    let failures = *world.server.auth_failures();
    assert_eq!((failures.wrong, failures.expired), (0, 3));
    assert_eq!(failures.last_expired, Some((carol.tuple.client, 30)));
    // What it has goes on, and saying goodbye is always allowed.
    assert!(world.channel(&carol, 0x4000).is_ok());
    assert_eq!(carol.refresh(&mut world, Some(0)).code(), 0);
    assert_eq!(world.server.allocations(), 0);
}

#[test]
fn strict_expiry_holds_for_hashed_names_and_spares_static_users() {
    let mut world = strict();
    let mut carol = Client::rest(&world, "198.18.0.1:4000", "carol", 60, SECRET);
    carol.challenge(&mut world);
    let proper = Habits::proper();
    assert_eq!(proper.call(&mut world, &mut carol, Method::ALLOCATE), 0);
    let mut alice = Client::alice(4001);
    alice.allocate(&mut world);
    world.advance(secs(60));
    let hashed = Habits {
        hashed: true,
        ..Habits::proper()
    };
    assert_eq!(hashed.call(&mut world, &mut carol, Method::REFRESH), 401);
    assert_eq!(alice.refresh(&mut world, None).code(), 0);
}

#[test]
fn refused_credentials_are_told_apart() {
    let mut world = World::new(modern());
    let at = "198.18.0.1:4000";
    let mut tries = |ttl: i64, secret: &str| {
        let mut client = Client::rest(&world, at, "carol", ttl, secret);
        let code = client.allocate_with(&mut world, &|_| {}).code();
        (code, *world.server.auth_failures())
    };
    let (code, failures) = tries(-90, SECRET);
    assert_eq!((code, failures.expired), (401, 1));
    assert_eq!(failures.last_expired.map(|(_, ago)| ago), Some(90));
    let (code, failures) = tries(48 * 3600 + 5, SECRET);
    assert_eq!((code, failures.too_far_ahead), (401, 1));
    let ahead = failures.last_too_far_ahead.map(|(_, ahead)| ahead);
    assert_eq!(ahead, Some(48 * 3600 + 5));
    // A guess is a guess, whatever its username says.
    let (code, failures) = tries(-90, "south");
    assert_eq!((code, failures.wrong, failures.expired), (401, 1, 1));
    let (_, failures) = tries(0, SECRET);
    assert_eq!(failures.last_expired.map(|(_, ago)| ago), Some(0));
    assert_eq!(world.now.unix, UnixSeconds(1_800_000_000));
}
