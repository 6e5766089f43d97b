//! Whether this host's own packet filter would drop clients or peers. Hints:
//! rules can say more than is understood here, and a cloud has filters that no
//! host can see.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::super::{Check, Finding, Scene};

pub(super) struct Firewall;

/// A range of ports of a transport that has to come in.
struct Wanted {
    transport: &'static str,
    ports: RangeInclusive<u16>,
}

impl Wanted {
    fn range(&self, between: char) -> String {
        let (first, last) = (self.ports.start(), self.ports.end());
        if first == last {
            first.to_string()
        } else {
            format!("{first}{between}{last}")
        }
    }
}

impl Check for Firewall {
    fn name(&self) -> &'static str {
        "firewall"
    }

    fn look(&self, scene: &Scene) -> Vec<Finding> {
        let wanted = wanted(scene);
        let mut found = Vec::new();
        let nft = scene.host.command("nft", &["-j", "list", "ruleset"]);
        let iptables = scene.host.command("iptables-save", &[]);
        if let Some(closed) = nft.as_deref().and_then(|text| closed_by_nft(text, &wanted)) {
            found.push(judge(&closed, "nftables", |wanted| {
                format!(
                    "nft insert rule inet filter input {} dport {} accept     (and in /etc/nftables.conf)",
                    wanted.transport,
                    wanted.range('-')
                )
            }));
        }
        if let Some(closed) = iptables
            .as_deref()
            .and_then(|text| closed_by_iptables(text, &wanted))
        {
            found.push(judge(&closed, "iptables", |wanted| {
                format!(
                    "iptables -I INPUT -p {} --dport {} -j ACCEPT     (the same with ip6tables)",
                    wanted.transport,
                    wanted.range(':')
                )
            }));
        }
        if found.is_empty() {
            found.push(if nft.is_none() && iptables.is_none() {
                Finding::warning(
                    "neither nft nor iptables-save can be run, so this host's packet filter is not known",
                    "sudo forebay doctor     (apt install nftables, if it is missing)",
                )
            } else {
                Finding::ok("this host's packet filter drops nothing by default; a cloud's own filter (security group) must let the ports in too")
            });
        }
        found.extend(connection_tracking(scene));
        found
    }
}

fn wanted(scene: &Scene) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for (key, transport) in [
        ("udp", "udp"),
        ("tcp", "tcp"),
        ("tls", "tcp"),
        ("dtls", "udp"),
    ] {
        for address in scene.configuration.listeners(key) {
            let ports = address.port()..=address.port();
            let is_known = wanted
                .iter()
                .any(|known| known.transport == transport && known.ports == ports);
            if !is_known && !address.ip().is_loopback() {
                wanted.push(Wanted { transport, ports });
            }
        }
    }
    wanted.push(Wanted {
        transport: "udp",
        ports: scene.configuration.relay_ports(),
    });
    let (udp, tcp) = scene.configuration.media_ports(&scene.host);
    for (transport, ports) in [("udp", udp), ("tcp", tcp)] {
        wanted.extend(ports.map(|ports| Wanted { transport, ports }));
    }
    wanted
}

fn judge(closed: &[&Wanted], filter: &str, fix: impl Fn(&Wanted) -> String) -> Finding {
    if closed.is_empty() {
        return Finding::ok(format!(
            "{filter} drops what it does not know, and has rules for the server's ports"
        ));
    }
    let names: Vec<String> = closed
        .iter()
        .map(|wanted| format!("{} {}", wanted.transport, wanted.range('-')))
        .collect();
    let fixes: Vec<String> = closed.iter().map(|wanted| fix(wanted)).collect();
    Finding::warning(
        format!(
            "{filter} drops what it does not know, and no rule was seen that accepts {}",
            names.join(", ")
        ),
        fixes.join("\n"),
    )
}

