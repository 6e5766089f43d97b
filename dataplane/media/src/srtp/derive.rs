//! Session keys from a master key (RFC 3711 §4.3 with a key derivation rate
//! of zero; RFC 7714 §11 for the 12-byte salts).

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use zeroize::Zeroizing;

use super::cipher::Cipher;
use super::{Master, Profile, SrtpError};

/// What a derived key is for: the label of its first part.
#[derive(Clone, Copy)]
enum Use {
    Rtp = 0,
    Rtcp = 3,
}

/// Derives bytes of one label.
#[cfg(test)]
pub(super) fn fill(profile: Profile, master: &Master, label: u8, out: &mut [u8]) {
    let filled =
        Generator::new(profile, master).is_some_and(|generator| generator.fill(label, out).is_ok());
    assert!(filled);
}

/// The cipher of RTP packets and that of RTCP packets.
pub(super) fn ciphers(profile: Profile, master: &Master) -> (Cipher, Cipher) {
    let generator = Generator::new(profile, master);
    let cipher = |purpose| {
        let generator = generator.as_ref()?;
        generator.cipher(profile, purpose)
    };
    let of = |purpose| cipher(purpose).unwrap_or(Cipher::Unusable(profile));
    (of(Use::Rtp), of(Use::Rtcp))
}

/// AES in counter mode (RFC 3711 §4.3.3), with the master key.
struct Generator {
    key: EncryptingKey,
    salt: Zeroizing<[u8; 14]>,
}

impl Generator {
    fn new(profile: Profile, master: &Master) -> Option<Self> {
        let mut salt = Zeroizing::new([0; 14]);
        // A 12-byte salt stands at the front, as if multiplied by 2^16.
        salt[..profile.salt_len()].copy_from_slice(&master.salt[..profile.salt_len()]);
        Some(Self {
            key: counter_mode(&master.key[..profile.key_len()])?,
            salt,
        })
    }

    /// Fills `out` with the bytes of this label.
    fn fill(&self, label: u8, out: &mut [u8]) -> Result<(), SrtpError> {
        let mut counter = [0; 16];
        counter[..14].copy_from_slice(&*self.salt);
        counter[7] ^= label;
        out.fill(0);
        keystream(&self.key, counter, out)
    }

    fn cipher(&self, profile: Profile, purpose: Use) -> Option<Cipher> {
        let mut key = Zeroizing::new([0; 32]);
        let mut mac = Zeroizing::new([0; 20]);
        let mut salt = Zeroizing::new([0; 14]);
        let key = &mut key[..profile.key_len()];
        let salt = &mut salt[..profile.salt_len()];
        self.fill(purpose as u8, key).ok()?;
        self.fill(purpose as u8 + 1, &mut *mac).ok()?;
        self.fill(purpose as u8 + 2, salt).ok()?;
        Cipher::new(profile, key, &*mac, salt)
    }
}

/// AES in counter mode with a key of 16 or 32 bytes.
pub(super) fn counter_mode(key: &[u8]) -> Option<EncryptingKey> {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    UnboundCipherKey::new(algorithm, key)
        .and_then(EncryptingKey::ctr)
        .ok()
}

/// Adds the keystream that starts at `counter` to `bytes`.
#[inline]
pub(super) fn keystream(
    key: &EncryptingKey,
    counter: [u8; 16],
    bytes: &mut [u8],
) -> Result<(), SrtpError> {
    let context = EncryptionContext::Iv128(FixedLength::from(counter));
    key.less_safe_encrypt(bytes, context)
        .map(|_| ())
        .map_err(|_| SrtpError::Exhausted)
}
