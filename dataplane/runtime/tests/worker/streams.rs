//! Clients over TCP, and over pairs of packets as DTLS comes in.

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use forebay_ipc::stats::Stat;
use forebay_runtime::streams::{ClientTransport, Connection, Speaks, StreamLimits};
use forebay_wire::ChannelData;
use forebay_wire::stun::{Message, Method};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use crate::client::{Client, framed};
use crate::host::{Host, Options, peer};
use crate::stream_client::{StreamClient, padded, pair};

pub fn options() -> Options {
    Options {
        streams: 16,
        ..Options::default()
    }
}

/// Relays payloads of all kinds of sizes both ways.
pub fn relay_both_ways<S: std::io::Read + Write>(client: &mut StreamClient<S>) {
    let peer = peer(false);
    let relayed = client.allocate();
    client.channel(0x4001, peer.local_addr().unwrap());
    let mut buffer = [0; 2048];
    for len in (0..9)
        .chain((9..1400).step_by(61))
        .chain([1397, 1398, 1399, 1400])
    {
        let payload: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8).collect();
        client.send_channel(0x4001, &payload);
        let (got, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..got], from), (&payload[..], relayed));
        peer.send_to(&payload, relayed).unwrap();
        assert_eq!(client.message(), framed(0x4001, &payload));
    }
}

#[test]
fn relays_both_ways_over_tcp() {
    let host = Host::with(&options());
    let mut client = StreamClient::tcp(&host);
    assert_eq!(client.binding(), client.stream.local_addr().unwrap());
    relay_both_ways(&mut client);
    host.until(Stat::Streams, |open| open == 1);
    drop(client);
    host.until(Stat::StreamsClosedClient, |ended| ended == 1);
    host.until(Stat::AllocationsLive, |live| live == 0);
    host.until(Stat::Streams, |open| open == 0);
    assert_eq!(host.workers[0].mailer().streams(), 0);
    host.stop();
}

#[test]
fn bursts_keep_their_order_and_arrive_whole() {
    const BURST: usize = 150;
    let host = Host::with(&options());
    let peer = peer(false);
    let mut client = StreamClient::tcp(&host);
    let relayed = client.allocate();
    client.channel(0x4001, peer.local_addr().unwrap());
    let payload = |number: usize| {
        let mut payload = vec![number as u8; 20 + number % 90];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        payload
    };
    for round in 0..3 {
        let numbers = round * BURST..(round + 1) * BURST;
        let bytes: Vec<u8> = numbers
            .clone()
            .flat_map(|number| padded(0x4001, &payload(number)))
            .collect();
        client.send(&bytes);
        let mut buffer = [0; 2048];
        for number in numbers.clone() {
            let len = peer.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..len], payload(number));
        }
        for number in numbers.clone() {
            peer.send_to(&payload(number), relayed).unwrap();
        }
        for number in numbers {
            assert_eq!(client.message(), framed(0x4001, &payload(number)));
        }
    }
    host.stop();
}

#[test]
fn pipelined_requests_are_all_answered() {
    const REQUESTS: usize = 200;
    let host = Host::with(&options());
    let mut client = StreamClient::tcp(&host);
    let mut other = StreamClient::tcp(&host);
    let requests: Vec<Vec<u8>> = (0..REQUESTS)
        .map(|_| client.writer.request(Method::BINDING, |_| {}))
        .collect();
    client.send(&requests.concat());
    // The other's turn comes in between.
    other.binding();
    for request in &requests {
        let answer = client.message();
        assert_eq!(answer[8..20], request[8..20], "in order");
    }
    host.stop();
}

#[test]
fn messages_arrive_byte_by_byte() {
    let host = Host::with(&options());
    let peer = peer(false);
    let mut client = StreamClient::tcp(&host);
    client.allocate();
    client.channel(0x4001, peer.local_addr().unwrap());
    let bytes = [
        padded(0x4001, b"hello"),
        client.writer.request(Method::BINDING, |_| {}),
        padded(0x4001, b"world!"),
    ]
    .concat();
    for byte in bytes {
        client.send(&[byte]);
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut buffer = [0; 64];
    for expected in [&b"hello"[..], b"world!"] {
        let len = peer.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], expected);
    }
    let answer = client.message();
    assert!(
        Message::parse(&answer)
            .unwrap()
            .xor_mapped_address()
            .is_some()
    );
    host.stop();
}

