//! SRTP contexts: packets nobody protected are refused whatever the caller
//! believes of their header, move nothing, and protected ones come out as they
//! went in, once.

use forebay_media::srtp::{Inbound, Keys, Master, Outbound, Profile, SrtpError};
use forebay_wire::clock::Instant;

const NOW: Instant = Instant::from_nanos(0);

/// The first byte chooses the profile, the second the header's length; the
/// rest is taken as a received packet, and as one to send.
pub(crate) fn run(input: &[u8]) {
    let [choice, header, bytes @ ..] = input else {
        return;
    };
    let profile = match choice % 3 {
        0 => Profile::AesCm128HmacSha1_80,
        1 => Profile::AeadAes128Gcm,
        _ => Profile::AeadAes256Gcm,
    };
    let master = || {
        let mut master = Master::default();
        master.key[..profile.key_len()].fill(0x42);
        master
    };
    let keys = Keys {
        profile,
        local: master(),
        remote: master(),
    };
    let mut ends = (Outbound::new(&keys), Inbound::new(&keys));
    refused(&mut ends.1, bytes, usize::from(*header));
    rtp(&mut ends, bytes, usize::from(*header), profile);
    rtcp(&mut ends, bytes);
}

fn refused(inbound: &mut Inbound, bytes: &[u8], header_len: usize) {
    let mut packet = bytes.to_vec();
    let rtp = inbound.unprotect_rtp(NOW, &mut packet, header_len);
    let mut packet = bytes.to_vec();
    let rtcp = inbound.unprotect_rtcp(NOW, &mut packet);
    for error in [rtp.err(), rtcp.err()] {
        assert!(matches!(
            error,
            Some(SrtpError::Short | SrtpError::Unauthenticated)
        ));
    }
}

fn rtp(ends: &mut (Outbound, Inbound), bytes: &[u8], header_len: usize, profile: Profile) {
    let mut packet = bytes.to_vec();
    packet.resize(bytes.len() + profile.tag_len(), 0);
    let index = bytes
        .get(2..4)
        .map_or(0, |number| u64::from(number[0]) << 8 | u64::from(number[1]));
    let sealed = ends
        .0
        .protect_rtp(&mut packet, header_len, bytes.len(), index);
    if header_len < 12 || bytes.len() < header_len {
        assert_eq!(sealed, Err(SrtpError::Short));
        return;
    }
    assert_eq!(sealed, Ok(packet.len()));
    let mut apart = bytes[..header_len].to_vec();
    apart.resize(packet.len(), 0);
    let same = ends
        .0
        .protect_rtp_from(&mut apart, header_len, &bytes[header_len..], index);
    assert_eq!((same, &apart), (sealed, &packet));
    // Changed anywhere, it is refused and moves nothing.
    let mut forged = packet.clone();
    let at = bytes.len() / 2;
    forged[at] ^= 1;
    assert_eq!(
        ends.1.unprotect_rtp(NOW, &mut forged, header_len),
        Err(SrtpError::Unauthenticated)
    );
    let opened = ends.1.unprotect_rtp(NOW, &mut packet, header_len);
    assert_eq!(opened, Ok((bytes.len(), index)));
    assert_eq!(packet[..bytes.len()], *bytes);
    assert_eq!(
        ends.1.unprotect_rtp(NOW, &mut apart, header_len),
        Err(SrtpError::Replayed)
    );
}

fn rtcp(ends: &mut (Outbound, Inbound), bytes: &[u8]) {
    let mut packet = bytes.to_vec();
    packet.resize(bytes.len() + Outbound::RTCP_OVERHEAD, 0);
    let Ok(len) = ends.0.protect_rtcp(&mut packet, bytes.len()) else {
        assert!(bytes.len() < 8);
        return;
    };
    packet.truncate(len);
    let mut again = packet.clone();
    assert_eq!(ends.1.unprotect_rtcp(NOW, &mut packet), Ok(bytes.len()));
    assert_eq!(packet[..bytes.len()], *bytes);
    assert_eq!(
        ends.1.unprotect_rtcp(NOW, &mut again),
        Err(SrtpError::Replayed)
    );
}
