//! Both directions, byte by byte.

mod host;

use std::net::SocketAddr;

use forebay_engine::{DropReason, TrafficClass};
use forebay_wire::stun::Message;
use host::Host;
use host::client::{Client, binding_request, channel_data, data_indication, send_indication};

struct Family {
    client: &'static str,
    peer: &'static str,
    stranger: &'static str,
}

const FAMILIES: [Family; 2] = [
    Family {
        client: "198.51.100.7:4000",
        peer: "203.0.113.9:5000",
        stranger: "203.0.113.77:5000",
    },
    Family {
        client: "[2001:db8:1::7]:4000",
        peer: "[2001:db8:2::9]:5000",
        stranger: "[2001:db8:2::77]:5000",
    },
];

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn channel_data_goes_both_ways_in_both_families() {
    for family in FAMILIES {
        let mut host = Host::new();
        let mut client = Client::new(family.client);
        let relayed = client.allocate(&mut host);
        let peer = address(family.peer);
        client.bind_channel(&mut host, 0x4abc, peer);
        let relay = host.relay_at(relayed);

        let sent = host.exchange(
            client.socket,
            client.address,
            &channel_data(0x4abc, b"to peer"),
        );
        assert_eq!(sent.len(), 1);
        assert_eq!((sent[0].socket, sent[0].destination), (relay, peer));
        assert_eq!(sent[0].bytes, b"to peer");

        let sent = host.exchange(relay, peer, b"to client");
        assert_eq!(sent.len(), 1);
        assert_eq!(
            (sent[0].socket, sent[0].destination),
            (client.socket, client.address)
        );
        assert_eq!(sent[0].source, Some(Host::listening(client.socket).ip()));
        assert_eq!(sent[0].bytes, channel_data(0x4abc, b"to client"));
        // The header lies before the payload: one piece to send.
        assert_eq!(host.tx.pieces.len(), 1);

        let counters = host.counters();
        assert_eq!((counters.to_peer_packets, counters.to_peer_bytes), (1, 7));
        assert_eq!(
            (counters.to_client_packets, counters.to_client_bytes),
            (1, 9)
        );
        assert_eq!(counters.relay_transmits, 2);
    }
}

#[test]
fn indications_go_both_ways_in_both_families_with_any_padding() {
    for family in FAMILIES {
        let mut host = Host::new();
        let mut client = Client::new(family.client);
        let relayed = client.allocate(&mut host);
        let peer = address(family.peer);
        client.permit(&mut host, peer);
        let relay = host.relay_at(relayed);
        for len in 0..9 {
            let payload = vec![len as u8; len];
            let sent = host.exchange(
                client.socket,
                client.address,
                &send_indication(peer, &payload),
            );
            assert_eq!(sent.len(), 1);
            assert_eq!((sent[0].socket, sent[0].destination), (relay, peer));
            assert_eq!(sent[0].bytes, payload);

            let sent = host.exchange(relay, peer, &payload);
            assert_eq!(sent.len(), 1);
            assert_eq!(data_indication(&sent[0].bytes), (peer, payload));
        }
        let counters = host.counters();
        assert_eq!((counters.to_peer_packets, counters.to_peer_bytes), (9, 36));
        assert_eq!(
            (counters.to_client_packets, counters.to_client_bytes),
            (9, 36)
        );
    }
}

