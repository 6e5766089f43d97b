//! Data indications (RFC 8656 §11), written around a payload that stays where
//! it is: the header goes directly before it, the padding directly after.

use core::net::SocketAddr;

use super::address;
use super::attribute::AttributeType;
use super::header::{Class, HEADER, MAGIC_COOKIE, Method, TransactionId, message_type};
use crate::error::NoRoom;

/// The longest header: 20 bytes, an IPv6 XOR-PEER-ADDRESS and DATA's type and
/// length.
pub const MAX_HEADER: usize = HEADER + 24 + 4;

/// What surrounds the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// Bytes before the payload: 36 for an IPv4 peer, 48 for an IPv6 peer.
    pub header: u8,
    /// Bytes to send after the payload, 0–3, any value: DATA's value is padded
    /// to a multiple of four also over UDP.
    pub padding: u8,
}

impl Framing {
    /// The framing of `len` bytes from `peer`.
    #[inline]
    pub const fn of(peer: &SocketAddr, len: u16) -> Self {
        let header = HEADER + 4 + address::encoded_len(peer) + 4;
        Self {
            header: header as u8,
            padding: (len.wrapping_neg() & 3) as u8,
        }
    }
}

/// Writes the header into the last bytes of `before`, which ends where the
/// payload of `len` bytes starts.
///
/// # Errors
/// [`NoRoom`] when `before` is shorter than the header, or the payload longer
/// than a message can hold.
#[inline]
pub fn write_header(
    before: &mut [u8],
    id: TransactionId,
    peer: SocketAddr,
    len: u16,
) -> Result<Framing, NoRoom> {
    let framing = Framing::of(&peer, len);
    let start = before
        .len()
        .checked_sub(usize::from(framing.header))
        .ok_or(NoRoom)?;
    let out = &mut before[start..];
    let body =
        usize::from(framing.header) - HEADER + usize::from(len) + usize::from(framing.padding);
    let body = u16::try_from(body).map_err(|_| NoRoom)?;

    let mut value = [0; 20];
    let value_len = address::encode(peer, id, &mut value);
    out[..2].copy_from_slice(&message_type(Class::Indication, Method::DATA).to_be_bytes());
    out[2..4].copy_from_slice(&body.to_be_bytes());
    out[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    out[8..20].copy_from_slice(&id.0);
    out[20..22].copy_from_slice(&AttributeType::XOR_PEER_ADDRESS.0.to_be_bytes());
    out[22..24].copy_from_slice(&[0, value_len as u8]);
    out[24..24 + value_len].copy_from_slice(&value[..value_len]);
    let data = &mut out[24 + value_len..];
    data[..2].copy_from_slice(&AttributeType::DATA.0.to_be_bytes());
    data[2..4].copy_from_slice(&len.to_be_bytes());
    Ok(framing)
}
