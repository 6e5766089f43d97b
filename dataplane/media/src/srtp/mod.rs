//! SRTP and SRTCP contexts (RFC 3711, RFC 7714) on aws-lc-rs: in place, no
//! allocation per packet.

mod cipher;
mod derive;
mod error;
mod inbound;
mod outbound;
#[cfg(test)]
mod vectors;
mod window;

pub use error::SrtpError;
pub use inbound::{Inbound, MAX_LINK_STREAMS, MAX_STREAMS};
pub use outbound::Outbound;

use zeroize::Zeroize;

/// A protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// AES_CM_128_HMAC_SHA1_80.
    AesCm128HmacSha1_80,
    /// AEAD_AES_128_GCM.
    AeadAes128Gcm,
    /// AEAD_AES_256_GCM.
    AeadAes256Gcm,
}

impl Profile {
    /// Bytes of the master key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of the tag behind an RTP packet.
    pub const fn tag_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 => 10,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Bytes of the master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }
}

/// One direction's master key and salt; unused bytes are zero.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Master {
    /// The key, [`Profile::key_len`] bytes of it.
    pub key: [u8; 32],
    /// The salt, [`Profile::salt_len`] bytes of it.
    pub salt: [u8; 14],
}

impl Drop for Master {
    fn drop(&mut self) {
        self.key.zeroize();
        self.salt.zeroize();
    }
}

/// A transport's keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// How packets are protected.
    pub profile: Profile,
    /// What protects the packets we send.
    pub local: Master,
    /// What protects the packets the peer sends.
    pub remote: Master,
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Keys")
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}
