use forebay_turn::{Command, Deletion, Quota, Refusal};
use forebay_wire::stun::{AttributeType, Builder, Method};

use super::common::*;
use super::*;

type Extra = dyn Fn(&mut Builder<'_>);

fn push(kind: AttributeType, value: &'static [u8]) -> Box<Extra> {
    Box::new(move |message| message.push(kind, value).unwrap())
}

#[test]
fn gives_an_address_that_listens_of_either_family() {
    let mut world = world();
    for (port, number, expected) in [(1, 1, RELAY_V4), (2, 2, RELAY_V6)] {
        let mut client = alice(&mut world, port);
        let answer = allocate(&mut client, &mut world, &|message| family(message, number));
        assert_eq!(answer.code(), 0);
        let relayed = answer.view().xor_relayed_address().unwrap();
        assert_eq!(relayed.ip(), ip(expected));
        assert_eq!(answer.lifetime(), 600);
        assert_eq!(
            answer.view().xor_mapped_address(),
            Some(client.tuple.client.0)
        );
        let (relay, ..) = world.latest();
        assert!(matches!(
            world.events.last(),
            Some(Command::Created { tcp: true, .. })
        ));
        assert_eq!(client.refresh(&mut world, Some(0)).code(), 0);
        assert_eq!(world.closed, [relay]);
        world.closed.clear();
    }
    assert_eq!(world.listening, 2);
    assert_eq!(world.deletions(), [Deletion::ClosedByClient; 2]);
}

#[test]
fn is_for_clients_over_tcp_and_tls_alone() {
    let mut world = world();
    let mut udp = Client::alice(1);
    let code = allocate(&mut udp, &mut world, &|_| {}).code();
    assert_eq!(code, 400, "UDP");
    let mut dtls = alice(&mut world, 2);
    world.server.set_byte_stream(dtls.tuple.socket, false);
    let code = allocate(&mut dtls, &mut world, &|_| {}).code();
    assert_eq!(code, 400, "DTLS");
    assert_eq!(world.listening, 0);
}

#[test]
fn is_refused_where_it_is_switched_off() {
    let mut world = World::new(Config {
        tcp: TcpRelay::default(),
        ..tcp_config()
    });
    let mut client = alice(&mut world, 1);
    assert_eq!(allocate(&mut client, &mut world, &|_| {}).code(), 442);
    assert_eq!(world.listening, 0);
}

#[test]
fn what_is_about_datagrams_cannot_be_had() {
    let mut config = tcp_config();
    config.mobility = true;
    let mut world = World::new(config);
    let mut client = alice(&mut world, 1);
    for (extra, code) in [
        (push(AttributeType::EVEN_PORT, &[0]), 400),
        (push(AttributeType::RESERVATION_TOKEN, &[7; 8]), 400),
        (
            push(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]),
            400,
        ),
        (push(AttributeType::MOBILITY_TICKET, &[]), 405),
        (
            push(AttributeType::REQUESTED_ADDRESS_FAMILY, &[3, 0, 0, 0]),
            440,
        ),
    ] {
        assert_eq!(allocate(&mut client, &mut world, &extra).code(), code);
    }
    assert_eq!(world.listening, 0);
}

#[test]
fn counts_as_any_other_and_gives_the_socket_back_when_refused() {
    let mut config = tcp_config();
    config.quota = Quota {
        allocations_per_user: Some(2),
        allocations: None,
    };
    let shared = config.shared.clone();
    let mut world = World::new(config);
    let (mut first, _) = allocated(&mut world, 1);
    let mut second = Client::alice(2);
    second.allocate(&mut world);
    assert_eq!(shared.held(), 2);
    let mut third = alice(&mut world, 3);
    assert_eq!(allocate(&mut third, &mut world, &|_| {}).code(), 486);
    assert_eq!(world.closed.len(), 1, "the socket opened for it");
    assert_eq!(first.refresh(&mut world, Some(0)).code(), 0);
    assert_eq!(shared.held(), 1);
    assert_eq!(allocate(&mut third, &mut world, &|_| {}).code(), 0);
}

#[test]
fn without_a_socket_capacity_is_insufficient() {
    let mut world = world();
    world.listens = false;
    let mut client = alice(&mut world, 1);
    assert_eq!(allocate(&mut client, &mut world, &|_| {}).code(), 508);
    world.listens = true;
    world.server.drain();
    assert_eq!(allocate(&mut client, &mut world, &|_| {}).code(), 508);
    assert_eq!(world.listening, 0, "draining, none is opened");
}

#[test]
fn a_copy_of_the_request_gets_the_same_answer() {
    let mut world = world();
    let mut client = alice(&mut world, 1);
    client.challenge(&mut world);
    let request = client.signed(Method::ALLOCATE, &|message| {
        message
            .push(AttributeType::REQUESTED_TRANSPORT, &[6, 0, 0, 0])
            .unwrap();
    });
    let first = client.exchange(&mut world, &request);
    assert_eq!(first.code(), 0);
    assert_eq!(client.exchange(&mut world, &request), first);
    assert_eq!(world.listening, 1);
    assert_eq!(allocate(&mut client, &mut world, &|_| {}).code(), 437);
}

#[test]
fn relays_no_datagrams() {
    let mut world = world();
    let (mut client, relay) = allocated(&mut world, 1);
    assert_eq!(client.permit(&mut world, &[PEER]), 0);
    assert_eq!(client.bind(&mut world, 0x4000, PEER), 400);
    assert_eq!(world.send(&client, PEER), Err(Refusal::NoAllocation));
    // And a UDP allocation no connections.
    let mut other = alice(&mut world, 2);
    let udp = other.allocate(&mut world);
    assert_eq!(other.permit(&mut world, &[PEER]), 0);
    assert_eq!(connect(&mut other, &mut world, PEER), Err(437));
    assert_eq!(
        incoming(&mut world, udp, PEER).err(),
        Some(Refusal::NoAllocation)
    );
    assert_ne!(relay, udp);
}
