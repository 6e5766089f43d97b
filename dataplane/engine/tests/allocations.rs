//! Memory is taken at construction: handling media allocates nothing.

mod host;

use std::alloc::System;
use std::net::SocketAddr;
use std::time::Duration;

use forebay_engine::TrafficClass;
use host::Host;
use host::client::{Client, binding_request, channel_data, send_indication};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test only: the counters are the process's.
#[test]
fn a_steady_stream_allocates_nothing() {
    let mut host = Host::new();
    let peers: [SocketAddr; 2] =
        ["203.0.113.9:5000", "203.0.113.10:5000"].map(|peer| peer.parse().expect("an address"));
    let mut clients: Vec<_> = (0..20)
        .map(|n| Client::new(&format!("198.51.100.7:{}", 4000 + n)))
        .collect();
    let relays: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            let relayed = client.allocate(&mut host);
            client.bind_channel(&mut host, 0x4000, peers[0]);
            client.permit(&mut host, peers[1]);
            host.relay_at(relayed)
        })
        .collect();
    let channel: Vec<_> = (0..4).map(|_| channel_data(0x4000, &[1; 500])).collect();
    let send = [send_indication(peers[1], &[2; 333])];
    let from_peer: Vec<_> = (0..4).map(|_| vec![3; 501]).collect();
    let unbound = [channel_data(0x4001, &[4; 10])];
    let binding = [binding_request(1)];

    let mut sent = 0;
    for _ in 0..50 {
        for (client, relay) in clients.iter().zip(&relays) {
            host.receive(client.socket, client.address, TrafficClass(0), &channel);
            host.receive(client.socket, client.address, TrafficClass(0), &send);
            host.receive(client.socket, client.address, TrafficClass(0), &unbound);
            host.receive(client.socket, client.address, TrafficClass(0), &binding);
            host.receive(*relay, peers[0], TrafficClass(0), &from_peer);
            host.receive(*relay, peers[1], TrafficClass(0), &from_peer);
        }
        let region = Region::new(ALLOCATOR);
        host.handle();
        let change = region.change();
        assert_eq!((change.allocations, change.reallocations), (0, 0));
        sent += host.tx.transmits.len();
        host.pass(Duration::from_millis(20));
    }
    assert_eq!(
        sent,
        50 * (20 * 4 + 8),
        "two to peers, two to clients, and the budget of answers"
    );
}
