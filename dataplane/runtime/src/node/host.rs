//! What this host has: cores, addresses, routes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

/// What a plan needs to know about the host.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Cores this process may run on, ascending.
    pub cores: Vec<usize>,
    /// Source addresses of the default routes, at most one per family.
    pub default_addresses: Vec<IpAddr>,
    /// Addresses of all interfaces.
    pub addresses: Vec<IpAddr>,
    /// Whether IPv6 sockets can be bound.
    pub ipv6: bool,
}

impl Host {
    /// Asks the kernel.
    pub fn survey() -> Self {
        Self {
            cores: allowed_cores(),
            default_addresses: default_addresses(),
            addresses: interface_addresses(),
            ipv6: can_bind(IpAddr::V6(Ipv6Addr::UNSPECIFIED)).is_ok(),
        }
    }
}

/// Whether a UDP socket can be bound to the address, on any port.
pub fn can_bind(address: IpAddr) -> std::io::Result<()> {
    UdpSocket::bind(SocketAddr::new(address, 0)).map(drop)
}

fn allowed_cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else {
        return Vec::new();
    };
    (0..CpuSet::count())
        .filter(|&core| set.is_set(core).unwrap_or(false))
        .collect()
}

/// Connecting a UDP socket sends nothing and makes the kernel choose the
/// source address. The documentation ranges (RFC 5737, RFC 3849) match nothing
/// more special than the default route.
fn default_addresses() -> Vec<IpAddr> {
    [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")]
        .into_iter()
        .filter_map(|(from, to)| {
            let socket = UdpSocket::bind(from).ok()?;
            socket.connect(to).ok()?;
            let address = socket.local_addr().ok()?.ip();
            (!address.is_unspecified() && !address.is_loopback()).then_some(address)
        })
        .collect()
}

fn interface_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else {
        return Vec::new();
    };
    let mut addresses: Vec<IpAddr> = interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            if let Some(v4) = address.as_sockaddr_in() {
                return Some(IpAddr::V4(v4.ip()));
            }
            address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()))
        })
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
