//! IPv4 addresses written inside IPv6 addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// 64:ff9b::/96 (RFC 6052 §2.1).
pub(super) const NAT64: u128 = 0x0064_ff9b << 96;
/// 64:ff9b:1::/48 (RFC 8215).
const NAT64_LOCAL: u128 = 0x0064_ff9b_0001 << 80;

/// The address a packet really reaches: IPv4 for IPv4-mapped, IPv4-compatible,
/// IPv4-translated (SIIT) and well-known NAT64 addresses, else the address
/// itself. `::` and `::1` are not IPv4-compatible (RFC 4291 §2.5.5.1).
pub(super) fn canonical(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else {
        return ip;
    };
    let bits = v6.to_bits();
    match bits >> 32 {
        0 if bits > 1 => v4(bits),
        0xFFFF | 0xFFFF_0000 => v4(bits),
        prefix if prefix == NAT64 >> 32 => v4(bits),
        _ => ip,
    }
}

fn v4(bits: u128) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
}

/// IPv4 addresses a packet to this address may be carried to by a tunnel or a
/// translator, beyond what [`canonical`] unwraps: 6to4 (RFC 3056), Teredo's
/// server and client (RFC 4380 §4), ISATAP (RFC 5214 §6.1), and local-use
/// NAT64 in every layout of RFC 6052 §2.2 the bits allow. The IPv6 address
/// still has to be judged itself.
pub(super) fn carried(ip: IpAddr) -> impl Iterator<Item = Ipv4Addr> {
    let bits = match ip {
        IpAddr::V4(_) => 0,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let mut found = [None; 6];
    match bits >> 96 {
        0x2001_0000 => {
            found[0] = Some((bits >> 64) as u32);
            found[1] = Some(!(bits as u32));
        }
        top if top >> 16 == 0x2002 => found[0] = Some((bits >> 80) as u32),
        _ => {}
    }
    if (bits >> 32) as u32 & 0xFCFF_FFFF == 0x0000_5EFE {
        found[2] = Some(bits as u32);
    }
    if bits >> 80 == NAT64_LOCAL >> 80 {
        let low = |n: u32| bits & ((1 << n) - 1);
        // Bits 64 to 71 are zero in every layout but /96.
        let around = |above: u32| {
            let high = (bits >> 64) as u32 & ((1_u64 << above) - 1) as u32;
            let below = 32 - above;
            let rest = ((bits >> (56 - below)) as u64 & ((1_u64 << below) - 1)) as u32;
            ((u64::from(high) << below) as u32) | rest
        };
        // A layout fits when the suffix behind its IPv4 address is zero.
        found[3] = (low(40) == 0).then(|| around(16));
        found[4] = (low(32) == 0).then(|| around(8));
        found[5] = (low(24) == 0).then(|| around(0));
        if low(32) != 0 {
            found[2] = Some(bits as u32);
        }
    }
    found.into_iter().flatten().map(Ipv4Addr::from_bits)
}

/// Whether `ip` is an address every host has for itself.
pub(super) fn reaches_own_host(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

/// The wildcard of either family.
pub(super) const fn is_wildcard(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_unspecified(),
        IpAddr::V6(ip) => ip.to_bits() == Ipv6Addr::UNSPECIFIED.to_bits(),
    }
}