#[test]
fn merged_datagrams_from_a_client_are_taken_apart() {
    let mut host = Host::new();
    let mut client = Client::new(FAMILIES[0].client);
    client.allocate(&mut host);
    let (a, b) = (address("203.0.113.9:5000"), address("203.0.113.10:5000"));
    client.bind_channel(&mut host, 0x4000, a);
    client.bind_channel(&mut host, 0x4001, b);
    let before = host.counters().clone();

    // 20 bytes each: a Binding request fits between channels.
    let datagrams = [
        channel_data(0x4000, b"first to peer a.").clone(),
        channel_data(0x4001, b"first to peer b.").clone(),
        binding_request(1),
        channel_data(0x4000, b"second to peer a"),
        channel_data(0x4fff, b"to nobody at all"),
        vec![0xFF; 20],
        channel_data(0x4001, b"last to b"),
    ];
    host.receive(client.socket, client.address, TrafficClass(1), &datagrams);
    let sent = host.run();
    let to = |peer: SocketAddr| -> Vec<&[u8]> {
        sent.iter()
            .filter(|sent| sent.destination == peer)
            .map(|sent| &sent.bytes[..])
            .collect()
    };
    assert_eq!(to(a), [b"first to peer a.", b"second to peer a"]);
    assert_eq!(to(b), [&b"first to peer b."[..], b"last to b"]);
    assert_eq!(to(client.address).len(), 1);
    assert!(Message::parse(to(client.address)[0]).is_ok_and(|m| m.xor_mapped_address().is_some()));
    assert!(
        sent.iter()
            .filter(|sent| sent.destination != client.address)
            .all(|s| s.class == TrafficClass(1))
    );
    assert_eq!(host.dropped(DropReason::NoChannel), 1);
    assert_eq!(host.dropped(DropReason::UnknownProtocol), 1);
    let counters = host.counters();
    assert_eq!(counters.relay_transmits - before.relay_transmits, 2);
    assert_eq!(counters.to_peer_packets - before.to_peer_packets, 4);
    assert_eq!(counters.to_peer_bytes - before.to_peer_bytes, 16 * 3 + 9);
}

#[test]
fn merged_datagrams_from_a_peer_share_a_header() {
    let mut host = Host::new();
    let mut client = Client::new(FAMILIES[0].client);
    let relayed = client.allocate(&mut host);
    let peer = address(FAMILIES[0].peer);
    client.bind_channel(&mut host, 0x4000, peer);
    let relay = host.relay_at(relayed);
    let mut payloads = vec![vec![0xAA; 100]; 7];
    payloads.push(vec![0xBB; 33]);
    host.receive(relay, peer, TrafficClass(3), &payloads);
    let sent = host.run();
    let expected: Vec<_> = payloads
        .iter()
        .map(|payload| channel_data(0x4000, payload))
        .collect();
    assert_eq!(
        sent.iter()
            .map(|sent| sent.bytes.clone())
            .collect::<Vec<_>>(),
        expected
    );
    assert!(sent.iter().all(|sent| sent.class == TrafficClass(3)));
    assert_eq!(host.tx.transmits.len(), 1);
    assert_eq!(
        host.tx.headers.len(),
        8,
        "a shared header and the shorter datagram's own"
    );
    assert_eq!(host.tx.pieces.len(), 15);
}

#[test]
fn merged_datagrams_become_data_indications() {
    for family in FAMILIES {
        for len in [100, 101, 102, 103] {
            let mut host = Host::new();
            let mut client = Client::new(family.client);
            let relayed = client.allocate(&mut host);
            let peer = address(family.peer);
            client.permit(&mut host, peer);
            let mut payloads = vec![vec![0xAA; len]; 5];
            payloads.push(vec![0xBB; 33]);
            host.receive(host.relay_at(relayed), peer, TrafficClass(0), &payloads);
            let sent = host.run();
            assert_eq!(host.tx.transmits.len(), 1);
            // Shared and last header, and at most one copy of the padding.
            let header = if peer.is_ipv4() { 36 } else { 48 };
            assert_eq!(host.tx.headers.len(), header + 3 + header);
            let received: Vec<_> = sent
                .iter()
                .map(|sent| data_indication(&sent.bytes))
                .collect();
            let expected: Vec<_> = payloads
                .into_iter()
                .map(|payload| (peer, payload))
                .collect();
            assert_eq!(received, expected);
        }
    }
}

