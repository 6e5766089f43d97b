//! TCP, TLS and DTLS: addresses, certificate, what is in front and behind.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::settings::Settings;

pub(super) fn streams(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    listeners(settings, found);
    certificate(settings, found);
    web(settings, found);
    limits(settings, found);
}

fn listeners(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    let listen = &settings.listen;
    for (key, addresses) in [
        ("listen.tcp", &listen.tcp),
        ("listen.tls", &listen.tls),
        ("listen.dtls", &listen.dtls),
    ] {
        if addresses.len() > 16 {
            found.push((key, "at most 16 addresses".to_owned()));
        }
        for address in addresses {
            if address.port() == 0 {
                found.push((key, format!("{address} has no port; clients must know it")));
            }
            if address.ip().is_multicast() {
                found.push((key, format!("{address} is a multicast address")));
            }
        }
    }
    let mut seen = HashSet::new();
    for (key, address) in [("listen.tcp", &listen.tcp), ("listen.tls", &listen.tls)]
        .into_iter()
        .flat_map(|(key, list)| list.iter().map(move |address| (key, address)))
    {
        if !seen.insert(address) {
            found.push((
                key,
                format!(
                    "{address} stands twice; TCP addresses understand TLS too, name it in one list"
                ),
            ));
        }
    }
    let mut seen = HashSet::new();
    for address in &listen.dtls {
        if !seen.insert(address) {
            found.push(("listen.dtls", format!("{address} stands twice")));
        }
        if is_udp(settings, address) {
            found.push((
                "listen.dtls",
                format!("{address} is a UDP address already; DTLS needs a port of its own"),
            ));
        }
    }
    let media = &settings.media;
    if let Some(address) = (listen.tcp.iter().chain(&listen.tls))
        .find(|address| media.enabled && address.port() == media.tcp)
    {
        found.push((
            "media.tcp",
            format!(
                "port {} is that of {address}; media needs a port of its own",
                media.tcp
            ),
        ));
    }
    let metrics = settings.metrics.listen;
    if let Some(address) = metrics.filter(|address| seen_tcp(settings, address)) {
        found.push((
            "metrics.listen",
            format!("{address} is a TCP or TLS address; metrics need a port of their own"),
        ));
    }
}

fn is_udp(settings: &Settings, address: &SocketAddr) -> bool {
    match &settings.listen.udp {
        Some(udp) => udp.contains(address),
        None => address.port() == 3478,
    }
}

fn seen_tcp(settings: &Settings, address: &SocketAddr) -> bool {
    settings.listen.tcp.contains(address) || settings.listen.tls.contains(address)
}

fn certificate(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    let tls = &settings.tls;
    let wanted = if !settings.listen.tls.is_empty() {
        Some("listen.tls")
    } else if !settings.listen.dtls.is_empty() {
        Some("listen.dtls")
    } else {
        None
    };
    match (&tls.certificate, &tls.key, wanted) {
        (None, None, Some(key)) => found.push((
            key,
            "needs a certificate: set tls.certificate and tls.key. For a trial, `openssl req -x509 -newkey ec -pkeyopt \
             ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=turn.example.org -keyout tls.key -out tls.crt` makes a pair"
                .to_owned(),
        )),
        (Some(_), None, _) => found.push((
            "tls.certificate",
            "needs its private key: set tls.key".to_owned(),
        )),
        (None, Some(_), _) => found.push((
            "tls.key",
            "needs its certificate: set tls.certificate".to_owned(),
        )),
        _ => {}
    }
}

fn web(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    let tls = &settings.tls;
    for (key, address) in [
        ("tls.backend", tls.backend),
        ("tls.passthrough", tls.passthrough),
    ] {
        let Some(address) = address else { continue };
        if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
            found.push((
                key,
                format!("{address} cannot be connected to; name the web server's address and port"),
            ));
        }
        if seen_tcp(settings, &address) {
            found.push((
                key,
                format!("{address} is our own address: connections would run in a circle"),
            ));
        }
    }
    if tls.passthrough.is_some() && tls.names.is_empty() {
        found.push((
            "tls.passthrough",
            "has no use while every name is ours; list ours in tls.names".to_owned(),
        ));
    }
    if tls.backend_http2 && tls.backend.is_none() {
        found.push((
            "tls.backend_http2",
            "has no use without tls.backend".to_owned(),
        ));
    }
    if tls.names.len() > 64 {
        found.push(("tls.names", "at most 64 names".to_owned()));
    }
    for name in &tls.names {
        let good = (1..=253).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        if !good {
            found.push((
                "tls.names",
                format!("{name:?} is not a host name like \"turn.example.org\""),
            ));
        }
    }
    if !(Duration::from_secs(1)..=Duration::from_secs(24 * 3600)).contains(&tls.backend_idle) {
        found.push((
            "tls.backend_idle",
            "must lie between 1s and 1day".to_owned(),
        ));
    }
}

fn limits(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    let limits = &settings.limits;
    for (key, value, most) in [
        ("limits.streams", limits.streams, 1_000_000),
        (
            "limits.handshakes_per_second",
            limits.handshakes_per_second,
            1_000_000,
        ),
        (
            "limits.handshakes_per_source",
            limits.handshakes_per_source,
            1_000_000,
        ),
        ("limits.half_open", limits.half_open, 100_000),
        (
            "limits.half_open_per_source",
            limits.half_open_per_source,
            100_000,
        ),
        ("limits.web_connections", limits.web_connections, 100_000),
    ] {
        if !(1..=most).contains(&value) {
            found.push((key, format!("must lie between 1 and {most}")));
        }
    }
    if limits.handshakes_per_source > limits.handshakes_per_second {
        found.push((
            "limits.handshakes_per_source",
            "exceeds limits.handshakes_per_second".to_owned(),
        ));
    }
    if limits.half_open_per_source > limits.half_open {
        found.push((
            "limits.half_open_per_source",
            "exceeds limits.half_open".to_owned(),
        ));
    }
    let timeout = limits.handshake_timeout;
    if !(Duration::from_secs(1)..=Duration::from_secs(60)).contains(&timeout) {
        found.push((
            "limits.handshake_timeout",
            "must lie between 1s and 1min".to_owned(),
        ));
    }
}
