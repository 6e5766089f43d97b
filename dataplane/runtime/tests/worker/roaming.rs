//! Clients that come back from other addresses, which the kernel may steer to
//! other workers.

use std::net::SocketAddr;

use forebay_ipc::stats::Stat;
use forebay_wire::stun::{AttributeType, Message, Method};

use crate::client::Client;
use crate::host::{Host, Options, peer};

const WORKERS: usize = 3;

fn host() -> Host {
    Host::with(&Options {
        workers: WORKERS,
        ready: 64,
        ports_per_worker: 200,
        ..Options::default()
    })
}

fn echo(peer: &std::net::UdpSocket, relayed: SocketAddr, client: &Client) {
    let mut buffer = [0; 64];
    client.send_channel(0x4000, b"there");
    let (len, from) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..len], from), (&b"there"[..], relayed));
    peer.send_to(b"and back", from).unwrap();
    assert_eq!(client.receive(), (Ok(0x4000), b"and back".to_vec()));
}

#[test]
fn an_allocation_follows_its_client_from_worker_to_worker() {
    let host = host();
    let peer = peer(false);
    let at = peer.local_addr().unwrap();
    let ticket = |answer: &[u8]| {
        let view = Message::parse(answer).unwrap();
        view.get(AttributeType::MOBILITY_TICKET).unwrap().to_vec()
    };
    let mut client = Client::new(host.v4);
    let answer = client.allocate_with(|message| {
        message.push_empty(AttributeType::MOBILITY_TICKET).unwrap();
    });
    let relayed = Message::parse(&answer)
        .unwrap()
        .xor_relayed_address()
        .unwrap();
    let mut last = ticket(&answer);
    assert_eq!(client.channel(0x4000, at), 0);
    echo(&peer, relayed, &client);
    let mut old = Vec::new();
    for _ in 0..12 {
        let mut moved = Client::new(host.v4);
        let answer = moved.answer_of(Method::REFRESH, |message| {
            message.push(AttributeType::MOBILITY_TICKET, &last).unwrap();
        });
        last = ticket(&answer);
        echo(&peer, relayed, &moved);
        // Requests reach the same worker as data.
        assert_eq!(moved.permit("127.0.0.9:7000".parse().unwrap()), 0);
        old.push(std::mem::replace(&mut client, moved));
    }
    host.until(Stat::AllocationsCreated, |count| count == 1);
    // One in three workers would have been the right one by chance.
    host.until(Stat::RequestsForwarded, |count| count > 0);
    assert_eq!(client.refresh(0), 0);
    host.until(Stat::AllocationsLive, |count| count == 0);
    host.stop();
}

#[test]
fn a_reserved_port_is_claimed_from_any_address() {
    let host = host();
    let peer = peer(false);
    let at = peer.local_addr().unwrap();
    for _ in 0..8 {
        let mut first = Client::new(host.v4);
        let answer = first.allocate_with(|message| {
            message.push(AttributeType::EVEN_PORT, &[0x80]).unwrap();
        });
        let view = Message::parse(&answer).unwrap();
        let even = view.xor_relayed_address().unwrap();
        let token = *view.reservation_token().unwrap();
        let mut second = Client::new(host.v4);
        let answer = second.allocate_with(|message| {
            message
                .push(AttributeType::RESERVATION_TOKEN, &token)
                .unwrap();
        });
        let odd = Message::parse(&answer)
            .unwrap()
            .xor_relayed_address()
            .unwrap();
        assert_eq!((odd.ip(), odd.port()), (even.ip(), even.port() + 1));
        assert_eq!(second.channel(0x4000, at), 0);
        echo(&peer, odd, &second);
        assert_eq!(first.refresh(0), 0);
        assert_eq!(second.refresh(0), 0);
    }
    host.until(Stat::PortsReserved, |count| count == 0);
    host.until(Stat::AllocationsLive, |count| count == 0);
    host.stop();
}

#[test]
fn an_address_goes_from_worker_to_worker_as_its_clients_do() {
    let host = host();
    let peer = peer(false);
    let at = peer.local_addr().unwrap();
    // One address, where clients claim ports of every worker in turn.
    let mut second = Client::new(host.v4);
    for _ in 0..12 {
        let mut first = Client::new(host.v4);
        let answer = first.allocate_with(|message| {
            message.push(AttributeType::EVEN_PORT, &[0x80]).unwrap();
        });
        let token = *Message::parse(&answer)
            .unwrap()
            .reservation_token()
            .unwrap();
        let answer = second.allocate_with(|message| {
            message
                .push(AttributeType::RESERVATION_TOKEN, &token)
                .unwrap();
        });
        let relayed = Message::parse(&answer)
            .unwrap()
            .xor_relayed_address()
            .unwrap();
        assert_eq!(second.channel(0x4000, at), 0);
        echo(&peer, relayed, &second);
        assert_eq!(second.refresh(0), 0);
        assert_eq!(first.refresh(0), 0);
    }
    host.until(Stat::AllocationsLive, |count| count == 0);
    host.stop();
}
