//! Mobility (RFC 8016).

use forebay_turn::{Config, Shared, SocketId};
use forebay_wire::stun::{AttributeType, Method};

use super::common::*;

pub(super) fn mobile() -> Config {
    let mut config = config();
    config.mobility = true;
    config
}

fn ticket(answer: &Answer) -> Vec<u8> {
    assert_eq!(answer.code(), 0);
    let view = answer.view();
    view.get(AttributeType::MOBILITY_TICKET).unwrap().to_vec()
}

/// Allocates with a ticket.
pub(super) fn roam(world: &mut World, client: &mut Client) -> (SocketId, Vec<u8>) {
    let answer = client.allocate_with(world, &|message| {
        message.push_empty(AttributeType::MOBILITY_TICKET).unwrap();
    });
    let ticket = ticket(&answer);
    (world.latest().0, ticket)
}

/// The same user from another address.
pub(super) fn elsewhere(port: u16) -> Client {
    Client::new(&format!("203.0.113.9:{port}"), "alice", "wonder")
}

pub(super) fn come_back(world: &mut World, client: &mut Client, ticket: &[u8]) -> Answer {
    client.call(world, Method::REFRESH, &|message| {
        message
            .push(AttributeType::MOBILITY_TICKET, ticket)
            .unwrap();
    })
}

#[test]
fn forbidden_unless_allowed() {
    let mut world = World::new(config());
    let mut alice = Client::alice(4000);
    let answer = alice.allocate_with(&mut world, &|message| {
        message.push_empty(AttributeType::MOBILITY_TICKET).unwrap();
    });
    assert_eq!(answer.code(), 405);
    alice.allocate(&mut world);
    assert_eq!(
        come_back(&mut world, &mut elsewhere(1), &[0; 32]).code(),
        405
    );
    let mut world = World::new(mobile());
    let answer = Client::alice(4000).allocate_with(&mut world, &|message| {
        message.push(AttributeType::MOBILITY_TICKET, b"x").unwrap();
    });
    assert_eq!(answer.code(), 400);
    let plain = Client::alice(4000).allocate_with(&mut world, &|_| {});
    assert!(plain.view().get(AttributeType::MOBILITY_TICKET).is_none());
}

#[test]
fn the_old_address_is_served_until_the_new_one_is_used() {
    let mut world = World::new(mobile());
    let mut alice = Client::alice(4000);
    let (relay, first) = roam(&mut world, &mut alice);
    alice.bind(&mut world, 0x4000, PEER);
    let mut moved = elsewhere(5000);
    let second = ticket(&come_back(&mut world, &mut moved, &first));
    assert_ne!(first, second);
    assert_eq!(world.from_peer(relay, PEER).unwrap().tuple, alice.tuple);
    assert!(world.channel(&alice, 0x4000).is_ok());
    // Data from where it is now.
    assert!(world.channel(&moved, 0x4000).is_err());
    assert!(world.server.arrived(&moved.tuple));
    assert!(world.channel(&moved, 0x4000).is_ok());
    assert_eq!(world.from_peer(relay, PEER).unwrap().tuple, moved.tuple);
    assert!(world.channel(&alice, 0x4000).is_err());
    assert!(!world.server.arrived(&alice.tuple));
    assert_eq!(alice.refresh(&mut world, None).code(), 437);
    assert_eq!(world.server.check(), Ok(()));
    // And on to a third, by a request this time.
    let mut third = elsewhere(6000);
    ticket(&come_back(&mut world, &mut third, &second));
    assert_eq!(third.permit(&mut world, &["9.9.9.9:1"]), 0);
    assert_eq!(world.from_peer(relay, PEER).unwrap().tuple, third.tuple);
    assert_eq!(world.server.allocations(), 1);
    assert!(world.closed.is_empty());
}

#[test]
fn a_lost_answer_costs_nothing() {
    let mut world = World::new(mobile());
    let mut alice = Client::alice(4000);
    let (relay, first) = roam(&mut world, &mut alice);
    alice.permit(&mut world, &[PEER]);
    let mut moved = elsewhere(5000);
    let second = ticket(&come_back(&mut world, &mut moved, &first));
    // Asked again with what it has, as another transaction, then from a third
    // address.
    assert_eq!(ticket(&come_back(&mut world, &mut moved, &first)), second);
    let mut third = elsewhere(6000);
    assert_eq!(ticket(&come_back(&mut world, &mut third, &first)), second);
    assert!(!world.server.arrived(&moved.tuple), "it never was there");
    assert!(world.server.arrived(&third.tuple));
    assert_eq!(world.from_peer(relay, PEER).unwrap().tuple, third.tuple);
    // What has been used is used up.
    assert_eq!(come_back(&mut world, &mut moved, &first).code(), 400);
}

