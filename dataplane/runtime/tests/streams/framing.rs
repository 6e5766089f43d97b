//! Any split of any sequence of messages gives the same messages.

use std::net::SocketAddr;
use std::ops::Range;

use forebay_engine::{RxSlot, TrafficClass};
use forebay_runtime::streams::framing::{Framer, Next, Outcome, Room};
use forebay_turn::SocketId;
use proptest::prelude::*;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

fn stun(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut message = kind.to_be_bytes().to_vec();
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(COOKIE);
    message.extend([7; 12]);
    message.extend(body);
    message
}

fn channel(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.extend((payload.len() as u16).to_be_bytes());
    message.extend(payload);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

fn alike() -> RxSlot {
    let source: SocketAddr = "192.0.2.1:1".parse().unwrap();
    RxSlot {
        socket: SocketId(9),
        source,
        local: source.ip(),
        start: 0,
        len: 0,
        segment: 0,
        headroom: 0,
        class: TrafficClass(0),
    }
}

/// As a worker reads: what is left of a piece comes before the next one.
#[derive(Default)]
struct Reader {
    framer: Framer,
    partial: Vec<u8>,
    messages: Vec<Vec<u8>>,
    foreign: bool,
}

impl Reader {
    fn take(&mut self, piece: &[u8], slots: usize, requests: usize) {
        let mut memory = std::mem::take(&mut self.partial);
        memory.extend(piece);
        let mut range = 0..memory.len();
        loop {
            let mut found = Vec::new();
            let mut room = Room { slots, requests };
            let outcome = self
                .framer
                .fill(&memory, &mut range, &alike(), &mut room, &mut found);
            assert!(found.len() <= slots);
            for slot in &found {
                let all: Range<usize> = slot.start as usize..(slot.start + slot.len) as usize;
                let bytes = &memory[all];
                let messages = bytes.chunks(slot.segment.into());
                self.messages.extend(messages.map(<[u8]>::to_vec));
            }
            match outcome {
                Outcome::Whole => break,
                Outcome::Full | Outcome::Binds => assert!(!found.is_empty(), "no progress"),
                Outcome::Foreign => {
                    self.foreign = true;
                    return;
                }
            }
        }
        self.partial = memory[range].to_vec();
        assert!(self.partial.len() <= Framer::MAX_MESSAGE);
    }
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let body = |most: usize| (0..most / 4).prop_map(|words| vec![0x5A; words * 4]);
    prop_oneof![
        body(64).prop_map(|body| stun(0x0001, &body)),
        body(64).prop_map(|body| stun(0x000B, &body)),
        body(1600).prop_map(|body| stun(0x0016, &body)),
        // Few lengths, so that neighbours share slots.
        (0x4000_u16..0x8000, 0_usize..6)
            .prop_map(|(number, len)| channel(number, &vec![len as u8; len * 7])),
        (0x4000_u16..0x8000, 0_usize..2000)
            .prop_map(|(number, len)| channel(number, &vec![len as u8; len])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_split_gives_the_same_messages(
        messages in proptest::collection::vec(message(), 0..40),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..30),
        slots in 1_usize..8,
        requests in 1_usize..4,
    ) {
        let mut all = vec![stun(0x0001, &[])];
        all.extend(messages);
        let bytes = all.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut reader = Reader::default();
        let mut start = 0;
        for cut in cuts {
            reader.take(&bytes[start..cut], slots, requests);
            start = cut;
        }
        prop_assert!(!reader.foreign);
        prop_assert_eq!(reader.messages, all);
        prop_assert!(reader.partial.is_empty());
    }

    #[test]
    fn any_bytes_are_read_within_bounds(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
        polite in any::<bool>(),
    ) {
        let mut reader = Reader::default();
        if polite {
            reader.take(&stun(0x0001, &[]), 4, 4);
        }
        for piece in pieces {
            if !reader.foreign {
                reader.take(&piece, 4, 4);
            }
        }
    }
}

#[test]
fn other_protocols_are_told_by_their_first_bytes() {
    for bytes in [
        &b"GET / HTTP/1.1"[..],
        b"G",
        b"\x16\x03\x01\x00\xff",
        b"SSH-2.0-",
        b"PROXY TCP4",
        b"\x80",
        b"\x04",
        // STUN of RFC 3489, and a length that STUN cannot have.
        &[0, 1, 0, 0, 1, 2, 3, 4],
        &[0, 1, 0, 3],
        // A channel before any request.
        &[0x40, 0, 0, 4],
        &[0x40],
    ] {
        assert_eq!(Framer::default().next(bytes), Next::Foreign, "{bytes:?}");
    }
}

#[test]
fn beginnings_are_waited_for() {
    let request = stun(0x0003, &[0; 8]);
    for cut in 0..request.len() {
        let mut framer = Framer::default();
        assert_eq!(framer.next(&request[..cut]), Next::Incomplete, "{cut}");
    }
    let mut framer = Framer::default();
    let whole = Next::Message {
        len: request.len(),
        request: true,
    };
    assert_eq!(framer.next(&request), whole);
    let data = channel(0x7FFF, &[1; 5]);
    for cut in 0..data.len() {
        assert_eq!(framer.next(&data[..cut]), Next::Incomplete, "{cut}");
    }
    let whole = Next::Message {
        len: 12,
        request: false,
    };
    assert_eq!(framer.next(&data), whole);
}

#[test]
fn nothing_is_read_behind_a_connection_bind() {
    let bind = stun(0x000B, &[0; 8]);
    let memory = [stun(0x0001, &[]), bind.clone(), b"GET / HTTP/1.1".to_vec()].concat();
    let mut range = 0..memory.len();
    let mut room = Room {
        slots: 8,
        requests: 8,
    };
    let mut found = Vec::new();
    let mut framer = Framer::default();
    let outcome = framer.fill(&memory, &mut range, &alike(), &mut room, &mut found);
    assert_eq!(outcome, Outcome::Binds);
    assert_eq!(&memory[range], b"GET / HTTP/1.1");
    assert_eq!(found.len(), 2);
}

#[test]
fn what_no_datagram_could_carry_is_foreign() {
    let mut framer = Framer::default();
    framer.next(&stun(0x0001, &[]));
    assert_eq!(framer.next(&[0x40, 0, 0xFF, 0xF8]), Next::Incomplete);
    assert_eq!(framer.next(&[0x40, 0, 0xFF, 0xF9]), Next::Foreign);
    let head = [&[0, 1, 0xFF, 0xE8][..], &COOKIE].concat();
    assert_eq!(framer.next(&head), Next::Incomplete);
    let head = [&[0, 1, 0xFF, 0xEC][..], &COOKIE].concat();
    assert_eq!(framer.next(&head), Next::Foreign);
}
