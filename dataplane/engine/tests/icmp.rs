//! ICMP errors as clients are told of them (RFC 8656 §11.5, §18.13).

mod host;

use std::net::SocketAddr;

use forebay_engine::ShardConfig;
use forebay_turn::SocketId;
use forebay_wire::stun::{AttributeType, Class, Icmp, Message, Method};
use host::Host;
use host::client::Client;

const TOO_LONG: Icmp = Icmp {
    kind: 3,
    code: 4,
    data: 1280,
};

fn peer() -> SocketAddr {
    "203.0.113.9:5000".parse().expect("an address")
}

fn permitted(config: ShardConfig, socket: Option<SocketId>) -> (Host, Client, SocketId) {
    let mut host = Host::with(config);
    let mut client = Client::new("198.51.100.7:4000");
    client.socket = socket.unwrap_or(client.socket);
    let relayed = client.allocate(&mut host);
    client.permit(&mut host, peer());
    host.tx.clear();
    let relay = host.relay_at(relayed);
    (host, client, relay)
}

fn tell(host: &mut Host, relay: SocketId, icmp: Icmp) {
    host.shard.icmp(host.now, relay, peer(), icmp, &mut host.tx);
    host.tx.check(host.memory.len()).expect("a sound batch");
}

#[test]
fn it_is_a_data_indication_without_data() {
    let (mut host, client, relay) = permitted(host::config(), None);
    tell(&mut host, relay, TOO_LONG);
    let transmit = host.tx.transmits[0];
    assert_eq!(
        (transmit.socket, transmit.destination, transmit.source),
        (
            client.socket,
            client.address,
            Some(Host::listening(client.socket).ip())
        )
    );
    let message = Message::parse(&host.tx.headers).expect("a message");
    assert_eq!(
        (message.class(), message.method()),
        (Class::Indication, Method::DATA)
    );
    assert_eq!(message.xor_peer_address(), Some(peer()));
    let value = message.get(AttributeType::ICMP).expect("ICMP");
    assert_eq!(Icmp::decode(value), Some(TOO_LONG));
    assert_eq!(message.attributes().count(), 2);
    assert_eq!(host.counters().icmp_relayed, 1);
}

#[test]
fn a_client_over_a_connection_is_told_too() {
    let config = ShardConfig {
        streams: 1,
        ..host::config()
    };
    let (mut host, client, relay) = permitted(config, Some(SocketId(host::SOCKETS)));
    tell(&mut host, relay, TOO_LONG);
    assert_eq!(host.tx.transmits[0].socket, client.socket);
}

#[test]
fn transaction_ids_differ() {
    let (mut host, _, relay) = permitted(host::config(), None);
    tell(&mut host, relay, TOO_LONG);
    tell(&mut host, relay, TOO_LONG);
    let half = host.tx.headers.len() / 2;
    let [one, other] = [0, half].map(|at| host.tx.headers[at + 8..at + 20].to_vec());
    assert_ne!(one, other);
}

#[test]
fn what_is_not_told_is_counted() {
    let (mut host, _, relay) = permitted(host::config(), None);
    let source_quench = Icmp {
        kind: 4,
        ..TOO_LONG
    };
    tell(&mut host, relay, source_quench);
    (0..50).for_each(|_| tell(&mut host, relay, TOO_LONG));
    let counters = host.counters();
    assert_eq!(counters.icmp_refused, 1);
    assert_eq!(counters.icmp_relayed + counters.icmp_limited, 50);
    assert_eq!(counters.icmp_relayed, host.tx.transmits.len() as u64);
    assert!(counters.icmp_limited > 0);
}
