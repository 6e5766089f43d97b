use forebay_turn::Refusal;
use forebay_wire::stun::{Class, Message, Method};

use super::common::*;
use super::*;

#[test]
fn a_peer_with_permission_is_announced() {
    let mut world = world();
    let (mut client, relay) = allocated(&mut world, 1);
    assert_eq!(client.permit(&mut world, &["8.8.4.4:1"]), 0);
    let (come, indication) = incoming(&mut world, relay, PEER).unwrap();
    assert_eq!(come.attempt.tuple, client.tuple);
    let message = Message::parse(&indication).unwrap();
    assert_eq!(
        (message.class(), message.method()),
        (Class::Indication, Method::CONNECTION_ATTEMPT)
    );
    assert_eq!(message.xor_peer_address(), Some(addr(PEER)));
    let mut data = alice(&mut world, 9);
    let id = message.connection_id().unwrap();
    assert_eq!(bind(&mut data, &mut world, id), 0);
    assert_eq!(world.bound, [come.connection]);
}

#[test]
fn every_other_is_not() {
    let mut world = world();
    let (mut client, relay) = allocated(&mut world, 1);
    let refused = |world: &mut World, source| incoming(world, relay, source).err();
    assert_eq!(refused(&mut world, PEER), Some(Refusal::NoPermission));
    assert_eq!(client.permit(&mut world, &["8.8.8.8:1"]), 0);
    assert_eq!(refused(&mut world, PEER), Some(Refusal::NoPermission));
    assert!(incoming(&mut world, relay, "8.8.8.8:7000").is_ok());
    world.advance_lazily(secs(301));
    assert_eq!(
        refused(&mut world, "8.8.8.8:7001"),
        Some(Refusal::NoPermission)
    );
    world.advance_lazily(secs(300));
    assert_eq!(
        refused(&mut world, "8.8.8.8:7001"),
        Some(Refusal::NoAllocation)
    );
}

#[test]
fn unbound_it_is_closed_after_thirty_seconds() {
    let mut world = world();
    let (mut client, relay) = allocated(&mut world, 1);
    assert_eq!(client.permit(&mut world, &[PEER]), 0);
    let (come, indication) = incoming(&mut world, relay, PEER).unwrap();
    let id = Message::parse(&indication).unwrap().connection_id();
    world.advance_lazily(secs(31));
    let mut data = alice(&mut world, 9);
    assert_eq!(
        bind(&mut data, &mut world, id.unwrap()),
        400,
        "judged by the clock"
    );
    world.advance(secs(1));
    assert_eq!(close_hanging(&mut world), [come.connection]);
    assert!(incoming(&mut world, relay, PEER).is_ok());
}

#[test]
fn bound_it_stays() {
    let mut world = world();
    let (mut client, relay) = allocated(&mut world, 1);
    assert_eq!(client.permit(&mut world, &[PEER]), 0);
    let (_, indication) = incoming(&mut world, relay, PEER).unwrap();
    let id = Message::parse(&indication).unwrap().connection_id();
    let mut data = alice(&mut world, 9);
    assert_eq!(bind(&mut data, &mut world, id.unwrap()), 0);
    world.advance(secs(500));
    assert_eq!(world.hanging, []);
    assert_eq!(
        client.refresh(&mut world, Some(600)).code(),
        0,
        "and without its permission"
    );
    world.advance(secs(500));
    assert_eq!(world.hanging, []);
}

#[test]
fn no_more_than_there_is_room_for() {
    let mut world = world();
    let (mut client, relay) = allocated(&mut world, 1);
    assert_eq!(client.permit(&mut world, &[PEER]), 0);
    for port in 5000..5006 {
        incoming(&mut world, relay, &format!("8.8.4.4:{port}")).unwrap();
    }
    assert_eq!(
        incoming(&mut world, relay, "8.8.4.4:5006").err(),
        Some(Refusal::NoRoom)
    );
    assert_eq!(
        connect(&mut client, &mut world, "8.8.4.4:5001"),
        Err(446),
        "a peer that has connected is there"
    );
}
