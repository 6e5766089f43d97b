//! Debian's coturn clients through the running server, in every mode that
//! works against coturn itself: every packet comes back, and every byte.

mod server;

use std::process::Command;

use server::uclient::{Run, all_come_back};
use server::{SECRET, Server, Setup, installed};

/// Runs the client with each line of flags against the server's IPv4 address,
/// or against `::1` where the line ends in `6`.
fn each(server: &Server, runs: &[(usize, &str)]) {
    let address = server.setup.address.to_string();
    let runs: Vec<Run<'_>> = runs
        .iter()
        .map(|(packets, flags)| {
            let (host, flags) = match flags.strip_suffix(" 6") {
                Some(flags) => ("::1", flags),
                None => (&*address, *flags),
            };
            Run {
                host,
                port: server.setup.port,
                flags,
                packets: *packets,
            }
        })
        .collect();
    let failed = all_come_back(&runs);
    assert!(failed.is_empty(), "{failed}{}", server.log());
}

#[test]
fn a_binding_shows_the_client_its_address() {
    let server = Setup::new().start();
    for address in [server.setup.address.to_string(), "::1".to_owned()] {
        let output = installed(
            Command::new("turnutils_stunclient")
                .args(["-p", &server.setup.port.to_string(), &address])
                .output(),
        );
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("UDP reflexive addr"), "{address}: {text}");
    }
}

#[test]
fn channels_and_send_indications() {
    let server = Setup::new().start();
    each(
        &server,
        &[
            (10, "-c -X -n 10"),
            (10, "-c -X -n 10 -s"),
            // Channel data that is padded, which UDP does not need.
            (10, "-c -X -n 10 -D -l 101"),
            // Permissions and channels asked for again and again.
            (10, "-c -X -n 10 -G"),
            (10, "-c -X -n 10 -l 1300"),
            (10, "-c -X -n 10 -l 1300 -s"),
        ],
    );
    assert!(server.metric("forebay_relayed_packets_total") >= 120.0);
}

/// DONT-FRAGMENT in Allocate and in every Send indication.
#[test]
fn without_fragments() {
    let server = Setup::new().start();
    each(
        &server,
        &[
            (10, "-g -c -X -n 10"),
            (10, "-g -c -X -n 10 -s"),
            (10, "-g -c -x -n 10 -s 6"),
            (40, "-g -y -X -n 10 -s"),
        ],
    );
}

#[test]
fn every_pair_of_families() {
    let server = Setup::new().start();
    each(
        &server,
        &[
            (10, "-c -x -n 10"),
            (10, "-c -x -n 10 -s"),
            (10, "-c -x -n 10 6"),
            (10, "-c -X -n 10 6"),
            (10, "-c -X -n 10 -s 6"),
        ],
    );
}

/// RTP and RTCP: an even port, and the next one by its token.
#[test]
fn pairs_of_ports() {
    let server = Setup::new().start();
    each(
        &server,
        &[
            (20, "-X -n 10"),
            (20, "-X -n 10 -s"),
            (40, "-X -n 10 -m 4"),
            (20, "-x -n 10"),
            (20, "-X -n 10 6"),
        ],
    );
}

/// From one allocation to another, ports in pairs and singly.
#[test]
fn clients_through_each_other() {
    let server = Setup::new().start();
    each(
        &server,
        &[
            (40, "-y -X -n 10"),
            (40, "-y -X -n 10 -s"),
            (20, "-y -c -X -n 10"),
            (20, "-y -c -X -n 10 -s"),
            (40, "-y -X -n 10 -m 4"),
            (40, "-y -x -n 10 6"),
        ],
    );
}

/// The client changes its port after it has allocated and takes the allocation
/// along.
#[test]
fn mobility() {
    let setup = Setup::new();
    let config = setup.config();
    let config = config.replace("[auth]\n", "[auth]\nmobility = true\n");
    setup.write("turnd.toml", &config, 0o644);
    let server = setup.start();
    each(
        &server,
        &[
            (10, "-M -c -X -n 10"),
            (10, "-M -c -X -n 10 -s"),
            (10, "-M -c -x -n 10"),
            (40, "-M -X -n 10 -m 4"),
            (40, "-M -y -X -n 10"),
        ],
    );
}

#[test]
fn rest_credentials() {
    let server = Setup::new().start();
    each(&server, &[(5, &format!("-u bob -W {SECRET} -c -X -n 5"))]);
}

#[test]
fn fifty_clients_at_once() {
    let server = Setup::new().start();
    each(
        &server,
        &[
            (1000, "-c -X -m 50 -n 20"),
            (1000, "-X -m 50 -n 20"),
            (1000, "-y -c -X -m 50 -n 20"),
        ],
    );
    assert_eq!(
        server.metric("forebay_packets_dropped_total"),
        0.0,
        "{}",
        server.metrics()
    );
}
