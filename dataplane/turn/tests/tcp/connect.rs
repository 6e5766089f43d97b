use forebay_turn::{BandwidthLimits, Command, EventRate, NewPeers, PeerPolicy, RelayMapping};
use forebay_wire::stun::{AttributeType, Method};

use super::common::*;
use super::*;

#[test]
fn is_answered_once_the_peer_is_there() {
    let mut world = world();
    let (mut client, relay) = allocated(&mut world, 1);
    let request = connect_request(&mut client, PEER);
    assert_eq!(world.raw(&client.tuple, &request), Ok(Vec::new()));
    let (connection, from, to) = asked(&world);
    assert_eq!((from, to), (relay, addr(PEER)));
    let answer = connected(&mut world, connection, true).unwrap();
    client.check(&request, &answer);
    assert_eq!(answer.code(), 0);
    assert!(answer.view().connection_id().is_some());
    assert_eq!(
        connected(&mut world, connection, true),
        None,
        "answered once"
    );
}

#[test]
fn a_copy_is_answered_like_the_first() {
    let mut world = world();
    let (mut client, _) = allocated(&mut world, 1);
    let request = connect_request(&mut client, PEER);
    for _ in 0..3 {
        assert_eq!(world.raw(&client.tuple, &request), Ok(Vec::new()));
    }
    assert_eq!(world.server.connections(), 1);
    let (connection, ..) = asked(&world);
    let first = connected(&mut world, connection, true).unwrap();
    assert_eq!(client.exchange(&mut world, &request), first);
    assert_eq!(world.server.connections(), 1);
}

#[test]
fn no_second_connection_to_a_peer() {
    let mut world = world();
    let (mut client, _) = allocated(&mut world, 1);
    let connection = connect(&mut client, &mut world, PEER).unwrap();
    assert_eq!(
        connect(&mut client, &mut world, PEER),
        Err(446),
        "under way"
    );
    connected(&mut world, connection, true).unwrap();
    assert_eq!(connect(&mut client, &mut world, PEER), Err(446), "there");
    assert!(connect(&mut client, &mut world, "8.8.4.4:5001").is_ok());
    let (mut other, _) = allocated(&mut world, 2);
    assert!(connect(&mut other, &mut world, PEER).is_ok());
    // Over, it may be made again.
    world.server.hung_up(connection);
    assert!(connect(&mut client, &mut world, PEER).is_ok());
}

#[test]
fn what_is_refused_and_how() {
    let mut world = world();
    let mut client = alice(&mut world, 1);
    client.challenge(&mut world);
    assert_eq!(connect(&mut client, &mut world, PEER), Err(437));
    assert_eq!(allocate(&mut client, &mut world, &|_| {}).code(), 0);
    let code = client.call(&mut world, Method::CONNECT, &|_| {}).code();
    assert_eq!(code, 400);
    assert_eq!(connect(&mut client, &mut world, PEER_V6), Err(443));
    for peer in [
        "127.0.0.1:5000",
        "10.0.0.1:5000",
        "169.254.169.254:5000",
        "8.8.4.4:22",
        "8.8.4.4:0",
        "192.0.2.10:80",
    ] {
        assert_eq!(connect(&mut client, &mut world, peer), Err(403), "{peer}");
    }
    let mut thief = Client::rest(&world, "198.18.0.1:1", "bob", 100, SECRET);
    thief.tuple = client.tuple;
    thief.challenge(&mut world);
    assert_eq!(connect(&mut thief, &mut world, PEER), Err(441));
    assert_eq!(world.server.connections(), 0);
}

#[test]
fn the_canonical_address_is_judged() {
    let mut world = world();
    let mut client = alice(&mut world, 1);
    let v6 = allocate(&mut client, &mut world, &|message| family(message, 2));
    assert_eq!(v6.code(), 0);
    for peer in [
        "[::ffff:127.0.0.1]:5000",
        "[64:ff9b::7f00:1]:5000",
        "[2002:7f00:1::]:5000",
    ] {
        assert_eq!(connect(&mut client, &mut world, peer), Err(403), "{peer}");
    }
    assert!(connect(&mut client, &mut world, PEER_V6).is_ok());
}

