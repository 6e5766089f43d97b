//! Keys of the long-term credential mechanism and the MACs made with them.

use forebay_wire::NoRoom;
use forebay_wire::stun::{Builder, Integrity, IntegritySha256, Message};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::config::PasswordAlgorithm;

/// Hash of username ":" realm ":" password (RFC 8489 §9.2.2, §18.5.1).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) enum Key {
    Md5([u8; 16]),
    Sha256([u8; 32]),
}

impl Key {
    /// Passwords and realm are taken as bytes: OpaqueString preparation is the
    /// operator's, who chooses them.
    pub(super) fn derive(
        algorithm: PasswordAlgorithm,
        username: &[u8],
        realm: &[u8],
        password: &[u8],
    ) -> Self {
        let parts = [username, b":", realm, b":", password];
        match algorithm {
            PasswordAlgorithm::Md5 => Self::Md5(digest::<Md5>(&parts).into()),
            PasswordAlgorithm::Sha256 => Self::Sha256(digest::<Sha256>(&parts).into()),
        }
    }

    pub(super) const fn algorithm(&self) -> PasswordAlgorithm {
        match self {
            Self::Md5(_) => PasswordAlgorithm::Md5,
            Self::Sha256(_) => PasswordAlgorithm::Sha256,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Md5(key) => key,
            Self::Sha256(key) => key,
        }
    }

    /// Compares in constant time.
    pub(super) fn verifies(&self, seal: &Seal<'_>) -> bool {
        match seal {
            Seal::Sha1(seal) => {
                let mac = hmac_sha1(self.bytes(), &[&seal.input.header, seal.input.body]);
                mac.ct_eq(seal.mac).into()
            }
            // A MAC that was cut short is of another length and never equal:
            // TURN does not allow it (RFC 8489 §14.6).
            Seal::Sha256(seal) => {
                let mac = hmac_sha256(self.bytes(), &[&seal.input.header, seal.input.body]);
                mac.ct_eq(seal.mac).into()
            }
        }
    }
}

/// The integrity attribute a request is judged by.
#[derive(Clone, Copy)]
pub(super) enum Seal<'m> {
    Sha1(Integrity<'m>),
    Sha256(IntegritySha256<'m>),
}

impl<'m> Seal<'m> {
    /// Of both, MESSAGE-INTEGRITY-SHA256 (RFC 8489 §9.2.4).
    pub(super) fn of(message: &Message<'m>) -> Option<Self> {
        message
            .integrity_sha256()
            .map(Self::Sha256)
            .or_else(|| message.integrity().map(Self::Sha1))
    }

    pub(super) const fn kind(&self) -> SealKind {
        match self {
            Self::Sha1(_) => SealKind::Sha1,
            Self::Sha256(_) => SealKind::Sha256,
        }
    }
}

/// Which integrity attribute: an answer carries the one of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SealKind {
    Sha1,
    Sha256,
}

impl SealKind {
    pub(super) fn push(self, key: &Key, answer: &mut Builder<'_>) -> Result<(), NoRoom> {
        match self {
            Self::Sha1 => {
                let input = answer.integrity_input();
                let mac = hmac_sha1(key.bytes(), &[&input.header, input.body]);
                answer.push_integrity(&mac)
            }
            Self::Sha256 => {
                let input = answer.integrity_sha256_input();
                let mac = hmac_sha256(key.bytes(), &[&input.header, input.body]);
                answer.push_integrity_sha256(&mac)
            }
        }
    }
}

/// A key, and the integrity attribute of the request it was used in.
pub(crate) struct Sealer {
    pub(super) key: Key,
    pub(super) kind: SealKind,
}

impl Sealer {
    pub(crate) fn seal(&self, answer: &mut Builder<'_>) -> Result<(), NoRoom> {
        self.kind.push(&self.key, answer)
    }
}

/// The value of USERHASH (RFC 8489 §14.4).
pub(super) fn userhash(username: &[u8], realm: &[u8]) -> [u8; 32] {
    digest::<Sha256>(&[username, b":", realm]).into()
}

fn digest<D: Digest>(parts: &[&[u8]]) -> md5::digest::Output<D> {
    let mut hash = D::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize()
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

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
