//! Budgets, full batches and the command queue.

mod host;

use std::net::SocketAddr;

use forebay_engine::{Command, DropReason, ShardConfig, TrafficClass, TxBatch};
use forebay_turn::{OfferedRelay, RelayedAddr, SocketId};
use host::Host;
use host::client::{Client, binding_request, channel_data};

fn peer() -> SocketAddr {
    "203.0.113.9:5000".parse().expect("an address")
}

#[test]
fn requests_have_a_budget_only_beside_media() {
    let mut host = Host::with(ShardConfig {
        requests_per_batch: 3,
        ..host::config()
    });
    let mut client = Client::new("198.51.100.7:4000");
    client.allocate(&mut host);
    client.bind_channel(&mut host, 0x4000, peer());
    let before = host.counters().clone();

    let requests: Vec<_> = (0..10).map(binding_request).collect();
    host.receive(client.socket, client.address, TrafficClass(0), &requests);
    assert_eq!(host.run().len(), 10);
    assert_eq!(host.counters().requests - before.requests, 10);
    assert_eq!(host.counters().answers - before.answers, 10);

    for request in &requests {
        host.receive(client.socket, client.address, TrafficClass(0), &[request]);
    }
    host.receive(
        client.socket,
        client.address,
        TrafficClass(0),
        &[channel_data(0x4000, b"media")],
    );
    let sent = host.run();
    assert_eq!(sent.len(), 4);
    assert_eq!(sent[0].bytes, b"media", "media goes first");
    assert_eq!(host.dropped(DropReason::RequestBudget), 7);
    assert_eq!(host.counters().requests - before.requests, 13);

    // Garbage is no media.
    host.receive(
        client.socket,
        client.address,
        TrafficClass(0),
        &[channel_data(0x4001, b"unbound")],
    );
    host.receive(client.socket, client.address, TrafficClass(0), &requests);
    assert_eq!(host.run().len(), 10);
}

#[test]
fn a_full_batch_drops_and_counts_instead_of_growing() {
    for (transmits, pieces, headers) in [(2, 64, 4096), (64, 5, 4096), (64, 64, 8)] {
        let mut host = Host::new();
        let mut client = Client::new("198.51.100.7:4000");
        let relayed = client.allocate(&mut host);
        let relay = host.relay_at(relayed);
        client.bind_channel(&mut host, 0x4000, peer());
        client.permit(&mut host, "203.0.113.10:1024".parse().expect("an address"));
        let before = host.counters().clone();
        host.tx = TxBatch::with_capacity(transmits, pieces, headers);
        let capacity = |tx: &TxBatch| {
            (
                tx.transmits.capacity(),
                tx.pieces.capacity(),
                tx.headers.capacity(),
            )
        };
        let granted = capacity(&host.tx);

        let mut offered = 0;
        for round in 0..4_u16 {
            // Falling lengths open a transmit every other datagram.
            for len in [40, 30, 20, 10] {
                let datagram = channel_data(0x4000, &[0; 50][..len]);
                host.receive(client.socket, client.address, TrafficClass(0), &[datagram]);
                host.receive(relay, peer(), TrafficClass(0), &[&[0; 50][..len]; 3]);
                let other =
                    SocketAddr::new("203.0.113.10".parse().expect("an address"), 2000 + round);
                host.receive(relay, other, TrafficClass(0), &[&[0; 50][..len + 1]; 3]);
                offered += 7;
            }
        }
        host.receive(
            client.socket,
            client.address,
            TrafficClass(0),
            &[binding_request(1)],
        );
        let sent = host.run().len() as u64;
        assert!(sent > 0 && sent < offered);
        assert_eq!(capacity(&host.tx), granted, "never grown");
        assert_eq!(host.dropped(DropReason::BatchFull), offered + 1 - sent);
        let counters = host.counters();
        let relayed = counters.to_peer_packets + counters.to_client_packets;
        assert_eq!(
            relayed - before.to_peer_packets - before.to_client_packets,
            sent
        );
        assert_eq!(
            counters.requests, before.requests,
            "not asked what could not be answered"
        );
    }
}

#[test]
fn requests_wait_for_room_in_the_command_queue() {
    let mut host = Host::new();
    let mut client = Client::new("198.51.100.7:4000");
    client.allocate(&mut host);
    client.refresh(&mut host, 0);
    let opened = host.commands.len();
    // Allocating and releasing while the worker fetches no command.
    let mut rounds = 0;
    while host.dropped(DropReason::RequestBudget) == 0 {
        for request in [client.allocate_request(), client.refresh_request(0)] {
            host.receive(client.socket, client.address, TrafficClass(0), &[request]);
            host.handle();
            host.offer_relays();
        }
        rounds += 1;
        assert!(rounds < 2000, "the queue has no bound");
    }
    assert_eq!(opened, 2);
    let counters = host.counters().clone();
    let (mut closed, mut created, mut deleted) = (0, 1, 1);
    while let Some(command) = host.shard.next_command() {
        match command {
            Command::CloseRelay(_) => closed += 1,
            Command::Created { .. } => created += 1,
            Command::Deleted { .. } => deleted += 1,
            other => unreachable!("{other:?} without media"),
        }
    }
    assert!(closed > 300);
    assert_eq!(closed + 1, deleted, "every relay comes back");
    assert_eq!(created - deleted, host.shard.allocations());
    assert_eq!(counters.allocations_created, created as u64);
    assert_eq!(counters.allocations_deleted, deleted as u64);
    // And requests are answered again.
    client.allocate(&mut host);
}

#[test]
fn a_relay_outside_the_shards_socket_range_is_given_back() {
    let mut host = Host::new();
    let local: SocketAddr = "192.0.2.1:50000".parse().expect("an address");
    for socket in [0, 1, host::config().sockets].map(SocketId) {
        let offered = OfferedRelay {
            socket,
            local,
            relayed: RelayedAddr(local),
        };
        assert_eq!(host.shard.offer_relay(offered), Err(offered));
    }
}
