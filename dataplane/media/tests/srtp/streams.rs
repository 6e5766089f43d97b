//! Replay windows, rollover counters and the table of SSRCs.

use std::collections::BTreeSet;
use std::time::Duration;

use forebay_media::srtp::{Inbound, MAX_STREAMS, Outbound, Profile, SrtpError};
use forebay_wire::clock::Instant;
use proptest::prelude::*;

use crate::generate::{PROFILES, Random, mirrored, rtcp, rtp};

const PROFILE: Profile = Profile::AeadAes128Gcm;
const START: Instant = Instant::from_nanos(1_000_000_000);

struct Ends {
    outbound: Outbound,
    inbound: Inbound,
    random: Random,
}

impl Ends {
    fn new(profile: Profile) -> Self {
        let mut random = Random(42);
        let keys = mirrored(&mut random, profile);
        Self {
            outbound: Outbound::new(&keys),
            inbound: Inbound::new(&keys),
            random,
        }
    }

    fn sealed(&mut self, ssrc: u32, index: u64) -> (Vec<u8>, usize) {
        let (mut packet, header) = rtp(&mut self.random, ssrc, index as u16, 40);
        let plain = packet.len();
        packet.resize(plain + Outbound::RTP_OVERHEAD, 0);
        let len = self
            .outbound
            .protect_rtp(&mut packet, header, plain, index)
            .expect("room and index");
        packet.truncate(len);
        (packet, header)
    }

