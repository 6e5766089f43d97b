//! Which sockets serve NAT behaviour discovery (RFC 5780).

use std::net::{IpAddr, SocketAddr};

use forebay_turn::{Discovery, Place, RelayMapping, SocketId};

use super::host::Host;
use super::plan::PlanError;
use crate::config::NatDiscovery;

const ALTERNATE: &str = "nat_discovery.alternate";

/// Two addresses with two ports each for every family that has a second
/// address. What is not listened on yet is added to `listen`, whose order is
/// that of the sockets' ids.
pub(super) fn discoveries(
    settings: &NatDiscovery,
    host: &Host,
    relays: &[RelayMapping],
    listen: &mut Vec<SocketAddr>,
) -> Result<Vec<Discovery>, PlanError> {
    let families = settings.alternate.iter();
    families
        .map(|&alternate| {
            let (primary, port) = primary(alternate, host, listen)?;
            if port == settings.port {
                return Err(PlanError {
                    key: "nat_discovery.port",
                    message: format!("{port} is the first port already; choose another"),
                });
            }
            let mut place = |ip: IpAddr, port: u16| Place {
                socket: socket(SocketAddr::new(ip, port), listen),
                local: SocketAddr::new(ip, port),
                public: SocketAddr::new(public(ip, relays), port),
            };
            Ok(Discovery {
                places: [primary, alternate].map(|ip| [place(ip, port), place(ip, settings.port)]),
            })
        })
        .collect()
}

/// The first address of the alternate one's family, and its port.
fn primary(
    alternate: IpAddr,
    host: &Host,
    listen: &[SocketAddr],
) -> Result<(IpAddr, u16), PlanError> {
    let of_family = |ip: IpAddr| ip.is_ipv4() == alternate.is_ipv4() && ip != alternate;
    let error = |message| PlanError {
        key: ALTERNATE,
        message,
    };
    let first = listen
        .iter()
        .find(|address| of_family(address.ip()))
        .ok_or_else(|| {
            error(format!(
                "listen.udp has no other address of the family of {alternate}"
            ))
        })?;
    if !first.ip().is_unspecified() {
        return Ok((first.ip(), first.port()));
    }
    let own = host.default_addresses.iter().find(|ip| of_family(**ip));
    own.map(|ip| (*ip, first.port())).ok_or_else(|| {
        error(format!(
            "no default route tells the address beside {alternate}; name it in listen.udp"
        ))
    })
}

/// The id of the socket that receives at an address.
fn socket(address: SocketAddr, listen: &mut Vec<SocketAddr>) -> SocketId {
    let receives = |listener: &SocketAddr| {
        listener.port() == address.port()
            && listener.is_ipv4() == address.is_ipv4()
            && (listener.ip() == address.ip() || listener.ip().is_unspecified())
    };
    let index = listen.iter().position(receives).unwrap_or_else(|| {
        listen.push(address);
        listen.len() - 1
    });
    SocketId(u32::try_from(index).unwrap_or(u32::MAX))
}

fn public(ip: IpAddr, relays: &[RelayMapping]) -> IpAddr {
    let mapped = relays.iter().find(|relay| relay.local == ip);
    mapped.map_or(ip, |relay| relay.public)
}
