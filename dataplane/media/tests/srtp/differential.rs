//! Packet for packet against three other implementations: the same bytes out,
//! the same packets accepted, over two rollovers, with loss, reordering and
//! replays.

use forebay_media::srtp::{Inbound, Outbound, Profile};
use forebay_wire::clock::Instant;

use crate::generate::{PROFILES, Random, mirrored, rtcp, rtp};
use crate::oracle;

const NOW: Instant = Instant::from_nanos(0);

/// Extended sequence numbers that cross two rollovers in about `count` steps,
/// with losses, in sending order.
fn indices(random: &mut Random, count: u64) -> Vec<u64> {
    let mut index = random.below(1 << 15);
    let mut all = Vec::new();
    let step = (3 << 16) / count;
    for _ in 0..count {
        all.push(index);
        // Mostly small steps, sometimes a jump the size of a long outage.
        index += match random.below(4) {
            0 => 1 + random.below(step * 10),
            _ => 1 + random.below(3),
        };
    }
    all
}

/// Moves packets up to `reach` places.
fn reordered(random: &mut Random, indices: &[u64], reach: u64) -> Vec<u64> {
    let mut keyed: Vec<_> = indices
        .iter()
        .enumerate()
        .map(|(place, index)| (place as u64 + random.below(reach), *index))
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, index)| index).collect()
}

/// Returns how many packets were compared.
fn rtp_agrees(profile: Profile) -> usize {
    let mut compared = 0;
    let mut random = Random(0xF0_4E_BA + profile.key_len() as u64);
    let keys = mirrored(&mut random, profile);
    let ours = Outbound::new(&keys);
    let ssrcs: [u32; 2] = [0x1234_5678, 0xFFFF_FFF0];
    for mut theirs in oracle::all(profile, &keys.local) {
        let name = theirs.name();
        let mut inbound = Inbound::new(&keys);
        for ssrc in ssrcs {
            let sent = indices(&mut random, 400);
            assert!(sent.last().is_some_and(|last| *last > 2 << 16));
            let mut sealed = Vec::new();
            for index in &sent {
                let payload = random.below(1200) as usize;
                let (packet, header) = rtp(&mut random, ssrc, *index as u16, payload);
                let mut buffer = packet.clone();
                buffer.resize(packet.len() + Outbound::RTP_OVERHEAD, 0);
                let len = ours
                    .protect_rtp(&mut buffer, header, packet.len(), *index)
                    .expect("room and index");
                buffer.truncate(len);
                assert_eq!(
                    theirs.protect_rtp(&packet).as_ref(),
                    Some(&buffer),
                    "{name} {profile:?} {ssrc:x} {index:x}"
                );
                let mut apart = packet[..header].to_vec();
                apart.resize(buffer.len(), 0xAA);
                assert_eq!(
                    ours.protect_rtp_from(&mut apart, header, &packet[header..], *index),
                    Ok(len)
                );
                assert_eq!(apart, buffer);
                sealed.push((*index, buffer, packet, header));
            }
            let order: Vec<u64> = (0..sealed.len() as u64).collect();
            let mut highest = 0;
            for place in reordered(&mut random, &order, 6) {
                let (index, buffer, packet, header) = &sealed[place as usize];
                highest = highest.max(*index);
                if index + 900 < highest {
                    // Windows differ in their last places.
                    continue;
                }
                let mut opened = buffer.clone();
                let result = inbound.unprotect_rtp(NOW, &mut opened, *header);
                let expected = theirs.unprotect_rtp(buffer);
                assert_eq!(
                    result.is_ok(),
                    expected.is_some(),
                    "{name} {profile:?} {ssrc:x} {index:x} {result:?}"
                );
                if let Ok((len, extended)) = result {
                    assert_eq!(extended, *index);
                    assert_eq!(&opened[..len], packet);
                    assert_eq!(expected.as_ref(), Some(packet));
                }
                // Again: a replay.
                let mut again = buffer.clone();
                assert!(inbound.unprotect_rtp(NOW, &mut again, *header).is_err());
                assert_eq!(theirs.unprotect_rtp(buffer), None, "{name}");
                compared += 1;
            }
        }
    }
    compared
}

/// Returns how many packets were compared.
fn rtcp_agrees(profile: Profile) -> usize {
    let mut compared = 0;
    let mut random = Random(0x00C0_FFEE + profile.key_len() as u64);
    let keys = mirrored(&mut random, profile);
    for mut theirs in oracle::all(profile, &keys.local) {
        let name = theirs.name();
        let mut ours = Outbound::new(&keys);
        let mut inbound = Inbound::new(&keys);
        let mut sealed = Vec::new();
        // Theirs begin with index one.
        let first = rtcp(&mut random, 7);
        sealed.push((protect(&mut ours, &first), first));
        for _ in 0..60 {
            let packet = rtcp(&mut random, 7);
            let buffer = protect(&mut ours, &packet);
            assert_eq!(
                theirs.protect_rtcp(&packet).as_ref(),
                Some(&buffer),
                "{name}"
            );
            sealed.push((buffer, packet));
        }
        let order: Vec<u64> = (0..sealed.len() as u64).collect();
        for place in reordered(&mut random, &order, 6) {
            let (buffer, packet) = &sealed[place as usize];
            let mut opened = buffer.clone();
            let len = inbound.unprotect_rtcp(NOW, &mut opened).expect(name);
            assert_eq!(&opened[..len], packet);
            assert_eq!(
                theirs.unprotect_rtcp(buffer).as_ref(),
                Some(packet),
                "{name}"
            );
            let mut again = buffer.clone();
            assert!(inbound.unprotect_rtcp(NOW, &mut again).is_err());
            assert_eq!(theirs.unprotect_rtcp(buffer), None, "{name}");
            compared += 1;
        }
    }
    compared
}

fn protect(outbound: &mut Outbound, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + Outbound::RTCP_OVERHEAD, 0);
    let len = outbound
        .protect_rtcp(&mut buffer, packet.len())
        .expect("room");
    buffer.truncate(len);
    buffer
}

#[test]
fn rtp_of_every_profile() {
    for profile in PROFILES {
        // Two streams of 400 packets, three others; some were too old.
        assert!(rtp_agrees(profile) > 2000);
    }
}

#[test]
fn rtcp_of_every_profile() {
    for profile in PROFILES {
        assert_eq!(rtcp_agrees(profile), 3 * 61);
    }
}
