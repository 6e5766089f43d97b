//! Behind a load balancer that speaks the PROXY protocol.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::Place;
use crate::clients::ten_come_back;
use crate::server::wait_for;

/// Where load balancers come from.
const FROM: Ipv4Addr = Ipv4Addr::new(127, 90, 0, 2);
/// The client they tell of.
const CLIENT: &str = "203.0.113.5";
const CLIENT_PORT: u16 = 4444;

const BOTH: [fn(SocketAddr) -> Vec<u8>; 2] = [v1, v2];

fn v1(to: SocketAddr) -> Vec<u8> {
    let (ip, port) = (to.ip(), to.port());
    format!("PROXY TCP4 {CLIENT} {ip} {CLIENT_PORT} {port}\r\n").into_bytes()
}

fn v2(to: SocketAddr) -> Vec<u8> {
    let IpAddr::V4(ip) = to.ip() else {
        unreachable!("the server under test listens on IPv4");
    };
    let client: Ipv4Addr = CLIENT.parse().expect("an address");
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    // Addresses, and an extension nobody here knows.
    header.extend(17_u16.to_be_bytes());
    header.extend(client.octets());
    header.extend(ip.octets());
    header.extend(CLIENT_PORT.to_be_bytes());
    header.extend(to.port().to_be_bytes());
    header.extend([0xE0, 0, 2, 1, 2]);
    header
}

fn connect_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::from((from, 0)).into())
        .expect("bound");
    socket.connect(&to.into()).expect("connected");
    let stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    stream
}

/// A load balancer on a port of the server's own address.
fn balancer(to: SocketAddr, header: fn(SocketAddr) -> Vec<u8>) -> u16 {
    let listener = TcpListener::bind((to.ip(), 0)).expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut server = connect_from(FROM, to);
            server.set_read_timeout(None).expect("no timeout");
            server.write_all(&header(to)).expect("written");
            let pairs = [
                (
                    client.try_clone().expect("cloned"),
                    server.try_clone().expect("cloned"),
                ),
                (server, client),
            ];
            for (mut from, mut to) in pairs {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    port
}

fn proxies() -> String {
    format!("[proxy_protocol]\nfrom = [\"{FROM}\"]\n")
}

#[test]
fn turn_comes_through_with_a_header_before_tcp_and_tls() {
    let running = Place::new().start("", &proxies());
    for header in BOTH {
        for (to, flags) in [(running.tcp(), "-t"), (running.tls(), "-t -S")] {
            let port = balancer(to, header);
            ten_come_back(&running, port, flags);
        }
    }
    // And without one from anywhere else.
    ten_come_back(&running, running.tcp, "-t");
}

#[test]
fn a_client_is_told_the_address_of_the_header() {
    let running = Place::new().start("", &proxies());
    for header in BOTH {
        let mut stream = connect_from(FROM, running.tcp());
        let mut request = header(running.tcp());
        request.extend([0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42]);
        request.extend([7; 12]);
        // Header and request arrive byte by byte.
        for byte in request {
            stream.write_all(&[byte]).expect("written");
        }
        let mut answer = [0; 32];
        stream.read_exact(&mut answer).expect("an answer");
        let port = u16::from_be_bytes([answer[26], answer[27]]) ^ 0x2112;
        let ip = u32::from_be_bytes([answer[28], answer[29], answer[30], answer[31]]) ^ 0x2112_A442;
        assert_eq!(
            (Ipv4Addr::from(ip).to_string().as_str(), port),
            (CLIENT, CLIENT_PORT)
        );
    }
}

/// The connection ends and nothing is answered.
fn is_refused(mut stream: TcpStream, sent: &[u8]) -> bool {
    let _ = stream.write_all(sent);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer.is_empty()
}

#[test]
fn a_header_is_needed_from_there_and_refused_from_elsewhere() {
    let running = Place::new().start("", &proxies());
    let to = running.tcp();
    let mut binding = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    binding.extend([7; 12]);
    assert!(is_refused(connect_from(FROM, to), &binding));
    assert!(is_refused(
        connect_from(FROM, to),
        b"GET / HTTP/1.1\r\n\r\n"
    ));
    let elsewhere = Ipv4Addr::new(127, 90, 0, 3);
    for header in BOTH {
        let sent = [header(to), binding.clone()].concat();
        assert!(is_refused(connect_from(elsewhere, to), &sent));
    }
    let refused = |reason: &str| {
        running.counted(&format!(
            "forebay_connections_refused_total{{reason=\"{reason}\"}}"
        ))
    };
    // Counted after the connection has ended.
    assert!(wait_for(|| refused("no_proxy_header") == 2.0));
    assert!(wait_for(|| refused("proxy_header") == 2.0));
}
