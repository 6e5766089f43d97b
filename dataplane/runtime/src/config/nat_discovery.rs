//! `[nat_discovery]`: how clients find out what their NAT does.

use std::collections::HashSet;
use std::net::IpAddr;

use super::section::section;
use super::settings::Settings;

section! {
    /// NAT behaviour discovery (RFC 5780) over UDP. Answers to Binding requests
    /// then tell where they come from and come from another address or port
    /// when the client asks for it.
    pub struct NatDiscovery {
        /// A second address of this host, of each family it is offered for. The
        /// first one is where `listen.udp` listens, or the address of the
        /// default route where that is every address. Behind a one-to-one NAT
        /// both have to be among `relay.addresses` with `relay.external`.
        /// Empty: off.
        alternate: Vec<IpAddr> = Vec::new();
        /// The second port, on both addresses.
        port: u16 = 3479;
    }
}

pub(super) fn problems(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    let NatDiscovery { alternate, port } = &settings.nat_discovery;
    let mut families = HashSet::new();
    for address in alternate {
        let key = "nat_discovery.alternate";
        if address.is_unspecified() || address.is_multicast() {
            found.push((
                key,
                format!("{address} cannot be told to clients; name a real address"),
            ));
        }
        if !families.insert(address.is_ipv4()) {
            found.push((
                key,
                format!("{address} is the second of its family; one more address than listen.udp has is enough"),
            ));
        }
    }
    if *port == 0 {
        found.push((
            "nat_discovery.port",
            "clients must know the port".to_owned(),
        ));
    }
}
