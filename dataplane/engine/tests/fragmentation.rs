//! Send indications with DONT-FRAGMENT (RFC 8656 §11.2, §13 to §15).

mod host;

use std::net::SocketAddr;

use forebay_engine::{DropReason, ShardConfig, TrafficClass};
use forebay_turn::{Config, SocketId};
use forebay_wire::stun::{AttributeType, Builder, Class, Method, TransactionId};
use host::Host;
use host::client::{Client, channel_data, send_indication};

const V4: &str = "203.0.113.9:5000";
const V6: &str = "[2001:db8:1::9]:5000";

fn unfragmented(peer: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; payload.len() + 100];
    let id = TransactionId([0x78; 12]);
    let mut builder = Builder::new(&mut buffer, Class::Indication, Method::SEND, id).expect("room");
    builder
        .push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
        .expect("room");
    builder
        .push_empty(AttributeType::DONT_FRAGMENT)
        .expect("room");
    builder.push(AttributeType::DATA, payload).expect("room");
    let len = builder.len();
    buffer.truncate(len);
    buffer
}

/// DF and datagrams of each transmit.
fn shape(host: &Host) -> Vec<(bool, u16)> {
    let transmits = host.tx.transmits.iter();
    transmits.map(|t| (t.dont_fragment, t.datagrams)).collect()
}

fn parse(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

#[test]
fn it_leaves_alone_and_in_its_place() {
    let mut host = Host::new();
    let mut client = Client::new("198.51.100.7:4000");
    client.allocate(&mut host);
    let peer = parse(V4);
    client.bind_channel(&mut host, 0x4000, peer);
    let mut expected = Vec::new();
    for (number, kind) in b"ccsUUcsUc".iter().enumerate() {
        let payload = [number as u8; 100];
        let datagram = match kind {
            b'c' => channel_data(0x4000, &payload),
            b's' => send_indication(peer, &payload),
            _ => unfragmented(peer, &payload),
        };
        host.receive(client.socket, client.address, TrafficClass(1), &[datagram]);
        expected.push(payload.to_vec());
    }
    let sent = host.run();
    let payloads: Vec<_> = sent.iter().map(|sent| sent.bytes.clone()).collect();
    assert_eq!(payloads, expected);
    assert!(sent.iter().all(|sent| sent.destination == peer));
    assert_eq!(
        shape(&host),
        [
            (false, 3),
            (true, 1),
            (true, 1),
            (false, 2),
            (true, 1),
            (false, 1)
        ]
    );
    assert_eq!(
        (
            host.counters().to_peer_packets,
            host.counters().to_peer_bytes
        ),
        (9, 900)
    );
}

#[test]
fn merged_indications_are_taken_one_by_one() {
    let mut host = Host::new();
    let mut client = Client::new("198.51.100.7:4000");
    client.allocate(&mut host);
    let peer = parse(V4);
    client.permit(&mut host, peer);
    let datagrams = vec![unfragmented(peer, &[1; 64]); 5];
    host.receive(client.socket, client.address, TrafficClass(0), &datagrams);
    assert_eq!(host.run().len(), 5);
    assert_eq!(shape(&host), [(true, 1); 5]);
}

#[test]
fn between_families_and_within_ipv6_the_attribute_is_ignored() {
    for (client, family, peer, df) in [
        ("198.51.100.7:4000", 1, V4, true),
        ("198.51.100.7:4000", 2, V6, false),
        ("[2001:db8:2::7]:4000", 1, V4, false),
        ("[2001:db8:2::7]:4000", 2, V6, false),
    ] {
        let mut host = Host::new();
        let mut client = Client::new(client);
        client.allocate_family(&mut host, family);
        let peer = parse(peer);
        client.permit(&mut host, peer);
        let sent = host.exchange(client.socket, client.address, &unfragmented(peer, b"x"));
        assert_eq!(sent.len(), 1);
        assert_eq!(shape(&host), [(df, 1)], "{} to {peer}", client.address);
    }
}

#[test]
fn over_a_connection_it_counts_for_every_family() {
    for (client, family, peer) in [
        ("198.51.100.7:4000", 1, V4),
        ("[2001:db8:2::7]:4000", 1, V4),
        ("[2001:db8:2::7]:4000", 2, V6),
    ] {
        let mut host = Host::with(ShardConfig {
            streams: 1,
            ..host::config()
        });
        let mut client = Client::new(client);
        client.socket = SocketId(host::SOCKETS);
        client.allocate_family(&mut host, family);
        let peer = parse(peer);
        client.permit(&mut host, peer);
        host.exchange(client.socket, client.address, &unfragmented(peer, b"x"));
        assert_eq!(shape(&host), [(true, 1)], "{} to {peer}", client.address);
    }
}

#[test]
fn permissions_hold_for_it() {
    let mut host = Host::new();
    let mut client = Client::new("198.51.100.7:4000");
    client.allocate(&mut host);
    let sent = host.exchange(
        client.socket,
        client.address,
        &unfragmented(parse(V4), b"x"),
    );
    assert!(sent.is_empty());
    assert_eq!(host.dropped(DropReason::NoPermission), 1);
}

#[test]
fn it_is_discarded_where_the_kernel_cannot() {
    let config = host::config();
    let mut host = Host::with(ShardConfig {
        turn: Config {
            dont_fragment: false,
            ..config.turn
        },
        ..config
    });
    let mut client = Client::new("198.51.100.7:4000");
    client.allocate(&mut host);
    let peer = parse(V4);
    client.permit(&mut host, peer);
    let sent = host.exchange(client.socket, client.address, &unfragmented(peer, b"x"));
    assert!(sent.is_empty());
    assert_eq!(host.dropped(DropReason::Unexpected), 1);
}
