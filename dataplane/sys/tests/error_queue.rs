//! ICMP errors from sockets whose datagrams nobody takes.

#![allow(clippy::unwrap_used)]

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use forebay_sys::Errno;
use forebay_sys::error_queue::{Fate, READS, SocketError};
use forebay_sys::ring::{Completion, Ring, RingConfig, Wait};
use forebay_sys::send::{Memory, Piece, Send};
use forebay_sys::sockets::{self, Role, Tuning};

const TUNING: Tuning = Tuning {
    receive_buffer: 1 << 20,
    send_buffer: 1 << 20,
    busy_poll: 0,
};
const SEND: u64 = 1;
const READ: u64 = 100;

/// A ring with a relay socket in slot 0 that hears errors.
fn ring(address: &str) -> Ring {
    let mut ring = Ring::new(RingConfig {
        files: 4,
        media_buffers: 8,
        request_buffers: 8,
        stream_buffers: 0,
        streams: 0,
    })
    .unwrap();
    let open = || sockets::open(address.parse().unwrap(), Role::Relay, TUNING).unwrap();
    assert!(ring.sets_options(open()).unwrap(), "needs Linux 6.7");
    let socket = open();
    let v6 = sockets::local_address(socket.as_fd()).unwrap().is_ipv6();
    ring.install(0, socket).unwrap();
    ring.hear_errors(0, v6, true).unwrap();
    ring
}

/// An address nobody listens on.
fn closed(at: &str) -> SocketAddr {
    UdpSocket::bind(at).unwrap().local_addr().unwrap()
}

fn send(ring: &mut Ring, to: SocketAddr, count: usize) -> Vec<Completion> {
    let send = Send {
        file: 0,
        tag: SEND,
        destination: Some(to),
        source: None,
        segment: None,
        class: 0,
        dont_fragment: false,
    };
    let piece = Piece {
        memory: Memory::Headers,
        start: 0,
        len: 4,
    };
    let sends = (0..count).map(|_| (send, std::iter::once(piece)));
    ring.enter(b"lost", sends, Wait::Poll).unwrap();
    let mut failed = Vec::new();
    ring.reap(|completion| failed.push(completion));
    failed
}

/// Reads the queue; errors in order until there are none.
fn errors(ring: &mut Ring) -> Vec<SocketError> {
    for index in 0..READS {
        ring.read_error(index, 0, READ + index as u64).unwrap();
    }
    let nothing: std::iter::Empty<(Send, std::iter::Empty<Piece>)> = std::iter::empty();
    ring.enter(&[], nothing, Wait::UpTo(Duration::from_secs(1)))
        .unwrap();
    let mut completions = Vec::new();
    ring.reap(|completion| completions.push(completion));
    assert_eq!(
        completions.len(),
        READS,
        "reads complete where they are submitted"
    );
    completions
        .iter()
        .filter(|completion| match completion.result {
            Ok(_) => true,
            Err(errno) => {
                assert_eq!(errno, Errno::EAGAIN);
                false
            }
        })
        .map(|completion| ring.error((completion.tag - READ) as usize).unwrap())
        .collect()
}

#[test]
fn a_closed_port_is_told_and_fails_one_send() {
    for (address, kind, code) in [("127.0.0.1:0", 3, 3), ("[::1]:0", 1, 4)] {
        let mut ring = ring(address);
        let nobody = closed(address);
        assert_eq!(send(&mut ring, nobody, 1), []);
        let failed = send(&mut ring, nobody, 1);
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].result, Err(Errno::ECONNREFUSED));
        let told = SocketError {
            destination: nobody,
            fate: Fate::Icmp {
                kind,
                code,
                info: 0,
            },
        };
        assert_eq!(errors(&mut ring), [told]);
        assert_eq!(errors(&mut ring), []);
        // An error that was read fails no send.
        assert_eq!(send(&mut ring, nobody, 1), []);
        assert_eq!(errors(&mut ring), [told]);
        assert_eq!(send(&mut ring, nobody, 1), []);
    }
}

#[test]
fn a_deaf_socket_fails_no_send() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let mut ring = ring(address);
        let v6 = address.starts_with('[');
        let nobody = closed(address);
        send(&mut ring, nobody, 1);
        ring.hear_errors(0, v6, false).unwrap();
        // Its pending error is the last.
        send(&mut ring, nobody, 1);
        assert_eq!(send(&mut ring, nobody, 20), []);
        assert_eq!(errors(&mut ring), []);
        ring.hear_errors(0, v6, true).unwrap();
        assert_eq!(send(&mut ring, nobody, 1), []);
        assert_eq!(errors(&mut ring).len(), 1);
    }
}
