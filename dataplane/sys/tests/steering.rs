//! The reuseport program, with real sockets on loopback.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use forebay_sys::sockets::{self, Role, Tuning};
use forebay_sys::steer;

const TUNING: Tuning = Tuning {
    receive_buffer: 1 << 18,
    send_buffer: 1 << 18,
    busy_poll: 0,
};

fn group(address: &str, workers: usize) -> (SocketAddr, Vec<UdpSocket>) {
    let first = sockets::open(address.parse().unwrap(), Role::Listener, TUNING).unwrap();
    let address = sockets::local_address(first.as_fd()).unwrap();
    steer::attach(first.as_fd(), address.is_ipv6(), workers).unwrap();
    let mut group = vec![UdpSocket::from(first)];
    for _ in 1..workers * steer::CLASSES {
        group.push(
            sockets::open(address, Role::Listener, TUNING)
                .unwrap()
                .into(),
        );
    }
    for socket in &group {
        socket
            .set_read_timeout(Some(Duration::from_micros(300)))
            .unwrap();
    }
    (address, group)
}

/// Index of the one socket that got the datagram.
fn receiver(group: &[UdpSocket], from: SocketAddr) -> usize {
    let mut buffer = [0; 2048];
    for _ in 0..500 {
        for (index, socket) in group.iter().enumerate() {
            if let Ok((_, source)) = socket.recv_from(&mut buffer) {
                assert_eq!(source, from);
                return index;
            }
        }
    }
    panic!("nothing arrived from {from}");
}

fn check(address: &str, bind: &str) {
    const WORKERS: usize = 4;
    let (server, group) = group(address, WORKERS);
    let requests: [&[u8]; 3] = [
        &[0x00, 0x01, 0, 0],
        &[0x00, 0x03, 0, 0, 0x21, 0x12, 0xa4, 0x42],
        &[0x00, 0x17, 0, 0],
    ];
    let media: [&[u8]; 5] = [
        &[0x00, 0x16, 0, 8],
        &[0x40, 0x00, 0, 1, 0xff],
        &[0x80, 0x60],
        &[0x00],
        &[],
    ];
    let mut workers = HashSet::new();
    for _ in 0..8 {
        let client = UdpSocket::bind(bind).unwrap();
        let from = client.local_addr().unwrap();
        let mut worker = None;
        for (datagrams, class) in [(&requests[..], steer::REQUESTS), (&media[..], steer::MEDIA)] {
            for datagram in datagrams {
                client.send_to(datagram, server).unwrap();
                let index = receiver(&group, from);
                assert_eq!(
                    index % steer::CLASSES,
                    class,
                    "{datagram:02x?} reached the wrong class"
                );
                let this = index / steer::CLASSES;
                assert_eq!(
                    *worker.get_or_insert(this),
                    this,
                    "a client's datagrams reached two workers"
                );
            }
        }
        workers.extend(worker);
    }
    assert!(workers.len() > 1, "every client reached the same worker");
}

#[test]
fn ipv4_clients_stay_with_one_worker_and_classes_are_told_apart() {
    check("127.0.0.1:0", "127.0.0.1:0");
}

#[test]
fn ipv6_clients_stay_with_one_worker_and_classes_are_told_apart() {
    check("[::1]:0", "[::1]:0");
}

#[test]
fn a_wildcard_group_steers_as_well() {
    let (server, group) = group("0.0.0.0:0", 2);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = SocketAddr::new("127.0.0.1".parse().unwrap(), server.port());
    client.send_to(&[0x40, 0, 0, 0], to).unwrap();
    assert_eq!(
        receiver(&group, client.local_addr().unwrap()) % steer::CLASSES,
        steer::MEDIA
    );
}

#[test]
fn an_address_in_use_is_noticed_even_with_reuseport() {
    let (server, _group) = group("127.0.0.1:0", 1);
    assert!(sockets::is_taken(server).unwrap());
}

#[test]
fn buffers_are_reported_as_granted() {
    let tuning = Tuning {
        receive_buffer: 65_536,
        send_buffer: 32_768,
        busy_poll: 0,
    };
    let socket = sockets::open("127.0.0.1:0".parse().unwrap(), Role::Relay, tuning).unwrap();
    let granted = sockets::granted(socket.as_fd()).unwrap();
    assert_eq!((granted.receive, granted.send), (131_072, 65_536));
}

#[test]
fn a_listeners_drops_are_counted() {
    let tiny = Tuning {
        receive_buffer: 2048,
        ..TUNING
    };
    let socket = sockets::open("127.0.0.1:0".parse().unwrap(), Role::Listener, tiny).unwrap();
    assert_eq!(sockets::drops(socket.as_fd()).unwrap(), 0);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = sockets::local_address(socket.as_fd()).unwrap();
    for _ in 0..50 {
        client.send_to(&[0; 500], server).unwrap();
    }
    let drops = sockets::drops(socket.as_fd()).unwrap();
    assert!((1..50).contains(&drops), "{drops}");
}
