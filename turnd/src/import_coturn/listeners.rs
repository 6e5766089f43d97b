//! Where clients come in, and with which certificate.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::work::{At, Work, address};

/// The addresses clients come to.
pub(super) struct Listeners {
    /// As named by listening-ip, wildcards included; empty when none is named.
    pub(super) named: Vec<IpAddr>,
    /// The lines that name them.
    pub(super) lines: Vec<At>,
}

const UDP_AND_TCP: u16 = 3478;
const TLS: u16 = 5349;

pub(super) fn translate(work: &mut Work<'_>) -> Listeners {
    let listeners = named(work);
    let plain = port(work, "listening-port", UDP_AND_TCP);
    let tls = port(work, "tls-listening-port", TLS);
    let aux = aux_servers(work);
    let no_udp = work.on("no-udp");
    let no_tcp = work.on("no-tcp");
    let no_tls = work.on("no-tls");
    let no_dtls = work.on("no-dtls");
    let dtls = work.on("dtls");
    let pair = certificate(work);

    let at = |port: u16| -> Vec<SocketAddr> { addresses(&listeners, work.around.ipv6, port) };
    let (mut plain_addresses, mut tls_addresses) = (at(plain.number), at(tls.number));
    plain_addresses.extend(aux.iter().map(|(_, address)| address));
    let mut seen = HashSet::new();
    plain_addresses.retain(|address| seen.insert(*address));
    let mut plain_lines = listeners.lines.clone();
    plain_lines.extend(plain.line);
    plain_lines.extend(aux.iter().map(|(line, _)| *line));
    let mut tls_lines = listeners.lines.clone();
    tls_lines.extend(tls.line);

    if no_tcp.is_none() {
        // Every TCP address understands TLS too.
        tls_addresses.retain(|address| !plain_addresses.contains(address));
    }
    match no_udp {
        Some(line) => work.refuse(
            line,
            "Clients are always served over UDP, which is what media should take.",
            "remove the line, and close the port in the firewall where it must not be reached.",
        ),
        None => work.set(&plain_lines, "listen.udp", list(&plain_addresses)),
    }
    match no_tcp {
        Some(line) => work.unneeded(line, "listen.tcp is left out."),
        None => work.set(&plain_lines, "listen.tcp", list(&plain_addresses)),
    }
    if let Some(line) = no_dtls {
        work.unneeded(line, "listen.dtls is left out.");
    }
    if let Some(line) = no_tls {
        work.unneeded(line, "listen.tls is left out.");
    }
    match &pair {
        Some(files) if no_tls.is_none() || dtls.is_some() => {
            if no_tls.is_none() && tls_addresses.is_empty() {
                if let Some(line) = tls.line {
                    work.note(line, "Every TCP address understands TLS too.");
                    plain_lines.push(line);
                }
                work.set(&plain_lines, "listen.tcp", list(&plain_addresses));
            } else if no_tls.is_none() {
                work.set(&tls_lines, "listen.tls", list(&tls_addresses));
            }
            if let Some(line) = dtls {
                tls_lines.push(line);
                work.set(&tls_lines, "listen.dtls", list(&at(tls.number)));
                work.note(line, "DTLS needs a certificate with an ECDSA key.");
            } else if no_dtls.is_none() {
                work.differs(
                    "DTLS is not served, as in coturn from 4.17 on unless dtls asks for it; before, it was whenever there was a certificate. Browsers do not use it. Where a client does: listen.dtls, with a certificate that has an ECDSA key.",
                );
            }
            for (line, key, path) in files {
                work.set(&[*line], key, path.as_str());
            }
        }
        Some(files) => {
            for (line, ..) in files {
                work.unneeded(*line, "Neither TLS nor DTLS is served.");
            }
        }
        None => {
            let why = "There is no certificate (cert= and pkey=), so neither TLS nor DTLS is served; nor did coturn.";
            for line in [tls.line, dtls].into_iter().flatten() {
                work.unneeded(line, why);
            }
        }
    }
    nat_discovery(work, &listeners, plain.number);
    listeners
}

struct Port {
    number: u16,
    line: Option<At>,
}

fn port(work: &mut Work<'_>, key: &str, default: u16) -> Port {
    match work.parsed::<u16>(key, "a port between 1 and 65535") {
        Some((line, 0)) => {
            work.refuse(
                line,
                "Clients cannot know port 0.",
                &format!("write {key}={default}."),
            );
            Port {
                number: default,
                line: None,
            }
        }
        Some((line, number)) => Port {
            number,
            line: Some(line),
        },
        None => Port {
            number: default,
            line: None,
        },
    }
}

fn named(work: &mut Work<'_>) -> Listeners {
    let mut listeners = Listeners {
        named: Vec::new(),
        lines: Vec::new(),
    };
    for line in work.all("listening-ip") {
        let ip = if work.value(line).is_empty() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else if let Some(ip) = work.address_at(line) {
            ip
        } else {
            continue;
        };
        if ip.is_multicast() {
            work.refuse(
                line,
                "Clients cannot come to a multicast address.",
                "name an address of this host.",
            );
        } else if listeners.named.contains(&ip) {
            work.unneeded(line, "The address stands twice.");
        } else {
            listeners.named.push(ip);
            listeners.lines.push(line);
        }
    }
    listeners
}

fn addresses(listeners: &Listeners, ipv6: bool, port: u16) -> Vec<SocketAddr> {
    let wildcards: &[IpAddr] = if ipv6 {
        &[
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ]
    } else {
        &[IpAddr::V4(Ipv4Addr::UNSPECIFIED)]
    };
    let ips = if listeners.named.is_empty() {
        wildcards
    } else {
        &listeners.named
    };
    ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect()
}

