//! Clients that no one here wrote: every packet comes back.

use std::process::Command;

use crate::server::{PEER, Peer, USER, installed};
use crate::{Place, Running};

/// Runs coturn's client over a transport, against an echo peer, and holds it
/// to its word.
pub(crate) fn all_come_back(running: &Running, port: u16, packets: usize, arguments: &[&str]) {
    let echo = Peer::start(PEER);
    let (peer_port, port) = (echo.port.to_string(), port.to_string());
    let ip = running.ip.to_string();
    let mut all = vec![
        "-p", &port, "-u", USER.0, "-w", USER.1, "-c", "-X", "-z", "5", "-e", PEER, "-r",
        &peer_port,
    ];
    all.extend(arguments);
    all.push(&ip);
    // Over DTLS the client throws a coin for each session which version it
    // speaks, one of them a version that nobody should (RFC 8996), and then
    // waits for ever.
    let over_dtls = arguments.contains(&"-S") && !arguments.contains(&"-t");
    let (attempts, seconds) = if over_dtls { (10, "12") } else { (1, "60") };
    let expected = format!("tot_send_msgs={packets}, tot_recv_msgs={packets}");
    let mut text = String::new();
    let came_back = (0..attempts).any(|_| {
        let output = installed(
            Command::new("timeout")
                .args([seconds, "turnutils_uclient"])
                .args(&all)
                .output(),
        );
        text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains(&expected) && text.contains("Total lost packets 0 ")
    });
    assert!(
        came_back,
        "{arguments:?}: {}\n{}",
        text.lines().rev().take(8).collect::<Vec<_>>().join("\n"),
        running.server.log()
    );
}

#[test]
fn turn_over_every_transport() {
    let running = Place::new().start("", "");
    for (transport, port, flags) in [
        ("tcp", running.tcp, &["-t"][..]),
        ("tls", running.tls, &["-t", "-S"]),
        ("dtls", running.dtls, &["-S"]),
    ] {
        for mode in [&["-n", "20"][..], &["-n", "20", "-s"]] {
            all_come_back(&running, port, 20, &[flags, mode].concat());
        }
        let line = format!("forebay_connections_adopted_total{{transport=\"{transport}\"}}");
        assert!(
            running.counted(&line) >= 2.0,
            "{}",
            running.server.metrics()
        );
    }
    for refused in ["workers", "unknown", "timeout"] {
        let line = format!("forebay_connections_refused_total{{reason=\"{refused}\"}}");
        assert_eq!(running.counted(&line), 0.0, "{refused}");
    }
}

/// Which of the two a client speaks is seen from its first byte.
#[test]
fn tls_on_a_tcp_address_and_the_other_way_round() {
    let running = Place::new().start("", "");
    all_come_back(&running, running.tcp, 10, &["-t", "-S", "-n", "10"]);
    all_come_back(&running, running.tls, 10, &["-t", "-n", "10"]);
}

#[test]
fn ten_clients_at_once_over_each() {
    let running = Place::new().start("", "");
    for (port, flags) in [(running.tcp, &["-t"][..]), (running.tls, &["-t", "-S"])] {
        let load = [flags, &["-m", "10", "-n", "10"]].concat();
        all_come_back(&running, port, 100, &load);
    }
}