#[test]
fn what_was_read_before_counts() {
    let host = Host::with(&options());
    let (stream, mut connection) = pair();
    let mut client = StreamClient::over(stream, host.v4);
    let requests = [0, 1].map(|_| client.writer.request(Method::BINDING, |_| {}));
    connection.early = requests.concat();
    // The second one's end comes over the socket.
    let rest = connection.early.split_off(25);
    host.workers[0].mailer().adopt(connection).unwrap();
    let answer = client.message();
    assert_eq!(answer[8..20], requests[0][8..20]);
    client.send(&rest);
    let answer = client.message();
    assert_eq!(answer[8..20], requests[1][8..20]);
    host.stop();
}

#[test]
fn other_protocols_are_refused() {
    let host = Host::with(&options());
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01",
        // A channel before any request, and STUN without its cookie.
        &[0x40, 1, 0, 4, 1, 2, 3, 4],
        &[0, 1, 0, 0, 9, 9, 9, 9],
    ] {
        let mut client = StreamClient::tcp(&host);
        client.send(bytes);
        assert!(client.is_ended(), "{bytes:?}");
    }
    host.until(Stat::StreamsClosedForeign, |ended| ended == 4);
    host.stop();
}

#[test]
fn a_reset_ends_the_allocation() {
    let host = Host::with(&options());
    let free = host.until(Stat::RelayPortsFree, |_| true);
    let peer = peer(false);
    for round in 1..=20 {
        let mut client = StreamClient::tcp(&host);
        let relayed = client.allocate();
        client.channel(0x4001, peer.local_addr().unwrap());
        let half = padded(0x4001, &[7; 600]);
        client.send(&half[..300]);
        peer.send_to(b"unread", relayed).unwrap();
        // What was not read makes this a reset.
        let linger = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        nix::sys::socket::setsockopt(&client.stream, nix::sys::socket::sockopt::Linger, &linger)
            .unwrap();
        drop(client);
        host.until(Stat::AllocationsDeleted, |ended| ended == round);
    }
    host.until(Stat::AllocationsLive, |live| live == 0);
    host.until(Stat::Streams, |open| open == 0);
    host.until(Stat::RelayPortsFree, |now| now == free);
    host.stop();
}

#[test]
fn half_closed_connections_end_after_what_came_before() {
    let host = Host::with(&options());
    let mut client = StreamClient::tcp(&host);
    client.allocate();
    let bytes = client.writer.request(Method::REFRESH, |message| {
        message
            .push_u32(forebay_wire::stun::AttributeType::LIFETIME, 0)
            .unwrap();
    });
    client.send(&bytes);
    client.stream.shutdown(Shutdown::Write).unwrap();
    host.until(Stat::AllocationsDeleted, |ended| ended == 1);
    assert!(client.is_ended());
    host.stop();
}

#[test]
fn a_client_that_takes_nothing_is_shed_and_holds_up_nobody() {
    let limits = StreamLimits {
        output: 64 << 10,
        stalled: Duration::from_millis(500),
        ..StreamLimits::default()
    };
    let host = Host::with(&Options {
        limits,
        ..options()
    });
    let peer = peer(false);
    let at = peer.local_addr().unwrap();
    let mut slow = StreamClient::tcp(&host);
    let relayed = slow.allocate();
    slow.channel(0x4001, at);
    let mut quick = StreamClient::tcp(&host);
    let quick_relayed = quick.allocate();
    quick.channel(0x4001, at);
    let deadline = Instant::now() + Duration::from_secs(60);
    while host.stat(Stat::StreamsClosedStalled) == 0 {
        assert!(Instant::now() < deadline, "never shed");
        for _ in 0..50 {
            peer.send_to(&[9; 1200], relayed).unwrap();
        }
        peer.send_to(b"for the quick one", quick_relayed).unwrap();
        assert_eq!(quick.message(), framed(0x4001, b"for the quick one"));
    }
    // What is above the mark.
    host.until(Stat::StreamDropped, |count| count > 0);
    host.until(Stat::AllocationsLive, |live| live == 1);
    quick.binding();
    drop(slow);
    host.stop();
}

