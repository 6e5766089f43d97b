//! `sockaddr_in` and `sockaddr_in6` as bytes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Bytes of the larger of the two, `sockaddr_in6`.
pub const MAX: usize = 28;
const V4: usize = 16;

/// Writes `address` and returns how many bytes of `into` it takes.
#[inline]
pub fn encode(address: &SocketAddr, into: &mut [u8; MAX]) -> usize {
    match address {
        SocketAddr::V4(v4) => {
            into[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            into[2..4].copy_from_slice(&v4.port().to_be_bytes());
            into[4..8].copy_from_slice(&v4.ip().octets());
            into[8..V4].fill(0);
            V4
        }
        SocketAddr::V6(v6) => {
            into[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            into[2..4].copy_from_slice(&v6.port().to_be_bytes());
            into[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
            into[8..24].copy_from_slice(&v6.ip().octets());
            into[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            MAX
        }
    }
}

/// Reads an address as the kernel wrote it; IPv4-mapped IPv6 comes out as
/// IPv4, and the flow label, which no reply needs, is left behind.
#[inline]
pub fn decode(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(bytes.first_chunk::<2>().copied()?);
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    if family == libc::AF_INET as u16 {
        let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
        return Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port));
    }
    if family == libc::AF_INET6 as u16 {
        let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
        let scope = u32::from_ne_bytes(bytes.get(24..28)?.try_into().ok()?);
        let ip = Ipv6Addr::from(ip);
        return Some(match ip.to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(IpAddr::V4(v4), port),
            None => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope)),
        });
    }
    None
}