#[test]
fn a_peer_that_does_not_answer_is_told_after_thirty_seconds() {
    let mut world = world();
    let (mut client, _) = allocated(&mut world, 1);
    let connection = connect(&mut client, &mut world, PEER).unwrap();
    let gave_up = Command::GiveUp(connection);
    world.advance(secs(29));
    assert!(!world.events.contains(&gave_up));
    world.advance(secs(2));
    assert!(world.events.contains(&gave_up));
    let answer = connected(&mut world, connection, false).unwrap();
    assert_eq!(answer.code(), 447);
    assert_eq!(close_hanging(&mut world), [connection]);
    assert_eq!(world.server.connections(), 0);
    assert!(connect(&mut client, &mut world, PEER).is_ok());
}

#[test]
fn a_refused_connection_is_told_at_once() {
    let mut world = world();
    let (mut client, _) = allocated(&mut world, 1);
    let request = connect_request(&mut client, PEER);
    world.raw(&client.tuple, &request).unwrap();
    let (connection, ..) = asked(&world);
    let answer = connected(&mut world, connection, false).unwrap();
    client.check(&request, &answer);
    assert_eq!(answer.code(), 447);
    assert_eq!(close_hanging(&mut world), [connection]);
}

#[test]
fn only_so_many_at_once() {
    let mut world = world();
    let (mut client, _) = allocated(&mut world, 1);
    let peer = |n: u16| format!("8.8.4.4:{}", 5000 + n);
    let mut under_way: Vec<_> = (0..4)
        .map(|n| connect(&mut client, &mut world, &peer(n)).unwrap())
        .collect();
    assert_eq!(
        connect(&mut client, &mut world, &peer(4)),
        Err(508),
        "too many under way"
    );
    connected(&mut world, under_way.remove(0), true).unwrap();
    under_way.push(connect(&mut client, &mut world, &peer(4)).unwrap());
    for connection in under_way {
        connected(&mut world, connection, true).unwrap();
    }
    connect(&mut client, &mut world, &peer(5)).unwrap();
    assert_eq!(
        connect(&mut client, &mut world, &peer(6)),
        Err(508),
        "too many of one allocation"
    );
}

#[test]
fn only_so_many_on_the_shard() {
    let mut config = tcp_config();
    config.tcp.connections = 2;
    let mut world = World::new(config);
    let (mut first, _) = allocated(&mut world, 1);
    let (mut second, _) = allocated(&mut world, 2);
    let (one, _) = establish(&mut first, &mut world, "8.8.4.4:5001");
    establish(&mut first, &mut world, "8.8.4.4:5002");
    assert_eq!(connect(&mut second, &mut world, PEER), Err(508));
    world.server.hung_up(one);
    assert_eq!(
        connect(&mut second, &mut world, PEER),
        Err(508),
        "not closed yet"
    );
    world.server.released(one);
    assert!(connect(&mut second, &mut world, PEER).is_ok());
}

#[test]
fn nobody_scans_through_it() {
    let mut config = tcp_config();
    config.new_peers = NewPeers {
        per_allocation: EventRate {
            per_second: 1,
            burst: 2,
        },
        ..NewPeers::default()
    };
    let mut world = World::new(config);
    let (mut client, _) = allocated(&mut world, 1);
    for (port, expected) in [(5001, true), (5002, true), (5003, false)] {
        let outcome = connect(&mut client, &mut world, &format!("8.8.4.4:{port}"));
        assert_eq!(outcome.is_ok(), expected, "{outcome:?}");
    }
    world.advance(secs(1));
    assert!(connect(&mut client, &mut world, "8.8.4.4:5003").is_ok());
}

#[test]
fn the_end_of_the_allocation_ends_its_connections() {
    let mut world = world();
    let (mut client, _) = allocated(&mut world, 1);
    let under_way = connect(&mut client, &mut world, "8.8.4.4:5001").unwrap();
    let (there, id) = establish(&mut client, &mut world, "8.8.4.4:5002");
    assert!(world.server.disconnected(&client.tuple));
    world.drain();
    let mut hanging = world.hanging.clone();
    hanging.sort();
    assert_eq!(hanging, [under_way, there]);
    assert_eq!(
        connected(&mut world, under_way, true),
        None,
        "nobody to tell"
    );
    let mut data = alice(&mut world, 9);
    assert_eq!(bind(&mut data, &mut world, id), 400);
    close_hanging(&mut world);
    assert_eq!(world.server.connections(), 0);
}

