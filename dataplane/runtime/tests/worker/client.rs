//! A small TURN client.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay_wire::ChannelData;
use forebay_wire::stun::{AttributeType, Builder, Class, Message, Method, TransactionId};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;

use crate::host::{PASSWORD, REALM, USER};

static CLIENTS: AtomicU64 = AtomicU64::new(0);

pub struct Client {
    pub socket: UdpSocket,
    pub server: SocketAddr,
    password: String,
    pub nonce: Vec<u8>,
    transaction: u64,
}

impl Client {
    pub fn new(server: SocketAddr) -> Self {
        let ip: IpAddr = if server.is_ipv6() { "::1" } else { "127.0.0.1" }
            .parse()
            .unwrap();
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        Self {
            socket,
            server,
            password: PASSWORD.to_owned(),
            nonce: Vec::new(),
            // The kernel gives a closed client's port to a new one, which must
            // not look like a retransmission of the old.
            transaction: CLIENTS.fetch_add(1 << 16, Ordering::Relaxed),
        }
    }

    pub fn with_password(server: SocketAddr, password: &str) -> Self {
        Self {
            password: password.to_owned(),
            ..Self::new(server)
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn key(&self) -> [u8; 16] {
        Md5::digest(format!("{USER}:{REALM}:{}", self.password)).into()
    }

    pub fn request(&mut self, method: Method, fill: impl Fn(&mut Builder<'_>)) -> Vec<u8> {
        self.transaction += 1;
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.transaction.to_be_bytes());
        let mut buffer = [0; 1024];
        let mut message =
            Builder::new(&mut buffer, Class::Request, method, TransactionId(id)).unwrap();
        fill(&mut message);
        if !self.nonce.is_empty() {
            message
                .push(AttributeType::USERNAME, USER.as_bytes())
                .unwrap();
            message
                .push(AttributeType::REALM, REALM.as_bytes())
                .unwrap();
            message.push(AttributeType::NONCE, &self.nonce).unwrap();
            let mut mac = Hmac::<Sha1>::new_from_slice(&self.key()).unwrap();
            let input = message.integrity_input();
            mac.update(&input.header);
            mac.update(input.body);
            message
                .push_integrity(&mac.finalize().into_bytes().into())
                .unwrap();
        }
        let len = message.len();
        buffer[..len].to_vec()
    }

    /// Sends a request, twice more if need be, and gives the answer.
    pub fn exchange(&mut self, method: Method, fill: impl Fn(&mut Builder<'_>)) -> Vec<u8> {
        let request = self.request(method, fill);
        let mut buffer = [0; 4096];
        for _ in 0..3 {
            self.socket.send_to(&request, self.server).unwrap();
            while let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
                assert_eq!(from, self.server);
                if buffer[0] < 0x40 && buffer[8..20] == request[8..20] {
                    return buffer[..len].to_vec();
                }
            }
        }
        panic!("no answer to {method:?}");
    }

    /// The error code, or 0.
    pub fn call(&mut self, method: Method, fill: impl Fn(&mut Builder<'_>)) -> (u16, Vec<u8>) {
        let answer = self.exchange(method, fill);
        let message = Message::parse(&answer).unwrap();
        let code = message.error_code().map_or(0, |(code, _)| code.get());
        (code, answer)
    }

    pub fn bind(&mut self) -> SocketAddr {
        let answer = self.exchange(Method::BINDING, |_| {});
        Message::parse(&answer)
            .unwrap()
            .xor_mapped_address()
            .unwrap()
    }

    /// Allocates; the family is IPv4 (1) or IPv6 (2).
    pub fn try_allocate(&mut self, family: u8) -> Result<SocketAddr, u16> {
        let fill = |message: &mut Builder<'_>| {
            message
                .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
                .unwrap();
            if family == 2 {
                message
                    .push(AttributeType::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])
                    .unwrap();
            }
        };
        if self.nonce.is_empty() {
            let (code, answer) = self.call(Method::ALLOCATE, fill);
            assert_eq!(code, 401);
            self.nonce = Message::parse(&answer).unwrap().nonce().unwrap().to_vec();
        }
        match self.call(Method::ALLOCATE, fill) {
            (0, answer) => Ok(Message::parse(&answer)
                .unwrap()
                .xor_relayed_address()
                .unwrap()),
            (code, _) => Err(code),
        }
    }

    /// Allocates with these attributes besides, and gives the answer.
    pub fn allocate_with(&mut self, fill: impl Fn(&mut Builder<'_>)) -> Vec<u8> {
        self.answer_of(Method::ALLOCATE, |message| {
            message
                .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
                .unwrap();
            fill(message);
        })
    }

    /// Makes a request, with a new nonce if need be, that has to be granted.
    pub fn answer_of(&mut self, method: Method, fill: impl Fn(&mut Builder<'_>)) -> Vec<u8> {
        for _ in 0..3 {
            let (code, answer) = self.call(method, &fill);
            match code {
                0 => return answer,
                401 | 438 => {
                    self.nonce = Message::parse(&answer).unwrap().nonce().unwrap().to_vec();
                }
                code => panic!("{method:?} was refused: {code}"),
            }
        }
        panic!("{method:?} was never authentic");
    }

    pub fn allocate(&mut self) -> SocketAddr {
        let family = if self.server.is_ipv6() { 2 } else { 1 };
        self.try_allocate(family).unwrap()
    }

    pub fn permit(&mut self, peer: SocketAddr) -> u16 {
        self.call(Method::CREATE_PERMISSION, |message| {
            message
                .push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
                .unwrap();
        })
        .0
    }

    pub fn channel(&mut self, number: u16, peer: SocketAddr) -> u16 {
        self.call(Method::CHANNEL_BIND, |message| {
            message.push_channel_number(number).unwrap();
            message
                .push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
                .unwrap();
        })
        .0
    }

    pub fn refresh(&mut self, lifetime: u32) -> u16 {
        self.call(Method::REFRESH, |message| {
            message.push_u32(AttributeType::LIFETIME, lifetime).unwrap();
        })
        .0
    }

    pub fn send_channel(&self, number: u16, payload: &[u8]) {
        self.socket
            .send_to(&framed(number, payload), self.server)
            .unwrap();
    }

    pub fn send_indication(&self, peer: SocketAddr, payload: &[u8]) {
        let mut buffer = [0; 2048];
        let id = TransactionId([9; 12]);
        let mut message = Builder::new(&mut buffer, Class::Indication, Method::SEND, id).unwrap();
        message
            .push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
            .unwrap();
        message.push(AttributeType::DATA, payload).unwrap();
        let len = message.len();
        self.socket.send_to(&buffer[..len], self.server).unwrap();
    }

    /// The next relayed datagram: channel number or peer, and payload.
    pub fn receive(&self) -> (Result<u16, SocketAddr>, Vec<u8>) {
        let mut buffer = [0; 4096];
        let (len, from) = self.socket.recv_from(&mut buffer).unwrap();
        assert_eq!(from, self.server);
        let datagram = &buffer[..len];
        if datagram[0] >= 0x40 {
            let data = ChannelData::parse(datagram).unwrap();
            return (Ok(data.number()), data.payload().to_vec());
        }
        let message = Message::parse(datagram).unwrap();
        assert_eq!(
            (message.class(), message.method()),
            (Class::Indication, Method::DATA)
        );
        (
            Err(message.xor_peer_address().unwrap()),
            message.data().unwrap().to_vec(),
        )
    }
}

pub fn framed(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = ChannelData::header(number, payload.len() as u16).to_vec();
    datagram.extend(payload);
    datagram
}