fn aux_servers(work: &mut Work<'_>) -> Vec<(At, SocketAddr)> {
    let mut found: Vec<(At, SocketAddr)> = Vec::new();
    for line in work.all("aux-server") {
        if let Some(address) = work.parse_at::<SocketAddr>(
            line,
            "an address with a port, like 192.0.2.1:33478 or [2001:db8::1]:33478",
        ) {
            found.push((line, address));
        }
    }
    found
}

fn certificate(work: &mut Work<'_>) -> Option<Vec<(At, &'static str, String)>> {
    let (cert, pkey) = (work.last("cert"), work.last("pkey"));
    match (cert, pkey) {
        (Some(cert), Some(pkey)) => {
            let mut files = Vec::new();
            for (line, key) in [(cert, "tls.certificate"), (pkey, "tls.key")] {
                let path = Path::new(work.value(line));
                if path.as_os_str().is_empty() {
                    work.refuse(line, "It names no file.", "name the PEM file.");
                    continue;
                }
                let path = work.around.directory.join(path);
                files.push((line, key, path.display().to_string()));
            }
            (files.len() == 2).then_some(files)
        }
        (Some(alone), None) | (None, Some(alone)) => {
            work.refuse(
                alone,
                "A certificate needs its key and the reverse; coturn serves no TLS with one of them.",
                "name both, cert= and pkey=, or neither.",
            );
            None
        }
        (None, None) => None,
    }
}

/// coturn takes the first two listening addresses of a family for it.
fn nat_discovery(work: &mut Work<'_>, listeners: &Listeners, plain: u16) {
    let asked = work.on("rfc5780");
    let alternate = work.last("alt-listening-port");
    let Some(line) = asked else {
        if let Some(line) = alternate {
            work.unneeded(
                line,
                "It is for NAT behaviour discovery, which is off unless rfc5780 asks for it.",
            );
        }
        return;
    };
    let second = |is_ipv4: bool| {
        let mut of_family = listeners
            .named
            .iter()
            .filter(|ip| ip.is_ipv4() == is_ipv4 && !ip.is_unspecified());
        of_family.nth(1).copied()
    };
    let seconds: Vec<IpAddr> = [second(true), second(false)]
        .into_iter()
        .flatten()
        .collect();
    if seconds.is_empty() {
        for at in [Some(line), alternate].into_iter().flatten() {
            work.unneeded(
                at,
                "NAT behaviour discovery needs two listening-ip lines of one family; coturn does not offer it without them either.",
            );
        }
        return;
    }
    work.set(&[line], "nat_discovery.alternate", list(&seconds));
    let port = match alternate {
        None => 0,
        Some(at) => match work.parse_at::<u16>(at, "a port") {
            Some(port) => port,
            None => return,
        },
    };
    let port = if port == 0 {
        plain.saturating_add(1)
    } else {
        port
    };
    let lines: Vec<At> = [Some(line), alternate].into_iter().flatten().collect();
    work.set(&lines, "nat_discovery.port", i64::from(port));
}

/// Addresses of other servers, which coturn tells apart by whether the client
/// is encrypted.
pub(super) fn alternates(work: &mut Work<'_>) {
    let plain = [
        "alternate-server",
        "udp-alternate-server",
        "tcp-alternate-server",
    ];
    let (mut lines, servers) = servers(work, &plain, UDP_AND_TCP);
    if !servers.is_empty() {
        work.set(&lines, "redirect.servers", list(&servers));
    }
    let (tls_lines, tls_servers) = self::servers(work, &["tls-alternate-server"], TLS);
    if !tls_servers.is_empty() {
        let tables = tls_servers.iter().map(|address| {
            let mut table = toml::Table::new();
            table.insert("address".to_owned(), address.to_string().into());
            toml::Value::Table(table)
        });
        let tables = toml::Value::Array(tables.collect());
        work.set(&tls_lines, "redirect.tls_servers", tables);
        work.note(
            tls_lines[0],
            "Where a server there has a certificate of another name, add domain = \"…\" to its entry.",
        );
    }
    lines.extend(tls_lines);
    if servers.is_empty() && tls_servers.is_empty() {
        return;
    }
    work.set(&lines, "redirect.when", "always");
    work.note(
        lines[0],
        "Every client is sent there, as coturn does; redirect.when = \"full\" or \"draining\" serves clients here while it can.",
    );
}

fn servers(work: &mut Work<'_>, keys: &[&str], port: u16) -> (Vec<At>, Vec<SocketAddr>) {
    let mut found: Vec<SocketAddr> = Vec::new();
    let mut lines = Vec::new();
    for key in keys {
        for line in work.all(key) {
            let word = work.value(line).trim();
            let parsed = word
                .parse()
                .ok()
                .or_else(|| address(word).map(|ip| SocketAddr::new(ip, port)));
            let Some(address) = parsed else {
                work.refuse(
                    line,
                    "The value is not an address.",
                    &format!("write an address, with a port when it is not {port}."),
                );
                continue;
            };
            lines.push(line);
            if !found.contains(&address) {
                found.push(address);
            }
        }
    }
    (lines, found)
}

pub(super) fn list<T: ToString>(items: &[T]) -> toml::Value {
    toml::Value::Array(
        items
            .iter()
            .map(|item| toml::Value::String(item.to_string()))
            .collect(),
    )
}
