//! A small TURN client over a connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use forebay_runtime::streams::{ClientTransport, Connection, Speaks};
use forebay_wire::stun::{AttributeType, Builder, Message, Method};

use crate::client::Client;
use crate::host::Host;

/// Both ends of a TCP connection: the client's, and the server's with both
/// addresses.
pub fn pair() -> (TcpStream, Connection) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = listener.local_addr().unwrap();
    let client = TcpStream::connect(local).unwrap();
    client.set_nodelay(true).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let (socket, from) = listener.accept().unwrap();
    // As one gets it from an event loop.
    socket.set_nonblocking(true).unwrap();
    let connection = Connection {
        socket: OwnedFd::from(socket),
        client: from,
        local,
        transport: ClientTransport::Tcp,
        speaks: Speaks::Turn,
        tls: None,
        plain: Vec::new(),
        early: Vec::new(),
    };
    (client, connection)
}

pub struct StreamClient<S> {
    pub stream: S,
    /// Writes messages and keeps the nonce; its own socket is not used.
    pub writer: Client,
}

impl StreamClient<TcpStream> {
    /// Over TCP, adopted by the host's first worker.
    pub fn tcp(host: &Host) -> Self {
        let (stream, connection) = pair();
        host.workers[0].mailer().adopt(connection).unwrap();
        Self::over(stream, host.v4)
    }
}

impl<S: Read + Write> StreamClient<S> {
    pub fn over(stream: S, server: SocketAddr) -> Self {
        Self {
            stream,
            writer: Client::new(server),
        }
    }

    /// The next message; ChannelData without its padding.
    pub fn message(&mut self) -> Vec<u8> {
        let mut message = vec![0; 4];
        self.stream.read_exact(&mut message).unwrap();
        let stated = usize::from(u16::from_be_bytes([message[2], message[3]]));
        if message[0] < 0x40 {
            message.resize(20 + stated, 0);
            self.stream.read_exact(&mut message[4..]).unwrap();
        } else {
            message.resize((4 + stated).next_multiple_of(4), 0xFF);
            self.stream.read_exact(&mut message[4..]).unwrap();
            message.truncate(4 + stated);
        }
        message
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    /// The error code, or 0, and the answer.
    pub fn call(&mut self, method: Method, fill: impl Fn(&mut Builder<'_>)) -> (u16, Vec<u8>) {
        let request = self.writer.request(method, fill);
        self.send(&request);
        loop {
            let answer = self.message();
            if answer[0] < 0x40 && answer[8..20] == request[8..20] {
                let message = Message::parse(&answer).unwrap();
                let code = message.error_code().map_or(0, |(code, _)| code.get());
                return (code, answer);
            }
        }
    }

    /// Has a request refused to learn the nonce.
    pub fn challenge(&mut self, method: Method, fill: impl Fn(&mut Builder<'_>)) {
        let (code, answer) = self.call(method, fill);
        assert_eq!(code, 401);
        self.writer.nonce = Message::parse(&answer).unwrap().nonce().unwrap().to_vec();
    }

    pub fn binding(&mut self) -> SocketAddr {
        let (code, answer) = self.call(Method::BINDING, |_| {});
        assert_eq!(code, 0);
        Message::parse(&answer)
            .unwrap()
            .xor_mapped_address()
            .unwrap()
    }

    pub fn allocate(&mut self) -> SocketAddr {
        let fill = |message: &mut Builder<'_>| {
            message
                .push(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
                .unwrap();
        };
        self.challenge(Method::ALLOCATE, fill);
        let (code, answer) = self.call(Method::ALLOCATE, fill);
        assert_eq!(code, 0);
        Message::parse(&answer)
            .unwrap()
            .xor_relayed_address()
            .unwrap()
    }

    pub fn channel(&mut self, number: u16, peer: SocketAddr) {
        let (code, _) = self.call(Method::CHANNEL_BIND, |message| {
            message.push_channel_number(number).unwrap();
            message
                .push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
                .unwrap();
        });
        assert_eq!(code, 0);
    }

    /// Sends ChannelData, padded.
    pub fn send_channel(&mut self, number: u16, payload: &[u8]) {
        self.send(&padded(number, payload));
    }

    /// Whether the server ends the connection within ten seconds.
    pub fn is_ended(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut buffer = vec![0; 1 << 16];
        while Instant::now() < deadline {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
        }
        false
    }
}

pub fn padded(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = crate::client::framed(number, payload);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}
