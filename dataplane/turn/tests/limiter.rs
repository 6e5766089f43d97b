//! Answers to strangers are budgeted per prefix.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use forebay_turn::{PrefixBudget, Refusal};
use forebay_wire::stun::{AttributeType, Method};

fn world() -> World {
    let mut limited = config();
    limited.unauthenticated = PrefixBudget {
        per_second: 10,
        burst: 20,
    };
    World::new(limited)
}

fn drawn(world: &mut World, from: impl Fn(u32) -> String, method: Method, tries: u32) -> u32 {
    (0..tries)
        .map(|n| {
            let mut client = Client::new(&from(n), "alice", "wrong");
            let request = client.plain(method, &|_| {});
            match world.raw(&client.tuple, &request) {
                Ok(_) => 1,
                Err(refusal) => {
                    assert_eq!(refusal, Refusal::PrefixBudget);
                    0
                }
            }
        })
        .sum()
}

#[test]
fn a_prefix_draws_its_burst_then_its_rate() {
    for method in [Method::BINDING, Method::ALLOCATE] {
        let mut world = world();
        let from = |n: u32| format!("198.18.7.{}:{}", n % 250, 1000 + n);
        assert_eq!(drawn(&mut world, from, method, 100), 20);
        world.advance(secs(1));
        assert_eq!(drawn(&mut world, from, method, 100), 10);
        world.advance(secs(3600));
        assert_eq!(drawn(&mut world, from, method, 100), 20);
        // Other prefixes are not disturbed.
        assert_eq!(
            drawn(&mut world, |n| format!("198.18.8.{n}:1"), method, 20),
            20
        );
    }
}

#[test]
fn v6_counts_by_56_bits() {
    let mut world = world();
    assert_eq!(
        drawn(
            &mut world,
            |n| format!("[2001:db8:1:{:x}::1]:1", n % 256),
            Method::BINDING,
            100
        ),
        20
    );
    assert_eq!(
        drawn(
            &mut world,
            |n| format!("[2001:db8:1:1{:02x}::1]:1", n % 256),
            Method::BINDING,
            100
        ),
        20
    );
}

#[test]
fn who_is_authenticated_is_not_limited() {
    let mut world = world();
    let mut alice = Client::new("198.18.7.1:4000", "alice", "wonder");
    alice.allocate(&mut world);
    drawn(
        &mut world,
        |n| format!("198.18.7.{n}:1"),
        Method::BINDING,
        100,
    );
    for _ in 0..100 {
        assert_eq!(alice.refresh(&mut world, None).code(), 0);
    }
    assert_eq!(alice.permit(&mut world, &[PEER]), 0);
}

#[test]
fn guessing_ends_with_the_budget() {
    let mut world = world();
    let mut guesser = Client::new("198.18.7.1:4000", "alice", "wrong");
    guesser.challenge(&mut world);
    for _ in 0..30 {
        let request = guesser.signed(Method::ALLOCATE, &|_| {});
        let _ = world.raw(&guesser.tuple, &request);
    }
    // Not even the right password is looked at now, until the prefix can pay.
    guesser.password = b"wonder".to_vec();
    let request = guesser.signed(Method::ALLOCATE, &|message| {
        message
            .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .unwrap();
    });
    assert_eq!(
        world.raw(&guesser.tuple, &request),
        Err(Refusal::PrefixBudget)
    );
    world.advance(secs(1));
    assert_eq!(guesser.exchange(&mut world, &request).code(), 0);
}

#[test]
fn every_unauthenticated_answer_is_paid_for() {
    // Wrong password under a good nonce.
    let mut world = world();
    let mut wrong = Client::new("198.18.7.1:4000", "alice", "wrong");
    wrong.challenge(&mut world);
    let request = wrong.signed(Method::ALLOCATE, &|_| {});
    assert_eq!(
        (0..100)
            .filter(|_| world.raw(&wrong.tuple, &request).is_ok())
            .count(),
        19
    );
    // A nonce made up, with a good password.
    let mut world = self::world();
    let mut forged = Client::alice(4000);
    forged.nonce = b"AAAAAAAAAAAAAAAA".to_vec();
    let request = forged.signed(Method::ALLOCATE, &|_| {});
    assert_eq!(
        (0..100)
            .filter(|_| world.raw(&forged.tuple, &request).is_ok())
            .count(),
        20
    );
    // Bad requests, unknown attributes.
    let mut world = self::world();
    let bad = forged.plain(Method::REFRESH, &|message| sign(message, b"x"));
    assert_eq!(
        (0..100)
            .filter(|_| world.raw(&forged.tuple, &bad).is_ok())
            .count(),
        20
    );
    let mut world = self::world();
    let unknown = forged.plain(Method::BINDING, &|message| {
        message.push_empty(AttributeType(0x7777)).unwrap();
    });
    assert_eq!(
        (0..100)
            .filter(|_| world.raw(&forged.tuple, &unknown).is_ok())
            .count(),
        20
    );
}
