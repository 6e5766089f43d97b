//! Media both ways, in every framing.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use forebay_ipc::stats::Stat;
use forebay_sys::ring::{Ring, RingConfig, Wait};
use forebay_sys::send::{Memory, Piece, Send};

use crate::client::{Client, framed};
use crate::host::{Host, Options, peer};

fn families() -> [bool; 2] {
    [false, true]
}

impl Host {
    fn server(&self, v6: bool) -> SocketAddr {
        if v6 { self.v6 } else { self.v4 }
    }
}

#[test]
fn binding_tells_the_clients_own_address() {
    let host = Host::new();
    for v6 in families() {
        let mut client = Client::new(host.server(v6));
        assert_eq!(client.bind(), client.address());
    }
    host.stop();
}

#[test]
fn a_channel_relays_both_ways() {
    let host = Host::new();
    for v6 in families() {
        let mut client = Client::new(host.server(v6));
        let peer = peer(v6);
        let relayed = client.allocate();
        assert_eq!(relayed.is_ipv6(), v6);
        assert_eq!(client.channel(0x4001, peer.local_addr().unwrap()), 0);
        let mut buffer = [0; 2048];
        for size in [0, 1, 172, 1200] {
            let payload = vec![size as u8; size];
            client.send_channel(0x4001, &payload);
            let (len, from) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..len], from), (&payload[..], relayed));
            peer.send_to(&payload, relayed).unwrap();
            assert_eq!(client.receive(), (Ok(0x4001), payload));
        }
    }
    assert_eq!(host.until(Stat::ToPeerPackets, |count| count >= 8), 8);
    assert_eq!(host.until(Stat::ToClientPackets, |count| count >= 8), 8);
    assert_eq!(host.stat(Stat::ToPeerBytes), 2 * (1 + 172 + 1200));
    host.stop();
}

#[test]
fn indications_relay_both_ways() {
    let host = Host::new();
    for v6 in families() {
        let mut client = Client::new(host.server(v6));
        let peer = peer(v6);
        let at = peer.local_addr().unwrap();
        let relayed = client.allocate();
        assert_eq!(client.permit(at), 0);
        client.send_indication(at, b"one way");
        let mut buffer = [0; 64];
        let (len, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], from), (&b"one way"[..], relayed));
        peer.send_to(b"and back", relayed).unwrap();
        assert_eq!(client.receive(), (Err(at), b"and back".to_vec()));
    }
    host.stop();
}

#[test]
fn an_ipv4_client_gets_an_ipv6_relay_when_it_asks() {
    let host = Host::new();
    let mut client = Client::new(host.v4);
    let peer = peer(true);
    let relayed = client.try_allocate(2).unwrap();
    assert!(relayed.is_ipv6());
    assert_eq!(client.channel(0x4000, peer.local_addr().unwrap()), 0);
    client.send_channel(0x4000, b"across");
    let mut buffer = [0; 64];
    assert_eq!(peer.recv_from(&mut buffer).unwrap(), (6, relayed));
    host.stop();
}

#[test]
fn strangers_do_not_get_through() {
    let host = Host::new();
    let mut client = Client::new(host.v4);
    let (friend, stranger) = (
        peer(false),
        std::net::UdpSocket::bind("127.0.0.9:0").unwrap(),
    );
    let relayed = client.allocate();
    client.permit(friend.local_addr().unwrap());
    stranger.send_to(b"no", relayed).unwrap();
    friend.send_to(b"yes", relayed).unwrap();
    assert_eq!(client.receive().1, b"yes");
    host.until(Stat::DroppedNoPermission, |count| count == 1);
    host.stop();
}

/// Sends `datagrams` to `to` as one GSO send, which loopback delivers merged.
fn burst(from: &std::net::UdpSocket, to: SocketAddr, datagrams: &[Vec<u8>]) {
    let mut ring = Ring::new(RingConfig {
        files: 1,
        media_buffers: 8,
        request_buffers: 8,
        stream_buffers: 0,
        streams: 0,
    })
    .unwrap();
    ring.install(0, from.as_fd().try_clone_to_owned().unwrap())
        .unwrap();
    let bytes = datagrams.concat();
    let send = Send {
        file: 0,
        tag: 0,
        destination: Some(to),
        source: None,
        segment: Some(datagrams[0].len() as u16),
        class: 0,
        dont_fragment: false,
    };
    let piece = Piece {
        memory: Memory::Headers,
        start: 0,
        len: bytes.len() as u32,
    };
    ring.enter(
        &bytes,
        std::iter::once((send, std::iter::once(piece))),
        Wait::Not,
    )
    .unwrap();
}

