//! Allocations from Allocate to expiry, as the worker sees them.

mod host;

use std::net::SocketAddr;
use std::time::Duration;

use forebay_engine::{Command, DropReason, TrafficClass};
use forebay_turn::{ClientAddr, Deletion, RelayedAddr, Usage};
use host::Host;
use host::client::{Client, channel_data, send_indication};

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn creation_is_reported_and_counted() {
    let mut host = Host::new();
    let mut client = Client::new("198.51.100.7:4000");
    let relayed = client.allocate(&mut host);
    assert_eq!(host.shard.allocations(), 1);
    assert_eq!(host.counters().allocations_created, 1);
    assert_eq!(host.counters().requests, 2);
    assert_eq!(host.counters().answers, 2);
    let [
        Command::Created {
            tuple,
            relayed: given,
            username,
            ..
        },
    ] = &host.commands[..]
    else {
        panic!("one command, not {:?}", host.commands);
    };
    assert_eq!(
        (tuple.client, *given),
        (ClientAddr(client.address), RelayedAddr(relayed))
    );
    assert_eq!(&**username, host::client::USER);
}

#[test]
fn an_allocation_expires_on_its_timer_and_its_relay_comes_back() {
    let mut host = Host::new();
    let open = host.relays.len();
    let mut client = Client::new("198.51.100.7:4000");
    let relayed = client.allocate(&mut host);
    let peer = address("203.0.113.9:5000");
    client.bind_channel(&mut host, 0x4000, peer);
    for _ in 0..3 {
        host.receive(
            client.socket,
            client.address,
            TrafficClass(0),
            &[channel_data(0x4000, b"12345")],
        );
    }
    host.receive(
        host.relay_at(relayed),
        peer,
        TrafficClass(0),
        &[b"1234567", b"1234567"],
    );
    host.run();

    host.pass(Duration::from_secs(500));
    client.refresh(&mut host, 600);
    let mut wakes = 0;
    let start = host.now.instant;
    while host.shard.allocations() > 0 {
        host.now.instant = host
            .shard
            .next_deadline()
            .expect("a timer ends the allocation");
        host.housekeep();
        wakes += 1;
        assert!(wakes < 100);
    }
    let lived = host.now.instant.since(start);
    assert!(lived >= Duration::from_secs(600), "{lived:?}");
    assert!(lived < Duration::from_secs(601), "{lived:?}");
    let Some(Command::Deleted { reason, usage, .. }) = host.commands.last() else {
        panic!("a deletion, not {:?}", host.commands);
    };
    assert_eq!(*reason, Deletion::Expired);
    let expected = Usage {
        to_peer_packets: 3,
        to_peer_bytes: 15,
        to_client_packets: 2,
        to_client_bytes: 14,
    };
    assert_eq!(*usage, expected);
    assert_eq!(host.counters().allocations_deleted, 1);
    assert!(
        !host.relays.values().any(|local| *local == relayed),
        "its relay is closed"
    );
    assert_eq!(host.relays.len(), open, "and another is ready");
    assert_eq!(
        host.exchange(
            client.socket,
            client.address,
            &channel_data(0x4000, b"late")
        ),
        []
    );
    assert_eq!(host.dropped(DropReason::NoAllocation), 1);
}

#[test]
fn many_expiries_are_spread_over_rounds_and_none_is_lost() {
    let mut host = Host::new();
    let mut clients: Vec<_> = (0..900)
        .map(|n| Client::new(&format!("198.51.100.7:{}", 4000 + n)))
        .collect();
    for client in &mut clients {
        client.allocate(&mut host);
    }
    let peer = address("203.0.113.9:5000");
    for client in &mut clients {
        client.permit(&mut host, peer);
    }
    assert_eq!(host.shard.allocations(), 900);
    host.pass(Duration::from_secs(700));
    let mut rounds = 0;
    while host
        .shard
        .next_deadline()
        .is_some_and(|at| at <= host.now.instant)
    {
        let before = host.shard.allocations();
        host.housekeep();
        assert!(
            before - host.shard.allocations() <= 300,
            "a bounded number each round"
        );
        rounds += 1;
        assert!(rounds < 100);
    }
    assert!(rounds >= 3);
    assert_eq!(host.shard.allocations(), 0);
    assert_eq!(host.counters().allocations_deleted, 900);
}

#[test]
fn two_allocations_of_one_host_reach_each_other() {
    let mut host = Host::new();
    let mut a = Client::new("198.51.100.7:4000");
    let mut b = Client::new("198.51.100.8:4000");
    let (relay_a, relay_b) = (a.allocate(&mut host), b.allocate(&mut host));
    a.bind_channel(&mut host, 0x4000, relay_b);
    b.permit(&mut host, relay_a);

    let sent = host.exchange(a.socket, a.address, &channel_data(0x4000, b"hello b"));
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (sent[0].socket, sent[0].destination),
        (host.relay_at(relay_a), relay_b)
    );

    // As the kernel hands it over: from A's relay to B's.
    let sent = host.exchange(host.relay_at(relay_b), relay_a, &sent[0].bytes);
    assert_eq!((sent[0].socket, sent[0].destination), (b.socket, b.address));
    assert_eq!(
        host::client::data_indication(&sent[0].bytes),
        (relay_a, b"hello b".to_vec())
    );

    let sent = host.exchange(b.socket, b.address, &send_indication(relay_a, b"hello a"));
    assert_eq!(
        (sent[0].socket, sent[0].destination),
        (host.relay_at(relay_b), relay_a)
    );
    let sent = host.exchange(host.relay_at(relay_a), relay_b, &sent[0].bytes);
    assert_eq!(
        (sent[0].destination, &sent[0].bytes),
        (a.address, &channel_data(0x4000, b"hello a"))
    );
}

#[test]
fn a_draining_shard_keeps_what_it_has() {
    let mut host = Host::new();
    let mut client = Client::new("198.51.100.7:4000");
    client.allocate(&mut host);
    client.bind_channel(&mut host, 0x4000, address("203.0.113.9:5000"));
    host.shard.drain();
    let mut late = Client::new("198.51.100.8:4000");
    for _ in 0..2 {
        let request = late.allocate_request();
        let answer = host.exchange(late.socket, late.address, &request).remove(0);
        let message = forebay_wire::stun::Message::parse(&answer.bytes).expect("an answer");
        if late.nonce.is_empty() {
            late.learn(&answer.bytes);
        } else {
            let code = message.error_code().map(|(code, _)| code.get());
            assert_eq!(code, Some(508));
        }
    }
    client.refresh(&mut host, 600);
    assert_eq!(
        host.exchange(client.socket, client.address, &channel_data(0x4000, b"x"))
            .len(),
        1
    );
    assert_eq!(host.shard.allocations(), 1);
}
