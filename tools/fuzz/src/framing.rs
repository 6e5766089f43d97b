//! What a stream is cut into: pieces of any size give the same messages as
//! the stream at once, and the same as a reader that goes byte by byte
//! through RFC 8656 §3.1 and §12.5.
//!
//! The first byte says how much room a round has, the second how long the
//! pieces are; the stream follows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use forebay_engine::{RxSlot, TrafficClass};
use forebay_runtime::streams::framing::{Framer, Outcome, Room};
use forebay_turn::SocketId;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const ALIKE: RxSlot = RxSlot {
    socket: SocketId(9),
    source: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
    local: IpAddr::V4(Ipv4Addr::LOCALHOST),
    start: 0,
    len: 0,
    segment: 0,
    headroom: 0,
    class: TrafficClass(0),
};

/// What became of a stream: its messages, and whether it ended as foreign.
type Read = (Vec<Vec<u8>>, bool);

pub(crate) fn run(input: &[u8]) {
    let [room, piece, stream @ ..] = input else {
        return;
    };
    let room = Room {
        slots: 1 + usize::from(room & 7),
        requests: 1 + usize::from(room >> 4),
    };
    let expected = reference(stream);
    assert_eq!(read(stream, stream.len().max(1), room), expected, "at once");
    let piece = 1 + usize::from(*piece);
    assert_eq!(read(stream, piece, room), expected, "in pieces of {piece}");
}

/// As a worker reads: what is left of a piece comes before the next one.
fn read(stream: &[u8], piece: usize, room: Room) -> Read {
    let mut framer = Framer::default();
    let mut messages = Vec::new();
    let mut memory = Vec::new();
    for piece in stream.chunks(piece) {
        memory.extend(piece);
        let mut range = 0..memory.len();
        loop {
            let (mut left, mut slots) = (room, Vec::new());
            let outcome = framer.fill(&memory, &mut range, &ALIKE, &mut left, &mut slots);
            assert_eq!(room.slots - left.slots, slots.len(), "slots are counted");
            for slot in &slots {
                let start = slot.start as usize;
                let bytes = &memory[start..start + slot.len as usize];
                messages.extend(bytes.chunks(slot.segment.into()).map(<[u8]>::to_vec));
            }
            match outcome {
                Outcome::Whole => break,
                Outcome::Full | Outcome::Binds => assert!(!slots.is_empty(), "no progress"),
                Outcome::Foreign => return (messages, true),
            }
        }
        memory.drain(..range.start);
        assert!(memory.len() <= Framer::MAX_MESSAGE, "what waits is bounded");
    }
    (messages, false)
}

/// The same, simply: STUN first, then STUN and padded ChannelData.
fn reference(stream: &[u8]) -> Read {
    let mut messages = Vec::new();
    let mut rest = stream;
    loop {
        let spoken = !messages.is_empty();
        let channel = match rest.first() {
            None => return (messages, false),
            Some(0..=3) => false,
            Some(0x40..=0x7F) if spoken => true,
            Some(_) => return (messages, true),
        };
        let Some(&[_, _, high, low]) = rest.first_chunk::<4>() else {
            return (messages, false);
        };
        let stated = usize::from(u16::from_be_bytes([high, low]));
        let length = if channel {
            (4 + stated).next_multiple_of(4)
        } else if stated % 4 != 0 {
            return (messages, true);
        } else {
            match rest.get(4..8) {
                None => return (messages, false),
                Some(cookie) if cookie != COOKIE => return (messages, true),
                Some(_) => 20 + stated,
            }
        };
        if length > Framer::MAX_MESSAGE {
            return (messages, true);
        }
        let Some(message) = rest.get(..length) else {
            return (messages, false);
        };
        messages.push(message.to_vec());
        rest = &rest[length..];
    }
}
