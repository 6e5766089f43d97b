//! Clients over TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use forebay_ipc::stats::Stat;
use forebay_runtime::streams::{ClientTransport, Connection};
use forebay_wire::stun::Method;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls::{StreamOwned, SupportedProtocolVersion, version};

use crate::client::framed;
use crate::host::{Host, peer};
use crate::stream_client::{StreamClient, padded, pair};
use crate::streams::{options, relay_both_ways};

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

fn configs(version: &'static SupportedProtocolVersion) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let identity = rcgen::generate_simple_self_signed(vec!["turn.example.org".to_owned()]).unwrap();
    let certificate = identity.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    (Arc::new(client), Arc::new(server))
}

/// Both ends after the handshake. With `eager`, the client's first bytes come
/// along with the end of its handshake.
pub fn shake_hands(
    version: &'static SupportedProtocolVersion,
    eager: impl FnOnce(&mut ClientConnection),
) -> (Tls, Connection) {
    let (client, server) = configs(version);
    let (stream, mut connection) = pair();
    let name = ServerName::try_from("turn.example.org").unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    let mut eager = Some(eager);
    let mut bytes = Vec::new();
    while server.is_handshaking() || client.is_handshaking() {
        bytes.clear();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        if !client.is_handshaking()
            && let Some(eager) = eager.take()
        {
            eager(&mut client);
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().unwrap();
        }
        bytes.clear();
        while server.is_handshaking() && server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
        // The last of the server's handshake is the worker's to write.
        if !server.is_handshaking() {
            break;
        }
    }
    connection.transport = ClientTransport::Tls;
    connection.tls = Some(Box::new(server));
    (StreamOwned::new(client, stream), connection)
}

#[test]
fn relays_both_ways_over_both_versions() {
    for version in [&version::TLS12, &version::TLS13] {
        let host = Host::with(&options());
        let (stream, connection) = shake_hands(version, |_| {});
        host.workers[0].mailer().adopt(connection).unwrap();
        let mut client = StreamClient::over(stream, host.v4);
        let mapped = client.binding();
        assert_eq!(mapped, client.stream.sock.local_addr().unwrap());
        relay_both_ways(&mut client);
        // Ends with a word: no truncation is seen.
        client.stream.conn.send_close_notify();
        client.stream.flush().unwrap();
        assert_eq!(client.stream.read(&mut [0; 16]).unwrap(), 0);
        host.until(Stat::StreamsClosedClient, |ended| ended == 1);
        host.until(Stat::AllocationsLive, |live| live == 0);
        host.stop();
    }
}

#[test]
fn requests_that_came_with_the_handshake_are_answered() {
    let host = Host::with(&options());
    let mut request = Vec::new();
    let (stream, mut connection) = shake_hands(&version::TLS13, |client| {
        let mut writer = crate::client::Client::new(host.v4);
        request = writer.request(Method::BINDING, |_| {});
        client.writer().write_all(&request).unwrap();
    });
    let mut client = StreamClient::over(stream, host.v4);
    // And a record that the front had read but not fed.
    let second = client.writer.request(Method::BINDING, |_| {});
    client.stream.conn.writer().write_all(&second).unwrap();
    let mut record = Vec::new();
    client.stream.conn.write_tls(&mut record).unwrap();
    connection.early = record;
    host.workers[0].mailer().adopt(connection).unwrap();
    assert_eq!(client.message()[8..20], request[8..20]);
    assert_eq!(client.message()[8..20], second[8..20]);
    host.stop();
}

#[test]
fn large_bursts_cross_records_and_buffers() {
    const BURST: usize = 100;
    let host = Host::with(&options());
    let (stream, connection) = shake_hands(&version::TLS13, |_| {});
    host.workers[0].mailer().adopt(connection).unwrap();
    let mut client = StreamClient::over(stream, host.v4);
    let peer = peer(false);
    let relayed = client.allocate();
    client.channel(0x4001, peer.local_addr().unwrap());
    let payload = |number: usize| vec![number as u8; 500 + number % 77];
    let mut buffer = [0; 2048];
    for _ in 0..3 {
        let bytes: Vec<u8> = (0..BURST)
            .flat_map(|number| padded(0x4001, &payload(number)))
            .collect();
        client.send(&bytes);
        for number in 0..BURST {
            let len = peer.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..len], payload(number));
        }
        for number in 0..BURST {
            peer.send_to(&payload(number), relayed).unwrap();
        }
        for number in 0..BURST {
            assert_eq!(client.message(), framed(0x4001, &payload(number)));
        }
    }
    host.stop();
}

#[test]
fn what_is_not_a_record_ends_the_connection() {
    let host = Host::with(&options());
    for bytes in [&[0x17, 3, 3, 0, 20][..], b"GET / HTTP/1.1\r\n\r\n"] {
        let (mut stream, connection) = shake_hands(&version::TLS13, |_| {});
        host.workers[0].mailer().adopt(connection).unwrap();
        let mut record = bytes.to_vec();
        record.resize(25, 0xAB);
        stream.sock.write_all(&record).unwrap();
        let mut buffer = [0; 4096];
        while !matches!(stream.sock.read(&mut buffer), Ok(0) | Err(_)) {}
    }
    host.until(Stat::StreamsClosedTls, |ended| ended == 2);
    host.stop();
}
