//! Opus (RFC 7587, RFC 6716).

/// Discontinuous transmission: the packet stands for silence. A guess by its
/// length: a table-of-contents byte and at most one more (RFC 6716 §3.1 calls
/// frames of up to one byte lost or silent).
#[inline]
pub const fn is_silence(payload: &[u8]) -> bool {
    payload.len() <= 2
}
