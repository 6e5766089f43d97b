//! Who holds the ports that the configuration names.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::host::Host;
use super::super::{Check, Finding, Scene};

pub(super) struct Ports;

impl Check for Ports {
    fn name(&self) -> &'static str {
        "ports"
    }

    fn look(&self, scene: &Scene) -> Vec<Finding> {
        let sockets = Sockets::read(&scene.host);
        let mut found = Vec::new();
        for (transport, key) in [
            ("udp", "udp"),
            ("tcp", "tcp"),
            ("tcp", "tls"),
            ("udp", "dtls"),
        ] {
            for address in scene.configuration.listeners(key) {
                found.extend(listener(scene, &sockets, transport, key, address));
            }
        }
        found.push(relay_range(scene, &sockets));
        found.extend(ephemeral(scene));
        found
    }
}

fn listener(
    scene: &Scene,
    sockets: &Sockets,
    transport: &'static str,
    key: &str,
    address: SocketAddr,
) -> Option<Finding> {
    let holders: Vec<&Socket> = sockets
        .all
        .iter()
        .filter(|socket| socket.transport == transport && clash(socket.address, address))
        .collect();
    let ours = scene.server.as_ref().map(|server| server.pid);
    let stranger = holders.iter().find_map(|socket| {
        let (pid, program) = sockets.owners.get(&socket.inode)?;
        (Some(*pid) != ours).then_some((pid, program))
    });
    if let Some((pid, program)) = stranger {
        return Some(Finding::failed(
            format!("{transport} {address} (listen.{key}) is held by {program}, process {pid}"),
            format!("systemctl stop {program}     (or choose another address in listen.{key})"),
        ));
    }
    let is_optional = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        && scene.configuration.list("listen", key).is_none();
    match (holders.is_empty(), ours) {
        (true, None) => Some(Finding::ok(format!("{transport} {address} is free"))),
        (true, Some(_)) if is_optional => None,
        (true, Some(_)) => Some(Finding::failed(
            format!(
                "{transport} {address} (listen.{key}) is in the configuration, and nobody listens there"
            ),
            "forebay-turnd --check, then restart the server: listening addresses are read at start",
        )),
        (false, Some(_)) => Some(Finding::ok(format!(
            "{transport} {address} is the server's"
        ))),
        (false, None) => Some(Finding::warning(
            format!(
                "{transport} {address} (listen.{key}) is held by a program that cannot be seen"
            ),
            "sudo forebay doctor",
        )),
    }
}

/// Whether two bindings exclude each other.
fn clash(held: SocketAddr, wanted: SocketAddr) -> bool {
    held.port() == wanted.port()
        && held.is_ipv4() == wanted.is_ipv4()
        && (held.ip() == wanted.ip() || held.ip().is_unspecified() || wanted.ip().is_unspecified())
}

fn relay_range(scene: &Scene, sockets: &Sockets) -> Finding {
    let ports = scene.configuration.relay_ports();
    let ours = scene.server.as_ref().map(|server| server.pid);
    let mut strangers: Vec<String> = sockets
        .all
        .iter()
        .filter(|socket| socket.transport == "udp" && ports.contains(&socket.address.port()))
        .filter_map(|socket| {
            let (pid, program) = sockets.owners.get(&socket.inode)?;
            (Some(*pid) != ours).then(|| format!("{} ({program})", socket.address.port()))
        })
        .collect();
    strangers.sort();
    strangers.dedup();
    let range = format!("{}-{}", ports.start(), ports.end());
    if strangers.is_empty() {
        return Finding::ok(format!("no other program holds a relay port of {range}"));
    }
    let some: Vec<&str> = strangers.iter().take(5).map(String::as_str).collect();
    Finding::warning(
        format!(
            "{} ports of the relay range {range} are held by other programs: {}",
            strangers.len(),
            some.join(", ")
        ),
        "choose relay.ports that no other program uses, or move that program's port",
    )
}

