use std::collections::HashSet;

use forebay_turn::{Credentials, Shared, shard_of_connection};
use forebay_wire::stun::{AttributeType, Method};

use super::common::*;
use super::*;

#[test]
fn makes_a_connection_the_peers() {
    let mut world = world();
    let (mut client, _) = allocated(&mut world, 1);
    let (connection, id) = establish(&mut client, &mut world, PEER);
    let mut data = alice(&mut world, 9);
    assert_eq!(bind(&mut data, &mut world, id), 0);
    assert_eq!(world.bound, [connection]);
    let mut other = alice(&mut world, 10);
    assert_eq!(bind(&mut other, &mut world, id), 400, "once");
    assert_eq!(world.bound, [connection]);
}

#[test]
fn what_is_refused_and_how() {
    let mut world = world();
    let (mut client, _) = allocated(&mut world, 1);
    let (connection, id) = establish(&mut client, &mut world, PEER);
    let under_way = connect(&mut client, &mut world, "8.8.4.4:5001").unwrap();
    let mut data = alice(&mut world, 9);
    assert_eq!(bind(&mut data, &mut world, id ^ 1), 400, "no such id");
    let code = data
        .call(&mut world, Method::CONNECTION_BIND, &|_| {})
        .code();
    assert_eq!(code, 400, "no id");
    assert_eq!(
        bind(&mut client, &mut world, id),
        400,
        "the control connection"
    );
    let mut udp = Client::alice(11);
    assert_eq!(bind(&mut udp, &mut world, id), 400, "over UDP");
    let thief = Client::rest(&world, "198.18.0.1:12", "bob", 100, SECRET);
    let mut thief = over_tcp(&mut world, thief);
    assert_eq!(bind(&mut thief, &mut world, id), 441, "another user's");
    let stranger = data.plain(Method::CONNECTION_BIND, &|message| {
        message.push_u32(AttributeType::CONNECTION_ID, id).unwrap();
    });
    assert_eq!(data.exchange(&mut world, &stranger).code(), 401);
    assert_eq!(world.bound, []);
    assert_eq!(bind(&mut data, &mut world, id), 0, "still there");
    assert_eq!(world.bound, [connection]);
    connected(&mut world, under_way, false);
}

#[test]
fn an_unanswered_connect_has_no_connection_to_bind() {
    let mut world = world();
    let (mut client, _) = allocated(&mut world, 1);
    let request = connect_request(&mut client, PEER);
    world.raw(&client.tuple, &request).unwrap();
    let (connection, ..) = asked(&world);
    let answer = connected(&mut world, connection, true).unwrap();
    let id = answer.view().connection_id().unwrap();
    world.server.hung_up(connection);
    let mut data = alice(&mut world, 9);
    assert_eq!(bind(&mut data, &mut world, id), 400, "the peer has gone");
}

#[test]
fn goes_on_with_the_nonce_of_the_control_connection() {
    let mut world = world();
    let (mut client, _) = allocated(&mut world, 1);
    let (_, id) = establish(&mut client, &mut world, PEER);
    let mut data = alice(&mut world, 9);
    data.nonce = client.nonce.clone();
    assert_eq!(bind(&mut data, &mut world, id), 0);
    // From another host, or over UDP, it is worth nothing.
    let mut elsewhere = over_tcp(&mut world, Client::new("198.18.0.2:9", "alice", "wonder"));
    let mut udp = Client::alice(10);
    for other in [&mut elsewhere, &mut udp] {
        other.nonce = client.nonce.clone();
        assert_eq!(other.refresh(&mut world, None).code(), 438);
    }
}

#[test]
fn goes_on_with_the_key_of_the_allocation() {
    let mut world = world();
    let (mut client, _) = allocated(&mut world, 1);
    let (_, id) = establish(&mut client, &mut world, PEER);
    world.server.set_credentials(&Credentials::default());
    let mut data = alice(&mut world, 9);
    assert_eq!(bind(&mut data, &mut world, id), 0);
}

#[test]
fn ids_name_their_shard_and_nothing_else() {
    let mut config = tcp_config();
    config.tcp.connections = 600;
    config.tcp.connections_per_allocation = 600;
    config.tcp.connecting_per_allocation = 600;
    config.shared = Shared::new(7, 64).of(5);
    let mut world = World::new(config);
    let (mut client, _) = allocated(&mut world, 1);
    let mut high = HashSet::new();
    for port in 5000..5500 {
        let (_, id) = establish(&mut client, &mut world, &format!("8.8.4.4:{port}"));
        assert_eq!(shard_of_connection(id, 7), 5);
        high.insert(id >> 24);
    }
    assert!(high.len() > 150, "{} of 256", high.len());
}
