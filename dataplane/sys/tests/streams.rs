//! Connections through the ring, against ordinary TCP sockets on loopback.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use forebay_sys::Errno;
use forebay_sys::ring::{Completion, Ring, RingConfig, Wait};
use forebay_sys::send::{Piece, Send};
use forebay_sys::streams;

const RECEIVE: u64 = 5;
const SEND: u64 = 6;

fn ring(stream_buffers: u16) -> Ring {
    Ring::new(RingConfig {
        files: 4,
        media_buffers: 8,
        request_buffers: 8,
        stream_buffers,
        streams: 2,
    })
    .unwrap()
}

/// A connection whose one end is in slot 1.
fn connect(ring: &mut Ring) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    theirs.set_nonblocking(true).unwrap();
    streams::set_blocking(theirs.as_fd()).unwrap();
    streams::tune(theirs.as_fd(), 64 << 10, Duration::from_secs(10)).unwrap();
    ring.install(1, OwnedFd::from(theirs)).unwrap();
    ours
}

/// Runs the ring until something completes under the tag.
fn until(ring: &mut Ring, tag: u64) -> Completion {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        assert!(Instant::now() < deadline, "nothing completes");
        let nothing = std::iter::empty::<(Send, std::iter::Empty<Piece>)>();
        ring.enter(&[], nothing, Wait::UpTo(Duration::from_millis(100)))
            .unwrap();
        let mut found = None;
        ring.reap(|completion| {
            if completion.tag == tag {
                found = Some(completion);
            }
        });
        if let Some(found) = found {
            return found;
        }
    }
}

#[test]
fn what_comes_lies_behind_room_for_what_came_before() {
    let mut ring = ring(4);
    let mut client = connect(&mut ring);
    ring.receive_stream(1, RECEIVE).unwrap();
    for round in 0..10_u8 {
        client.write_all(&[round; 100]).unwrap();
        let completion = until(&mut ring, RECEIVE);
        assert_eq!((completion.result, completion.more), (Ok(100), true));
        let buffer = completion.buffer.unwrap();
        let area = ring.stream_area(buffer).unwrap();
        assert_eq!(area.whole.len(), streams::SIZE);
        assert_eq!(area.data.start - area.whole.start, streams::HEAD);
        assert_eq!(area.data.end, area.whole.end);
        let memory = ring.memory();
        assert_eq!(memory[area.data.start..][..100], [round; 100]);
        // All of it is ours until it is given back.
        memory[area.whole].fill(0xEE);
        ring.recycle(std::iter::once(buffer));
    }
    drop(client);
    let last = until(&mut ring, RECEIVE);
    assert_eq!((last.result, last.more, last.buffer), (Ok(0), false, None));
}

#[test]
fn areas_and_scratch_never_overlap() {
    let mut ring = ring(4);
    let mut scratch: Vec<u16> = std::iter::from_fn(|| ring.take_scratch()).collect();
    assert!(!scratch.is_empty());
    scratch.sort_unstable();
    let areas: Vec<_> = (16..20)
        .chain(scratch.iter().copied())
        .map(|buffer| ring.stream_area(buffer).unwrap().whole)
        .collect();
    for (before, after) in areas.iter().zip(&areas[1..]) {
        assert_eq!(before.end, after.start);
    }
    assert_eq!(areas.last().unwrap().end, ring.memory().len());
    for outside in [0, 15, scratch[scratch.len() - 1] + 1, u16::MAX] {
        assert_eq!(ring.stream_area(outside), None);
    }
    let count = scratch.len();
    ring.recycle(scratch.iter().copied().chain(scratch.iter().copied()));
    assert_eq!(std::iter::from_fn(|| ring.take_scratch()).count(), count);
}

#[test]
fn a_send_goes_on_as_the_other_end_takes_it() {
    let mut ring = ring(4);
    let mut client = connect(&mut ring);
    let bytes: Vec<u8> = (0..8_u32 << 20).map(|at| (at >> 7) as u8).collect();
    let expected = bytes.clone();
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; expected.len()];
        std::thread::sleep(Duration::from_millis(200));
        client.read_exact(&mut got).unwrap();
        assert!(got == expected);
        client
    });
    let (mut bytes, mut from, mut sends) = (bytes, 0, 0);
    while from < bytes.len() {
        assert_eq!(ring.sent(0), None);
        ring.send_stream(0, 1, bytes, from, SEND).unwrap();
        // Not before it has completed.
        assert_eq!(ring.sent(0), None);
        let completion = until(&mut ring, SEND);
        from += completion.result.unwrap() as usize;
        bytes = ring.sent(0).unwrap();
        sends += 1;
    }
    assert!(sends > 1, "larger than any send buffer");
    reader.join().unwrap();
}

#[test]
fn a_send_nobody_takes_can_be_cancelled() {
    let mut ring = ring(4);
    let client = connect(&mut ring);
    let mut sent = 0;
    loop {
        ring.send_stream(1, 1, vec![0; 4 << 20], 0, SEND).unwrap();
        let nothing = std::iter::empty::<(Send, std::iter::Empty<Piece>)>();
        ring.enter(&[], nothing, Wait::UpTo(Duration::from_millis(200)))
            .unwrap();
        let mut done = None;
        ring.reap(|completion| done = Some(completion.result));
        match done {
            Some(result) => sent += result.unwrap(),
            None => break,
        }
        assert_eq!(ring.sent(1).map(|bytes| bytes.len()), Some(4 << 20));
    }
    assert!(sent > 0);
    ring.cancel_stream_send(1).unwrap();
    assert_eq!(until(&mut ring, SEND).result, Err(Errno::ECANCELED));
    assert_eq!(ring.sent(1).map(|bytes| bytes.len()), Some(4 << 20));
    drop(client);
}

#[test]
fn a_send_to_nobody_fails_without_a_signal() {
    let mut ring = ring(4);
    let client = connect(&mut ring);
    drop(client);
    let mut result = Ok(0);
    for _ in 0..100 {
        ring.send_stream(0, 1, vec![0; 100], 0, SEND).unwrap();
        result = until(&mut ring, SEND).result;
        ring.sent(0).unwrap();
        if result.is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(matches!(result, Err(Errno::EPIPE | Errno::ECONNRESET)));
}
