//! Which datagrams become one transmit.

mod host;

use std::net::SocketAddr;

use forebay_engine::{TrafficClass, TxBatch};
use forebay_turn::SocketId;
use host::Host;
use host::client::{Client, channel_data};

struct Relaying {
    host: Host,
    client: Client,
    peer: SocketAddr,
    relay: SocketId,
}

const CHANNEL: u16 = 0x4000;

fn relaying() -> Relaying {
    relaying_with(host::config())
}

fn relaying_with(config: forebay_engine::ShardConfig) -> Relaying {
    let mut host = Host::with(config);
    let mut client = Client::new("198.51.100.7:4000");
    let relayed = client.allocate(&mut host);
    let peer = "203.0.113.9:5000".parse().expect("an address");
    client.bind_channel(&mut host, CHANNEL, peer);
    let relay = host.relay_at(relayed);
    Relaying {
        host,
        client,
        peer,
        relay,
    }
}

impl Relaying {
    fn client_sends(&mut self, class: TrafficClass, len: usize) {
        let datagram = channel_data(CHANNEL, &vec![0; len]);
        self.host
            .receive(self.client.socket, self.client.address, class, &[datagram]);
    }

    fn peer_sends(&mut self, class: TrafficClass, len: usize) {
        self.host
            .receive(self.relay, self.peer, class, &[vec![0; len]]);
    }

    /// Datagrams and segment size of each transmit.
    fn shape(&mut self) -> Vec<(u16, Option<u16>)> {
        self.host.run();
        self.host
            .tx
            .transmits
            .iter()
            .map(|t| (t.datagrams, t.segment))
            .collect()
    }
}

#[test]
fn a_burst_is_one_transmit() {
    let mut relaying = relaying();
    (0..8).for_each(|_| relaying.client_sends(TrafficClass(0), 1200));
    assert_eq!(relaying.shape(), [(8, Some(1200))]);
    (0..8).for_each(|_| relaying.peer_sends(TrafficClass(0), 1200));
    assert_eq!(relaying.shape(), [(8, Some(1204))]);
    assert_eq!(
        relaying.host.tx.pieces.len(),
        8,
        "headers lie in the headroom"
    );
}

#[test]
fn a_shorter_datagram_closes_the_run_and_a_longer_one_opens_another() {
    let mut relaying = relaying();
    for len in [100, 100, 60, 100, 100, 120, 110, 90] {
        relaying.client_sends(TrafficClass(0), len);
    }
    assert_eq!(
        relaying.shape(),
        [(3, Some(100)), (2, Some(100)), (2, Some(120)), (1, None)]
    );
}

#[test]
fn the_traffic_class_divides_runs() {
    let mut relaying = relaying();
    for class in [0, 0, 0xB9, 0xB9, 0xB9, 1] {
        relaying.peer_sends(TrafficClass(class), 100);
    }
    assert_eq!(
        relaying.shape(),
        [(2, Some(104)), (3, Some(104)), (1, None)]
    );
    let classes: Vec<_> = relaying
        .host
        .tx
        .transmits
        .iter()
        .map(|t| t.class.0)
        .collect();
    assert_eq!(classes, [0, 0xB9, 1]);
}

#[test]
fn a_run_has_at_most_as_many_segments_and_bytes_as_the_kernel_takes() {
    let mut relaying = relaying();
    (0..150).for_each(|_| relaying.client_sends(TrafficClass(0), 10));
    assert_eq!(
        relaying.shape(),
        [(64, Some(10)), (64, Some(10)), (22, Some(10))]
    );
    (0..60).for_each(|_| relaying.client_sends(TrafficClass(0), 1400));
    let shape = relaying.shape();
    let full = (TxBatch::MAX_BYTES / 1400) as u16;
    assert_eq!(shape, [(full, Some(1400)), (60 - full, Some(1400))]);
}

#[test]
fn datagrams_above_the_largest_segment_travel_alone() {
    let mut relaying = relaying_with(forebay_engine::ShardConfig {
        max_segment: 1300,
        ..host::config()
    });
    for len in [1300, 1300, 1301, 1301] {
        relaying.client_sends(TrafficClass(0), len);
    }
    assert_eq!(relaying.shape(), [(2, Some(1300)), (1, None), (1, None)]);
    // Towards the client the header counts.
    for len in [1296, 1296, 1297, 1297] {
        relaying.peer_sends(TrafficClass(0), len);
    }
    assert_eq!(relaying.shape(), [(2, Some(1300)), (1, None), (1, None)]);

    relaying.host.shard.lower_max_segment(1290);
    for len in [1289, 1289, 1290, 1290] {
        relaying.client_sends(TrafficClass(0), len);
    }
    assert_eq!(relaying.shape(), [(2, Some(1289)), (1, None), (1, None)]);

    // What every IPv6 path carries stays mergeable.
    relaying.host.shard.lower_max_segment(2);
    (0..2).for_each(|_| relaying.client_sends(TrafficClass(0), 1200));
    assert_eq!(relaying.shape(), [(2, Some(1200))]);
}

#[test]
fn interleaved_flows_coalesce_each_for_itself() {
    let mut host = Host::new();
    let mut clients: Vec<_> = (1..=3)
        .map(|n| Client::new(&format!("198.51.100.{n}:4000")))
        .collect();
    let peers: Vec<SocketAddr> = (1..=2)
        .map(|n| format!("203.0.113.{n}:5000").parse().expect("an address"))
        .collect();
    for client in &mut clients {
        client.allocate(&mut host);
        for (number, peer) in (CHANNEL..).zip(&peers) {
            client.bind_channel(&mut host, number, *peer);
        }
    }
    for round in 0..5_u8 {
        for client in &clients {
            for number in CHANNEL..CHANNEL + 2 {
                let datagram = channel_data(number, &[round; 50]);
                host.receive(client.socket, client.address, TrafficClass(0), &[datagram]);
            }
        }
    }
    let sent = host.run();
    assert_eq!(host.tx.transmits.len(), 6);
    assert!(
        host.tx
            .transmits
            .iter()
            .all(|t| t.datagrams == 5 && t.segment == Some(50))
    );
    for of_one_flow in sent.chunks(5) {
        let rounds: Vec<_> = of_one_flow.iter().map(|sent| sent.bytes[0]).collect();
        assert_eq!(rounds, [0, 1, 2, 3, 4]);
    }
}

#[test]
fn nothing_waits_for_the_next_batch() {
    let mut relaying = relaying();
    for _ in 0..3 {
        relaying.client_sends(TrafficClass(0), 100);
        assert_eq!(relaying.shape(), [(1, None)]);
    }
}
