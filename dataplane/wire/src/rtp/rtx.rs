//! Retransmissions (RFC 4588 §4): the payload is the original sequence number
//! and the original payload.

/// Bytes in front of the original payload.
pub const HEADER: usize = 2;

/// Splits a retransmission's payload (without padding) into the original
/// sequence number and the original payload. `None` when it is too short: a
/// bandwidth probe.
#[inline]
pub fn split(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (sequence, original) = payload.split_first_chunk::<HEADER>()?;
    Some((u16::from_be_bytes(*sequence), original))
}

/// What to put in front of the original payload.
#[inline]
pub const fn header(original: u16) -> [u8; HEADER] {
    original.to_be_bytes()
}
