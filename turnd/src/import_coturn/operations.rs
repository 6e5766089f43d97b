//! Logs, metrics, and what shares the ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::work::Work;

const METRICS_PORT: u16 = 9641;

pub(super) fn translate(work: &mut Work<'_>) {
    log(work);
    metrics(work);
    if let Some(line) = work.last("tcp-proxy-port") {
        work.refuse(
            line,
            "The PROXY protocol is understood on every TCP and TLS address, from load balancers that are named; coturn takes it from anyone.",
            "remove the line; after the import, add the port to listen.tcp and the load balancer's network to proxy_protocol.from.",
        );
    }
    if let Some(line) = work.on("respond-http-unsupported") {
        work.unneeded(line, "HTTP on a TURN port is answered with a plain word.");
    }
    if let Some(line) = work.last("acme-redirect") {
        if work.value(line).is_empty() {
            work.unneeded(line, "Switched off.");
        } else {
            work.refuse(
                line,
                "HTTP is not redirected.",
                "let an HTTP server answer the challenges on port 80, or renew by DNS; remove the line. A renewed certificate is picked up by itself.",
            );
        }
    }
}

fn log(work: &mut Work<'_>) {
    if let Some(line) = work.on("verbose") {
        work.unneeded(
            line,
            "What it adds in coturn is at log.level \"info\", the default, or in `forebay status`.",
        );
    }
    let extra = work.on("Verbose");
    let named = work.last("log-min-level");
    if let Some(line) = named {
        let level = match work.value(line).to_ascii_lowercase().as_str() {
            "debug" => Some("debug"),
            "info" => Some("info"),
            "warn" | "warning" => Some("warn"),
            "error" => Some("error"),
            _ => None,
        };
        match level {
            Some(level) => work.set(&[line], "log.level", level),
            None => work.refuse(
                line,
                "The value is none of debug, info, warning and error.",
                "write one of them.",
            ),
        }
    }
    if let Some(line) = extra {
        if named.is_some() {
            work.unneeded(line, "log-min-level says it.");
        } else {
            work.set(&[line], "log.level", "debug");
        }
    }
}

fn metrics(work: &mut Work<'_>) {
    let enabled = work.on("prometheus");
    let port = work.parsed::<u16>("prometheus-port", "a port between 1 and 65535");
    let address_line = work.last("prometheus-address");
    let path = work.last("prometheus-path");
    let Some(enabled) = enabled else {
        for line in [port.map(|(line, _)| line), address_line, path]
            .into_iter()
            .flatten()
        {
            work.unneeded(line, "Metrics are off without prometheus.");
        }
        return;
    };
    let mut lines = vec![enabled];
    let number = match port {
        Some((line, 0)) => {
            work.refuse(
                line,
                "Port 0 is not known to anyone.",
                "write prometheus-port=9641.",
            );
            METRICS_PORT
        }
        Some((line, number)) => {
            lines.push(line);
            number
        }
        None => METRICS_PORT,
    };
    let ip = match address_line {
        None if work.around.ipv6 => Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        None => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Some(line) => {
            lines.push(line);
            work.address_at(line)
        }
    };
    if let Some(ip) = ip {
        if ip.is_unspecified() {
            work.note(
                enabled,
                "Served on every address, as coturn does: keep the port away from the public, or name a private address.",
            );
        }
        work.set(
            &lines,
            "metrics.listen",
            SocketAddr::new(ip, number).to_string(),
        );
    }
    if let Some(line) = path {
        if work.value(line) == "/metrics" {
            work.unneeded(line, "The path is /metrics.");
        } else {
            work.refuse(
                line,
                "Metrics are served at /metrics alone.",
                "change the path in the scrape configuration; remove the line.",
            );
        }
    }
    work.differs(
        "Metrics have other names (forebay_…) and are live, not counted at the end of a session: dashboards have to be changed.",
    );
}
