//! ICMP errors of what was sent to peers (RFC 8656 §11.5).

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use forebay_ipc::stats::Stat;
use forebay_runtime::worker::WorkerCommand;
use forebay_turn::PeerPolicy;
use forebay_wire::stun::{AttributeType, Icmp, Message};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};

use crate::client::Client;
use crate::fragmentation::send_indication;
use crate::host::{Host, Options, peer, policy, relays_at};
use crate::namespace::{self, Router};

const PORT_UNREACHABLE: Icmp = Icmp {
    kind: 3,
    code: 3,
    data: 0,
};
const PORT_UNREACHABLE_V6: Icmp = Icmp {
    kind: 1,
    code: 4,
    data: 0,
};

/// The peer and the error of a Data indication without data.
fn told(datagram: &[u8]) -> Option<(SocketAddr, Icmp)> {
    let message = Message::parse(datagram).ok()?;
    let icmp = Icmp::decode(message.get(AttributeType::ICMP)?)?;
    assert!(message.data().is_none());
    Some((message.xor_peer_address()?, icmp))
}

/// The next error the client is told.
fn next_error(client: &Client) -> Option<(SocketAddr, Icmp)> {
    let mut buffer = [0; 4096];
    while let Ok((len, _)) = client.socket.recv_from(&mut buffer) {
        if let Some(told) = told(&buffer[..len]) {
            return Some(told);
        }
    }
    None
}

/// An address nobody listens on.
fn closed(v6: bool) -> SocketAddr {
    peer(v6).local_addr().unwrap()
}

#[test]
fn a_closed_port_is_told_by_its_address() {
    let host = Host::new();
    for (server, v6, icmp) in [
        (host.v4, false, PORT_UNREACHABLE),
        (host.v6, true, PORT_UNREACHABLE_V6),
    ] {
        let mut client = Client::new(server);
        client.allocate();
        let nobody = closed(v6);
        assert_eq!(client.permit(nobody), 0);
        client.send_indication(nobody, b"anybody?");
        assert_eq!(next_error(&client), Some((nobody, icmp)));

        assert_eq!(client.channel(0x4001, nobody), 0);
        client.send_channel(0x4001, b"anybody?");
        assert_eq!(next_error(&client), Some((nobody, icmp)), "over a channel");
    }
    host.until(Stat::IcmpRelayed, |count| count == 4);
    host.stop();
}

/// Relays whose peers lie behind a router.
fn routed() -> (Router, Host) {
    let router = Router::new();
    let host = Host::with(&Options {
        relay_addresses: Router::OURS,
        ..Options::default()
    });
    let allow = ["203.0.113.0/24", "2001:db8::/32"].map(|net| net.parse().unwrap());
    host.tell(&WorkerCommand::SetPolicy(Arc::new(PeerPolicy {
        allow: allow.to_vec(),
        relays: relays_at(Router::OURS),
        ..(*policy()).clone()
    })));
    (router, host)
}

#[test]
fn a_router_tells_what_its_link_carries() {
    namespace::within(65_536, || {
        let (_router, host) = routed();
        let data = Router::MTU;
        for (server, to, icmp) in [
            (
                host.v4,
                "203.0.113.9:5000",
                Icmp {
                    kind: 3,
                    code: 4,
                    data,
                },
            ),
            (
                host.v6,
                "[2001:db8:99::9]:5000",
                Icmp {
                    kind: 2,
                    code: 0,
                    data,
                },
            ),
        ] {
            let to: SocketAddr = to.parse().unwrap();
            let mut client = Client::new(server);
            client.allocate();
            assert_eq!(client.permit(to), 0);
            // Our own link takes it, the router's next does not.
            let datagram = send_indication(to, &[0; 1300], true);
            client.socket.send_to(&datagram, client.server).unwrap();
            assert_eq!(next_error(&client), Some((to, icmp)));
        }
        host.stop();
    });
}

#[test]
fn what_our_own_link_refuses_is_told_like_what_a_router_does() {
    namespace::within(1500, || {
        let host = Host::new();
        let peer = peer(false).local_addr().unwrap();
        let mut client = Client::new(host.v4);
        client.allocate();
        assert_eq!(client.permit(peer), 0);
        let datagram = send_indication(peer, &[0; 2000], true);
        client.socket.send_to(&datagram, client.server).unwrap();
        let icmp = Icmp {
            kind: 3,
            code: 4,
            data: 1500,
        };
        assert_eq!(next_error(&client), Some((peer, icmp)));
        assert!(next_error(&client).is_none(), "told twice");
        host.stop();
    });
}

