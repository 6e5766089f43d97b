//! The ranges no client reaches unless the operator allows it: the IANA IPv4
//! and IPv6 Special-Purpose Address Registries, multicast, IPv6 outside of what
//! is allocated for global unicast, and a cloud's host agent.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Address and prefix length.
const V4: [([u8; 4], u32); 19] = [
    ([0, 0, 0, 0], 8),        // this network
    ([10, 0, 0, 0], 8),       // private use
    ([100, 64, 0, 0], 10),    // shared address space
    ([127, 0, 0, 0], 8),      // loopback
    ([169, 254, 0, 0], 16),   // link-local, cloud metadata services
    ([172, 16, 0, 0], 12),    // private use
    ([192, 0, 0, 0], 24),     // IETF protocol assignments
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 31, 196, 0], 24),  // AS112
    ([192, 52, 193, 0], 24),  // AMT
    ([192, 88, 99, 0], 24),   // 6to4 relay anycast
    ([192, 168, 0, 0], 16),   // private use
    ([192, 175, 48, 0], 24),  // AS112
    ([198, 18, 0, 0], 15),    // benchmarking
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved, limited broadcast
    ([168, 63, 129, 16], 32), // a large cloud's host agent, reachable from its guests alone
];

/// First 64 bits and prefix length, all within 2000::/3.
const V6: [(u64, u32); 6] = [
    (0x2001_0000_0000_0000, 23), // IETF protocol assignments, Teredo, benchmarking, ORCHID
    (0x2001_0db8_0000_0000, 32), // documentation
    (0x2002_0000_0000_0000, 16), // 6to4
    (0x2620_004f_8000_0000, 48), // AS112
    (0x3ffe_0000_0000_0000, 16), // 6bone, returned
    (0x3fff_0000_0000_0000, 20), // documentation
];

/// Whether an address lies in such a range. An encoding of IPv4 is judged by
/// its IPv6 bits alone; the well-known NAT64 prefix counts as global, because
/// what it leads to is judged as IPv4.
pub(super) fn contains(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => v4(ip),
        IpAddr::V6(ip) => v6(ip),
    }
}

fn v4(ip: Ipv4Addr) -> bool {
    let bits = ip.to_bits();
    V4.iter()
        .any(|&(net, len)| (bits ^ u32::from_be_bytes(net)) >> (32 - len) == 0)
}

fn v6(ip: Ipv6Addr) -> bool {
    let bits = ip.to_bits();
    if bits >> 32 == super::encodings::NAT64 >> 32 {
        return false;
    }
    let high = (bits >> 64) as u64;
    high >> 61 != 0b001 || V6.iter().any(|&(net, len)| (high ^ net) >> (64 - len) == 0)
}
