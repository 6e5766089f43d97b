//! Debian's coturn clients through the running server: every packet comes back.

mod server;

use std::process::Command;

use server::{PEER, Peer, SECRET, Server, Setup, USER, installed};

/// Runs the client against an echo peer and holds it to its word. `client` and
/// `peer` are the addresses to talk to.
fn all_come_back(server: &Server, packets: usize, client: &str, peer: &str, arguments: &[&str]) {
    let echo = Peer::start(peer);
    let port = echo.port.to_string();
    let mut all = vec!["-c", "-z", "5", "-e", peer, "-r", &port];
    all.extend(arguments);
    all.push(client);
    let output = server.uclient(&all);
    let text = String::from_utf8_lossy(&output.stdout);
    let expected = format!("tot_send_msgs={packets}, tot_recv_msgs={packets}");
    assert!(
        text.contains(&expected) && text.contains("Total lost packets 0 "),
        "{arguments:?}: {}\n{}",
        text.lines().rev().take(8).collect::<Vec<_>>().join("\n"),
        server.log()
    );
}

const ANN: [&str; 4] = ["-u", USER.0, "-w", USER.1];

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
    let address = server.setup.address.to_string();
    for mode in [&["-X", "-n", "10"][..], &["-X", "-n", "10", "-s"]] {
        all_come_back(&server, 10, &address, PEER, &[&ANN, mode].concat());
    }
    assert!(server.metric("forebay_relayed_packets_total") >= 40.0);
}

#[test]
fn every_pair_of_families() {
    let server = Setup::new().start();
    let address = server.setup.address.to_string();
    for (client, peer, family) in [
        (&*address, "::1", "-x"),
        ("::1", "::1", "-x"),
        ("::1", PEER, "-X"),
    ] {
        all_come_back(
            &server,
            10,
            client,
            peer,
            &[&ANN[..], &[family, "-n", "10"]].concat(),
        );
    }
}

#[test]
fn rest_credentials() {
    let server = Setup::new().start();
    let address = server.setup.address.to_string();
    all_come_back(
        &server,
        5,
        &address,
        PEER,
        &["-u", "bob", "-W", SECRET, "-X", "-n", "5"],
    );
}

#[test]
fn two_clients_through_each_other() {
    let server = Setup::new().start();
    let address = server.setup.address.to_string();
    let output = server.uclient(
        &[
            &ANN[..],
            &["-y", "-c", "-X", "-n", "10", "-z", "5", &address],
        ]
        .concat(),
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("tot_send_msgs=20, tot_recv_msgs=20"),
        "{text}"
    );
}

#[test]
fn fifty_clients_at_once() {
    let server = Setup::new().start();
    let address = server.setup.address.to_string();
    all_come_back(
        &server,
        1000,
        &address,
        PEER,
        &[&ANN[..], &["-X", "-m", "50", "-n", "20"]].concat(),
    );
    assert_eq!(
        server.metric("forebay_packets_dropped_total"),
        0.0,
        "{}",
        server.metrics()
    );
}
