//! TCP between workers and peers (RFC 6062).

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use forebay_ipc::stats::Stat;
use forebay_runtime::worker::{WorkerCommand, WorkerReport};
use forebay_wire::stun::{AttributeType, Builder, Class, Message, Method};
use rustls::version;
use socket2::SockRef;

use crate::host::{Host, Options};
use crate::stream_client::StreamClient;
use crate::tls::shake_hands;

fn host() -> Host {
    Host::with(&Options {
        streams: 16,
        peers: 8,
        ..Options::default()
    })
}

fn patient(stream: TcpStream) -> TcpStream {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

fn tcp(message: &mut Builder<'_>) {
    message
        .push(AttributeType::REQUESTED_TRANSPORT, &[6, 0, 0, 0])
        .unwrap();
}

fn peer_address(peer: SocketAddr) -> impl Fn(&mut Builder<'_>) {
    move |message| {
        message
            .push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
            .unwrap();
    }
}

/// Makes a request, with a nonce if need be.
fn granted<S: Read + Write>(
    client: &mut StreamClient<S>,
    method: Method,
    fill: impl Fn(&mut Builder<'_>),
) -> Vec<u8> {
    let (mut code, mut answer) = client.call(method, &fill);
    if code == 401 {
        client.writer.nonce = Message::parse(&answer).unwrap().nonce().unwrap().to_vec();
        (code, answer) = client.call(method, &fill);
    }
    assert_eq!(code, 0, "{method:?}");
    answer
}

/// A client with a TCP allocation, and its relayed address.
fn allocated(host: &Host, v6: bool) -> (StreamClient<TcpStream>, SocketAddr) {
    let mut client = StreamClient::tcp(host);
    let answer = granted(&mut client, Method::ALLOCATE, |message| {
        tcp(message);
        if v6 {
            message
                .push(AttributeType::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])
                .unwrap();
        }
    });
    let relayed = Message::parse(&answer).unwrap().xor_relayed_address();
    (client, relayed.unwrap())
}

fn id_of(message: &[u8]) -> u32 {
    Message::parse(message).unwrap().connection_id().unwrap()
}

/// Connects to a new listener; the peer's end, and the CONNECTION-ID.
fn connected(client: &mut StreamClient<TcpStream>, v6: bool) -> (TcpStream, SocketAddr, u32) {
    let listener = TcpListener::bind((if v6 { "::1" } else { "127.0.0.1" }, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    let answer = granted(client, Method::CONNECT, peer_address(at));
    let (peer, from) = listener.accept().unwrap();
    (patient(peer), from, id_of(&answer))
}

fn with_id(id: u32) -> impl Fn(&mut Builder<'_>) {
    move |message| {
        message.push_u32(AttributeType::CONNECTION_ID, id).unwrap();
    }
}

/// A connection of the client that has taken a peer's up.
fn bound(host: &Host, id: u32) -> TcpStream {
    let mut data = StreamClient::tcp(host);
    granted(&mut data, Method::CONNECTION_BIND, with_id(id));
    data.stream
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at * 31 + (at >> 9) + seed) as u8)
        .collect()
}

/// Everything one end says is what the other hears.
fn exchange(mut from: TcpStream, mut to: TcpStream, len: usize, seed: usize) {
    let bytes = pattern(len, seed);
    let said = bytes.clone();
    let sender = std::thread::spawn(move || from.write_all(&said).unwrap());
    let mut heard = vec![0; len];
    to.read_exact(&mut heard).unwrap();
    assert!(heard == bytes, "{len} bytes differ");
    sender.join().unwrap();
}

fn gone(host: &Host) {
    host.until(Stat::PeerConnections, |open| open == 0);
    host.until(Stat::PeerConnectionsBound, |open| open == 0);
}

#[test]
fn every_byte_passes_both_ways_at_once() {
    const LEN: usize = 6 << 20;
    for v6 in [false, true] {
        let host = host();
        let (mut client, relayed) = allocated(&host, v6);
        let (peer, from, id) = connected(&mut client, v6);
        assert_eq!(from, relayed, "from the relayed address");
        let data = bound(&host, id);
        host.until(Stat::PeerConnectionsBound, |bound| bound == 1);
        let there = {
            let (data, peer) = (data.try_clone().unwrap(), peer.try_clone().unwrap());
            std::thread::spawn(move || exchange(data, peer, LEN, 1))
        };
        exchange(peer.try_clone().unwrap(), data.try_clone().unwrap(), LEN, 2);
        there.join().unwrap();
        host.until(Stat::ToPeerBytes, |bytes| bytes == LEN as u64);
        host.until(Stat::ToClientBytes, |bytes| bytes == LEN as u64);
        // The client ends its allocation: so does everything.
        granted(&mut client, Method::REFRESH, |message| {
            message.push_u32(AttributeType::LIFETIME, 0).unwrap();
        });
        assert_eq!((&peer).read(&mut [0; 8]).unwrap(), 0);
        assert_eq!((&data).read(&mut [0; 8]).unwrap(), 0);
        gone(&host);
        assert!(TcpStream::connect(relayed).is_err(), "nobody listens");
        host.stop();
    }
}

#[test]
fn what_is_said_before_the_bind_is_not_lost() {
    let host = host();
    let (mut client, _) = allocated(&host, false);
    let (mut peer, _, id) = connected(&mut client, false);
    let first = pattern(300_000, 7);
    let early = first.clone();
    let talker = {
        let mut peer = peer.try_clone().unwrap();
        std::thread::spawn(move || peer.write_all(&early).unwrap())
    };
    let mut data = StreamClient::tcp(&host);
    data.writer.nonce = {
        let (code, answer) = data.call(Method::CONNECTION_BIND, with_id(id));
        assert_eq!(code, 401);
        Message::parse(&answer).unwrap().nonce().unwrap().to_vec()
    };
    // The client does not wait for the answer either.
    let mut bytes = data.writer.request(Method::CONNECTION_BIND, with_id(id));
    let own = pattern(200_000, 9);
    bytes.extend(&own);
    let mut writer = data.stream.try_clone().unwrap();
    let speaker = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
    let answer = data.message();
    assert_eq!(Message::parse(&answer).unwrap().class(), Class::Success);
    let mut heard = vec![0; first.len()];
    data.stream.read_exact(&mut heard).unwrap();
    assert!(heard == first);
    let mut heard = vec![0; own.len()];
    peer.read_exact(&mut heard).unwrap();
    assert!(heard == own);
    talker.join().unwrap();
    speaker.join().unwrap();
    host.stop();
}

#[test]
fn a_bind_that_is_refused_leaves_a_connection_for_turn() {
    let host = host();
    let (mut client, _) = allocated(&host, false);
    let (_peer, _, id) = connected(&mut client, false);
    let mut data = StreamClient::tcp(&host);
    data.writer.nonce = client.writer.nonce.clone();
    assert_eq!(data.call(Method::CONNECTION_BIND, with_id(id ^ 1)).0, 400);
    assert_eq!(data.binding(), data.stream.local_addr().unwrap());
    granted(&mut data, Method::CONNECTION_BIND, with_id(id));
    host.until(Stat::PeerConnectionsBound, |bound| bound == 1);
    host.stop();
}

/// Fills a connection until nothing more is taken.
fn fill(stream: &TcpStream) -> usize {
    stream
        .set_write_timeout(Some(Duration::from_millis(700)))
        .unwrap();
    let chunk = vec![0x5A; 64 << 10];
    let mut written = 0;
    loop {
        match (&*stream).write(&chunk) {
            Ok(taken) => written += taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return written,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn who_takes_nothing_closes_the_others_window() {
    let host = host();
    let (mut client, _) = allocated(&host, false);
    let (peer, _, id) = connected(&mut client, false);
    let data = bound(&host, id);
    for (from, to) in [(&data, &peer), (&peer, &data)] {
        let written = fill(from);
        // What two sockets of the kernel hold at their largest, and a little.
        assert!(written < 24 << 20, "{written} bytes are held");
        let mut heard = vec![0; written];
        let mut to = to;
        to.read_exact(&mut heard).unwrap();
        assert!(heard.iter().all(|byte| *byte == 0x5A));
    }
    host.stop();
}

#[test]
fn an_end_that_has_said_its_last_still_listens() {
    let host = host();
    let (mut client, _) = allocated(&host, false);
    let (mut peer, _, id) = connected(&mut client, false);
    let mut data = bound(&host, id);
    data.write_all(b"question").unwrap();
    data.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"question");
    let answer = pattern(500_000, 3);
    peer.write_all(&answer).unwrap();
    drop(peer);
    let mut heard = Vec::new();
    data.read_to_end(&mut heard).unwrap();
    assert!(heard == answer);
    gone(&host);
    host.until(Stat::Streams, |open| open == 1);
    host.stop();
}

#[test]
fn a_reset_is_passed_on() {
    let host = host();
    let (mut client, _) = allocated(&host, false);
    for client_resets in [false, true] {
        let (peer, _, id) = connected(&mut client, false);
        let data = bound(&host, id);
        host.until(Stat::PeerConnectionsBound, |bound| bound == 1);
        let (gone_end, mut left) = if client_resets {
            (data, peer)
        } else {
            (peer, data)
        };
        SockRef::from(&gone_end)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(gone_end);
        let error = left.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        gone(&host);
    }
    host.stop();
}

#[test]
fn a_peer_that_may_connect_is_announced() {
    let host = host();
    let (mut client, relayed) = allocated(&host, false);
    let mut stranger = patient(TcpStream::connect(relayed).unwrap());
    assert_eq!(stranger.read(&mut [0; 8]).unwrap_or(0), 0, "no permission");
    granted(
        &mut client,
        Method::CREATE_PERMISSION,
        peer_address("127.0.0.1:1".parse().unwrap()),
    );
    let mut peers = Vec::new();
    for number in 0..5_u8 {
        let mut peer = patient(TcpStream::connect(relayed).unwrap());
        peer.write_all(&[number; 100]).unwrap();
        let attempt = client.message();
        let message = Message::parse(&attempt).unwrap();
        assert_eq!(
            (message.class(), message.method()),
            (Class::Indication, Method::CONNECTION_ATTEMPT)
        );
        assert_eq!(message.xor_peer_address(), Some(peer.local_addr().unwrap()));
        peers.push((peer, id_of(&attempt), number));
    }
    for (peer, id, number) in peers {
        let mut data = bound(&host, id);
        let mut heard = [0; 100];
        data.read_exact(&mut heard).unwrap();
        assert_eq!(heard, [number; 100]);
        exchange(data, peer, 10_000, number.into());
    }
    host.stop();
}

#[test]
fn a_peer_that_refuses_is_reported() {
    let host = host();
    let (mut client, _) = allocated(&host, false);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let (code, _) = client.call(Method::CONNECT, peer_address(at));
    assert_eq!(code, 447);
    gone(&host);
    // Its number is free again.
    for _ in 0..20 {
        assert_eq!(client.call(Method::CONNECT, peer_address(at)).0, 447);
    }
    gone(&host);
    host.stop();
}

#[test]
fn an_operator_and_the_end_of_the_control_connection_end_everything() {
    let host = host();
    for kill in [false, true] {
        let (mut client, relayed) = allocated(&host, false);
        let (mut peer, _, id) = connected(&mut client, false);
        let mut data = bound(&host, id);
        let (mut unbound, ..) = connected(&mut client, false);
        let created = host.workers[0]
            .reports()
            .iter()
            .find_map(|report| match report {
                WorkerReport::Created {
                    allocation,
                    relayed: at,
                    tcp: true,
                    ..
                } if at.0 == relayed => Some(allocation),
                _ => None,
            });
        if kill {
            host.tell(&WorkerCommand::Delete(created.unwrap()));
        } else {
            drop(client);
        }
        for stream in [&mut peer, &mut data, &mut unbound] {
            assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
        }
        gone(&host);
        host.until(Stat::AllocationsLive, |live| live == 0);
    }
    host.stop();
}

#[test]
fn a_data_connection_may_be_over_tls() {
    const LEN: usize = 2 << 20;
    let host = host();
    let (mut client, _) = allocated(&host, false);
    for version in [&version::TLS12, &version::TLS13] {
        let (mut peer, _, id) = connected(&mut client, false);
        let (stream, connection) = shake_hands(version, |_| {});
        host.workers[0].mailer().adopt(connection).unwrap();
        let mut data = StreamClient::over(stream, host.v4);
        granted(&mut data, Method::CONNECTION_BIND, with_id(id));
        let bytes = pattern(LEN, 4);
        let said = bytes.clone();
        let reader = {
            let mut peer = peer.try_clone().unwrap();
            std::thread::spawn(move || {
                let mut heard = vec![0; LEN];
                peer.read_exact(&mut heard).unwrap();
                heard
            })
        };
        data.send(&said);
        assert!(reader.join().unwrap() == bytes);
        let said = bytes.clone();
        let writer = {
            let mut peer = peer.try_clone().unwrap();
            std::thread::spawn(move || peer.write_all(&said).unwrap())
        };
        let mut heard = vec![0; LEN];
        data.stream.read_exact(&mut heard).unwrap();
        assert!(heard == bytes);
        writer.join().unwrap();
        // Each end says its last with a word of TLS.
        data.stream.conn.send_close_notify();
        data.stream.flush().unwrap();
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
        peer.write_all(b"and one more").unwrap();
        drop(peer);
        let mut last = Vec::new();
        data.stream.read_to_end(&mut last).unwrap();
        assert_eq!(last, b"and one more");
        gone(&host);
    }
    host.stop();
}

#[test]
fn ports_held_ahead_of_demand_serve_as_well() {
    let host = Host::with(&Options {
        streams: 64,
        peers: 8,
        ports_per_worker: 10,
        ready: 10,
        ..Options::default()
    });
    // Every port is opened for datagrams by now.
    let clients: Vec<_> = (0..10).map(|_| allocated(&host, false)).collect();
    let mut late = StreamClient::tcp(&host);
    let (code, answer) = late.call(Method::ALLOCATE, tcp);
    assert_eq!(code, 401);
    late.writer.nonce = Message::parse(&answer).unwrap().nonce().unwrap().to_vec();
    assert_eq!(late.call(Method::ALLOCATE, tcp).0, 508);
    drop(clients);
    host.until(Stat::AllocationsLive, |live| live == 0);
    // And they come back; some after a while, where the kernel is slow to let
    // go of one.
    let come_back = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        late.call(Method::ALLOCATE, tcp).0 == 0
    });
    assert!(come_back);
    host.stop();
}
