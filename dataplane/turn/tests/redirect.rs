//! 300 (Try Alternate, RFC 8489 §10).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::SocketAddr;

use common::*;
use forebay_turn::{Alternate, Capacity, Config, Quota, Redirect, RedirectWhen, SocketId};
use forebay_wire::stun::AttributeType;

const FIRST_STREAM: u32 = 1000;

fn servers(when: RedirectWhen) -> Config {
    let plain = |address: &str| Alternate {
        address: addr(address),
        domain: None,
    };
    let secure = |address: &str, domain: Option<&str>| Alternate {
        address: addr(address),
        domain: domain.map(Into::into),
    };
    Config {
        redirect: Redirect {
            when,
            plain: vec![
                plain("192.0.2.8:3478"),
                plain("[2001:db8::8]:3478"),
                plain("192.0.2.9:3479"),
            ],
            secure: vec![
                secure("192.0.2.8:5349", Some("turn2.example.org")),
                secure("192.0.2.9:5349", None),
            ],
        },
        first_stream: SocketId(FIRST_STREAM),
        ..config()
    }
}

/// Where an Allocate is sent; its integrity is checked.
fn sent(world: &mut World, client: &mut Client) -> Option<(SocketAddr, Option<Vec<u8>>)> {
    let answer = client.allocate_with(world, &|_| {});
    if answer.code() != 300 {
        return None;
    }
    let view = answer.view();
    assert!(view.integrity().is_some(), "nobody else sends clients away");
    assert!(view.nonce().is_none());
    let address = view.get(AttributeType::ALTERNATE_SERVER).unwrap();
    let port = u16::from_be_bytes([address[2], address[3]]);
    let ip = match address[1] {
        1 => <[u8; 4]>::try_from(&address[4..]).unwrap().into(),
        _ => <[u8; 16]>::try_from(&address[4..]).unwrap().into(),
    };
    let domain = view.get(AttributeType::ALTERNATE_DOMAIN);
    Some((SocketAddr::new(ip, port), domain.map(<[u8]>::to_vec)))
}

fn to(address: &str) -> Option<(SocketAddr, Option<Vec<u8>>)> {
    Some((addr(address), None))
}

#[test]
fn always_in_turns_and_per_family() {
    let mut world = World::new(servers(RedirectWhen::Always));
    let mut alice = Client::alice(4000);
    assert_eq!(
        alice.challenge(&mut world).code(),
        401,
        "strangers prove first"
    );
    assert_eq!(sent(&mut world, &mut alice), to("192.0.2.8:3478"));
    assert_eq!(sent(&mut world, &mut alice), to("192.0.2.9:3479"));
    assert_eq!(sent(&mut world, &mut alice), to("192.0.2.8:3478"));
    let mut over_v6 = Client::new("[2001:db8::1]:4000", "alice", "wonder");
    for _ in 0..2 {
        assert_eq!(sent(&mut world, &mut over_v6), to("[2001:db8::8]:3478"));
    }
    assert_eq!(world.server.redirected(), 5);
    assert_eq!(world.server.allocations(), 0);
    let mut wrong = Client::new("198.18.0.1:4001", "alice", "wrong");
    assert_eq!(wrong.allocate_with(&mut world, &|_| {}).code(), 401);
    // A request that is no good is told so.
    let broken = alice.call(&mut world, forebay_wire::stun::Method::ALLOCATE, &|_| {});
    assert_eq!(broken.code(), 400);
}

