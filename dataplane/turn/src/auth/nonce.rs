//! The stateless nonce.

use core::hash::Hasher;
use core::net::IpAddr;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay_wire::clock::UnixSeconds;
use siphasher::sip::SipHasher24;
use subtle::ConstantTimeEq;

use crate::ids::ClientAddr;

/// What a nonce that announces features begins with (RFC 8489 §9.2).
const COOKIE: &[u8] = b"obMatJos2";
/// The cookie and base64 of 24 feature bits.
const PREFIX: usize = 9 + 4;
/// Base64 of what is kept in a nonce.
const KEPT: usize = 16;
/// Seconds, then a MAC over seconds, features, address and port.
const RAW: usize = 12;

/// STUN Security Features (RFC 8489 §18.1), bit 0 the most significant of 24.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Features(u32);

impl Features {
    pub(super) const NONE: Self = Self(0);
    pub(super) const PASSWORD_ALGORITHMS: Self = Self(0x0080_0000);
    pub(super) const USERNAME_ANONYMITY: Self = Self(0x0040_0000);

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Makes and checks nonces: the cookie where there are features to announce,
/// then base64 of the time in seconds and a SipHash-2-4 tag over time, features
/// and client address, so that a nonce cannot be used from another address and
/// nobody on the way can take features out of it (RFC 8489 §9.2.1, §9.2.4).
pub(super) struct Nonces {
    key: [u8; 16],
    lifetime: u32,
}

/// A nonce on the wire.
pub(super) struct Text {
    bytes: [u8; PREFIX + KEPT],
    start: usize,
}

impl Text {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// What a nonce is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nonce {
    /// Ours, for this client, recent.
    Fresh,
    /// Ours, for this client, too old (or the clock was set back).
    Stale,
    /// Not made for this client, or not by us, or changed on the way.
    Foreign,
}

impl Nonces {
    pub(super) fn new(key: [u8; 16], lifetime: Duration) -> Self {
        Self {
            key,
            lifetime: u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX),
        }
    }

    fn tag(&self, seconds: u32, features: Features, client: ClientAddr) -> [u8; 8] {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&seconds.to_be_bytes());
        hasher.write(&features.0.to_be_bytes());
        hasher.write(&client.0.port().to_be_bytes());
        match client.0.ip() {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write(&ip.octets()),
        }
        hasher.finish().to_be_bytes()
    }

    pub(super) fn make(&self, now: UnixSeconds, features: Features, client: ClientAddr) -> Text {
        let seconds = now.0 as u32;
        let mut raw = [0; RAW];
        raw[..4].copy_from_slice(&seconds.to_be_bytes());
        raw[4..].copy_from_slice(&self.tag(seconds, features, client));
        let mut bytes = [0; PREFIX + KEPT];
        bytes[..COOKIE.len()].copy_from_slice(COOKIE);
        let [_, bits @ ..] = features.0.to_be_bytes();
        // 3 bytes are exactly 4 base64 digits, and 12 are 16.
        let written = [
            STANDARD.encode_slice(bits, &mut bytes[COOKIE.len()..PREFIX]),
            STANDARD.encode_slice(raw, &mut bytes[PREFIX..]),
        ];
        debug_assert_eq!(written, [Ok(PREFIX - COOKIE.len()), Ok(KEPT)]);
        Text {
            bytes,
            start: if features == Features::NONE {
                PREFIX
            } else {
                0
            },
        }
    }

    pub(super) fn check(&self, now: UnixSeconds, client: ClientAddr, nonce: &[u8]) -> Nonce {
        let Some((features, kept)) = split(nonce) else {
            return Nonce::Foreign;
        };
        let mut raw = [0; RAW];
        if STANDARD.decode_slice(kept, &mut raw) != Ok(RAW) {
            return Nonce::Foreign;
        }
        let [s0, s1, s2, s3, ..] = raw;
        let seconds = u32::from_be_bytes([s0, s1, s2, s3]);
        if !bool::from(raw[4..].ct_eq(&self.tag(seconds, features, client))) {
            return Nonce::Foreign;
        }
        // Wraps in 2106; a nonce from the future is stale.
        let age = (now.0 as u32).wrapping_sub(seconds);
        if age < self.lifetime {
            Nonce::Fresh
        } else {
            Nonce::Stale
        }
    }
}

/// The features a nonce announces and what else it holds.
fn split(nonce: &[u8]) -> Option<(Features, &[u8])> {
    if nonce.len() == KEPT {
        return Some((Features::NONE, nonce));
    }
    let (digits, kept) = nonce.strip_prefix(COOKIE)?.split_first_chunk::<4>()?;
    let mut bits = [0; 4];
    let read = STANDARD.decode_slice(digits, &mut bits[1..]);
    // Announcing nothing, ours have no cookie.
    let features = Features(u32::from_be_bytes(bits));
    (read == Ok(3) && features != Features::NONE && kept.len() == KEPT).then_some((features, kept))
}
