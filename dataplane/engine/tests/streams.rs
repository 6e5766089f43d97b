//! Messages of connections: what differs from datagrams.

mod host;

use std::net::SocketAddr;

use forebay_engine::{DropReason, ShardConfig, TrafficClass};
use forebay_turn::{ClientAddr, FiveTuple, SocketId};
use forebay_wire::stun::Message;
use host::Host;
use host::client::{Client, binding_request, channel_data, data_indication, send_indication};

const STREAMS: u32 = 8;

fn host() -> Host {
    Host::with(ShardConfig {
        streams: STREAMS,
        ..host::config()
    })
}

/// A client over the connection with this number.
fn client(number: u32) -> Client {
    let mut client = Client::new("198.51.100.7:4000");
    client.socket = SocketId(host::SOCKETS + number);
    client
}

fn peer() -> SocketAddr {
    "203.0.113.9:5000".parse().expect("an address")
}

fn padded(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = channel_data(number, payload);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

#[test]
fn channel_data_to_a_connection_is_padded() {
    let mut host = host();
    let mut client = client(0);
    let relayed = client.allocate(&mut host);
    client.bind_channel(&mut host, 0x4000, peer());
    let relay = host.relay_at(relayed);
    for len in 0..13 {
        let payload = vec![0xA0 + len as u8; len];
        let sent = host.exchange(relay, peer(), &payload);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].socket, client.socket);
        assert_eq!(sent[0].bytes, padded(0x4000, &payload));

        let sent = host.exchange(client.socket, client.address, &padded(0x4000, &payload));
        assert_eq!(sent[0].bytes, payload);
    }
    let counters = host.counters();
    assert_eq!(
        (counters.to_client_packets, counters.to_client_bytes),
        (13, 78)
    );
}

#[test]
fn merged_datagrams_to_a_connection_are_padded_each() {
    for len in 96..104 {
        let mut host = host();
        let mut client = client(STREAMS - 1);
        let relayed = client.allocate(&mut host);
        client.bind_channel(&mut host, 0x4000, peer());
        let relay = host.relay_at(relayed);
        let mut payloads = vec![vec![0xAA; len]; 7];
        payloads.push(vec![0xBB; 33]);
        host.receive(relay, peer(), TrafficClass(1), &payloads);
        let sent: Vec<u8> = host.run().into_iter().flat_map(|sent| sent.bytes).collect();
        let expected: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| padded(0x4000, payload))
            .collect();
        assert_eq!(sent, expected);
        assert_eq!(host.tx.transmits.len(), 1);
    }
}

#[test]
fn messages_of_one_size_share_a_slot_whatever_they_are() {
    let mut host = host();
    let mut client = client(3);
    client.allocate(&mut host);
    client.bind_channel(&mut host, 0x4000, peer());
    // Padded to twenty bytes each, with payloads of different lengths.
    let messages = [
        padded(0x4000, b"thirteen byte"),
        binding_request(1),
        padded(0x4000, b"sixteen bytes 16"),
        padded(0x4000, b"fourteen bytes"),
        padded(0x4000, b"short"),
    ];
    host.receive(client.socket, client.address, TrafficClass(0), &messages);
    let sent = host.run();
    let relayed: Vec<&[u8]> = sent
        .iter()
        .filter(|sent| sent.destination == peer())
        .map(|sent| &sent.bytes[..])
        .collect();
    assert_eq!(
        relayed,
        [
            &b"thirteen byte"[..],
            b"sixteen bytes 16",
            b"fourteen bytes",
            b"short"
        ]
    );
    let answers: Vec<_> = sent
        .iter()
        .filter(|sent| sent.socket == client.socket)
        .collect();
    assert_eq!(answers.len(), 1);
    assert!(Message::parse(&answers[0].bytes).is_ok_and(|m| m.xor_mapped_address().is_some()));
}

#[test]
fn indications_go_both_ways() {
    let mut host = host();
    let mut client = client(1);
    let relayed = client.allocate(&mut host);
    client.permit(&mut host, peer());
    for len in 0..9 {
        let payload = vec![len as u8; len];
        let indication = send_indication(peer(), &payload);
        let sent = host.exchange(client.socket, client.address, &indication);
        assert_eq!(sent[0].bytes, payload);
        let sent = host.exchange(host.relay_at(relayed), peer(), &payload);
        assert_eq!(data_indication(&sent[0].bytes), (peer(), payload));
        assert!(sent[0].bytes.len().is_multiple_of(4));
    }
}

#[test]
fn each_connection_is_a_five_tuple_and_ends_alone() {
    let mut host = host();
    let mut clients: Vec<Client> = (0..STREAMS).map(client).collect();
    for client in &mut clients {
        client.allocate(&mut host);
        client.bind_channel(&mut host, 0x4000, peer());
    }
    assert_eq!(host.shard.allocations(), STREAMS as usize);
    let gone = &clients[2];
    let tuple = FiveTuple {
        socket: gone.socket,
        client: ClientAddr(gone.address),
        local: Host::listening(SocketId(0)).ip(),
    };
    assert!(host.shard.is_used(host.now, &tuple));
    host.shard.disconnected(&tuple);
    host.housekeep();
    assert!(!host.shard.is_used(host.now, &tuple));
    assert_eq!(host.shard.allocations(), STREAMS as usize - 1);
    // Whoever has the id next starts with nothing.
    let payload = padded(0x4000, b"payload");
    assert_eq!(host.exchange(gone.socket, gone.address, &payload), []);
    assert_eq!(host.dropped(DropReason::NoAllocation), 1);
    clients[2] = client(2);
    clients[2].allocate(&mut host);
    for client in &mut clients {
        client.bind_channel(&mut host, 0x4000, peer());
        let sent = host.exchange(client.socket, client.address, &payload);
        assert_eq!(sent[0].bytes, b"payload");
    }
    host.shard.disconnected(&tuple);
    host.shard.disconnected(&tuple);
    host.housekeep();
    assert_eq!(host.shard.allocations(), STREAMS as usize - 1);
}