/// The kernel gives programs without a port of their own one of this range: a
/// resolver's query must not sit on a relay port.
fn ephemeral(scene: &Scene) -> Option<Finding> {
    let text = scene.host.read("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut bounds = text.split_whitespace().map(str::parse::<u16>);
    let (first, last) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    let ports = scene.configuration.relay_ports();
    let reserved = scene
        .host
        .read("/proc/sys/net/ipv4/ip_local_reserved_ports")
        .unwrap_or_default();
    let range = format!("{}-{}", ports.start(), ports.end());
    let apart = last < *ports.start() || first > *ports.end();
    if apart || covers(&reserved, *ports.start(), *ports.end()) {
        return Some(Finding::ok(format!(
            "the kernel keeps the relay ports {range} out of what it gives to other programs"
        )));
    }
    let key = "net.ipv4.ip_local_reserved_ports";
    let list = if reserved.is_empty() {
        range.clone()
    } else {
        format!("{reserved},{range}")
    };
    Some(Finding::warning(
        format!(
            "the kernel gives ports {first}-{last} to any program that asks for none; relay ports {range} are among them"
        ),
        format!("sysctl -w {key}={list} && echo {key}={list} >> /etc/sysctl.d/90-forebay.conf"),
    ))
}

/// Whether one entry of a list such as `3478,49152-65535` holds the range.
fn covers(list: &str, first: u16, last: u16) -> bool {
    list.split(',').any(|entry| {
        let (from, to) = entry.split_once('-').unwrap_or((entry, entry));
        match (from.trim().parse::<u16>(), to.trim().parse::<u16>()) {
            (Ok(from), Ok(to)) => from <= first && to >= last,
            _ => false,
        }
    })
}

struct Socket {
    transport: &'static str,
    address: SocketAddr,
    inode: u64,
}

struct Sockets {
    all: Vec<Socket>,
    /// Process and program by inode, of those whose descriptors may be read.
    owners: HashMap<u64, (u32, String)>,
}

impl Sockets {
    fn read(host: &Host) -> Self {
        let mut all = Vec::new();
        for (file, transport) in [
            ("udp", "udp"),
            ("udp6", "udp"),
            ("tcp", "tcp"),
            ("tcp6", "tcp"),
        ] {
            let text = host.read(&format!("/proc/net/{file}")).unwrap_or_default();
            all.extend(
                text.lines()
                    .skip(1)
                    .filter_map(|line| parse(line, transport)),
            );
        }
        let mut owners = HashMap::new();
        for pid in host
            .names("/proc")
            .iter()
            .filter_map(|name| name.parse::<u32>().ok())
        {
            let mut program = None;
            for descriptor in host.names(&format!("/proc/{pid}/fd")) {
                let Some(inode) =
                    host.link(&format!("/proc/{pid}/fd/{descriptor}"))
                        .and_then(|target| {
                            let number = target.strip_prefix("socket:[")?.strip_suffix(']')?;
                            number.parse::<u64>().ok()
                        })
                else {
                    continue;
                };
                let program = program.get_or_insert_with(|| {
                    host.read(&format!("/proc/{pid}/comm")).unwrap_or_default()
                });
                owners.insert(inode, (pid, program.clone()));
            }
        }
        Self { all, owners }
    }
}

/// A line of /proc/net/udp or tcp; of TCP only sockets that listen.
fn parse(line: &str, transport: &'static str) -> Option<Socket> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    if transport == "tcp" && *state != LISTEN {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    // Words of the host's byte order, which is that of every machine we run on.
    let word = |at: usize| {
        let hex = ip.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(hex, 16).ok()?.to_le_bytes())
    };
    let ip = if ip.len() == 8 {
        IpAddr::V4(Ipv4Addr::from(word(0)?))
    } else {
        let mut bytes = [0; 16];
        for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
            chunk.copy_from_slice(&word(at)?);
        }
        IpAddr::V6(Ipv6Addr::from(bytes))
    };
    Some(Socket {
        transport,
        address: SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?),
        inode: inode.parse().ok()?,
    })
}