    fn deliver(&mut self, now: Instant, ssrc: u32, index: u64) -> Result<u64, SrtpError> {
        let (mut packet, header) = self.sealed(ssrc, index);
        let result = self.inbound.unprotect_rtp(now, &mut packet, header);
        result.map(|(_, index)| index)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a set of everything accepted: a packet within the window
    /// passes exactly once, whatever the order; nothing passes twice.
    #[test]
    fn every_index_is_accepted_at_most_once(
        start in 0_u64..40_000,
        steps in proptest::collection::vec(-1200_i64..1400, 1..300),
    ) {
        let mut ends = Ends::new(PROFILE);
        let mut seen = BTreeSet::new();
        let mut highest = start;
        prop_assert_eq!(ends.deliver(START, 5, start), Ok(start));
        seen.insert(start);
        for step in steps {
            let Some(index) = highest.checked_add_signed(step) else { continue };
            let result = ends.deliver(START, 5, index);
            if seen.contains(&index) {
                prop_assert!(matches!(result, Err(SrtpError::Replayed | SrtpError::Old)));
            } else if index + 960 > highest {
                prop_assert_eq!(result, Ok(index));
            } else if result.is_err() {
                prop_assert_eq!(result, Err(SrtpError::Old));
            }
            if result.is_ok() {
                seen.insert(index);
                highest = highest.max(index);
            }
        }
    }

    /// What one end protects the other reads, of any shape and size.
    #[test]
    fn what_goes_in_comes_out(
        profile in proptest::sample::select(PROFILES.to_vec()),
        index in 0_u64..1 << 16,
        header in 12_usize..80,
        payload in proptest::collection::vec(any::<u8>(), 0..1400),
    ) {
        let mut ends = Ends::new(profile);
        let mut packet = ends.random.bytes(header);
        packet[2..4].copy_from_slice(&(index as u16).to_be_bytes());
        packet.extend(&payload);
        let mut buffer = packet.clone();
        buffer.resize(packet.len() + profile.tag_len(), 0);
        let len = ends.outbound.protect_rtp(&mut buffer, header, packet.len(), index);
        prop_assert_eq!(len, Ok(buffer.len()));
        prop_assert_eq!(&buffer[..header], &packet[..header]);
        let opened = ends.inbound.unprotect_rtp(START, &mut buffer, header);
        prop_assert_eq!(opened, Ok((packet.len(), index)));
        prop_assert_eq!(&buffer[..packet.len()], &packet[..]);
    }
}

#[test]
fn rollovers_are_counted_both_ways() {
    let mut ends = Ends::new(PROFILE);
    for index in [0xFFF0, 0x1_0005, 0xFFFF, 0x1_0000, 0x1_7000, 0x1_E000] {
        assert_eq!(ends.deliver(START, 9, index), Ok(index));
    }
    assert_eq!(ends.deliver(START, 9, 0x2_0001), Ok(0x2_0001));
    assert_eq!(ends.deliver(START, 9, 0x1_FFFE), Ok(0x1_FFFE));
    assert_eq!(ends.deliver(START, 9, 0x1_E000), Err(SrtpError::Old));
}

#[test]
fn nothing_lies_before_the_start_of_a_stream() {
    let mut ends = Ends::new(PROFILE);
    assert_eq!(ends.deliver(START, 9, 5), Ok(5));
    // Sequence number 0xFFFF, which would be index −1.
    assert_eq!(ends.deliver(START, 9, 0xFFFF), Err(SrtpError::Old));
    assert_eq!(ends.deliver(START, 9, 6), Ok(6));
}

#[test]
fn a_forged_packet_moves_nothing() {
    for profile in PROFILES {
        let mut ends = Ends::new(profile);
        assert_eq!(ends.deliver(START, 9, 100), Ok(100));
        // Far ahead, so that accepting it would shift the window.
        let (mut packet, header) = ends.sealed(9, 30_000);
        let last = packet.len() - 1;
        packet[last] ^= 1;
        let result = ends.inbound.unprotect_rtp(START, &mut packet, header);
        assert_eq!(result, Err(SrtpError::Unauthenticated));
        assert_eq!(ends.deliver(START, 9, 99), Ok(99));
        assert_eq!(ends.deliver(START, 9, 30_000), Ok(30_000));
    }
}

#[test]
fn forgers_take_no_places() {
    let mut ends = Ends::new(PROFILE);
    for ssrc in 0..10_000 {
        let (mut packet, header) = ends.sealed(ssrc, 1);
        packet[header] ^= 0x80;
        let result = ends.inbound.unprotect_rtp(START, &mut packet, header);
        assert_eq!(result, Err(SrtpError::Unauthenticated));
    }
    for ssrc in 0..MAX_STREAMS as u32 {
        assert_eq!(ends.deliver(START, ssrc, 1), Ok(1));
    }
}

#[test]
fn only_an_idle_stream_loses_its_place() {
    let mut ends = Ends::new(PROFILE);
    for ssrc in 0..MAX_STREAMS as u32 {
        assert_eq!(ends.deliver(START, ssrc, 1), Ok(1));
    }
    let later = START + Duration::from_secs(29);
    assert_eq!(ends.deliver(later, 1000, 1), Err(SrtpError::TooManyStreams));
    // All but number 7 are heard again.
    for ssrc in (0..MAX_STREAMS as u32).filter(|ssrc| *ssrc != 7) {
        assert_eq!(ends.deliver(later, ssrc, 2), Ok(2));
    }
    let much_later = START + Duration::from_secs(31);
    assert_eq!(ends.deliver(much_later, 1000, 1), Ok(1));
    assert_eq!(
        ends.deliver(much_later, 1001, 1),
        Err(SrtpError::TooManyStreams)
    );
    for ssrc in (0..MAX_STREAMS as u32).filter(|ssrc| *ssrc != 7) {
        assert_eq!(ends.deliver(much_later, ssrc, 2), Err(SrtpError::Replayed));
    }
}

#[test]
fn rtcp_indices_are_replay_checked_per_sender() {
    for profile in PROFILES {
        let mut ends = Ends::new(profile);
        let mut sealed = Vec::new();
        for count in 0..300 {
            let ssrc = count % 2;
            let mut packet = rtcp(&mut ends.random, ssrc);
            let plain = packet.len();
            packet.resize(plain + Outbound::RTCP_OVERHEAD, 0);
            let len = ends.outbound.protect_rtcp(&mut packet, plain);
            packet.truncate(len.expect("room"));
            sealed.push(packet);
        }
        let mut deliver = |packet: &[u8]| {
            let mut packet = packet.to_vec();
            ends.inbound.unprotect_rtcp(START, &mut packet)
        };
        for place in [0, 1, 299, 298, 297, 200, 150] {
            assert!(deliver(&sealed[place]).is_ok(), "{profile:?} {place}");
        }
        for place in [299, 298, 297, 200, 150] {
            assert_eq!(deliver(&sealed[place]), Err(SrtpError::Replayed));
        }
        assert_eq!(deliver(&sealed[2]), Err(SrtpError::Old));
    }
}

#[test]
fn a_sender_is_held_to_its_contract() {
    let ends = Ends::new(PROFILE);
    let mut packet = [0x80; 60];
    packet[2..4].copy_from_slice(&7_u16.to_be_bytes());
    let before = packet;
    let mut protect =
        |header, len, index| ends.outbound.protect_rtp(&mut packet, header, len, index);
    assert_eq!(protect(12, 44, 8), Err(SrtpError::WrongIndex));
    assert_eq!(protect(12, 45, 7), Err(SrtpError::NoRoom));
    assert_eq!(protect(11, 44, 7), Err(SrtpError::Short));
    assert_eq!(protect(13, 12, 7), Err(SrtpError::Short));
    assert_eq!(protect(12, 44, 1 << 48 | 7), Err(SrtpError::Exhausted));
    assert_eq!(packet, before);
    let mut protect =
        |header, len, index| ends.outbound.protect_rtp(&mut packet, header, len, index);
    assert_eq!(protect(12, 44, 7), Ok(60));
}

#[test]
fn keys_are_not_printed() {
    let mut random = Random(1);
    let keys = mirrored(&mut random, PROFILE);
    let text = format!(
        "{keys:?} {:?} {:?}",
        Inbound::new(&keys),
        Outbound::new(&keys)
    );
    assert_eq!(
        text,
        "Keys { profile: AeadAes128Gcm, .. } Inbound { .. } Outbound { rtcp_index: 0, .. }"
    );
}