#[test]
fn encrypted_clients_have_servers_of_their_own() {
    let mut world = World::new(servers(RedirectWhen::Always));
    let at = |socket: u32, port: u16| {
        let mut client = Client::alice(port);
        client.tuple.socket = SocketId(socket);
        client
    };
    let (mut tls, mut tcp) = (at(FIRST_STREAM, 4000), at(FIRST_STREAM + 7, 4001));
    world.server.client_connected(SocketId(FIRST_STREAM), true);
    world
        .server
        .client_connected(SocketId(FIRST_STREAM + 7), false);
    let domain = Some(b"turn2.example.org".to_vec());
    assert_eq!(
        sent(&mut world, &mut tls),
        Some((addr("192.0.2.8:5349"), domain))
    );
    assert_eq!(sent(&mut world, &mut tls), to("192.0.2.9:5349"));
    assert_eq!(sent(&mut world, &mut tcp), to("192.0.2.8:3478"));
    // The id is another client's later.
    world.server.client_connected(SocketId(FIRST_STREAM), false);
    assert_eq!(sent(&mut world, &mut tls), to("192.0.2.9:3479"));
    // There is none for IPv6 over TLS: such a client is served here.
    world
        .server
        .client_connected(SocketId(FIRST_STREAM + 1), true);
    let mut over_v6 = Client::new("[2001:db8::1]:4000", "alice", "wonder");
    over_v6.tuple.socket = SocketId(FIRST_STREAM + 1);
    over_v6.allocate(&mut world);
}

#[test]
fn draining_sends_on_what_it_would_refuse() {
    for when in [RedirectWhen::Draining, RedirectWhen::Full] {
        let mut world = World::new(servers(when));
        let mut alice = Client::alice(4000);
        alice.allocate(&mut world);
        world.server.drain();
        let mut late = Client::alice(4001);
        assert_eq!(sent(&mut world, &mut late), to("192.0.2.8:3478"));
        // What lives here stays here.
        assert_eq!(alice.refresh(&mut world, None).code(), 0);
        assert_eq!(alice.allocate_with(&mut world, &|_| {}).code(), 437);
    }
}

#[test]
fn fullness_sends_on_only_where_that_is_wanted() {
    let small = |when| Config {
        capacity: Capacity {
            allocations: 1,
            ..config().capacity
        },
        ..servers(when)
    };
    let mut world = World::new(small(RedirectWhen::Full));
    Client::alice(4000).allocate(&mut world);
    assert_eq!(
        sent(&mut world, &mut Client::alice(4001)),
        to("192.0.2.8:3478")
    );
    let mut world = World::new(small(RedirectWhen::Draining));
    Client::alice(4000).allocate(&mut world);
    let answer = Client::alice(4001).allocate_with(&mut world, &|_| {});
    assert_eq!(answer.code(), 508);
    // The limit of the host is fullness, that of one user is not.
    let mut world = World::new(Config {
        quota: Quota {
            allocations_per_user: Some(1),
            allocations: Some(2),
        },
        ..servers(RedirectWhen::Full)
    });
    Client::alice(4000).allocate(&mut world);
    let answer = Client::alice(4001).allocate_with(&mut world, &|_| {});
    assert_eq!(answer.code(), 486);
    let mut carol = Client::rest(&world, "198.18.0.1:4002", "carol", 600, SECRET);
    carol.allocate(&mut world);
    let mut dave = Client::rest(&world, "198.18.0.1:4003", "dave", 600, SECRET);
    assert!(sent(&mut world, &mut dave).is_some());
}

/// A reserved port is here and nowhere else.
#[test]
fn a_lost_reservation_is_not_looked_for_elsewhere() {
    let mut world = World::new(servers(RedirectWhen::Full));
    let mut alice = Client::alice(4000);
    let answer = alice.allocate_with(&mut world, &|message| {
        message
            .push(AttributeType::RESERVATION_TOKEN, &[1; 8])
            .unwrap();
    });
    assert_eq!(answer.code(), 508);
}

#[test]
fn without_other_servers_nothing_changes() {
    let mut world = World::new(Config {
        redirect: Redirect {
            when: RedirectWhen::Always,
            ..Redirect::default()
        },
        ..config()
    });
    Client::alice(4000).allocate(&mut world);
    world.server.drain();
    let answer = Client::alice(4001).allocate_with(&mut world, &|_| {});
    assert_eq!(answer.code(), 508);
}
