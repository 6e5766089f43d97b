//! Hop limit and loop (RFC 8656 §13): datagrams leave with the host's hop
//! limit, and nothing circulates for want of one that falls.

use std::time::Duration;

use forebay_ipc::stats::Stat;
use nix::sys::socket::{setsockopt, sockopt};

use crate::client::Client;
use crate::fragmentation::Tap;
use crate::host::{Host, peer};

#[test]
fn hop_limit_and_loop() {
    let host = Host::new();
    for (server, v6) in [(host.v4, false), (host.v6, true)] {
        let mut ann = Client::new(server);
        let mut bob = Client::new(server);
        let (anns, bobs) = (ann.allocate(), bob.allocate());
        // Each is the other's peer, and its own.
        assert_eq!(ann.channel(0x4001, bobs), 0);
        assert_eq!(bob.channel(0x4001, anns), 0);
        assert_eq!(ann.channel(0x4002, anns), 0);
        let before = host.stat(Stat::ToPeerPackets);
        ann.send_channel(0x4001, b"to bob");
        assert_eq!(bob.receive(), (Ok(0x4001), b"to bob".to_vec()));
        ann.send_channel(0x4002, b"to myself");
        assert_eq!(ann.receive(), (Ok(0x4002), b"to myself".to_vec()));
        let wait = Some(Duration::from_millis(300));
        for client in [&ann, &bob] {
            client.socket.set_read_timeout(wait).unwrap();
            let more = client.socket.recv_from(&mut [0; 64]);
            assert!(more.is_err(), "it came again, IPv6: {v6}");
        }
        let count = host.until(Stat::ToPeerPackets, |count| count >= before + 2);
        assert_eq!(count, before + 2);
    }
    host.stop();
}

#[test]
fn a_datagram_that_arrived_on_its_last_hop_leaves_with_the_hosts_limit() {
    let host = Host::new();
    let tap = Tap::new();
    let peer = peer(false);
    let mut client = Client::new(host.v4);
    let relayed = client.allocate();
    assert_eq!(client.channel(0x4001, peer.local_addr().unwrap()), 0);
    for socket in [&client.socket, &peer] {
        setsockopt(socket, sockopt::Ipv4Ttl, &1).unwrap();
    }
    client.send_channel(0x4001, b"there");
    let there = tap.packet(peer.local_addr().unwrap().port());
    peer.send_to(b"back", relayed).unwrap();
    let back = tap.packet(client.address().port());
    let usual = std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
    for packet in [there, back] {
        assert_eq!(packet[8].to_string(), usual.trim());
    }
    host.stop();
}
