//! DF as it leaves (RFC 8656 §14).

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use forebay_ipc::stats::Stat;
use forebay_runtime::streams::{ClientTransport, Connection, Speaks};
use forebay_wire::stun::{AttributeType, Builder, Class, Method, TransactionId};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::client::Client;
use crate::host::{Host, Options, peer};
use crate::namespace;
use crate::stream_client::StreamClient;

const MTU: u32 = 1500;
/// Fits the MTU, and does not.
const FITS: usize = 1400;
const TOO_LONG: usize = 2000;

/// IPv4 datagrams with their headers, as they arrive on this host.
pub struct Tap(OwnedFd);

impl Tap {
    pub fn new() -> Self {
        let raw = socket(
            AddressFamily::Inet,
            SockType::Raw,
            SockFlag::empty(),
            SockProtocol::Udp,
        )
        .unwrap();
        setsockopt(&raw, sockopt::ReceiveTimeout, &TimeVal::new(2, 0)).unwrap();
        Self(raw)
    }

    /// The next datagram to a port, with its headers.
    pub fn packet(&self, port: u16) -> Vec<u8> {
        let mut packet = vec![0; 4096];
        loop {
            let len = recv(self.0.as_raw_fd(), &mut packet, MsgFlags::empty()).unwrap();
            let udp = header(&packet);
            if packet[udp + 2..udp + 4] == port.to_be_bytes() {
                packet.truncate(len);
                return packet;
            }
        }
    }

    /// DF and payload of the next datagram to a port.
    fn next(&self, port: u16) -> (bool, Vec<u8>) {
        let packet = self.packet(port);
        let payload = packet[header(&packet) + 8..].to_vec();
        (packet[6] & 0x40 != 0, payload)
    }
}

fn header(packet: &[u8]) -> usize {
    usize::from(packet[0] & 0xF) * 4
}

pub fn send_indication(peer: SocketAddr, payload: &[u8], dont_fragment: bool) -> Vec<u8> {
    let mut buffer = vec![0; payload.len() + 100];
    let id = TransactionId([9; 12]);
    let mut message = Builder::new(&mut buffer, Class::Indication, Method::SEND, id).unwrap();
    message
        .push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
        .unwrap();
    if dont_fragment {
        message.push_empty(AttributeType::DONT_FRAGMENT).unwrap();
    }
    message.push(AttributeType::DATA, payload).unwrap();
    let len = message.len();
    buffer.truncate(len);
    buffer
}

fn allocate(client: &mut Client, family: u8) {
    client.allocate_with(|message| {
        message.push_empty(AttributeType::DONT_FRAGMENT).unwrap();
        if family == 2 {
            message
                .push(AttributeType::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])
                .unwrap();
        }
    });
}

/// Whether a payload of this byte arrives.
fn arrives(peer: &UdpSocket, byte: u8) -> bool {
    let mut buffer = [0; 4096];
    while let Ok((len, _)) = peer.recv_from(&mut buffer) {
        if buffer[..len].iter().all(|at| *at == byte) {
            return true;
        }
    }
    false
}

#[test]
fn every_datagram_has_the_bit_that_was_asked_for_and_its_place() {
    namespace::within(MTU, || {
        let host = Host::new();
        let tap = Tap::new();
        let peer = peer(false);
        let at = peer.local_addr().unwrap();
        let mut client = Client::new(host.v4);
        allocate(&mut client, 1);
        assert_eq!(client.channel(0x4001, at), 0);
        // Few enough at once for the tap.
        for burst in 0..10_u32 {
            let mut numbers = burst * 30..(burst + 1) * 30;
            for number in numbers.clone() {
                let payload = number.to_be_bytes();
                match number % 7 {
                    0 | 1 | 5 => client.send_channel(0x4001, &payload),
                    4 => client.send_indication(at, &payload),
                    _ => {
                        let datagram = send_indication(at, &payload, true);
                        client.socket.send_to(&datagram, client.server).unwrap();
                    }
                }
            }
            while !numbers.is_empty() {
                // On loopback those that left in one send arrive merged.
                let (df, payloads) = tap.next(at.port());
                for payload in payloads.chunks(4) {
                    let number = numbers.next().unwrap();
                    assert_eq!(payload, number.to_be_bytes());
                    assert_eq!(df, matches!(number % 7, 2 | 3 | 6), "datagram {number}");
                }
            }
        }
        host.stop();
    });
}

