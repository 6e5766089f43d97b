//! Packets of media in a stream (RFC 4571).

use forebay_engine::{RxSlot, TrafficClass};
use forebay_runtime::streams::framing::{Outcome, Room};
use forebay_runtime::streams::packets;
use forebay_turn::SocketId;
use proptest::prelude::*;

const ALIKE: RxSlot = RxSlot {
    socket: SocketId(9),
    source: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5),
    local: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    start: 0,
    len: 0,
    segment: 0,
    headroom: 0,
    class: TrafficClass(0),
};

fn room(slots: usize) -> Room {
    Room { slots, requests: 0 }
}

/// Packets as a stream carries them.
fn framed(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for packet in packets {
        bytes.extend((packet.len() as u16).to_be_bytes());
        bytes.extend(packet);
    }
    bytes
}

fn packet_of<'a>(memory: &'a [u8], slot: &RxSlot) -> &'a [u8] {
    assert_eq!(u32::from(slot.segment), slot.len);
    &memory[slot.start as usize..(slot.start + slot.len) as usize]
}

#[test]
fn what_does_not_fit_waits() {
    let memory = framed(&[vec![1; 10], vec![], vec![2; 20], vec![3; 30]]);
    let mut range = 0..memory.len();
    let mut slots = Vec::new();
    let outcome = packets::fill(&memory, &mut range, &ALIKE, &mut room(2), &mut slots);
    assert_eq!((outcome, range.start), (Outcome::Full, 12 + 2 + 22));
    assert_eq!(slots.len(), 2);
    let outcome = packets::fill(&memory, &mut range, &ALIKE, &mut room(2), &mut slots);
    assert_eq!((outcome, range.len()), (Outcome::Whole, 0));
    assert_eq!(packet_of(&memory, &slots[2]), [3; 30]);
}

#[test]
fn a_stream_begins_with_a_whole_packet() {
    let memory = framed(&[vec![7; 40], vec![8; 3]]);
    assert_eq!(packets::opening(&memory), Some(&[7; 40][..]));
    for len in 0..42 {
        assert_eq!(packets::opening(&memory[..len]), None);
    }
}

proptest! {
    /// However a stream is cut, its packets come out as they went in.
    #[test]
    fn packets_survive_any_cut(
        sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let memory = framed(&sent);
        let cut = cut.index(memory.len() + 1);
        let mut slots = Vec::new();
        let mut range = 0..cut;
        let outcome = packets::fill(&memory, &mut range, &ALIKE, &mut room(99), &mut slots);
        prop_assert_eq!(outcome, Outcome::Whole);
        let mut range = range.start..memory.len();
        let outcome = packets::fill(&memory, &mut range, &ALIKE, &mut room(99), &mut slots);
        prop_assert_eq!((outcome, range.len()), (Outcome::Whole, 0));
        let got: Vec<&[u8]> = slots.iter().map(|slot| packet_of(&memory, slot)).collect();
        prop_assert_eq!(got, sent.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }

    /// A transmit of equal packets and a last shorter one, its bytes in any
    /// pieces.
    #[test]
    fn a_transmit_becomes_packets(
        count in 1_usize..20,
        segment in 1_usize..200,
        last in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let last = 1 + last.index(segment);
        let mut sent = vec![vec![0; segment]; count - 1];
        sent.push(vec![0; last]);
        for (number, packet) in sent.iter_mut().enumerate() {
            packet.fill(number as u8);
        }
        let bytes = sent.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        let mut output = vec![0xEE];
        packets::append(&mut output, segment as u16, bytes.len(), pieces);
        prop_assert_eq!(&output[1..], framed(&sent));
    }
}
