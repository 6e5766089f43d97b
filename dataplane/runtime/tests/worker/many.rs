//! Many relays on one worker.

use std::time::Instant;

use forebay_ipc::stats::Stat;

use crate::client::Client;
use crate::host::{Host, Options, peer};

#[test]
fn a_thousand_relays_on_one_worker_relay_both_ways_and_close() {
    const RELAYS: usize = 1000;
    forebay_sys::limits::raise_open_files().unwrap();
    let host = Host::with(&Options {
        ports_per_worker: 1100,
        ready: 32,
        relay_buffer: 64 << 10,
        allocations: 1024,
        ..Options::default()
    });
    let start = Instant::now();
    let peer = peer(false);
    let at = peer.local_addr().unwrap();
    let mut clients: Vec<(Client, std::net::SocketAddr)> = (0..RELAYS)
        .map(|_| {
            let mut client = Client::new(host.v4);
            let relayed = client.allocate();
            assert_eq!(client.channel(0x4001, at), 0);
            (client, relayed)
        })
        .collect();
    let mut buffer = [0; 256];
    for (number, (client, relayed)) in clients.iter().enumerate() {
        let payload = number.to_be_bytes();
        client.send_channel(0x4001, &payload);
        let (len, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], from), (&payload[..], *relayed));
    }
    // All at once, so that every relay has something in the same rounds.
    for (number, (_, relayed)) in clients.iter().enumerate() {
        peer.send_to(&number.to_le_bytes(), *relayed).unwrap();
    }
    for (number, (client, _)) in clients.iter().enumerate() {
        assert_eq!(
            client.receive(),
            (Ok(0x4001), number.to_le_bytes().to_vec())
        );
    }
    for (client, _) in &mut clients {
        assert_eq!(client.refresh(0), 0);
    }
    host.until(Stat::AllocationsLive, |count| count == 0);
    host.until(Stat::RelayPortsFree, |count| count == 2200 - 64);
    assert_eq!(host.stat(Stat::RelayOpenErrors), 0);
    println!("{RELAYS} relays in {:?}", start.elapsed());
    host.stop();
}

#[test]
fn far_fewer_buffers_than_busy_relays_delay_but_lose_nothing() {
    const RELAYS: usize = 200;
    const EACH: u32 = 16;
    let host = Host::with(&Options {
        ports_per_worker: 300,
        buffers: 16,
        ..Options::default()
    });
    let peer = peer(false);
    let at = peer.local_addr().unwrap();
    let mut clients: Vec<(Client, std::net::SocketAddr)> = (0..RELAYS)
        .map(|_| {
            let mut client = Client::new(host.v4);
            let relayed = client.allocate();
            assert_eq!(client.channel(0x4001, at), 0);
            (client, relayed)
        })
        .collect();
    for number in 0..EACH {
        for (_, relayed) in &clients {
            peer.send_to(&number.to_be_bytes(), *relayed).unwrap();
        }
    }
    for (client, _) in &mut clients {
        for number in 0..EACH {
            assert_eq!(
                client.receive(),
                (Ok(0x4001), number.to_be_bytes().to_vec())
            );
        }
    }
    // A receive that finds no buffer costs as much as one that does.
    let sent = RELAYS as u64 * u64::from(EACH);
    let in_vain = host.stat(Stat::BuffersExhausted);
    assert!(in_vain < sent, "{in_vain} receives in vain, {sent} not");
    host.stop();
}