#[test]
fn what_may_not_be_fragmented_and_does_not_fit_is_not_sent() {
    namespace::within(MTU, || {
        let host = Host::new();
        let tap = Tap::new();
        let peer = peer(false);
        let at = peer.local_addr().unwrap();
        let mut client = Client::new(host.v4);
        allocate(&mut client, 1);
        assert_eq!(client.permit(at), 0);
        for (byte, len, dont_fragment) in [
            (1, TOO_LONG, false),
            (2, TOO_LONG, true),
            (3, FITS, true),
            (4, TOO_LONG, false),
        ] {
            let datagram = send_indication(at, &vec![byte; len], dont_fragment);
            client.socket.send_to(&datagram, client.server).unwrap();
        }
        for (byte, len, df) in [(1, TOO_LONG, false), (3, FITS, true), (4, TOO_LONG, false)] {
            assert_eq!(tap.next(at.port()), (df, vec![byte; len]));
        }
        host.until(Stat::SendErrorsMessageSize, |count| count == 1);
        host.stop();
    });
}

#[test]
fn a_translation_ignores_it() {
    namespace::within(MTU, || {
        let host = Host::new();
        for (server, family, v6) in [(host.v4, 2, true), (host.v6, 1, false), (host.v6, 2, true)] {
            let peer = peer(v6);
            let at = peer.local_addr().unwrap();
            let mut client = Client::new(server);
            allocate(&mut client, family);
            assert_eq!(client.permit(at), 0);
            let datagram = send_indication(at, &[5; TOO_LONG], true);
            client.socket.send_to(&datagram, client.server).unwrap();
            assert!(arrives(&peer, 5), "{server} to {at}");
        }
        assert_eq!(host.stat(Stat::SendErrorsMessageSize), 0);
        host.stop();
    });
}

#[test]
fn over_tcp_it_holds_for_ipv6_too() {
    namespace::within(MTU, || {
        let host = Host::with(&Options {
            streams: 4,
            ..Options::default()
        });
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let local = listener.local_addr().unwrap();
        let stream = TcpStream::connect(local).unwrap();
        let (socket, from) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let connection = Connection {
            socket: socket.into(),
            client: from,
            local,
            transport: ClientTransport::Tcp,
            speaks: Speaks::Turn,
            tls: None,
            plain: Vec::new(),
            early: Vec::new(),
        };
        host.workers[0].mailer().adopt(connection).unwrap();
        let mut client = StreamClient::over(stream, host.v6);
        let transport = |message: &mut Builder<'_>| {
            message
                .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
                .unwrap();
            message
                .push(AttributeType::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])
                .unwrap();
            message.push_empty(AttributeType::DONT_FRAGMENT).unwrap();
        };
        client.challenge(Method::ALLOCATE, transport);
        assert_eq!(client.call(Method::ALLOCATE, transport).0, 0);
        let peer = peer(true);
        peer.set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let at = peer.local_addr().unwrap();
        let (code, _) = client.call(Method::CREATE_PERMISSION, |message| {
            message
                .push_xor_address(AttributeType::XOR_PEER_ADDRESS, at)
                .unwrap();
        });
        assert_eq!(code, 0);
        client.send(&send_indication(at, &[1; FITS], true));
        assert!(arrives(&peer, 1));
        client.send(&send_indication(at, &[2; TOO_LONG], true));
        assert!(!arrives(&peer, 2));
        client.send(&send_indication(at, &[3; TOO_LONG], false));
        assert!(arrives(&peer, 3));
        host.until(Stat::SendErrorsMessageSize, |count| count == 1);
        host.stop();
    });
}