/// Sends to a peer and back, and says how many came through both ways.
fn round_trips(
    client: &Client,
    channel: u16,
    peer: &UdpSocket,
    numbers: std::ops::Range<u32>,
) -> u32 {
    let mut buffer = [0; 2048];
    let mut back = 0;
    for number in numbers {
        client.send_channel(channel, &number.to_be_bytes());
        let Ok((len, relay)) = peer.recv_from(&mut buffer) else {
            continue;
        };
        assert_eq!(buffer[..len], number.to_be_bytes());
        peer.send_to(&buffer[..len], relay).unwrap();
        while let Ok((len, _)) = client.socket.recv_from(&mut buffer) {
            if buffer[0] >= 0x40 {
                assert_eq!(buffer[4..len], number.to_be_bytes());
                back += 1;
                break;
            }
        }
    }
    back
}

#[test]
fn a_silent_peer_costs_the_others_nothing() {
    let host = Host::new();
    for (server, v6) in [(host.v4, false), (host.v6, true)] {
        let good = peer(v6);
        let nobody = closed(v6);
        let mut client = Client::new(server);
        client.allocate();
        assert_eq!(client.channel(0x4001, good.local_addr().unwrap()), 0);
        assert_eq!(client.channel(0x4002, nobody), 0);
        for number in 0..300 {
            for _ in 0..10 {
                client.send_channel(0x4002, &[0; 100]);
            }
            let back = round_trips(&client, 0x4001, &good, number..number + 1);
            assert_eq!(back, 1, "datagram {number}, IPv6: {v6}");
        }
    }
    assert_eq!(host.stat(Stat::ReceiveErrors), 0);
    assert_eq!(host.stat(Stat::SendErrorsUnreachable), 0);
    host.stop();
}

/// An ICMP error as somebody makes up who knows a relay's port.
fn forged(relay: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    let mut icmp = vec![3, 1, 0, 0, 0, 0, 0, 0];
    icmp.extend([0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0]);
    for address in [relay, peer] {
        let IpAddr::V4(ip) = address.ip() else {
            panic!("IPv4 only");
        };
        icmp.extend(ip.octets());
    }
    icmp.extend(relay.port().to_be_bytes());
    icmp.extend(peer.port().to_be_bytes());
    icmp.extend([0, 16, 0, 0]);
    icmp.extend([0; 8]);
    let sum: u32 = icmp
        .chunks(2)
        .map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])))
        .sum();
    let sum = !((sum & 0xFFFF) + (sum >> 16)) as u16;
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    icmp
}

#[test]
fn a_flood_of_forged_errors_leaves_media_alone() {
    let host = Host::new();
    let good = peer(false);
    let mut client = Client::new(host.v4);
    let relayed = client.allocate();
    assert_eq!(client.channel(0x4001, good.local_addr().unwrap()), 0);
    let stop = Arc::new(AtomicBool::new(false));
    let flood = {
        let stop = Arc::clone(&stop);
        let message = forged(relayed, good.local_addr().unwrap());
        std::thread::spawn(move || {
            let raw = socket(
                AddressFamily::Inet,
                SockType::Raw,
                SockFlag::empty(),
                SockProtocol::Icmp,
            )
            .unwrap();
            let to = SockaddrIn::new(127, 0, 0, 1, 0);
            let mut sent = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                use std::os::fd::AsRawFd;
                let outcome = sendto(raw.as_raw_fd(), &message, &to, MsgFlags::empty());
                sent += u64::from(outcome.is_ok());
            }
            sent
        })
    };
    host.until(Stat::IcmpPauses, |count| count > 0);
    let begin = Instant::now();
    let back = round_trips(&client, 0x4001, &good, 0..500);
    let took = begin.elapsed();
    stop.store(true, Ordering::Relaxed);
    let sent = flood.join().unwrap();
    assert_eq!(back, 500, "of 500 while {sent} errors came in");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(host.stat(Stat::IcmpPauses), 1);
    assert!(host.stat(Stat::IcmpRelayed) <= 11);
    // Another allocation is told of its errors all the same.
    let mut other = Client::new(host.v4);
    other.allocate();
    let nobody = closed(false);
    assert_eq!(other.permit(nobody), 0);
    other.send_indication(nobody, b"anybody?");
    assert_eq!(next_error(&other), Some((nobody, PORT_UNREACHABLE)));
    host.stop();
}
