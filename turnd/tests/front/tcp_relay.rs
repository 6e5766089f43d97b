//! TCP between server and peers (RFC 6062), by coturn's client: each client
//! connects to another's relayed address, over TCP or TLS, and every message
//! comes back. What counts as passing is what coturn's own server shows: as
//! many received as sent, none lost.

use std::process::Command;

use crate::server::uclient::said;
use crate::server::{USER, installed, wait_for};
use crate::{Place, Running};

/// An even number of clients, each with so many messages to its neighbour.
fn all_come_back(running: &Running, port: u16, clients: usize, messages: usize, flags: &[&str]) {
    let (port, clients_text) = (port.to_string(), clients.to_string());
    let (messages_text, ip) = (messages.to_string(), running.ip.to_string());
    let text = said(|| {
        let mut command = Command::new("timeout");
        command
            .args(["90", "turnutils_uclient", "-T", "-p", &port])
            .args(["-u", USER.0, "-w", USER.1, "-z", "5"])
            .args(["-m", &clients_text, "-n", &messages_text])
            .args(flags)
            .arg(&ip);
        command
    });
    let all = clients * messages;
    let expected = format!("tot_send_msgs={all}, tot_recv_msgs={all}");
    assert!(
        text.contains(&expected) && text.contains("Total lost packets 0 "),
        "{flags:?}: {}\n{}",
        text.lines().rev().take(8).collect::<Vec<_>>().join("\n"),
        running.server.log()
    );
}

/// Nothing is left: connections, allocations, ports.
fn all_is_over(running: &Running) {
    for gauge in [
        "forebay_peer_connections",
        "forebay_peer_connections_bound",
        "forebay_allocations",
        "forebay_streams",
    ] {
        assert!(
            wait_for(|| running.server.metric(gauge) == 0.0),
            "{gauge}: {}",
            running.server.metrics()
        );
    }
}

#[test]
fn over_tcp_and_over_tls() {
    let running = Place::new().start("", "");
    for (port, flags) in [(running.tcp, &["-t"][..]), (running.tls, &["-t", "-S"])] {
        all_come_back(&running, port, 2, 20, flags);
        all_come_back(&running, port, 2, 20, &[flags, &["-l", "1400"]].concat());
    }
    // Each of four runs moved twenty messages of two ends to a peer each.
    assert!(
        running
            .server
            .metric("forebay_peer_connections_opened_total")
            >= 8.0
    );
    assert!(running.server.metric("forebay_relayed_bytes_total") >= 2.0 * 40.0 * 1500.0);
    all_is_over(&running);
}

#[test]
fn twenty_clients_at_once() {
    at_once(20);
}

/// `cargo test -p forebay-turnd --test front fifty_clients -- --ignored`
#[test]
#[ignore = "half a minute of both cores, which coturn's client wants for itself"]
fn fifty_clients_at_once() {
    at_once(50);
}

/// Each of them connects to each other, so fifty have 1225 connections with two
/// ends and two data connections each, all from one address and at once.
fn at_once(clients: usize) {
    let place = Place::new();
    place.write("", "");
    let config = std::fs::read_to_string(place.setup.path("turnd.toml")).expect("read");
    let limits = "[limits]\nstreams = 12288\nhandshakes_per_second = 5000\n\
                  handshakes_per_source = 5000\nhalf_open_per_source = 4096\n";
    let config = config.replacen("[limits]\n", limits, 1);
    place.setup.write("turnd.toml", &config, 0o644);
    let running = place.run();
    all_come_back(&running, running.tcp, clients, 10, &["-t"]);
    // Two and a half thousand handshakes would take the client too long.
    all_come_back(&running, running.tls, 10, 10, &["-t", "-S"]);
    all_is_over(&running);
    for refused in ["workers", "unknown", "timeout"] {
        let line = format!("forebay_connections_refused_total{{reason=\"{refused}\"}}");
        assert_eq!(running.counted(&line), 0.0, "{refused}");
    }
}

#[test]
fn not_where_it_is_switched_off() {
    let place = Place::new();
    place.write("", "");
    let config = std::fs::read_to_string(place.setup.path("turnd.toml")).expect("read");
    let config = config.replacen("ready = 64\n", "ready = 64\ntcp = false\n", 1);
    place.setup.write("turnd.toml", &config, 0o644);
    let running = place.run();
    let port = running.tcp.to_string();
    let output = installed(
        Command::new("timeout")
            .args(["10", "turnutils_uclient", "-T", "-t", "-p", &port])
            .args(["-u", USER.0, "-w", USER.1, "-n", "1", "-m", "1"])
            .arg(running.ip.to_string())
            .output(),
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("Total lost packets 0 "), "{text}");
    assert_eq!(
        running.server.metric("forebay_allocations_created_total"),
        0.0
    );
}
