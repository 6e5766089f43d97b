//! Addresses and ports handed out to clients.

use std::net::IpAddr;

use super::listeners::{Listeners, alternates, list};
use super::work::{At, Work, address};

/// Relay addresses and the lines they come from.
struct Addresses {
    ips: Vec<IpAddr>,
    lines: Vec<At>,
    /// Whether relay-ip names them.
    are_named: bool,
}

pub(super) fn translate(work: &mut Work<'_>, listeners: &Listeners) {
    let mut addresses = addresses(work, listeners);
    let external = external(work, &mut addresses);
    if !addresses.ips.is_empty() {
        work.set(&addresses.lines, "relay.addresses", list(&addresses.ips));
        let usable = work.around.ipv6;
        if !usable && addresses.ips.iter().any(IpAddr::is_ipv6) {
            work.differs("The configuration names IPv6 addresses and this host has no IPv6.");
        }
    }
    if !external.is_empty() {
        let tables = external.iter().map(|(_, relay, public)| {
            let mut table = toml::Table::new();
            table.insert("relay".to_owned(), relay.to_string().into());
            table.insert("public".to_owned(), public.to_string().into());
            toml::Value::Table(table)
        });
        let value = toml::Value::Array(tables.collect());
        let lines: Vec<At> = external.iter().map(|(line, ..)| *line).collect();
        work.set(&lines, "relay.external", value);
    }
    ports(work);
    buffers(work);
    family(work);
    alternates(work);
    if let Some(line) = work.on("mobility") {
        work.set(&[line], "auth.mobility", true);
    }
    if let Some(line) = work.on("no-tcp-relay") {
        work.set(&[line], "relay.tcp", false);
    }
}

fn addresses(work: &mut Work<'_>, listeners: &Listeners) -> Addresses {
    let mut named = Addresses {
        ips: Vec::new(),
        lines: Vec::new(),
        are_named: true,
    };
    for line in work.all("relay-ip") {
        let Some(ip) = work.address_at(line) else {
            continue;
        };
        if ip.is_unspecified() || ip.is_multicast() {
            work.refuse(
                line,
                "Clients cannot be told this address.",
                "name an address of this host, or remove the line: the default route's is taken.",
            );
        } else if named.ips.contains(&ip) {
            work.unneeded(line, "The address stands twice.");
        } else {
            named.ips.push(ip);
            named.lines.push(line);
        }
    }
    if !named.ips.is_empty() {
        return named;
    }
    named.are_named = false;
    // coturn relays from the address the client came to.
    let all_specific = listeners.named.iter().all(|ip| !ip.is_unspecified());
    if !listeners.named.is_empty() && all_specific {
        let public: Vec<usize> = (0..listeners.named.len())
            .filter(|&index| !listeners.named[index].is_loopback())
            .collect();
        let chosen = if public.is_empty() {
            (0..listeners.named.len()).collect()
        } else {
            public
        };
        for index in chosen {
            named.ips.push(listeners.named[index]);
            named.lines.push(listeners.lines[index]);
        }
    }
    named
}

