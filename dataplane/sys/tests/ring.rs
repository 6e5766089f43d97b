//! The ring against ordinary sockets on loopback.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use forebay_sys::Errno;
use forebay_sys::buffers::Group;
use forebay_sys::recv::Received;
use forebay_sys::ring::{Completion, Ring, RingConfig, Wait};
use forebay_sys::send::{Memory, Piece, Send};
use forebay_sys::sockets::{self, Role, Tuning};
use forebay_sys::wake::Waker;

const TUNING: Tuning = Tuning {
    receive_buffer: 1 << 20,
    send_buffer: 1 << 20,
    busy_poll: 0,
};
const TAG: u64 = 77;

fn ring(media_buffers: u16) -> Ring {
    Ring::new(RingConfig {
        files: 16,
        media_buffers,
        request_buffers: 8,
        stream_buffers: 0,
        streams: 0,
    })
    .unwrap()
}

fn socket(ring: &mut Ring, slot: u32, address: &str) -> SocketAddr {
    let socket = sockets::open(address.parse().unwrap(), Role::Relay, TUNING).unwrap();
    let address = sockets::local_address(socket.as_fd()).unwrap();
    ring.install(slot, socket).unwrap();
    ring.receive(slot, Group::Media, TAG + u64::from(slot))
        .unwrap();
    address
}

fn nothing() -> std::iter::Empty<(Send, std::iter::Empty<Piece>)> {
    std::iter::empty()
}

/// Runs the ring until `enough` completions came.
fn completions(ring: &mut Ring, enough: usize) -> Vec<Completion> {
    let mut all = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    while all.len() < enough {
        assert!(
            Instant::now() < deadline,
            "only {} of {enough} completions: {all:?}",
            all.len()
        );
        ring.enter(&[], nothing(), Wait::UpTo(Duration::from_millis(100)))
            .unwrap();
        ring.reap(|completion| all.push(completion));
    }
    all
}

fn payload(ring: &mut Ring, completion: &Completion) -> (Received, Vec<u8>) {
    let (start, received) = ring
        .received(completion.buffer.unwrap(), completion.result.unwrap())
        .unwrap();
    let bytes = ring.memory()[start..start + received.len as usize].to_vec();
    (received, bytes)
}

fn plain(file: u32, tag: u64, destination: SocketAddr) -> Send {
    Send {
        file,
        tag,
        destination: Some(destination),
        source: None,
        segment: None,
        class: 0,
        dont_fragment: false,
    }
}

#[test]
fn a_datagram_is_received_and_echoed_with_a_header() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let mut ring = ring(8);
        let server = socket(&mut ring, 3, address);
        let client = UdpSocket::bind(address).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        client.send_to(b"hello", server).unwrap();

        let arrived = completions(&mut ring, 1);
        assert_eq!(arrived[0].tag, TAG + 3);
        assert!(arrived[0].more);
        let (received, bytes) = payload(&mut ring, &arrived[0]);
        assert_eq!(bytes, b"hello");
        assert_eq!(received.source, client.local_addr().unwrap());
        assert_eq!(
            (received.segment, received.dropped, received.truncated),
            (5, None, false)
        );

        let (start, _) = ring
            .received(arrived[0].buffer.unwrap(), arrived[0].result.unwrap())
            .unwrap();
        let pieces = [
            Piece {
                memory: Memory::Headers,
                start: 2,
                len: 3,
            },
            Piece {
                memory: Memory::Received,
                start: start as u32,
                len: 5,
            },
        ];
        let sends = [(plain(3, 1, received.source), pieces.iter().copied())];
        ring.enter(b"..re:", sends.into_iter(), Wait::Poll).unwrap();
        let mut buffer = [0; 64];
        let (length, _) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"re:hello");
    }
}

#[test]
fn one_send_leaves_as_many_datagrams_and_they_merge_on_receive() {
    let mut ring = ring(64);
    let out = socket(&mut ring, 0, "127.0.0.1:0");
    let into = socket(&mut ring, 1, "127.0.0.1:0");
    let headers: Vec<u8> = (0..250_u8).collect();
    let send = Send {
        segment: Some(100),
        ..plain(0, 9, into)
    };
    let pieces = [Piece {
        memory: Memory::Headers,
        start: 0,
        len: 250,
    }];
    ring.enter(
        &headers,
        std::iter::once((send, pieces.iter().copied())),
        Wait::Poll,
    )
    .unwrap();
    let mut bytes = Vec::new();
    let mut sizes = Vec::new();
    while bytes.len() < 250 {
        for completion in completions(&mut ring, 1) {
            assert_eq!(completion.tag, TAG + 1, "{completion:?}");
            let (received, part) = payload(&mut ring, &completion);
            assert_eq!(received.source, out);
            sizes.extend(part.chunks(usize::from(received.segment)).map(<[u8]>::len));
            bytes.extend(part);
        }
    }
    assert_eq!(bytes, headers);
    assert_eq!(sizes, [100, 100, 50]);
}

