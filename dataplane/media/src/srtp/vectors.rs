//! The vectors of RFC 3711 appendix B and RFC 7714 sections 16 and 17, which
//! give session keys.

use super::cipher::Cipher;
use super::derive::{self, counter_mode, keystream};
use super::{Master, Profile, SrtpError};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|digit| char::from(digit).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// RFC 3711 B.2.
#[test]
fn counter_mode_keystream() {
    let key = counter_mode(&hex("2B7E151628AED2A6ABF7158809CF4F3C"));
    let stream = |counter: u128, len: usize| {
        let mut bytes = vec![0; len];
        let key = key.as_ref()?;
        keystream(key, counter.to_be_bytes(), &mut bytes).ok()?;
        Some(bytes)
    };
    assert_eq!(
        stream(0xF0F1_F2F3_F4F5_F6F7_F8F9_FAFB_FCFD_0000, 48),
        Some(hex("E03EAD0935C95E80E166B16DD92B4EB4
             D23513162B02D0F72A43A2FE4A5F97AB
             41E95B3BB0A2E8DD477901E4FCA894C0"))
    );
    assert_eq!(
        stream(0xF0F1_F2F3_F4F5_F6F7_F8F9_FAFB_FCFD_FEFF, 48),
        Some(hex("EC8CDF7398607CB0F2D21675EA9EA1E4
             362B7C3C6773516318A077D7FC5073AE
             6A2CC3787889374FBEB4C81B17BA6C44"))
    );
}

/// RFC 3711 B.3.
#[test]
fn derivation() {
    let mut master = Master::default();
    master.key[..16].copy_from_slice(&hex("E1F97A0D3E018BE0D64FA32C06DE4139"));
    master
        .salt
        .copy_from_slice(&hex("0EC675AD498AFEEBB6960B3AABE6"));
    let derived = |label, len| {
        let mut bytes = vec![0; len];
        derive::fill(Profile::AesCm128HmacSha1_80, &master, label, &mut bytes);
        bytes
    };
    assert_eq!(derived(0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(derived(2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(
        derived(1, 94),
        hex(
            "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCE
             E049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC25
             6D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2"
        )
    );
}

const SALT: &str = "517569642070726f2071756f";

fn gcm(profile: Profile) -> Cipher {
    let key: Vec<u8> = (0..profile.key_len() as u8).collect();
    Cipher::new(profile, &key, &[], &hex(SALT)).unwrap_or(Cipher::Unusable(profile))
}

/// RFC 7714 §16.
#[test]
fn gcm_rtp() {
    let packet = hex("8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f
                      6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573");
    for (profile, sealed) in [
        (
            Profile::AeadAes128Gcm,
            "f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a
             51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        ),
        (
            Profile::AeadAes256Gcm,
            "32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02
             76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        ),
    ] {
        let cipher = gcm(profile);
        let mut buffer = [packet.as_slice(), &[0; 16]].concat();
        let len = cipher.seal_rtp(&mut buffer, 12, packet.len(), 0x5501_a0b2, 0xf17b);
        assert_eq!(len, Ok(buffer.len()));
        assert_eq!(buffer[..12], packet[..12]);
        assert_eq!(buffer[12..], hex(sealed));
        let len = cipher.open_rtp(&mut buffer, 12, 0x5501_a0b2, 0xf17b);
        assert_eq!(len, Ok(packet.len()));
        assert_eq!(buffer[..packet.len()], packet);
    }
}

const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930
                    4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef";
const MARS: u32 = 0x4d61_7273;

/// RFC 7714 §17.1 and §17.2.
#[test]
fn gcm_rtcp() {
    let packet = hex(RTCP);
    for (profile, sealed) in [
        (
            Profile::AeadAes128Gcm,
            "63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda
             4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
        ),
        (
            Profile::AeadAes256Gcm,
            "d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be
             8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
        ),
    ] {
        let cipher = gcm(profile);
        let mut buffer = [packet.as_slice(), &[0; 20]].concat();
        let len = cipher.seal_rtcp(&mut buffer, packet.len(), MARS, 0x5d4);
        assert_eq!(len, Ok(buffer.len()));
        assert_eq!(buffer[..8], packet[..8]);
        assert_eq!(buffer[8..], hex(sealed));
        assert_eq!(cipher.rtcp_trailer(&buffer), (true, 0x5d4));
        let len = cipher.open_rtcp(&mut buffer, MARS, true, 0x5d4);
        assert_eq!(len, Ok(packet.len()));
        assert_eq!(buffer[..packet.len()], packet);
    }
}

/// RFC 7714 §17.3 and §17.4: a tag without encryption.
#[test]
fn gcm_rtcp_in_clear() {
    let packet = hex(RTCP);
    for (profile, tail) in [
        (
            Profile::AeadAes128Gcm,
            "841dd968 3dd78ec9 2ae58790 125f62b3 000005d4",
        ),
        (
            Profile::AeadAes256Gcm,
            "91db4afb feee5a97 8fab4393 ed2615fe 000005d4",
        ),
    ] {
        let cipher = gcm(profile);
        let sealed = [packet.as_slice(), &hex(tail)].concat();
        let mut buffer = sealed.clone();
        assert_eq!(cipher.rtcp_trailer(&buffer), (false, 0x5d4));
        let len = cipher.open_rtcp(&mut buffer, MARS, false, 0x5d4);
        assert_eq!(len, Ok(packet.len()));
        assert_eq!(buffer[..packet.len()], packet);
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let (encrypted, index) = cipher.rtcp_trailer(&forged);
            assert_eq!(
                cipher.open_rtcp(&mut forged, MARS, encrypted, index),
                Err(SrtpError::Unauthenticated)
            );
        }
    }
}
