//! EVEN-PORT with its R bit, RESERVATION-TOKEN (RFC 8656 §7.2).

use forebay_wire::stun::AttributeType;

use super::common::*;
use super::{offer_pair, with_next_port, with_token};

fn token(answer: &Answer) -> [u8; 8] {
    *answer.view().reservation_token().unwrap()
}

#[test]
fn the_port_above_is_held_and_claimed_with_its_token() {
    let mut world = World::new(config());
    offer_pair(&mut world, 51_000);
    let mut alice = Client::alice(4000);
    let first = alice.allocate_with(&mut world, &with_next_port);
    assert_eq!(first.code(), 0);
    assert_eq!(first.view().xor_relayed_address().unwrap().port(), 51_000);
    assert_eq!(world.server.reservations(), 1);
    world.advance(secs(29));
    let second = Client::alice(4001).allocate_with(&mut world, &with_token(token(&first)));
    assert_eq!(second.code(), 0);
    assert_eq!(second.view().xor_relayed_address().unwrap().port(), 51_001);
    assert!(second.view().reservation_token().is_none());
    assert_eq!(
        (world.server.reservations(), world.server.allocations()),
        (0, 2)
    );
    world.advance(secs(30));
    assert!(world.closed.is_empty(), "the claimed port stays open");
}

#[test]
fn an_unclaimed_port_is_given_back_after_thirty_seconds() {
    let mut world = World::new(config());
    let [_, odd] = offer_pair(&mut world, 51_000);
    let first = Client::alice(4000).allocate_with(&mut world, &with_next_port);
    world.advance(secs(30));
    assert_eq!(world.closed, [odd]);
    assert_eq!(world.server.reservations(), 0);
    let late = Client::alice(4001).allocate_with(&mut world, &with_token(token(&first)));
    assert_eq!(late.code(), 508);
}

#[test]
fn a_token_is_its_users_and_good_once() {
    let mut world = World::new(config());
    offer_pair(&mut world, 51_000);
    let first = Client::rest(&world, "198.18.0.1:4000", "bob", 600, SECRET)
        .allocate_with(&mut world, &with_next_port);
    let token = token(&first);
    let stranger = Client::alice(4001).allocate_with(&mut world, &with_token(token));
    assert_eq!(stranger.code(), 508);
    // The same user with a later credential.
    let own = Client::rest(&world, "198.18.0.1:4002", "bob", 900, SECRET)
        .allocate_with(&mut world, &with_token(token));
    assert_eq!(own.code(), 0);
    let again = Client::rest(&world, "198.18.0.1:4003", "bob", 900, SECRET)
        .allocate_with(&mut world, &with_token(token));
    assert_eq!(again.code(), 508);
}

#[test]
fn a_repeated_request_gets_the_same_token() {
    let mut world = World::new(config());
    offer_pair(&mut world, 51_000);
    let mut alice = Client::alice(4000);
    alice.challenge(&mut world);
    let request = alice.signed(forebay_wire::stun::Method::ALLOCATE, &|message| {
        message
            .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .unwrap();
        with_next_port(message);
    });
    let first = alice.exchange(&mut world, &request);
    let second = alice.exchange(&mut world, &request);
    assert_eq!(first, second);
    assert_eq!(world.server.reservations(), 1);
}

#[test]
fn a_token_goes_with_nothing_that_chooses_a_port() {
    let mut world = World::new(config());
    offer_pair(&mut world, 51_000);
    let first = Client::alice(4000).allocate_with(&mut world, &with_next_port);
    let token = token(&first);
    for (kind, value) in [
        (AttributeType::EVEN_PORT, &[0][..]),
        (AttributeType::REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0]),
        (AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]),
    ] {
        let answer = Client::alice(4001).allocate_with(&mut world, &|message| {
            with_token(token)(message);
            message.push(kind, value).unwrap();
        });
        assert_eq!(answer.code(), 400, "{kind:?}");
    }
    let short = Client::alice(4001).allocate_with(&mut world, &|message| {
        message
            .push(AttributeType::RESERVATION_TOKEN, &token[..4])
            .unwrap();
    });
    assert_eq!(short.code(), 400);
    assert_eq!(world.server.reservations(), 1);
}

#[test]
fn without_a_pair_there_is_no_capacity_but_pairs_serve_singly() {
    let mut world = World::new(config());
    let none = Client::alice(4000).allocate_with(&mut world, &with_next_port);
    assert_eq!(none.code(), 508);
    let mut bare = forebay_turn::Server::new(config(), seeds());
    bare.set_credentials(&forebay_turn::Credentials {
        secrets: vec![],
        users: vec![user("alice", "wonder")],
    });
    world.server = bare;
    offer_pair(&mut world, 51_000);
    let mut answer = vec![0; forebay_turn::Server::MAX_ANSWER];
    let mut ports = Vec::new();
    for port in 4000..4003 {
        let mut alice = Client::alice(port);
        let challenge = alice.plain(forebay_wire::stun::Method::ALLOCATE, &|_| {});
        let mut ask = |world: &mut World, request: &[u8], alice: &Client| match world
            .server
            .request(world.now, &alice.tuple, request, &mut answer)
        {
            forebay_turn::Outcome::Reply(len) => Answer {
                bytes: answer[..len].to_vec(),
            },
            other => panic!("{other:?}"),
        };
        let challenged = ask(&mut world, &challenge, &alice);
        alice.nonce = challenged.view().nonce().unwrap().to_vec();
        let request = alice.signed(forebay_wire::stun::Method::ALLOCATE, &|message| {
            message
                .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
                .unwrap();
        });
        let answer = ask(&mut world, &request, &alice);
        match answer.code() {
            0 => ports.push(answer.view().xor_relayed_address().unwrap().port()),
            code => assert_eq!((port, code), (4002, 508)),
        }
    }
    assert_eq!(ports, [51_000, 51_001]);
}

#[test]
fn a_reserved_port_is_sure_of_its_allocation() {
    let mut small = config();
    small.capacity.allocations = 2;
    let mut world = World::new(small);
    // Free what was offered at the start: two relays fill the small table.
    for port in 4000..4002 {
        let mut client = Client::alice(port);
        client.allocate(&mut world);
    }
    assert_eq!(world.server.allocations(), 2);
    let third = Client::alice(4002).allocate_with(&mut world, &|_| {});
    assert_eq!(third.code(), 508);
}
