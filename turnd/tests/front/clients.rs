//! Debian's coturn client over TCP, TLS and DTLS, in every mode that works
//! against coturn itself: every packet comes back, and every byte.

use crate::server::uclient::{self, Run};
use crate::{Place, Running};

/// Runs the client with each line of flags against a port.
fn each(running: &Running, runs: &[(u16, usize, &str)]) {
    let ip = running.ip.to_string();
    let runs: Vec<Run<'_>> = runs
        .iter()
        .map(|&(port, packets, flags)| Run {
            host: &ip,
            port,
            flags,
            packets,
        })
        .collect();
    let failed = uclient::all_come_back(&runs);
    assert!(failed.is_empty(), "{failed}{}", running.server.log());
}

/// Ten packets over a transport (its flags) and a port.
pub(crate) fn ten_come_back(running: &Running, port: u16, transport: &str) {
    each(running, &[(port, 10, &format!("{transport} -c -X -n 10"))]);
}

#[test]
fn turn_over_every_transport() {
    let running = Place::new().start("", "");
    for (transport, port, flags) in [
        ("tcp", running.tcp, "-t"),
        ("tls", running.tls, "-t -S"),
        ("dtls", running.dtls, "-S"),
    ] {
        let with = |mode: &str| format!("{flags} {mode}");
        each(
            &running,
            &[
                (port, 20, &with("-c -X -n 20")),
                (port, 20, &with("-c -X -n 20 -s")),
                (port, 20, &with("-c -X -n 20 -l 1300")),
                (port, 20, &with("-c -x -n 20")),
                // RTP and RTCP, whose connections differ.
                (port, 20, &with("-X -n 10")),
                (port, 20, &with("-X -n 10 -s")),
            ],
        );
        let line = format!("forebay_connections_adopted_total{{transport=\"{transport}\"}}");
        assert!(
            running.counted(&line) >= 8.0,
            "{}",
            running.server.metrics()
        );
    }
    for refused in ["workers", "unknown", "timeout"] {
        let line = format!("forebay_connections_refused_total{{reason=\"{refused}\"}}");
        assert_eq!(running.counted(&line), 0.0, "{refused}");
    }
}

/// From one connection's allocation to another's.
#[test]
fn clients_through_each_other() {
    let running = Place::new().start("", "");
    each(
        &running,
        &[
            (running.tcp, 40, "-t -y -X -n 10"),
            (running.tcp, 40, "-t -y -X -n 10 -s"),
            (running.tls, 20, "-t -S -y -c -X -n 10"),
            (running.dtls, 20, "-S -y -c -X -n 10"),
        ],
    );
}

/// Which of the two a client speaks is seen from its first byte.
#[test]
fn tls_on_a_tcp_address_and_the_other_way_round() {
    let running = Place::new().start("", "");
    each(
        &running,
        &[
            (running.tcp, 10, "-t -S -c -X -n 10"),
            (running.tls, 10, "-t -c -X -n 10"),
        ],
    );
}

#[test]
fn fifty_clients_at_once_over_each() {
    let running = Place::new().start("", "");
    each(
        &running,
        &[
            (running.tcp, 500, "-t -c -X -m 50 -n 10"),
            (running.tls, 500, "-t -S -c -X -m 50 -n 10"),
            (running.dtls, 500, "-S -c -X -m 50 -n 10"),
        ],
    );
}
