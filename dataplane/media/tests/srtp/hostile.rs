//! Bytes nobody authenticated: refused, never a panic, whatever length of
//! header the caller believes in.

use forebay_media::srtp::{Inbound, Outbound, SrtpError};
use forebay_wire::clock::Instant;
use proptest::prelude::*;

use crate::generate::{PROFILES, Random, mirrored, rtp};

const NOW: Instant = Instant::from_nanos(0);

/// Packets that made webrtc-srtp 0.17 or the crates under it panic.
const CRASHERS: [&[u8]; 4] = [
    // A one-byte extension element that overruns the packet.
    &[
        0x90, 0x60, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xBE, 0xDE, 0, 1, 0x1F, 0, 0, 0,
    ],
    &[0x81, 0xCD, 0, 1, 0, 0, 0, 0],
    &[0x81, 0xC8, 0, 1, 0, 0, 0, 0, 0x80, 0, 0, 1],
    &[0xBF, 0x60, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1],
];

fn refused(bytes: &[u8], header_len: usize) {
    for profile in PROFILES {
        let keys = mirrored(&mut Random(3), profile);
        let mut inbound = Inbound::new(&keys);
        let rtp = inbound.unprotect_rtp(NOW, &mut bytes.to_vec(), header_len);
        assert!(matches!(
            rtp,
            Err(SrtpError::Short | SrtpError::Unauthenticated)
        ));
        let rtcp = inbound.unprotect_rtcp(NOW, &mut bytes.to_vec());
        assert!(matches!(
            rtcp,
            Err(SrtpError::Short | SrtpError::Unauthenticated)
        ));
    }
}

#[test]
fn what_crashes_others_is_refused() {
    for bytes in CRASHERS {
        for len in 0..=bytes.len() {
            for header_len in 0..=bytes.len() + 2 {
                refused(&bytes[..len], header_len);
            }
        }
    }
    refused(&[0x80; 40], usize::MAX);
}

/// Every bit of a packet counts: header, extension, payload, tag.
#[test]
fn no_bit_may_change() {
    for profile in PROFILES {
        let mut random = Random(11);
        let keys = mirrored(&mut random, profile);
        let outbound = Outbound::new(&keys);
        let (mut packet, header) = rtp(&mut random, 77, 1000, 50);
        let plain = packet.len();
        packet.resize(plain + profile.tag_len(), 0);
        let sealed = outbound.protect_rtp(&mut packet, header, plain, 1000);
        assert_eq!(sealed, Ok(packet.len()));
        let mut inbound = Inbound::new(&keys);
        for bit in 0..packet.len() * 8 {
            let mut forged = packet.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                inbound.unprotect_rtp(NOW, &mut forged, header),
                Err(SrtpError::Unauthenticated)
            );
        }
        assert_eq!(
            inbound.unprotect_rtp(NOW, &mut packet, header),
            Ok((plain, 1000))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn noise_is_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        header_len in 0_usize..220,
    ) {
        refused(&bytes, header_len);
    }
}
