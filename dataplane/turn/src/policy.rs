//! Which peers a client may reach.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;

use ipnet::IpNet;

/// Which peers a client may reach, judged on the canonical address: every
/// encoding of IPv4 within IPv6 is unwrapped first. In order: `never` refuses,
/// a relayed address of this host passes within `relay_ports`, `allow` passes,
/// `deny` refuses, special-purpose ranges (RFC 6890 and successors) refuse,
/// everything else passes. Port 0 and ports below `lowest_port` are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerPolicy {
    /// Allowed although special-purpose or denied.
    pub allow: Vec<IpNet>,
    /// Denied although globally reachable.
    pub deny: Vec<IpNet>,
    /// This server's own listeners and control addresses: denied whatever
    /// `allow` says.
    pub never: Vec<SocketAddr>,
    /// This host's relay addresses, local and public.
    pub relays: Vec<RelayMapping>,
    /// The ports of this host's relays.
    pub relay_ports: RangeInclusive<u16>,
    /// The lowest peer port clients may reach (default 1024).
    pub lowest_port: u16,
}

/// A relay address as bound here and as the world sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayMapping {
    /// Bound on this host.
    pub local: IpAddr,
    /// Told to clients; equal to `local` without NAT.
    pub public: IpAddr,
}
