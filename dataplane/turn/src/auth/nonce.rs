//! The stateless nonce.

use core::net::IpAddr;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core::hash::Hasher;
use forebay_wire::clock::UnixSeconds;
use siphasher::sip::SipHasher24;
use subtle::ConstantTimeEq;

use crate::ids::ClientAddr;

/// Bytes of a nonce on the wire.
pub(super) const LEN: usize = 16;
/// Seconds, then a MAC over seconds, address and port.
const RAW: usize = 12;

/// Makes and checks nonces: base64 of the time in seconds and a SipHash-2-4
/// tag over time and client address, so that one cannot be used from another
/// address (RFC 8489 §9.2.4). There is no nonce cookie: we offer none of the
/// features it announces, and an answer to a stranger stays small.
pub(super) struct Nonces {
    key: [u8; 16],
    lifetime: u32,
}

/// What a nonce is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nonce {
    /// Ours, for this client, recent.
    Fresh,
    /// Ours, for this client, too old (or the clock was set back).
    Stale,
    /// Not made for this client, or not by us.
    Foreign,
}

impl Nonces {
    pub(super) fn new(key: [u8; 16], lifetime: Duration) -> Self {
        Self {
            key,
            lifetime: u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX),
        }
    }

    fn tag(&self, seconds: u32, client: ClientAddr) -> [u8; 8] {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&seconds.to_be_bytes());
        hasher.write(&client.0.port().to_be_bytes());
        match client.0.ip() {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write(&ip.octets()),
        }
        hasher.finish().to_be_bytes()
    }

    pub(super) fn make(&self, now: UnixSeconds, client: ClientAddr) -> [u8; LEN] {
        let seconds = now.0 as u32;
        let mut raw = [0; RAW];
        raw[..4].copy_from_slice(&seconds.to_be_bytes());
        raw[4..].copy_from_slice(&self.tag(seconds, client));
        let mut nonce = [0; LEN];
        // 12 bytes are exactly 16 base64 digits.
        let written = STANDARD.encode_slice(raw, &mut nonce);
        debug_assert_eq!(written, Ok(LEN));
        nonce
    }

    pub(super) fn check(&self, now: UnixSeconds, client: ClientAddr, nonce: &[u8]) -> Nonce {
        let mut raw = [0; RAW];
        if nonce.len() != LEN || STANDARD.decode_slice(nonce, &mut raw) != Ok(RAW) {
            return Nonce::Foreign;
        }
        let [s0, s1, s2, s3, ..] = raw;
        let seconds = u32::from_be_bytes([s0, s1, s2, s3]);
        if !bool::from(raw[4..].ct_eq(&self.tag(seconds, client))) {
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