#[test]
fn an_operator_and_time_end_them_too() {
    let mut world = world();
    let (mut first, _) = allocated(&mut world, 1);
    establish(&mut first, &mut world, PEER);
    let (_, id, _) = world.latest();
    assert!(world.server.delete(world.now, id));
    world.drain();
    assert_eq!(close_hanging(&mut world).len(), 1);
    let (mut second, _) = allocated(&mut world, 2);
    establish(&mut second, &mut world, PEER);
    world.advance(secs(20));
    let (_, bound) = establish(&mut second, &mut world, "8.8.4.4:5001");
    let mut data = alice(&mut world, 9);
    assert_eq!(bind(&mut data, &mut world, bound), 0);
    world.advance(secs(600));
    assert_eq!(world.server.allocations(), 0);
    assert_eq!(close_hanging(&mut world).len(), 2);
    assert_eq!(world.server.connections(), 0);
}

#[test]
fn a_new_policy_is_obeyed() {
    let mut world = world();
    let (mut client, _) = allocated(&mut world, 1);
    let under_way = connect(&mut client, &mut world, "8.8.4.4:5001").unwrap();
    let (there, _) = establish(&mut client, &mut world, "8.8.4.4:5002");
    let (other, _) = establish(&mut client, &mut world, "9.9.9.9:5002");
    world.server.set_policy(&PeerPolicy {
        deny: vec!["8.8.4.0/24".parse().unwrap()],
        ..policy()
    });
    world.drain();
    assert_eq!(world.hanging, [there]);
    let answer = connected(&mut world, under_way, true).unwrap();
    assert_eq!(answer.code(), 403);
    assert_eq!(close_hanging(&mut world), [there, under_way]);
    world.server.released(other);
    assert_eq!(world.server.connections(), 0);
}

#[test]
fn another_allocation_of_the_host_is_reached_behind_its_public_address() {
    let mut world = world();
    let mut policy = policy();
    policy.relays = vec![RelayMapping {
        local: ip("192.168.1.2"),
        public: ip(RELAY_V4),
    }];
    world.server.set_policy(&policy);
    let (mut client, relay) = allocated(&mut world, 1);
    connect(&mut client, &mut world, "192.0.2.10:50099").unwrap();
    let (_, _, to) = asked(&world);
    assert_eq!(to, addr("192.168.1.2:50099"));
    // And is shown by it.
    assert_eq!(client.permit(&mut world, &["192.0.2.10:1"]), 0);
    let (_, indication) = incoming(&mut world, relay, "192.168.1.2:50077").unwrap();
    let message = Message::parse(&indication).unwrap();
    assert_eq!(message.xor_peer_address(), Some(addr("192.0.2.10:50077")));
}

#[test]
fn what_is_moved_is_counted_and_capped() {
    let mut config = tcp_config();
    config.bandwidth = BandwidthLimits {
        allocation: Some(8_000),
        ..BandwidthLimits::default()
    };
    let mut world = World::new(config);
    let (mut client, _) = allocated(&mut world, 1);
    let (connection, id) = establish(&mut client, &mut world, PEER);
    let (_, allocation, _) = world.latest();
    world.server.moved(connection, 10, 10);
    assert_eq!(
        world.server.usage(allocation).unwrap().to_peer_bytes,
        0,
        "not bound"
    );
    let mut data = alice(&mut world, 9);
    assert_eq!(bind(&mut data, &mut world, id), 0);
    assert!(world.server.may_move(world.now, connection, true));
    world.server.moved(connection, 2000, 300);
    assert!(!world.server.may_move(world.now, connection, true));
    assert!(world.server.may_move(world.now, connection, false));
    world.advance(secs(3));
    assert!(world.server.may_move(world.now, connection, true));
    let usage = world.server.usage(allocation).unwrap();
    assert_eq!((usage.to_peer_bytes, usage.to_client_bytes), (2000, 300));
}

#[test]
fn an_address_that_is_not_one_is_a_bad_request() {
    let mut world = world();
    let (mut client, _) = allocated(&mut world, 1);
    let code = client.call(&mut world, Method::CONNECT, &|message| {
        message
            .push(AttributeType::XOR_PEER_ADDRESS, &[0, 9, 0, 0])
            .unwrap();
    });
    assert_eq!(code.code(), 400);
}