/// Public addresses: line, relay address, public address.
fn external(work: &mut Work<'_>, addresses: &mut Addresses) -> Vec<(At, IpAddr, IpAddr)> {
    let mut pairs = Vec::new();
    let mut alone = Vec::new();
    for line in work.all("external-ip") {
        let value = work.value(line).trim().to_owned();
        let (public, private) = match value.split_once('/') {
            Some((public, private)) => (public, Some(private)),
            None => (value.as_str(), None),
        };
        match (address(public.trim()), private.map(|text| address(text.trim()))) {
            (Some(public), Some(Some(private))) => pairs.push((line, private, public)),
            (Some(public), None) => alone.push((line, public)),
            _ => work.refuse(
                line,
                "The value is not an address, nor two with a slash between.",
                "write external-ip=PUBLIC/PRIVATE with the addresses themselves; a template or a detection script has to be filled in first.",
            ),
        }
    }
    if addresses.ips.is_empty() {
        // coturn relays from whatever address a client comes to: the mapped
        // ones, and the default route's of a family that is not mapped.
        for &(line, private, _) in &pairs {
            if !addresses.ips.contains(&private) {
                addresses.ips.push(private);
                addresses.lines.push(line);
            }
        }
        let any_is_mapped = !pairs.is_empty() || !alone.is_empty();
        for &default in &work.around.default_addresses {
            let of_its_family = |ip: &IpAddr| ip.is_ipv4() == default.is_ipv4();
            if any_is_mapped && !addresses.ips.iter().any(of_its_family) {
                addresses.ips.push(default);
            }
        }
    }
    for (line, public) in alone {
        let same_family: Vec<IpAddr> = addresses
            .ips
            .iter()
            .copied()
            .filter(|ip| ip.is_ipv4() == public.is_ipv4())
            .collect();
        match same_family.as_slice() {
            [private] => {
                pairs.push((line, *private, public));
                if !addresses.are_named && addresses.lines.is_empty() {
                    work.note(
                        line,
                        &format!("The relay address {private} is this host's: import on the host that will relay."),
                    );
                }
            }
            [] => work.refuse(
                line,
                "The relay address behind it is not known.",
                &format!(
                    "write external-ip={public}/PRIVATE with the relay address of that family."
                ),
            ),
            _ => work.refuse(
                line,
                "There are several relay addresses it could stand for.",
                &format!("write external-ip={public}/PRIVATE, a line for each."),
            ),
        }
    }
    let mut kept: Vec<(At, IpAddr, IpAddr)> = Vec::new();
    for (line, private, public) in pairs {
        if private.is_ipv4() != public.is_ipv4() {
            work.refuse(
                line,
                "The two addresses differ in family.",
                "write two of IPv4 or two of IPv6.",
            );
        } else if public.is_unspecified() || public.is_multicast() {
            work.refuse(
                line,
                "Clients cannot be told this address.",
                "write the public address.",
            );
        } else if !addresses.ips.contains(&private) {
            work.refuse(
                line,
                &format!("{private} is not a relay address, so coturn never uses the line."),
                &format!("add relay-ip={private}, or remove the line."),
            );
        } else if kept.iter().any(|(_, known, _)| *known == private) {
            work.refuse(
                line,
                &format!("{private} is mapped by another line already."),
                "remove one of the two.",
            );
        } else if private == public {
            work.unneeded(line, "The public address is this host's own.");
        } else {
            kept.push((line, private, public));
        }
    }
    kept
}

fn ports(work: &mut Work<'_>) {
    let first = work.parsed::<u16>("min-port", "a port between 1 and 65535");
    let last = work.parsed::<u16>("max-port", "a port between 1 and 65535");
    let lines: Vec<At> = [first, last]
        .into_iter()
        .flatten()
        .map(|(line, _)| line)
        .collect();
    if lines.is_empty() {
        return;
    }
    let from = first.map_or(49152, |(_, port)| port);
    let to = last.map_or(65535, |(_, port)| port);
    if from == 0 || from > to {
        for line in lines {
            work.refuse(
                line,
                &format!("{from} to {to} is no range of ports."),
                "let min-port be at least 1 and at most max-port.",
            );
        }
        return;
    }
    work.set(&lines, "relay.ports", format!("{from}-{to}"));
}

fn buffers(work: &mut Work<'_>) {
    let Some((line, bytes)) = work.parsed::<i64>("sock-buf-size", "a number of bytes") else {
        return;
    };
    let clamped = bytes.clamp(4096, 1 << 30);
    if clamped != bytes {
        work.note(line, &format!("Taken as {clamped} bytes."));
    }
    for key in [
        "sockets.receive_buffer",
        "sockets.send_buffer",
        "sockets.relay_receive_buffer",
        "sockets.relay_send_buffer",
    ] {
        work.set(&[line], key, clamped);
    }
}

/// The family of an allocation whose client asks for none.
fn family(work: &mut Work<'_>) {
    const IPV4: &str = "A client that asks for no family gets an IPv4 relay address (RFC 8656 §7.2), over whichever family it comes; from there it reaches IPv4 peers, and one that wants IPv6 peers asks.";
    if let Some(line) = work.on("keep-address-family") {
        work.unneeded(line, IPV4);
    }
    let Some(line) = work.last("allocation-default-address-family") else {
        return;
    };
    match work.value(line).to_ascii_lowercase().as_str() {
        "ipv4" | "keep" => work.unneeded(line, IPV4),
        "ipv6" => work.refuse(
            line,
            "A client that asks for no family gets IPv4 (RFC 8656 §7.2).",
            "remove the line, and let clients ask (REQUESTED-ADDRESS-FAMILY).",
        ),
        _ => work.refuse(
            line,
            "The value is none of ipv4, ipv6 and keep.",
            "write one of them.",
        ),
    }
}
