//! DSCP and ECN of relayed datagrams (RFC 8656 §13, §14).

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use forebay_sys::buffers::Group;
use forebay_sys::ring::{Ring, RingConfig, Wait};
use forebay_sys::send::{Memory, Piece, Send};
use forebay_sys::sockets::{self, Role, Tuning};

use crate::client::{Client, framed};
use crate::host::{Host, Options};

/// Expedited forwarding, ECT(1).
const MARKED: u8 = 46 << 2 | 1;

/// A socket whose traffic class can be set and seen.
struct Marking {
    ring: Ring,
    socket: UdpSocket,
}

impl Marking {
    fn new(v6: bool) -> Self {
        let mut ring = Ring::new(RingConfig {
            files: 1,
            media_buffers: 16,
            request_buffers: 8,
            stream_buffers: 0,
            streams: 0,
        })
        .unwrap();
        let any: SocketAddr = if v6 { "[::1]:0" } else { "127.0.0.1:0" }.parse().unwrap();
        let tuning = Tuning {
            receive_buffer: 1 << 20,
            send_buffer: 1 << 20,
            busy_poll: 0,
        };
        let socket = sockets::open(any, Role::Media, tuning).unwrap();
        let kept = socket.as_fd().try_clone_to_owned().unwrap();
        ring.install(0, socket).unwrap();
        let socket = UdpSocket::from(kept);
        let wait = Some(Duration::from_secs(2));
        socket.set_read_timeout(wait).unwrap();
        Self { ring, socket }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn send(&mut self, to: SocketAddr, bytes: &[u8], class: u8) {
        let send = Send {
            file: 0,
            tag: 1,
            destination: Some(to),
            source: None,
            segment: None,
            class,
            dont_fragment: false,
        };
        let piece = Piece {
            memory: Memory::Headers,
            start: 0,
            len: bytes.len() as u32,
        };
        let sends = std::iter::once((send, std::iter::once(piece)));
        self.ring.enter(bytes, sends, Wait::Not).unwrap();
    }

    /// The traffic class of the next datagram. Ends the use of the socket
    /// beside the ring.
    fn class(&mut self) -> u8 {
        self.ring.receive(0, Group::Media, 2).unwrap();
        let end = Instant::now() + Duration::from_secs(5);
        let mut found = None;
        while found.is_none() {
            assert!(Instant::now() < end, "nothing arrives");
            let nothing: std::iter::Empty<(Send, std::iter::Empty<Piece>)> = std::iter::empty();
            let wait = Wait::UpTo(Duration::from_millis(100));
            self.ring.enter(&[], nothing, wait).unwrap();
            let mut arrived = None;
            self.ring
                .reap(|completion| arrived = completion.buffer.zip(completion.result.ok()));
            found = arrived.and_then(|(buffer, filled)| self.ring.received(buffer, filled));
        }
        found.unwrap().1.class
    }
}

fn both_ways(pass_dscp: bool, expected: u8) {
    let host = Host::with(&Options {
        pass_dscp,
        ..Options::default()
    });
    for (server, v6) in [
        (host.v4, false),
        (host.v4, true),
        (host.v6, false),
        (host.v6, true),
    ] {
        let mut sending = Marking::new(server.is_ipv6());
        let mut peer = Marking::new(v6);
        let mut client = Client::new(server);
        client.socket = sending.socket.try_clone().unwrap();
        let relayed = client.try_allocate(if v6 { 2 } else { 1 }).unwrap();
        assert_eq!(client.channel(0x4001, peer.address()), 0);
        sending.send(server, &framed(0x4001, b"there"), MARKED);
        assert_eq!(peer.class(), expected, "{server} to a peer, IPv6: {v6}");
        peer.send(relayed, b"back", MARKED);
        assert_eq!(sending.class(), expected, "{server} to its client");
    }
    host.stop();
}

#[test]
fn ecn_is_carried_on_and_dscp_is_not_by_default() {
    both_ways(false, MARKED & 3);
}

#[test]
fn dscp_is_carried_on_where_it_is_configured() {
    both_ways(true, MARKED);
}
