//! `turn-client-proto` over a UDP socket.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use turn_client_proto::api::{
    Transmit, TurnClientApi, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet,
};
use turn_client_proto::prelude::DelayedTransmitBuild;
use turn_client_proto::stun;
use turn_client_proto::stun::types::TransportType;
use turn_client_proto::stun::types::attribute::AttributeType;
use turn_client_proto::stun::types::message::Message;
use turn_client_proto::types::TurnCredentials;
use turn_client_proto::udp::TurnClientUdp;

use super::server::{Peer, Server};

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
const USERHASH: u16 = 0x001E;

/// The longest anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which attributes crossed the wire, messages of both directions.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) named: u32,
    pub(crate) hashed: u32,
    pub(crate) sha1: u32,
    pub(crate) sha256: u32,
}

impl Seen {
    fn note(&mut self, datagram: &[u8]) {
        let Ok(message) = Message::from_bytes(datagram) else {
            return;
        };
        for (kind, count) in [
            (USERNAME, &mut self.named),
            (USERHASH, &mut self.hashed),
            (MESSAGE_INTEGRITY, &mut self.sha1),
            (MESSAGE_INTEGRITY_SHA256, &mut self.sha256),
        ] {
            *count += u32::from(message.has_attribute(AttributeType::new(kind)));
        }
    }
}

pub(crate) struct Client {
    turn: TurnClientUdp,
    socket: UdpSocket,
    server: SocketAddr,
    pub(crate) seen: Seen,
    received: Vec<Vec<u8>>,
    /// What its clock counts from.
    start: Instant,
}

impl Client {
    /// A client that has sent nothing yet.
    pub(crate) fn new(
        server: &Server,
        (username, password): (&str, &str),
        set_up: impl FnOnce(&mut TurnConfig),
    ) -> Self {
        let server = SocketAddr::from((server.setup.address, server.setup.port));
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let mut config = TurnConfig::new(TurnCredentials::new(username, password));
        set_up(&mut config);
        let own = socket.local_addr().expect("an address");
        Self {
            turn: TurnClientUdp::allocate(own, server, config),
            socket,
            server,
            seen: Seen::default(),
            received: Vec::new(),
            start: Instant::now(),
        }
    }

    /// The relayed address, or what it says instead.
    pub(crate) fn allocate(&mut self) -> Result<SocketAddr, String> {
        self.until(|event| match event {
            TurnEvent::AllocationCreated(_, relayed) => Some(Ok(*relayed)),
            TurnEvent::AllocationCreateFailed(_) => Some(Err(format!("{event:?}"))),
            _ => None,
        })
    }

    pub(crate) fn permit(&mut self, peer: &str) -> Result<(), String> {
        let ip = peer.parse().expect("an address");
        let now = self.now();
        self.turn
            .create_permission(TransportType::Udp, ip, now)
            .map_err(|error| error.to_string())?;
        self.until(|event| match event {
            TurnEvent::PermissionCreated(..) => Some(Ok(())),
            TurnEvent::PermissionCreateFailed(..) => Some(Err(format!("{event:?}"))),
            _ => None,
        })
    }

    pub(crate) fn bind(&mut self, peer: &Peer) -> Result<(), String> {
        let now = self.now();
        self.turn
            .bind_channel(TransportType::Udp, address(peer), now)
            .map_err(|error| error.to_string())?;
        self.until(|event| match event {
            TurnEvent::ChannelCreated(..) => Some(Ok(())),
            TurnEvent::ChannelCreateFailed(..) => Some(Err(format!("{event:?}"))),
            _ => None,
        })
    }

    /// What an echo peer sends back.
    pub(crate) fn echo(&mut self, peer: &Peer, payload: &[u8]) -> Vec<u8> {
        let now = self.now();
        let sent = self
            .turn
            .send_to(TransportType::Udp, address(peer), payload, now)
            .expect("may be sent")
            .expect("something to send");
        let datagram = sent.data.build();
        self.send(&datagram);
        let deadline = Instant::now() + PATIENCE;
        while self.received.is_empty() && Instant::now() < deadline {
            self.turn_over();
        }
        self.received.pop().unwrap_or_default()
    }

    /// Ends the allocation and waits for the answer.
    pub(crate) fn delete(&mut self) {
        let now = self.now();
        self.turn.delete(now).expect("there is an allocation");
        self.transmit();
        let deadline = Instant::now() + PATIENCE;
        while self.turn_over() && Instant::now() < deadline {}
    }

    fn until<T>(
        &mut self,
        mut wanted: impl FnMut(&TurnEvent) -> Option<Result<T, String>>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let open = self.turn_over();
            while let Some(event) = self.turn.poll_event() {
                if let Some(outcome) = wanted(&event) {
                    return outcome;
                }
            }
            if !open {
                return Err("it gave up".to_owned());
            }
        }
        Err("nothing happened".to_owned())
    }

    /// Sends what is due and takes what comes. False when the client is done.
    fn turn_over(&mut self) -> bool {
        let now = self.now();
        let wait = match self.turn.poll(now) {
            TurnPollRet::WaitUntil(at) => at.saturating_duration_since(now),
            TurnPollRet::Closed => return false,
            other => unreachable!("asks for {other:?}"),
        };
        self.transmit();
        let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(50));
        self.socket
            .set_read_timeout(Some(wait))
            .expect("a time limit");
        let mut buffer = [0; 2048];
        let Ok(len) = self.socket.recv(&mut buffer) else {
            return true;
        };
        let datagram = buffer[..len].to_vec();
        self.seen.note(&datagram);
        let own = self.socket.local_addr().expect("an address");
        let transmit = Transmit::new(datagram, TransportType::Udp, self.server, own);
        let now = self.now();
        if let TurnRecvRet::PeerData(data) = self.turn.recv(transmit, now) {
            self.received.push(data.data().to_vec());
        }
        true
    }

    fn transmit(&mut self) {
        let now = self.now();
        while let Some(transmit) = self.turn.poll_transmit(now) {
            self.send(&transmit.data);
        }
    }

    fn now(&self) -> stun::Instant {
        stun::Instant::from_std(self.start)
    }

    fn send(&mut self, datagram: &[u8]) {
        self.seen.note(datagram);
        self.socket.send_to(datagram, self.server).expect("sent");
    }
}

fn address(peer: &Peer) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], peer.port))
}

/// A REST credential that expires so many seconds from now.
pub(crate) fn rest(secret: &str, user: &str, ttl: i64) -> (String, String) {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    let now = i64::try_from(since.as_secs()).expect("before the end of time");
    let username = format!("{}:{user}", now + ttl);
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("any key length");
    mac.update(username.as_bytes());
    let password = STANDARD.encode(mac.finalize().into_bytes());
    (username, password)
}

/// Requests refused for their credentials, by reason.
pub(crate) fn failures(server: &Server, reason: &str) -> f64 {
    std::thread::sleep(Duration::from_millis(300));
    server
        .metrics()
        .lines()
        .filter(|line| {
            line.starts_with("forebay_auth_failures_total{")
                && line.contains(&format!("reason=\"{reason}\""))
        })
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}
