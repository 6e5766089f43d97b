//! Whom clients may reach.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::listeners::list;
use super::work::{At, Work, address};

/// More networks than this come of no sane list.
const MOST: usize = 10_000;

pub(super) fn translate(work: &mut Work<'_>) {
    let denied = work.all("denied-peer-ip");
    networks(work, denied, "peers.deny", |work, at, _, is_cidr| {
        if is_cidr {
            work.note(
                at,
                "coturn knows no prefixes and denied nothing for this line; taken as the network it means.",
            );
        }
        true
    });
    let allowed = work.all("allowed-peer-ip");
    networks(work, allowed, "peers.allow", may_allow);
    work.differs(
        "Peers in private, loopback, link-local, metadata, multicast and reserved networks are denied from the start, and so are peer ports below 1024. coturn allows 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 and 100.64.0.0/10 unless denied: where peers live in such a network, name it in peers.allow.",
    );
}

/// What opens this host or its cloud's metadata is not taken over for being
/// inside of a large range.
fn may_allow(work: &mut Work<'_>, at: At, networks: &[IpNet], is_cidr: bool) -> bool {
    const METADATA: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];
    if is_cidr {
        work.refuse(
            at,
            "coturn knows no prefixes and never honoured this line; taking it over would open what was closed.",
            "write the range as FIRST-LAST if it is meant, or remove the line.",
        );
        return false;
    }
    let closed = |ip: &IpAddr| ip.is_loopback() || METADATA.iter().any(|m| m.parse() == Ok(*ip));
    let mut risky = METADATA
        .iter()
        .chain(&["127.0.0.1", "::1"])
        .filter_map(|ip| ip.parse::<IpAddr>().ok())
        .filter(|ip| networks.iter().any(|network| network.contains(ip)));
    let is_single = networks.len() == 1
        && networks
            .first()
            .is_some_and(|network| network.prefix_len() == network.max_prefix_len());
    if is_single {
        if networks.iter().any(|network| closed(&network.addr())) {
            work.note(
                at,
                "It opens this address on every port to everyone with a credential.",
            );
        }
        return true;
    }
    if let Some(ip) = risky.next() {
        work.refuse(
            at,
            &format!("The range holds {ip}: services that trust this host or its cloud would be open to everyone with a credential."),
            "name the networks your peers are in. Peers in public networks need no line.",
        );
        return false;
    }
    true
}

fn networks(
    work: &mut Work<'_>,
    lines: Vec<At>,
    key: &'static str,
    accept: impl Fn(&mut Work<'_>, At, &[IpNet], bool) -> bool,
) {
    let mut found: Vec<IpNet> = Vec::new();
    let mut mapped = Vec::new();
    for at in lines {
        let Some((networks, is_cidr)) = parse(work.value(at)) else {
            work.refuse(
                at,
                "The value is neither an address nor a range.",
                "write ADDRESS or FIRST-LAST, both of one family.",
            );
            continue;
        };
        if !accept(work, at, &networks, is_cidr) {
            continue;
        }
        for network in networks {
            if !found.contains(&network) {
                found.push(network);
            }
        }
        mapped.push(at);
        if found.len() > MOST {
            work.refuse(
                at,
                "The list has become too long.",
                "join neighbouring ranges.",
            );
            return;
        }
    }
    if !mapped.is_empty() {
        work.set(&mapped, key, list(&found));
    }
}

/// An address, a range, or (unknown to coturn) a prefix.
fn parse(value: &str) -> Option<(Vec<IpNet>, bool)> {
    let value = value.split(" #").next().unwrap_or(value).trim();
    if let Some(ip) = address(value) {
        return Some((vec![IpNet::from(ip)], false));
    }
    if let Ok(network) = value.parse::<IpNet>() {
        return Some((vec![network.trunc()], true));
    }
    let (first, last) = value.split_once('-')?;
    let networks: Vec<IpNet> = match (address(first.trim())?, address(last.trim())?) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            Ipv4Subnets::new(first, last, 0).map(IpNet::from).collect()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            Ipv6Subnets::new(first, last, 0).map(IpNet::from).collect()
        }
        _ => return None,
    };
    Some((networks, false))
}
