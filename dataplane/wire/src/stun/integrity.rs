//! What MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT cover (RFC
//! 8489 §14.5–§14.7).
//!
//! This crate carries no hash: it hands out the bytes a MAC has to cover.

use super::header::HEADER;

/// Bytes of a MESSAGE-INTEGRITY attribute, type and length included.
pub(super) const MESSAGE_INTEGRITY: usize = 4 + 20;
/// The same of a MESSAGE-INTEGRITY-SHA256 that is not truncated.
pub(super) const MESSAGE_INTEGRITY_SHA256: usize = 4 + 32;

/// The bytes HMAC-SHA1 or HMAC-SHA256 runs over: `header`, then `body`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntegrityInput<'a> {
    /// The message header, its length field counting up to and including the
    /// integrity attribute.
    pub header: [u8; HEADER],
    /// The attributes before it.
    pub body: &'a [u8],
}

/// A received MESSAGE-INTEGRITY. Compare `mac` in constant time.
#[derive(Clone, Copy)]
pub struct Integrity<'a> {
    /// What the MAC covers.
    pub input: IntegrityInput<'a>,
    /// The MAC that came with the message.
    pub mac: &'a [u8; 20],
}

/// A received MESSAGE-INTEGRITY-SHA256. Compare `mac` in constant time.
#[derive(Clone, Copy)]
pub struct IntegritySha256<'a> {
    /// What the MAC covers.
    pub input: IntegrityInput<'a>,
    /// The MAC that came with the message: 32 bytes, or 16 to 28 where it was
    /// truncated, which a usage has to allow (RFC 8489 §14.6).
    pub mac: &'a [u8],
}

/// What became of the FINGERPRINT check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fingerprint {
    /// The message carries none.
    Absent,
    /// It matches the message.
    Valid,
    /// It does not.
    Wrong,
}

impl<'a> IntegrityInput<'a> {
    /// `body` is what lies between the header and the integrity attribute,
    /// which takes `attribute` bytes.
    pub(super) fn new(header: &[u8; HEADER], body: &'a [u8], attribute: usize) -> Self {
        let mut header = *header;
        // Saturation is out of reach: parser and builder keep room for the
        // attribute within the 16-bit length.
        let len = u16::try_from(body.len() + attribute).unwrap_or(u16::MAX);
        header[2..4].copy_from_slice(&len.to_be_bytes());
        Self { header, body }
    }
}

/// The value of FINGERPRINT over a header whose length field already counts
/// it and the attributes before it.
pub(super) fn fingerprint(header: &[u8; HEADER], before: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(before);
    crc.finalize() ^ 0x5354_554E
}