#[test]
fn a_failed_send_completes_with_its_error_and_a_good_one_in_silence() {
    let mut ring = ring(8);
    let out = socket(&mut ring, 0, "127.0.0.1:0");
    let headers = vec![0; 70_000];
    let small = [Piece {
        memory: Memory::Headers,
        start: 0,
        len: 10,
    }];
    let large = [Piece {
        memory: Memory::Headers,
        start: 0,
        len: 70_000,
    }];
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = sink.local_addr().unwrap();
    let sends = [
        (plain(0, 1, to), small.iter().copied()),
        (plain(0, 2, to), large.iter().copied()),
        (plain(9, 3, to), small.iter().copied()),
    ];
    ring.enter(&headers, sends.into_iter(), Wait::Poll).unwrap();
    let mut failed = Vec::new();
    ring.reap(|completion| failed.push((completion.tag, completion.result)));
    assert_eq!(failed, [(2, Err(Errno::EMSGSIZE)), (3, Err(Errno::EBADF))]);
    assert_ne!(out, to);
}

#[test]
fn without_buffers_the_receive_ends_and_can_be_started_again() {
    let mut ring = ring(4);
    let server = socket(&mut ring, 0, "127.0.0.1:0");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..10_u8 {
        // Two lengths, so that nothing merges.
        client
            .send_to(&vec![number; 10 + usize::from(number)], server)
            .unwrap();
    }
    let first = completions(&mut ring, 5);
    assert_eq!(
        first
            .iter()
            .filter(|completion| completion.buffer.is_some())
            .count(),
        4
    );
    let last = first.last().unwrap();
    assert_eq!((last.result, last.more), (Err(Errno::ENOBUFS), false));

    ring.recycle(first.iter().filter_map(|completion| completion.buffer));
    ring.receive(0, Group::Media, TAG).unwrap();
    let second = completions(&mut ring, 4);
    let (_, bytes) = payload(&mut ring, &second[0]);
    assert_eq!(bytes[0], 4, "nothing was lost in between");
}

#[test]
fn cancelling_ends_the_receive_and_closing_frees_the_port() {
    let mut ring = ring(8);
    let address = socket(&mut ring, 5, "127.0.0.1:0");
    assert!(sockets::is_taken(address).unwrap());
    ring.cancel(TAG + 5).unwrap();
    let end = completions(&mut ring, 1);
    assert_eq!(
        (end[0].tag, end[0].result, end[0].more),
        (TAG + 5, Err(Errno::ECANCELED), false)
    );
    ring.close(5, 1234).unwrap();
    let closed = completions(&mut ring, 1);
    assert_eq!((closed[0].tag, closed[0].result), (1234, Ok(0)));
    assert!(!sockets::is_taken(address).unwrap());
}

#[test]
fn after_shutting_down_every_port_is_free() {
    let mut ring = ring(8);
    let addresses: Vec<SocketAddr> = (0..10)
        .map(|slot| socket(&mut ring, slot, "127.0.0.1:0"))
        .collect();
    ring.enter(&[], nothing(), Wait::Poll).unwrap();
    ring.shut_down().unwrap();
    for address in addresses {
        assert!(!sockets::is_taken(address).unwrap());
    }
    assert!(ring.enter(&[], nothing(), Wait::Poll).is_err());
}

#[test]
fn another_thread_wakes_a_waiting_ring() {
    let mut ring = ring(8);
    let (waker, reader) = Waker::new().unwrap();
    ring.install(7, reader).unwrap();
    for _ in 0..2 {
        ring.read_wake(7, 42).unwrap();
        let waker = waker.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            waker.wake();
        });
        let woken = completions(&mut ring, 1);
        assert_eq!(woken[0].tag, 42);
        ring.woken();
        thread.join().unwrap();
    }
}

#[test]
fn more_sends_than_the_queue_holds_all_leave() {
    let mut ring = ring(8);
    let out = socket(&mut ring, 0, "127.0.0.1:0");
    let sink = sockets::open(
        "127.0.0.1:0".parse().unwrap(),
        Role::Relay,
        Tuning {
            receive_buffer: 16 << 20,
            ..TUNING
        },
    )
    .unwrap();
    let sink = UdpSocket::from(sink);
    sink.set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let to = sink.local_addr().unwrap();
    let piece = [Piece {
        memory: Memory::Headers,
        start: 0,
        len: 4,
    }];
    let sends = (0..3000).map(|tag| (plain(0, tag, to), piece.iter().copied()));
    ring.enter(b"ping", sends, Wait::Poll).unwrap();
    let mut failed = 0;
    ring.reap(|_| failed += 1);
    assert_eq!(failed, 0);
    let mut buffer = [0; 16];
    for _ in 0..3000 {
        assert_eq!(sink.recv_from(&mut buffer).unwrap(), (4, out));
    }
}