#[test]
fn a_burst_arrives_whole_in_order_and_leaves_in_few_sends() {
    let host = Host::with(&Options::default());
    for v6 in families() {
        let mut client = Client::new(host.server(v6));
        let peer = peer(v6);
        let relayed = client.allocate();
        assert_eq!(client.channel(0x4001, peer.local_addr().unwrap()), 0);
        let before = host.stat(Stat::RelaySends);
        let packets = host.stat(Stat::ToPeerPackets);

        // The last one is shorter, as the end of a video frame is.
        let payloads: Vec<Vec<u8>> = (0..20_u8)
            .map(|number| vec![number; if number == 19 { 100 } else { 1000 }])
            .collect();
        let datagrams: Vec<Vec<u8>> = payloads
            .iter()
            .map(|payload| framed(0x4001, payload))
            .collect();
        burst(&client.socket, client.server, &datagrams);
        let mut buffer = [0; 2048];
        for payload in &payloads {
            let (len, from) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..len], from), (&payload[..], relayed));
        }
        burst(&peer, relayed, &payloads);
        for payload in &payloads {
            assert_eq!(client.receive(), (Ok(0x4001), payload.clone()));
        }
        host.until(Stat::ToPeerPackets, |count| count == packets + 20);
        let sends = host.stat(Stat::RelaySends) - before;
        assert!(sends <= 4, "40 datagrams left in {sends} sends");
    }
    host.stop();
}

/// Moves this thread, and the threads it starts, into a network of its own
/// with a small MTU towards one address. False where that is not allowed.
fn enter_network_with_small_mtu(towards: &str, mtu: &str) -> bool {
    let ip = |line: String| {
        let status = std::process::Command::new("ip")
            .args(line.split(' '))
            .status();
        status.is_ok_and(|status| status.success())
    };
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_ok()
        && ip("link set lo up".to_owned())
        && ip(format!(
            "route add table local local {towards} dev lo mtu {mtu}"
        ))
}

#[test]
fn a_gso_send_the_kernel_refuses_is_repeated_datagram_by_datagram() {
    if !enter_network_with_small_mtu("127.0.0.9", "1280") {
        println!("skipped: needs the right to make a network namespace");
        return;
    }
    let host = Host::new();
    let mut client = Client::new(host.v4);
    let relayed = client.allocate();
    let peer = std::net::UdpSocket::bind("127.0.0.9:0").unwrap();
    peer.set_read_timeout(Some(std::time::Duration::from_secs(2)))
        .unwrap();
    assert_eq!(client.channel(0x4001, peer.local_addr().unwrap()), 0);
    // Too large for one packet each: the kernel fragments datagrams, but not
    // those of a GSO send.
    let mut buffer = [0; 2048];
    for round in 0..2_u8 {
        let payloads: Vec<Vec<u8>> = (0..8).map(|number| vec![number + round; 1300]).collect();
        let datagrams: Vec<Vec<u8>> = payloads
            .iter()
            .map(|payload| framed(0x4001, payload))
            .collect();
        burst(&client.socket, client.server, &datagrams);
        for payload in &payloads {
            let (len, from) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..len], from), (&payload[..], relayed));
        }
    }
    // The second time the shard does not even try.
    host.until(Stat::GsoRetries, |count| count == 1);
    assert_eq!(
        host.stat(Stat::SendErrorsMessageSize) + host.stat(Stat::SendErrorsOther),
        0
    );
    host.stop();
}

#[test]
fn hairpin_between_two_clients_of_any_workers() {
    let host = Host::with(&Options {
        workers: 2,
        ..Options::default()
    });
    for v6 in families() {
        // Enough clients that some pairs live on different workers.
        for _ in 0..8 {
            let (mut one, mut two) = (Client::new(host.server(v6)), Client::new(host.server(v6)));
            let (relay_one, relay_two) = (one.allocate(), two.allocate());
            assert_eq!(one.channel(0x4001, relay_two), 0);
            assert_eq!(two.channel(0x4002, relay_one), 0);
            one.send_channel(0x4001, b"to two");
            assert_eq!(two.receive(), (Ok(0x4002), b"to two".to_vec()));
            two.send_channel(0x4002, b"to one");
            assert_eq!(one.receive(), (Ok(0x4001), b"to one".to_vec()));
        }
    }
    host.until(Stat::AllocationsCreated, |count| count == 32);
    let busy = host.workers.iter().filter(|worker| {
        worker.stats()[Stat::AllocationsCreated as usize].load(std::sync::atomic::Ordering::Relaxed)
            > 0
    });
    assert_eq!(busy.count(), 2, "the clients were not spread");
    host.stop();
}
