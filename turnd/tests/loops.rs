//! Packets that could go round for ever: the server is no peer of its own
//! clients, and what it relays starts with a hop limit of its own.

mod server;

use std::fs;
use std::io::Read;
use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::Duration;

use server::{PEER, Setup, USER, installed};
use socket2::{Domain, Protocol, Socket, Type};

/// What peers here send with: seven routers and no more.
const HOPS: u8 = 7;

#[test]
fn a_relay_is_no_way_into_the_server() {
    let server = Setup::new().start();
    let (address, port) = (
        server.setup.address.to_string(),
        server.setup.port.to_string(),
    );
    // All of 127.0.0.0/8 is allowed here, and so is every other port of the
    // same address.
    for mode in ["-X", "-s"] {
        let output = installed(
            Command::new("timeout")
                .args(["4", "turnutils_uclient", "-u", USER.0, "-w", USER.1])
                .args(["-c", "-X", mode, "-n", "2", "-p", &port])
                .args(["-e", &address, "-r", &port, &address])
                .output(),
        );
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(!told.contains("tot_recv_msgs=2"), "{mode}: {told}");
    }
    assert_eq!(server.metric("forebay_relayed_packets_total"), 0.0);
    assert!(server.metric("forebay_allocations_created_total") >= 1.0);
}

/// Datagrams on this host with their hop limit, source and destination port.
struct Sniffer(Socket);

impl Sniffer {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP));
        let socket = socket.expect("a raw socket: run the tests as root");
        socket
            .set_read_timeout(Some(Duration::from_millis(500)))
            .expect("a timeout");
        Self(socket)
    }

    /// What has come, until nothing does.
    fn seen(&self) -> Vec<(u8, u16, u16)> {
        let mut all = Vec::new();
        let mut bytes = [0; 2048];
        while let Ok(28..) = (&self.0).read(&mut bytes) {
            let header = usize::from(bytes[0] & 15) * 4;
            let port = |at: usize| u16::from_be_bytes([bytes[header + at], bytes[header + at + 1]]);
            all.push((bytes[8], port(0), port(2)));
        }
        all
    }
}

#[test]
fn the_hop_limit_is_the_hosts_own() {
    let server = Setup::new().start();
    let peer = UdpSocket::bind((PEER, 0)).expect("a socket");
    peer.set_ttl(HOPS.into()).expect("a hop limit");
    let at = peer.local_addr().expect("an address").port();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = peer.recv_from(&mut buffer) {
            let _ = peer.send_to(&buffer[..length], from);
        }
    });
    let sniffer = Sniffer::new();
    let output = installed(
        Command::new("timeout")
            .args(["30", "turnutils_uclient", "-u", USER.0, "-w", USER.1])
            .args(["-c", "-X", "-n", "10", "-z", "5"])
            .args(["-p", &server.setup.port.to_string()])
            .args(["-e", PEER, "-r", &at.to_string()])
            .arg(server.setup.address.to_string())
            .output(),
    );
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("Total lost packets 0 "), "{told}");
    let usual = fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").expect("readable");
    let usual: u8 = usual.trim().parse().expect("a number");
    let seen = sniffer.seen();
    let hops = |wanted: &dyn Fn(u16, u16) -> bool| -> Vec<u8> {
        let matching = seen.iter().filter(|(_, from, to)| wanted(*from, *to));
        matching.map(|(hops, ..)| *hops).collect()
    };
    let of_peer = hops(&|from, _| from == at);
    assert!(!of_peer.is_empty() && of_peer.iter().all(|hops| *hops == HOPS));
    let to_client = hops(&|from, _| from == server.setup.port);
    assert!(!to_client.is_empty() && to_client.iter().all(|hops| *hops == usual));
    let to_peer = hops(&|_, to| to == at);
    assert!(!to_peer.is_empty() && to_peer.iter().all(|hops| *hops == usual));
}