#[test]
fn what_is_held_for_connections_is_shown() {
    const WAITING: u64 = 200_000;
    let host = Host::with(&options());
    let peer = peer(false);
    assert_eq!(host.stat(Stat::StreamMemory), 0);
    let mut slow = StreamClient::tcp(&host);
    let relayed = slow.allocate();
    slow.channel(0x4001, peer.local_addr().unwrap());
    // Two clients, the half of a message, and media that one does not take.
    let mut other = StreamClient::tcp(&host);
    other.binding();
    let calm = host.until(Stat::StreamMemory, |held| held > 0);
    let unfinished = padded(0x4001, &[7; 8000]);
    other.send(&unfinished[..4000]);
    host.until(Stat::StreamMemory, |held| held >= calm + 4000);
    let deadline = Instant::now() + Duration::from_secs(60);
    while host.stat(Stat::StreamMemory) < calm + WAITING {
        assert!(Instant::now() < deadline, "it never waits");
        for _ in 0..50 {
            peer.send_to(&[9; 1200], relayed).unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    drop((slow, other));
    host.until(Stat::Streams, |open| open == 0);
    // Buffers for the next sends are kept.
    host.until(Stat::StreamMemory, |held| held < calm + WAITING / 2);
    host.stop();
}

#[test]
fn idle_connections_end_unless_they_hold_an_allocation() {
    let limits = StreamLimits {
        idle: Duration::from_millis(300),
        ..StreamLimits::default()
    };
    let host = Host::with(&Options {
        limits,
        ..options()
    });
    let mut holder = StreamClient::tcp(&host);
    holder.allocate();
    let mut silent = StreamClient::tcp(&host);
    // Never finishes its request.
    silent.send(&[0, 1]);
    assert!(silent.is_ended());
    host.until(Stat::StreamsClosedIdle, |ended| ended == 1);
    std::thread::sleep(Duration::from_secs(1));
    holder.binding();
    host.stop();
}

#[test]
fn there_are_no_more_connections_than_configured() {
    let host = Host::with(&Options {
        streams: 2,
        ..Options::default()
    });
    let mut first = StreamClient::tcp(&host);
    first.binding();
    let mut second = StreamClient::tcp(&host);
    second.binding();
    let mut third = StreamClient::tcp(&host);
    assert!(third.is_ended());
    assert_eq!(host.until(Stat::StreamsRefused, |refused| refused > 0), 1);
    drop(first);
    host.until(Stat::Streams, |open| open == 1);
    StreamClient::tcp(&host).binding();
    second.binding();
    // Clients over UDP do not notice.
    Client::new(host.v4).bind();
    host.stop();
}

#[test]
fn packets_of_a_pair_are_messages() {
    let host = Host::with(&options());
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .unwrap();
    let connection = Connection {
        socket: theirs,
        client: "192.0.2.1:1234".parse().unwrap(),
        local: "127.0.0.1:5349".parse().unwrap(),
        transport: ClientTransport::Dtls,
        speaks: Speaks::Turn,
        tls: None,
        plain: Vec::new(),
        early: Vec::new(),
    };
    host.workers[0].mailer().adopt(connection).unwrap();
    let mut client = StreamClient::over(Packets(ours, Vec::new()), host.v4);
    assert_eq!(client.binding(), "192.0.2.1:1234".parse().unwrap());
    relay_both_ways(&mut client);
    // Several merged on the way out come singly.
    let peer = peer(false);
    client.channel(0x4002, peer.local_addr().unwrap());
    client.send(&framed(0x4002, b"not padded"));
    let mut buffer = [0; 64];
    let (_, relayed) = peer.recv_from(&mut buffer).unwrap();
    for number in 0..32_u8 {
        peer.send_to(&[number; 101], relayed).unwrap();
    }
    for number in 0..32_u8 {
        let mut packet = [0; 256];
        let len = recv(client.stream.0.as_raw_fd(), &mut packet, MsgFlags::empty()).unwrap();
        assert_eq!(
            ChannelData::parse(&packet[..len]).unwrap().payload(),
            [number; 101]
        );
    }
    drop(client);
    host.until(Stat::AllocationsLive, |live| live == 0);
    host.stop();
}

/// A pair's end that reads as a stream does and writes packets.
struct Packets(std::os::fd::OwnedFd, Vec<u8>);

impl std::io::Read for Packets {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.1.is_empty() {
            let mut packet = [0; 4096];
            let len = recv(self.0.as_raw_fd(), &mut packet, MsgFlags::empty())?;
            self.1.extend(&packet[..len]);
        }
        let len = into.len().min(self.1.len());
        into[..len].copy_from_slice(&self.1[..len]);
        self.1.drain(..len);
        Ok(len)
    }
}

impl Write for Packets {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(send(self.0.as_raw_fd(), bytes, MsgFlags::empty())?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
