//! Coalescing never changes what a destination receives, nor its order.

mod host;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use forebay_engine::TrafficClass;
use forebay_turn::SocketId;
use host::client::{Client, channel_data, data_indication, send_indication};
use host::{Host, Sent};
use proptest::prelude::*;

/// One datagram as it arrives.
#[derive(Debug, Clone)]
struct Input {
    /// Which client it belongs to.
    client: usize,
    path: Path,
    ecn: u8,
    len: usize,
    /// Whether the kernel merges it with the datagram before, if it can.
    merge: bool,
}

#[derive(Debug, Clone, Copy)]
enum Path {
    /// ChannelData on one of two bound channels.
    Channel(usize),
    /// A Send indication to one of the peers.
    Send(usize),
    /// From one of the peers.
    Peer(usize),
}

const CLIENTS: [&str; 3] = [
    "198.51.100.1:4000",
    "198.51.100.1:4001",
    "[2001:db8:1::1]:4000",
];
/// The first two have channels, the others share a permission.
const PORTS: [u16; 4] = [5000, 5001, 6000, 6001];

fn peer(client: usize, index: usize) -> SocketAddr {
    let v6 = CLIENTS[client].starts_with('[');
    let ip = if index < 2 {
        "203.0.113.9"
    } else {
        "203.0.113.10"
    };
    let ip6 = if index < 2 {
        "2001:db8:2::9"
    } else {
        "2001:db8:2::10"
    };
    SocketAddr::new(
        if v6 { ip6 } else { ip }.parse().expect("an address"),
        PORTS[index],
    )
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let path = prop_oneof![
        4 => (0..2_usize).prop_map(Path::Channel),
        2 => (0..4_usize).prop_map(Path::Send),
        4 => (0..4_usize).prop_map(Path::Peer),
    ];
    let len = prop_oneof![4 => Just(100_usize), 1 => 96..104_usize, 1 => 0..5_usize, 1 => Just(1600_usize)];
    let ecn = prop_oneof![6 => Just(0_u8), 1 => 0..4_u8];
    let input = (0..CLIENTS.len(), path, ecn, len, prop::bool::weighted(0.7)).prop_map(
        |(client, path, ecn, len, merge)| Input {
            client,
            path,
            ecn,
            len,
            merge,
        },
    );
    // Runs of one input make merging likely.
    prop::collection::vec((input, 1..6_usize), 1..30).prop_map(|runs| {
        runs.into_iter()
            .flat_map(|(input, n)| vec![input; n])
            .collect()
    })
}

/// ECN, the peer that a Data indication names, and the payload or message.
type Received = (u8, Option<SocketAddr>, Vec<u8>);

/// What each destination received from each socket. Transaction ids are free,
/// so Data indications are compared by content.
fn by_destination(sent: Vec<Sent>) -> BTreeMap<(SocketId, SocketAddr), Vec<Received>> {
    let mut all = BTreeMap::new();
    for sent in sent {
        let (from, bytes) = match sent.bytes.first() {
            Some(0) if sent.source.is_some() => {
                let (peer, bytes) = data_indication(&sent.bytes);
                (Some(peer), bytes)
            }
            _ => (None, sent.bytes),
        };
        let received: &mut Vec<_> = all.entry((sent.socket, sent.destination)).or_default();
        received.push((sent.class.0, from, bytes));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_destination_gets_the_same_in_the_same_order(inputs in inputs()) {
        let mut host = Host::new();
        let mut relays = Vec::new();
        let clients: Vec<_> = (0..CLIENTS.len()).map(|index| {
            let mut client = Client::new(CLIENTS[index]);
            let relayed = client.allocate(&mut host);
            client.bind_channel(&mut host, 0x4000, peer(index, 0));
            client.bind_channel(&mut host, 0x4001, peer(index, 1));
            client.permit(&mut host, peer(index, 2));
            relays.push(host.relay_at(relayed));
            client
        }).collect();
        let arrivals: Vec<_> = inputs.iter().enumerate().map(|(number, input)| {
            let mut payload = vec![0; input.len];
            for (byte, tag) in payload.iter_mut().zip([number as u8, (number >> 8) as u8 ^ 0x80]) {
                *byte = tag;
            }
            let client = &clients[input.client];
            match input.path {
                Path::Channel(n) =>
                    (client.socket, client.address, channel_data(0x4000 + n as u16, &payload)),
                Path::Send(n) =>
                    (client.socket, client.address, send_indication(peer(input.client, n), &payload)),
                Path::Peer(n) => (relays[input.client], peer(input.client, n), payload),
            }
        }).collect();

        let mut alone = Vec::new();
        for ((socket, source, datagram), input) in arrivals.iter().zip(&inputs) {
            host.receive(*socket, *source, TrafficClass(input.ecn), &[datagram]);
            alone.extend(host.run());
        }
        prop_assert_eq!(alone.len(), inputs.len());
        let counted = host.counters().clone();

        let mut at = 0;
        while at < arrivals.len() {
            let (socket, source, first) = &arrivals[at];
            let ecn = inputs[at].ecn;
            let mut merged = vec![first];
            while let Some((next, input)) = arrivals.get(at + merged.len()).zip(inputs.get(at + merged.len()))
                && input.merge
                && (next.0, next.1, input.ecn) == (*socket, *source, ecn)
                && !next.2.is_empty()
                && next.2.len() <= first.len()
                && merged.last().is_some_and(|last| last.len() == first.len())
                && merged.len() < 30
            {
                merged.push(&next.2);
            }
            host.receive(*socket, *source, TrafficClass(ecn), &merged);
            at += merged.len();
        }
        let together = host.run();
        for transmit in &host.tx.transmits {
            prop_assert!(transmit.segment.is_none_or(|segment| segment <= 1452));
        }
        let doubled = host.counters();
        prop_assert_eq!(doubled.to_peer_packets, counted.to_peer_packets * 2);
        prop_assert_eq!(doubled.to_peer_bytes, counted.to_peer_bytes * 2);
        prop_assert_eq!(doubled.to_client_packets, counted.to_client_packets * 2);
        prop_assert_eq!(doubled.to_client_bytes, counted.to_client_bytes * 2);
        prop_assert_eq!(by_destination(alone), by_destination(together));
    }
}
