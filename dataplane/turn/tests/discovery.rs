//! NAT behaviour discovery (RFC 5780).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::SocketAddr;

use common::*;
use forebay_turn::{
    ClientAddr, Config, Discovery, FiveTuple, Outcome, Place, PrefixBudget, Server, SocketId,
};
use forebay_wire::stun::{AttributeType, Builder, Message, Method};

/// By address, then by port; the last address is behind a NAT.
const PLACES: [[(u32, &str, &str); 2]; 2] = [
    [
        (0, "192.0.2.1:3478", "192.0.2.1:3478"),
        (1, "192.0.2.1:3479", "192.0.2.1:3479"),
    ],
    [
        (2, "10.0.0.2:3478", "192.0.2.2:3478"),
        (3, "10.0.0.2:3479", "192.0.2.2:3479"),
    ],
];

fn with_discovery() -> Config {
    Config {
        discovery: vec![Discovery {
            places: PLACES.map(|ports| {
                ports.map(|(socket, local, public)| Place {
                    socket: SocketId(socket),
                    local: addr(local),
                    public: addr(public),
                })
            }),
        }],
        ..config()
    }
}

/// The tuple of a client that sends to one of the places.
fn at(address: usize, port: usize) -> FiveTuple {
    let (socket, local, _) = PLACES[address][port];
    FiveTuple {
        socket: SocketId(socket),
        client: ClientAddr(addr("198.18.0.1:4000")),
        local: addr(local).ip(),
    }
}

fn ask(
    world: &mut World,
    tuple: &FiveTuple,
    fill: &dyn Fn(&mut Builder<'_>),
) -> (Outcome, Vec<u8>) {
    let request = Client::alice(4000).plain(Method::BINDING, fill);
    let mut answer = vec![0; Server::MAX_ANSWER];
    let outcome = world
        .server
        .request(world.now, tuple, &request, &mut answer);
    let len = match outcome {
        Outcome::Reply(len) => len,
        Outcome::ReplyFrom(reply) => reply.len,
        _ => 0,
    };
    answer.truncate(len);
    (outcome, answer)
}

fn change(bits: u8) -> impl Fn(&mut Builder<'_>) {
    move |message| {
        message
            .push(AttributeType::CHANGE_REQUEST, &[0, 0, 0, bits])
            .unwrap();
    }
}

fn plain_address(answer: &[u8], kind: AttributeType) -> SocketAddr {
    let view = Message::parse(answer).unwrap();
    let value = view.get(kind).unwrap();
    let port = u16::from_be_bytes([value[2], value[3]]);
    let ip = <[u8; 4]>::try_from(&value[4..]).unwrap();
    SocketAddr::new(ip.into(), port)
}

#[test]
fn every_change_from_every_place() {
    let mut world = World::new(with_discovery());
    for (address, port) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for (bits, address_bit, port_bit) in [(0, 0, 0), (2, 0, 1), (4, 1, 0), (6, 1, 1)] {
            let tuple = at(address, port);
            let (outcome, answer) = ask(&mut world, &tuple, &change(bits));
            let Outcome::ReplyFrom(reply) = outcome else {
                panic!("{outcome:?}");
            };
            let from = PLACES[address ^ address_bit][port ^ port_bit];
            assert_eq!(reply.tuple.socket, SocketId(from.0));
            assert_eq!(reply.tuple.local, addr(from.1).ip());
            assert_eq!(reply.tuple.client, tuple.client);
            let told = |kind| plain_address(&answer, kind);
            assert_eq!(told(AttributeType::RESPONSE_ORIGIN), addr(from.2));
            let other = PLACES[address ^ 1][port ^ 1];
            assert_eq!(told(AttributeType::OTHER_ADDRESS), addr(other.2));
            assert_eq!(told(AttributeType::MAPPED_ADDRESS), tuple.client.0);
            let view = Message::parse(&answer).unwrap();
            assert_eq!(view.xor_mapped_address(), Some(tuple.client.0));
        }
    }
}

#[test]
fn answers_stay_small_and_paid_for() {
    let mut world = World::new(Config {
        unauthenticated: PrefixBudget {
            per_second: 10,
            burst: 20,
        },
        ..with_discovery()
    });
    let (_, answer) = ask(&mut world, &at(0, 0), &|_| {});
    assert_eq!(answer.len(), 68);
    let answered = (0..100)
        .filter(|n| {
            !ask(&mut world, &at(n % 2, n / 2 % 2), &change(6))
                .1
                .is_empty()
        })
        .count();
    assert_eq!(answered, 19, "one budget for all four places");
}

#[test]
fn answers_go_to_another_port_but_never_to_another_host_or_service() {
    let mut world = World::new(with_discovery());
    let port = |port: u16| {
        move |message: &mut Builder<'_>| {
            let [a, b] = port.to_be_bytes();
            message
                .push(AttributeType::RESPONSE_PORT, &[a, b, 0, 0])
                .unwrap();
        }
    };
    let (outcome, answer) = ask(&mut world, &at(0, 0), &port(5000));
    let Outcome::ReplyFrom(reply) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(reply.tuple.client, ClientAddr(addr("198.18.0.1:5000")));
    let view = Message::parse(&answer).unwrap();
    assert_eq!(view.xor_mapped_address(), Some(addr("198.18.0.1:4000")));
    for low in [0, 53, 1023] {
        let (outcome, answer) = ask(&mut world, &at(0, 0), &port(low));
        assert!(matches!(outcome, Outcome::Reply(_)));
        let view = Message::parse(&answer).unwrap();
        assert_eq!(view.error_code().unwrap().0.get(), 400);
    }
}

#[test]
fn misshapen_values_and_padding_are_refused() {
    let mut world = World::new(with_discovery());
    let with = |kind, value: &'static [u8]| {
        move |message: &mut Builder<'_>| message.push(kind, value).unwrap()
    };
    let mut code = |kind, value| {
        let (_, answer) = ask(&mut world, &at(0, 0), &with(kind, value));
        Message::parse(&answer)
            .unwrap()
            .error_code()
            .unwrap()
            .0
            .get()
    };
    assert_eq!(code(AttributeType::CHANGE_REQUEST, &[0, 6]), 400);
    assert_eq!(code(AttributeType::RESPONSE_PORT, &[0x13, 0x88]), 400);
    assert_eq!(code(AttributeType::PADDING, &[0; 400]), 420);
}

/// Elsewhere, and without discovery, nothing is new.
#[test]
fn other_sockets_know_nothing_of_it() {
    let mut world = World::new(with_discovery());
    let mut elsewhere = at(0, 0);
    elsewhere.socket = SocketId(9);
    let mut other_address = at(0, 0);
    other_address.local = ip("192.0.2.77");
    let mut off = World::new(config());
    for (world, tuple) in [(&mut world, elsewhere), (&mut off, at(0, 0))] {
        let (outcome, answer) = ask(world, &tuple, &|_| {});
        assert!(matches!(outcome, Outcome::Reply(32)), "{outcome:?}");
        assert!(
            Message::parse(&answer)
                .unwrap()
                .xor_mapped_address()
                .is_some()
        );
        let (_, answer) = ask(world, &tuple, &change(6));
        let view = Message::parse(&answer).unwrap();
        assert_eq!(view.error_code().unwrap().0.get(), 420);
    }
    let (outcome, _) = ask(&mut world, &other_address, &|_| {});
    assert!(matches!(outcome, Outcome::Reply(32)), "{outcome:?}");
}