/// What an input chain with the policy to drop does not let in; `None` without
/// such a chain.
fn closed_by_nft<'a>(text: &str, wanted: &'a [Wanted]) -> Option<Vec<&'a Wanted>> {
    let ruleset: Value = serde_json::from_str(text).ok()?;
    let objects = ruleset.get("nftables")?.as_array()?;
    let closed_chains = objects
        .iter()
        .filter_map(|object| object.get("chain"))
        .filter(|chain| {
            chain.get("hook").and_then(Value::as_str) == Some("input")
                && chain.get("policy").and_then(Value::as_str) == Some("drop")
        })
        .count();
    if closed_chains == 0 {
        return None;
    }
    let accepting: Vec<&Vec<Value>> = objects
        .iter()
        .filter_map(|object| object.get("rule")?.get("expr")?.as_array())
        .filter(|expressions| expressions.iter().any(|part| part.get("accept").is_some()))
        .collect();
    let open = |wanted: &Wanted| {
        accepting
            .iter()
            .any(|expressions| accepts(expressions, wanted))
    };
    Some(wanted.iter().filter(|wanted| !open(wanted)).collect())
}

/// Whether a rule accepts these destination ports from anywhere.
fn accepts(expressions: &[Value], wanted: &Wanted) -> bool {
    let matches: Vec<(&Value, &Value)> = expressions
        .iter()
        .filter_map(|part| {
            let part = part.get("match")?;
            Some((part.get("left")?, part.get("right")?))
        })
        .collect();
    if matches.is_empty() {
        // Everything is accepted.
        return true;
    }
    matches.iter().any(|(left, right)| {
        let Some(payload) = left.get("payload") else {
            return false;
        };
        let protocol = payload.get("protocol").and_then(Value::as_str);
        payload.get("field").and_then(Value::as_str) == Some("dport")
            && (protocol == Some(wanted.transport) || protocol == Some("th"))
            && holds(right, &wanted.ports)
    })
}

/// Whether a value, range or set of nft's holds the ports.
fn holds(value: &Value, ports: &RangeInclusive<u16>) -> bool {
    let (first, last) = (u64::from(*ports.start()), u64::from(*ports.end()));
    if let Some(number) = value.as_u64() {
        return number == first && number == last;
    }
    if let Some(bounds) = value.get("range").and_then(Value::as_array) {
        let bound = |at: usize| bounds.get(at).and_then(Value::as_u64);
        return matches!((bound(0), bound(1)), (Some(from), Some(to)) if from <= first && to >= last);
    }
    let members = value.get("set").and_then(Value::as_array);
    members
        .into_iter()
        .flatten()
        .any(|member| holds(member, ports))
}

/// The same for what iptables-save prints.
fn closed_by_iptables<'a>(text: &str, wanted: &'a [Wanted]) -> Option<Vec<&'a Wanted>> {
    let filter = text.split("*filter").nth(1)?.split("COMMIT").next()?;
    let is_closed = filter
        .lines()
        .any(|line| line.starts_with(":INPUT DROP") || line.starts_with(":INPUT REJECT"))
        || filter
            .lines()
            .any(|line| line == "-A INPUT -j DROP" || line.starts_with("-A INPUT -j REJECT"));
    if !is_closed {
        return None;
    }
    let open = |wanted: &Wanted| {
        filter.lines().any(|line| {
            let accepts = line.ends_with("-j ACCEPT") || line.contains("-j ACCEPT ");
            if !accepts || !line.contains(&format!("-p {}", wanted.transport)) {
                return false;
            }
            let mut words = line.split_whitespace();
            if !words.any(|word| word == "--dport" || word == "--dports") {
                return false;
            }
            let ports = words.next().unwrap_or_default();
            ports.split(',').any(|entry| {
                let (from, to) = entry.split_once(':').unwrap_or((entry, entry));
                match (from.parse::<u16>(), to.parse::<u16>()) {
                    (Ok(from), Ok(to)) => {
                        from <= *wanted.ports.start() && to >= *wanted.ports.end()
                    }
                    _ => false,
                }
            })
        })
    };
    Some(wanted.iter().filter(|wanted| !open(wanted)).collect())
}

/// A full table drops the first packet of every new flow.
fn connection_tracking(scene: &Scene) -> Option<Finding> {
    let count = scene
        .host
        .number("/proc/sys/net/netfilter/nf_conntrack_count")?;
    let most = scene
        .host
        .number("/proc/sys/net/netfilter/nf_conntrack_max")?;
    if count.saturating_mul(5) < most.saturating_mul(4) {
        return None;
    }
    let key = "net.netfilter.nf_conntrack_max";
    Some(Finding::warning(
        format!(
            "connection tracking holds {count} of {most} flows; when it is full, new ones are dropped"
        ),
        format!(
            "sysctl -w {key}={}     (better: let the relay's ports pass untracked, nft … notrack)",
            most.saturating_mul(4)
        ),
    ))
}
