//! Transport addresses, XOR'd (RFC 8489 §14.2) and plain (§14.1).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::header::{MAGIC_COOKIE, TransactionId};

const FAMILY_V4: u8 = 1;
const FAMILY_V6: u8 = 2;

/// What the address is XOR'd with: the cookie, then the transaction id.
const fn mask(id: TransactionId) -> u128 {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = id.0;
    let [m0, m1, m2, m3] = MAGIC_COOKIE.to_be_bytes();
    u128::from_be_bytes([m0, m1, m2, m3, a, b, c, d, e, f, g, h, i, j, k, l])
}

/// Reads a value; `None` for another family or a length that is not the
/// family's.
#[inline]
pub(super) fn decode(value: &[u8], id: TransactionId) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], address) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([p0, p1]) ^ (MAGIC_COOKIE >> 16) as u16;
    let ip = match family {
        FAMILY_V4 => {
            let bits = u32::from_be_bytes(address.try_into().ok()?) ^ MAGIC_COOKIE;
            IpAddr::V4(Ipv4Addr::from_bits(bits))
        }
        FAMILY_V6 => {
            let bits = u128::from_be_bytes(address.try_into().ok()?) ^ mask(id);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Writes a value into the first 8 or 20 bytes and returns how many.
#[inline]
pub(super) fn encode(address: SocketAddr, id: TransactionId, out: &mut [u8; 20]) -> usize {
    let [p0, p1] = (address.port() ^ (MAGIC_COOKIE >> 16) as u16).to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => {
            out[..4].copy_from_slice(&[0, FAMILY_V4, p0, p1]);
            out[4..8].copy_from_slice(&(ip.to_bits() ^ MAGIC_COOKIE).to_be_bytes());
            8
        }
        IpAddr::V6(ip) => {
            out[..4].copy_from_slice(&[0, FAMILY_V6, p0, p1]);
            out[4..].copy_from_slice(&(ip.to_bits() ^ mask(id)).to_be_bytes());
            20
        }
    }
}

/// The same without the XOR.
pub(super) fn encode_plain(address: SocketAddr, out: &mut [u8; 20]) -> usize {
    let [p0, p1] = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => {
            out[..4].copy_from_slice(&[0, FAMILY_V4, p0, p1]);
            out[4..8].copy_from_slice(&ip.octets());
            8
        }
        IpAddr::V6(ip) => {
            out[..4].copy_from_slice(&[0, FAMILY_V6, p0, p1]);
            out[4..].copy_from_slice(&ip.octets());
            20
        }
    }
}

#[inline]
pub(super) const fn encoded_len(address: &SocketAddr) -> usize {
    if address.is_ipv4() { 8 } else { 20 }
}

/// Whether a value is an address this crate can read.
pub(super) fn well_formed(value: &[u8]) -> bool {
    matches!(
        (value.get(1), value.len()),
        (Some(&FAMILY_V4), 8) | (Some(&FAMILY_V6), 20)
    )
}
