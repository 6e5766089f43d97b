//! Keys and packets.

use forebay_media::srtp::{Keys, Master, Profile};

pub(crate) const PROFILES: [Profile; 3] = [
    Profile::AesCm128HmacSha1_80,
    Profile::AeadAes128Gcm,
    Profile::AeadAes256Gcm,
];

/// A small generator, so that a failure happens again.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.next() as u8);
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes);
        bytes
    }
}

pub(crate) fn master(random: &mut Random, profile: Profile) -> Master {
    let mut master = Master::default();
    random.fill(&mut master.key[..profile.key_len()]);
    random.fill(&mut master.salt[..profile.salt_len()]);
    master
}

/// The same keys in both directions, so that one end understands itself.
pub(crate) fn mirrored(random: &mut Random, profile: Profile) -> Keys {
    let master = master(random, profile);
    Keys {
        profile,
        local: master.clone(),
        remote: master,
    }
}

/// An RTP packet and its header's length. The extension is of whole one-byte
/// elements, because two of the oracles write headers anew.
pub(crate) fn rtp(
    random: &mut Random,
    ssrc: u32,
    sequence: u16,
    payload: usize,
) -> (Vec<u8>, usize) {
    let csrcs = random.below(3) as usize;
    let extended = random.below(2) == 1;
    let mut packet = vec![
        0x80 | csrcs as u8 | u8::from(extended) << 4,
        random.next() as u8 & 0xBF,
    ];
    packet.extend(sequence.to_be_bytes());
    packet.extend((random.next() as u32).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(random.bytes(4 * csrcs));
    if extended {
        packet.extend([0xBE, 0xDE, 0, 2]);
        packet.push(0x10);
        packet.extend(random.bytes(1));
        packet.push(0x31);
        packet.extend(random.bytes(2));
        packet.push(0x51);
        packet.extend(random.bytes(2));
    }
    let header = packet.len();
    packet.extend(random.bytes(payload));
    (packet, header)
}

/// A sender report of this SSRC, followed by whatever.
pub(crate) fn rtcp(random: &mut Random, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend(ssrc.to_be_bytes());
    packet.extend(random.bytes(20));
    let more = random.below(20) as usize * 4;
    packet.extend([0x81, 206, 0, (more / 4 + 1) as u8]);
    packet.extend(random.bytes(4 + more));
    packet
}