#[test]
fn wildcard_sockets_tell_and_choose_the_local_address() {
    for (wildcard, local) in [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "::1")] {
        let mut ring = ring(8);
        let bound = socket(&mut ring, 0, wildcard);
        let client =
            UdpSocket::bind((if bound.is_ipv6() { "::1" } else { "127.0.0.1" }, 0)).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let server = SocketAddr::new(local.parse().unwrap(), bound.port());
        client.send_to(b"x", server).unwrap();
        let arrived = completions(&mut ring, 1);
        let (received, _) = payload(&mut ring, &arrived[0]);
        assert_eq!(received.local, Some(server.ip()));
        let piece = [Piece {
            memory: Memory::Headers,
            start: 0,
            len: 1,
        }];
        let send = Send {
            source: received.local,
            class: 1,
            ..plain(0, 1, received.source)
        };
        ring.enter(
            b"y",
            std::iter::once((send, piece.iter().copied())),
            Wait::Poll,
        )
        .unwrap();
        assert_eq!(client.recv_from(&mut [0; 8]).unwrap(), (1, server));
    }
}

#[test]
fn drops_and_the_traffic_class_are_told() {
    let mut ring = ring(8);
    let tiny = sockets::open(
        "127.0.0.1:0".parse().unwrap(),
        Role::Relay,
        Tuning {
            receive_buffer: 2048,
            ..TUNING
        },
    )
    .unwrap();
    let into = sockets::local_address(tiny.as_fd()).unwrap();
    ring.install(1, tiny).unwrap();
    socket(&mut ring, 0, "127.0.0.1:0");
    let headers = [7; 600];
    let piece = |len| {
        [Piece {
            memory: Memory::Headers,
            start: 0,
            len,
        }]
    };
    let sends: Vec<_> = (0..40_u32)
        .map(|number| {
            (
                Send {
                    class: 0xBA,
                    ..plain(0, 1, into)
                },
                piece(400 + number).into_iter(),
            )
        })
        .collect();
    ring.enter(&headers, sends.into_iter(), Wait::Poll).unwrap();
    ring.receive(1, Group::Media, TAG).unwrap();
    let first = completions(&mut ring, 1);
    assert!(
        first
            .iter()
            .any(|completion| payload(&mut ring, completion).0.class == 0xBA)
    );
    // The kernel notes the count when a datagram is queued, so it shows with
    // the first one after the drops.
    ring.recycle(first.iter().filter_map(|completion| completion.buffer));
    ring.enter(
        &headers,
        std::iter::once((plain(0, 1, into), piece(3).into_iter())),
        Wait::Poll,
    )
    .unwrap();
    let later = completions(&mut ring, 1);
    let dropped = later
        .iter()
        .filter_map(|completion| payload(&mut ring, completion).0.dropped)
        .max();
    assert!(
        dropped.is_some_and(|count| count > 0 && count < 40),
        "{dropped:?}"
    );
}

#[test]
fn a_gathering_wait_ends_with_enough_or_with_any_after_a_while() {
    let mut ring = ring(8);
    if !ring.gathers() {
        eprintln!("the kernel cannot gather");
        return;
    }
    let server = socket(&mut ring, 3, "127.0.0.1:0");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let wait = |completions, within, up_to| Wait::Gather {
        completions,
        within: Duration::from_millis(within),
        up_to: Duration::from_millis(up_to),
    };
    let gather = |ring: &mut Ring, wait| {
        let started = Instant::now();
        ring.enter(&[], nothing(), wait).unwrap();
        (ring.reap(|_| {}), started.elapsed())
    };
    ring.enter(&[], nothing(), Wait::Poll).unwrap();

    client.send_to(b"one", server).unwrap();
    client.send_to(b"two", server).unwrap();
    let (count, elapsed) = gather(&mut ring, wait(2, 5_000, 10_000));
    assert_eq!(count, 2);
    assert!(elapsed < Duration::from_secs(4), "{elapsed:?}");

    client.send_to(b"alone", server).unwrap();
    let (count, elapsed) = gather(&mut ring, wait(2, 50, 10_000));
    assert_eq!(count, 1);
    assert!(elapsed >= Duration::from_millis(50), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");

    let (count, elapsed) = gather(&mut ring, wait(2, 20, 60));
    assert_eq!(count, 0);
    assert!(elapsed >= Duration::from_millis(60), "{elapsed:?}");
}
