//! Keys of the long-term credential mechanism and the MACs made with them.

use forebay_wire::stun::{Integrity, IntegrityInput};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// MD5(username ":" realm ":" password) (RFC 8489 §9.2.2).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Key([u8; 16]);

impl Key {
    /// Passwords and realm are taken as bytes: OpaqueString preparation is the
    /// operator's, who chooses them.
    pub(super) fn derive(username: &[u8], realm: &[u8], password: &[u8]) -> Self {
        let mut hash = Md5::new();
        for part in [username, b":", realm, b":", password] {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The MAC of MESSAGE-INTEGRITY (RFC 8489 §14.5).
    pub(crate) fn mac(&self, input: &IntegrityInput<'_>) -> [u8; 20] {
        hmac_sha1(&self.0, &[&input.header, input.body])
    }

    /// Compares in constant time.
    pub(super) fn verifies(&self, integrity: &Integrity<'_>) -> bool {
        self.mac(&integrity.input).ct_eq(integrity.mac).into()
    }
}

pub(super) fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key) else {
        return [0; 20];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