#[test]
fn the_move_itself_may_be_repeated_after_the_first_data() {
    let mut world = World::new(mobile());
    let (_, first) = roam(&mut world, &mut Client::alice(4000));
    let mut moved = elsewhere(5000);
    moved.challenge(&mut world);
    let request = moved.signed(Method::REFRESH, &|message| {
        message
            .push(AttributeType::MOBILITY_TICKET, &first)
            .unwrap();
    });
    let once = moved.exchange(&mut world, &request);
    assert!(world.server.arrived(&moved.tuple));
    assert_eq!(moved.exchange(&mut world, &request), once);
    // But moving to where it is, is no move.
    let again = ticket(&once);
    assert_eq!(come_back(&mut world, &mut moved, &again).code(), 400);
}

#[test]
fn tickets_are_bound_to_host_user_and_allocation() {
    let mut world = World::new(mobile());
    let mut alice = Client::alice(4000);
    let (_, first) = roam(&mut world, &mut alice);
    let mut thief = Client::rest(&world, "203.0.113.66:1", "mallory", 600, SECRET);
    assert_eq!(come_back(&mut world, &mut thief, &first).code(), 441);
    for at in 0..first.len() {
        let mut forged = first.clone();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(
            come_back(&mut world, &mut elsewhere(1), &forged).code(),
            400
        );
    }
    assert_eq!(
        come_back(&mut world, &mut elsewhere(1), b"short").code(),
        400
    );
    let mut busy = elsewhere(2);
    busy.allocate(&mut world);
    assert_eq!(come_back(&mut world, &mut busy, &first).code(), 437);
    assert_eq!(alice.refresh(&mut world, Some(0)).code(), 0);
    assert_eq!(come_back(&mut world, &mut elsewhere(3), &first).code(), 437);
    // Nor is it good for the slot's next owner.
    roam(&mut world, &mut Client::alice(4001));
    assert_eq!(come_back(&mut world, &mut elsewhere(3), &first).code(), 437);
}

#[test]
fn a_credential_that_has_expired_still_moves_its_allocation() {
    let mut world = World::new(mobile());
    let mut bob = Client::rest(&world, "198.18.0.1:4000", "bob", 60, SECRET);
    let (relay, first) = roam(&mut world, &mut bob);
    world.advance(secs(100));
    let mut moved = Client::new("203.0.113.9:5000", "", "");
    (moved.username, moved.password) = (bob.username.clone(), bob.password.clone());
    ticket(&come_back(&mut world, &mut moved, &first));
    assert_eq!(moved.permit(&mut world, &[PEER]), 0);
    assert_eq!(world.from_peer(relay, PEER).unwrap().tuple, moved.tuple);
}

#[test]
fn a_move_refreshes_or_deletes() {
    let mut world = World::new(mobile());
    let (relay, first) = roam(&mut world, &mut Client::alice(4000));
    world.advance(secs(500));
    let mut moved = elsewhere(5000);
    let answer = come_back(&mut world, &mut moved, &first);
    assert_eq!(answer.lifetime(), 600);
    world.advance(secs(500));
    assert_eq!(world.server.allocations(), 1);
    let mut third = elsewhere(6000);
    let last = ticket(&answer);
    let gone = third.call(&mut world, Method::REFRESH, &|message| {
        message.push(AttributeType::MOBILITY_TICKET, &last).unwrap();
        message.push_u32(AttributeType::LIFETIME, 0).unwrap();
    });
    assert_eq!((gone.code(), gone.lifetime()), (0, 0));
    assert_eq!(world.closed, [relay]);
    assert_eq!(world.server.allocations(), 0);
}

#[test]
fn another_shards_ticket_and_token_name_that_shard() {
    let shared = Shared::new(2, 64);
    let world_of = |shard| {
        let mut config = mobile();
        config.shared = shared.of(shard);
        World::new(config)
    };
    let (mut here, mut there) = (world_of(0), world_of(1));
    let (_, ticket) = roam(&mut there, &mut Client::alice(4000));
    super::offer_pair(&mut there, 51_000);
    let pair = Client::alice(4001).allocate_with(&mut there, &super::with_next_port);
    let token = *pair.view().reservation_token().unwrap();

    let mut moved = elsewhere(5000);
    moved.challenge(&mut here);
    let refresh = moved.signed(Method::REFRESH, &|message| {
        message
            .push(AttributeType::MOBILITY_TICKET, &ticket)
            .unwrap();
    });
    let allocate = moved.signed(Method::ALLOCATE, &|message| {
        message
            .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .unwrap();
        super::with_token(token)(message);
    });
    let mut out = vec![0; forebay_turn::Server::MAX_ANSWER];
    for request in [&refresh, &allocate] {
        let outcome = here
            .server
            .request(here.now, &moved.tuple, request, &mut out);
        assert_eq!(outcome, forebay_turn::Outcome::Elsewhere(1));
    }
    assert_eq!(moved.exchange(&mut there, &refresh).code(), 0);
    let mut second = elsewhere(5001);
    second.nonce.clear();
    let claimed = second.allocate_with(&mut there, &super::with_token(token));
    assert_eq!(claimed.code(), 0);
}
