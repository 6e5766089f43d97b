//! 300 (Try Alternate) with coturn's client, which goes where it is sent.

mod server;

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use server::{PEER, Peer, Server, Setup, USER, installed, wait_for};

const ANN: [&str; 4] = ["-u", USER.0, "-w", USER.1];

/// A server that sends clients to another.
fn sending_to(other: &Server, when: &str) -> Setup {
    let setup = Setup::new();
    let Setup { address, port, .. } = &other.setup;
    let config = format!(
        "{}[redirect]\nservers = [\"{address}:{port}\"]\nwhen = \"{when}\"\n",
        setup.config()
    );
    setup.write("turnd.toml", &config, 0o644);
    setup
}

/// Whether ten packets come back to a client that knows this server.
fn relays(server: &Server) -> bool {
    let echo = Peer::start(PEER);
    let (address, port) = (server.setup.address.to_string(), echo.port.to_string());
    let output = installed(
        Command::new("turnutils_uclient")
            .args(["-p", &server.setup.port.to_string()])
            .args(ANN)
            .args(["-c", "-X", "-n", "10", "-z", "5"])
            .args(["-e", PEER, "-r", &port, &address])
            .output(),
    );
    String::from_utf8_lossy(&output.stdout).contains("tot_send_msgs=10, tot_recv_msgs=10")
}

fn counts(server: &Server) -> [f64; 3] {
    [
        server.metric("forebay_allocations_redirected_total"),
        server.metric("forebay_allocations_created_total"),
        server.metric("forebay_relayed_packets_total"),
    ]
}

#[test]
fn clients_are_served_where_they_are_sent() {
    let other = Setup::new().start();
    let first = sending_to(&other, "always").start();
    assert!(relays(&first), "{}", first.log());
    let [redirected, created, relayed] = counts(&first);
    assert!(redirected >= 1.0 && created == 0.0 && relayed == 0.0);
    let [redirected, created, relayed] = counts(&other);
    assert!(redirected == 0.0 && created >= 1.0 && relayed >= 20.0);
}

#[test]
fn a_draining_server_sends_its_clients_on() {
    let other = Setup::new().start();
    let mut first = sending_to(&other, "draining").start();
    assert!(relays(&first), "{}", first.log());
    let [redirected, created, _] = counts(&first);
    assert!(redirected == 0.0 && created >= 1.0);

    let address = first.setup.address.to_string();
    let mut live = installed(
        Command::new("turnutils_uclient")
            .args(["-p", &first.setup.port.to_string()])
            .args(ANN)
            .args(["-y", "-c", "-X", "-n", "10000", "-z", "5", &address])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn(),
    );
    assert!(wait_for(|| first.metric("forebay_allocations") >= 2.0));
    first.signal(Signal::SIGTERM);
    assert!(wait_for(|| {
        first
            .http("/readyz")
            .is_some_and(|answer| answer.contains("draining"))
    }));
    assert!(relays(&first), "{}", first.log());
    let [redirected, ..] = counts(&first);
    assert!(redirected >= 1.0);
    assert!(first.is_running(), "live ones go on");
    live.kill().expect("killed");
    live.wait().expect("waited");
}
