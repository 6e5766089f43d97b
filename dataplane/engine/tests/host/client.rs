//! The TURN client's side, as bytes.

use std::net::SocketAddr;

use forebay_turn::SocketId;
use forebay_wire::ChannelData;
use forebay_wire::stun::{
    AttributeType, Builder, Class, ErrorCode, Message, Method, TRANSPORT_UDP, TransactionId,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use sha1::Sha1;

use super::{Host, Sent};

pub const USER: &str = "alice";
pub const PASSWORD: &str = "wonderland";

/// A client of the first listener of its address family.
#[derive(Debug, Clone)]
pub struct Client {
    pub socket: SocketId,
    pub address: SocketAddr,
    pub realm: Vec<u8>,
    pub nonce: Vec<u8>,
    transactions: u64,
}

impl Client {
    pub fn new(address: &str) -> Self {
        let address: SocketAddr = address.parse().expect("an address");
        Self {
            socket: SocketId(address.is_ipv6().into()),
            address,
            realm: Vec::new(),
            nonce: Vec::new(),
            transactions: 0,
        }
    }

    /// A request, authenticated once the client knows realm and nonce.
    pub fn request(&mut self, method: Method, fill: impl FnOnce(&mut Builder<'_>)) -> Vec<u8> {
        self.transactions += 1;
        let mut id = [0x55; 12];
        id[..8].copy_from_slice(&self.transactions.to_be_bytes());
        let mut buffer = vec![0; 1024];
        let mut builder =
            Builder::new(&mut buffer, Class::Request, method, TransactionId(id)).expect("room");
        fill(&mut builder);
        if !self.nonce.is_empty() {
            builder
                .push(AttributeType::USERNAME, USER.as_bytes())
                .expect("room");
            builder
                .push(AttributeType::REALM, &self.realm)
                .expect("room");
            builder
                .push(AttributeType::NONCE, &self.nonce)
                .expect("room");
            let realm = String::from_utf8_lossy(&self.realm);
            let key = Md5::digest(format!("{USER}:{realm}:{PASSWORD}"));
            let mut mac = Hmac::<Sha1>::new_from_slice(&key).expect("any key length");
            let input = builder.integrity_input();
            mac.update(&input.header);
            mac.update(input.body);
            let mac: [u8; 20] = mac.finalize().into_bytes().into();
            builder.push_integrity(&mac).expect("room");
        }
        let len = builder.len();
        buffer.truncate(len);
        buffer
    }

    pub fn allocate_request(&mut self) -> Vec<u8> {
        let family = if self.address.is_ipv6() { 2 } else { 1 };
        self.allocate_family_request(family)
    }

    fn allocate_family_request(&mut self, family: u8) -> Vec<u8> {
        self.request(Method::ALLOCATE, |builder| {
            builder
                .push(
                    AttributeType::REQUESTED_TRANSPORT,
                    &[TRANSPORT_UDP, 0, 0, 0],
                )
                .expect("room");
            if family == 2 {
                builder
                    .push(AttributeType::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])
                    .expect("room");
            }
        })
    }

    /// Takes realm and nonce from a challenge.
    pub fn learn(&mut self, answer: &[u8]) {
        let message = Message::parse(answer).expect("an answer");
        assert_eq!(
            message.error_code().map(|(code, _)| code),
            Some(ErrorCode::UNAUTHENTICATED)
        );
        self.realm = message.realm().expect("a realm").to_vec();
        self.nonce = message.nonce().expect("a nonce").to_vec();
    }

    /// Allocates a relay of the client's own family.
    pub fn allocate(&mut self, host: &mut Host) -> SocketAddr {
        let family = if self.address.is_ipv6() { 2 } else { 1 };
        self.allocate_family(host, family)
    }

    /// Allocates an IPv4 (1) or IPv6 (2) relay.
    pub fn allocate_family(&mut self, host: &mut Host, family: u8) -> SocketAddr {
        if self.nonce.is_empty() {
            let request = self.allocate_request();
            let challenge = self.ask(host, &request);
            self.learn(&challenge.bytes);
        }
        let request = self.allocate_family_request(family);
        let answer = self.ask(host, &request);
        let message = Message::parse(&answer.bytes).expect("an answer");
        assert_eq!(message.class(), Class::Success, "{message:?}");
        message.xor_relayed_address().expect("a relayed address")
    }

    pub fn bind_channel(&mut self, host: &mut Host, number: u16, peer: SocketAddr) {
        let request = self.request(Method::CHANNEL_BIND, |builder| {
            builder.push_channel_number(number).expect("room");
            builder
                .push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
                .expect("room");
        });
        self.succeed(host, &request);
    }

    pub fn permit(&mut self, host: &mut Host, peer: SocketAddr) {
        let request = self.request(Method::CREATE_PERMISSION, |builder| {
            builder
                .push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
                .expect("room");
        });
        self.succeed(host, &request);
    }

    pub fn refresh_request(&mut self, seconds: u32) -> Vec<u8> {
        self.request(Method::REFRESH, |builder| {
            builder
                .push_u32(AttributeType::LIFETIME, seconds)
                .expect("room");
        })
    }

    pub fn refresh(&mut self, host: &mut Host, seconds: u32) {
        let request = self.refresh_request(seconds);
        self.succeed(host, &request);
    }

    fn ask(&self, host: &mut Host, request: &[u8]) -> Sent {
        let mut sent = host.exchange(self.socket, self.address, request);
        assert_eq!(sent.len(), 1, "one answer");
        let sent = sent.remove(0);
        assert_eq!(sent.destination, self.address);
        assert_eq!(sent.socket, self.socket);
        assert_eq!(sent.source, Some(Host::listening(self.socket).ip()));
        sent
    }

    fn succeed(&self, host: &mut Host, request: &[u8]) {
        let answer = self.ask(host, request);
        let message = Message::parse(&answer.bytes).expect("an answer");
        assert_eq!(message.class(), Class::Success, "{message:?}");
    }
}

pub fn channel_data(number: u16, payload: &[u8]) -> Vec<u8> {
    [&ChannelData::header(number, payload.len() as u16), payload].concat()
}

pub fn send_indication(peer: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; payload.len() + 100];
    let id = TransactionId([0x77; 12]);
    let mut builder = Builder::new(&mut buffer, Class::Indication, Method::SEND, id).expect("room");
    builder
        .push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
        .expect("room");
    builder.push(AttributeType::DATA, payload).expect("room");
    let len = builder.len();
    buffer.truncate(len);
    buffer
}

pub fn binding_request(number: u64) -> Vec<u8> {
    let mut id = [0x33; 12];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let mut buffer = vec![0; 20];
    Builder::new(
        &mut buffer,
        Class::Request,
        Method::BINDING,
        TransactionId(id),
    )
    .expect("room");
    buffer
}

/// The peer and payload of a Data indication.
pub fn data_indication(datagram: &[u8]) -> (SocketAddr, Vec<u8>) {
    let message = Message::parse(datagram).expect("a STUN message");
    assert_eq!(
        (message.class(), message.method()),
        (Class::Indication, Method::DATA)
    );
    (
        message.xor_peer_address().expect("a peer"),
        message.data().expect("a payload").to_vec(),
    )
}