#[test]
fn an_empty_datagram_travels_alone() {
    let mut host = Host::new();
    let mut client = Client::new(FAMILIES[0].client);
    let relayed = client.allocate(&mut host);
    let peer = address(FAMILIES[0].peer);
    client.bind_channel(&mut host, 0x4000, peer);
    for payload in [&b"1234"[..], b"", b"5678", b"", b""] {
        let datagram = channel_data(0x4000, payload);
        host.receive(client.socket, client.address, TrafficClass(0), &[datagram]);
    }
    let sent = host.run();
    let bytes: Vec<_> = sent.iter().map(|sent| &sent.bytes[..]).collect();
    assert_eq!(bytes, [&b"1234"[..], b"", b"5678", b"", b""]);
    assert_eq!(host.tx.transmits.len(), 5);

    let relay = host.relay_at(relayed);
    let sent = host.exchange(relay, peer, b"");
    assert_eq!(sent[0].bytes, channel_data(0x4000, b""));
    // An empty datagram on a listening socket is nobody's protocol.
    assert_eq!(host.exchange(client.socket, client.address, b""), []);
    assert_eq!(host.dropped(DropReason::UnknownProtocol), 1);
}

#[test]
fn padded_channel_data_is_trimmed_and_short_channel_data_refused() {
    let mut host = Host::new();
    let mut client = Client::new(FAMILIES[0].client);
    client.allocate(&mut host);
    client.bind_channel(&mut host, 0x4000, address(FAMILIES[0].peer));
    let mut padded = channel_data(0x4000, b"12345");
    padded.extend([0; 3]);
    let sent = host.exchange(client.socket, client.address, &padded);
    assert_eq!(sent[0].bytes, b"12345");
    for cut in 1..9 {
        let datagram = &channel_data(0x4000, b"12345")[..cut];
        assert_eq!(host.exchange(client.socket, client.address, datagram), []);
    }
    assert_eq!(host.dropped(DropReason::Malformed), 8);
}

#[test]
fn what_is_not_permitted_is_dropped_and_counted() {
    for family in FAMILIES {
        let mut host = Host::new();
        let mut client = Client::new(family.client);
        let (peer, stranger) = (address(family.peer), address(family.stranger));

        host.exchange(
            client.socket,
            client.address,
            &channel_data(0x4000, b"early"),
        );
        host.exchange(
            client.socket,
            client.address,
            &send_indication(peer, b"early"),
        );
        assert_eq!(host.dropped(DropReason::NoAllocation), 2);

        let relayed = client.allocate(&mut host);
        let relay = host.relay_at(relayed);
        client.bind_channel(&mut host, 0x4000, peer);
        host.exchange(
            client.socket,
            client.address,
            &channel_data(0x4001, b"unbound"),
        );
        assert_eq!(host.dropped(DropReason::NoChannel), 1);
        host.exchange(
            client.socket,
            client.address,
            &send_indication(stranger, b"not permitted"),
        );
        assert_eq!(host.dropped(DropReason::NoPermission), 1);
        host.receive(
            relay,
            stranger,
            TrafficClass(0),
            &[b"unasked 1", b"unasked 2"],
        );
        host.run();
        assert_eq!(host.dropped(DropReason::NoPermission), 3);

        // Cut within an attribute.
        let send = send_indication(peer, b"payload");
        host.exchange(client.socket, client.address, &send[..send.len() - 1]);
        assert_eq!(host.dropped(DropReason::Malformed), 1);
        let counters = host.counters();
        assert_eq!(counters.to_peer_packets + counters.to_client_packets, 0);
    }
}

#[test]
fn a_client_has_one_allocation_per_local_address_of_a_wildcard_listener() {
    let mut host = Host::new();
    let mut client = Client::new(FAMILIES[0].client);
    client.allocate(&mut host);
    client.bind_channel(&mut host, 0x4000, address(FAMILIES[0].peer));
    for _ in 0..3 {
        let datagram = channel_data(0x4000, b"payload");
        host.receive(client.socket, client.address, TrafficClass(0), &[datagram]);
    }
    host.slots[1].local = [192, 0, 2, 99].into();
    assert_eq!(host.run().len(), 2);
    assert_eq!(host.dropped(DropReason::NoAllocation), 1);
}
