//! A browser's transport: ICE checks, DTLS by dimpl, SRTP by webrtc-srtp.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::certificate::{calculate_fingerprint, generate_self_signed_certificate};
use dimpl::{Config, Dtls, Output, SrtpProfile};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

use crate::stun;

const PATIENCE: Duration = Duration::from_secs(10);

/// What arrived.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Arrival {
    Rtp(Rtp),
    Rtcp(Vec<u8>),
}

/// A decrypted RTP packet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rtp {
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) ssrc: u32,
    pub(crate) payload: Vec<u8>,
}

/// What carries its packets.
enum Way {
    Udp(UdpSocket),
    /// With what was read of the next packets.
    Tcp(TcpStream, Vec<u8>),
}

/// How long one look for a packet takes.
const LOOK: Duration = Duration::from_millis(10);

impl Way {
    fn udp(to: SocketAddr) -> Self {
        let any = match to {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
        };
        let socket = UdpSocket::bind(any).expect("a socket");
        socket.set_read_timeout(Some(LOOK)).expect("set");
        socket.connect(to).expect("connected");
        Self::Udp(socket)
    }

    fn tcp(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("accepted");
        stream.set_read_timeout(Some(LOOK)).expect("set");
        stream.set_nodelay(true).expect("set");
        Self::Tcp(stream, Vec::new())
    }

    fn send(&mut self, packet: &[u8]) {
        match self {
            Self::Udp(socket) => {
                socket.send(packet).expect("sent");
            }
            Self::Tcp(stream, _) => {
                let len = u16::try_from(packet.len()).expect("short");
                let framed = [&len.to_be_bytes(), packet].concat();
                stream.write_all(&framed).expect("sent");
            }
        }
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 2048];
        match self {
            Self::Udp(socket) => {
                let len = socket.recv(&mut buffer).ok()?;
                Some(buffer[..len].to_vec())
            }
            Self::Tcp(stream, read) => loop {
                if let Some((len, rest)) = read.split_first_chunk::<2>() {
                    let len = usize::from(u16::from_be_bytes(*len));
                    if let Some(packet) = rest.get(..len) {
                        let packet = packet.to_vec();
                        read.drain(..2 + len);
                        return Some(packet);
                    }
                }
                match stream.read(&mut buffer) {
                    Ok(0) => panic!("the connection is closed"),
                    Ok(len) => read.extend(&buffer[..len]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                    Err(error) => panic!("{error}"),
                }
            },
        }
    }
}

pub(crate) struct Peer {
    way: Way,
    username: String,
    password: Vec<u8>,
    checks: u8,
    dtls: Dtls,
    pub(crate) fingerprint: [u8; 32],
    /// Of the server, as seen.
    pub(crate) presented: Option<[u8; 32]>,
    material: Option<(Vec<u8>, SrtpProfile)>,
    srtp: Option<(Context, Context)>,
}

impl Peer {
    /// `local` is the server's fragment.
    pub(crate) fn new(to: SocketAddr, local: &str, password: &[u8]) -> Self {
        Self::by(Way::udp(to), local, password)
    }

    /// The same over a connection (RFC 6544).
    pub(crate) fn over_tcp(to: SocketAddr, local: &str, password: &[u8]) -> Self {
        Self::by(Way::tcp(to), local, password)
    }

    fn by(way: Way, local: &str, password: &[u8]) -> Self {
        let certificate = generate_self_signed_certificate().expect("a certificate");
        let fingerprint = sha256(&certificate.certificate);
        let config = Arc::new(Config::builder().mtu(1200).build().expect("valid"));
        let mut dtls = Dtls::new_auto(config, certificate, Instant::now());
        dtls.set_active(true);
        Self {
            way,
            username: format!("{local}:peer"),
            password: password.to_vec(),
            checks: 0,
            dtls,
            fingerprint,
            presented: None,
            material: None,
            srtp: None,
        }
    }

    /// Goes on over another connection; the old one is closed.
    pub(crate) fn reconnect(&mut self, to: SocketAddr) {
        self.way = Way::tcp(to);
    }

    /// Goes on over UDP; the old way is closed.
    pub(crate) fn leave_tcp(&mut self, to: SocketAddr) {
        self.way = Way::udp(to);
    }

    fn send(&mut self, datagram: &[u8]) {
        self.way.send(datagram);
    }

    fn datagram(&mut self) -> Option<Vec<u8>> {
        self.way.receive()
    }

    /// The next packet, whatever it is.
    pub(crate) fn packet(&mut self) -> Vec<u8> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(packet) = self.datagram() {
                return packet;
            }
        }
        panic!("no packet comes");
    }

    /// Sends a check; its transaction.
    pub(crate) fn check(&mut self) -> [u8; 12] {
        self.checks += 1;
        let transaction = [self.checks; 12];
        let check = stun::check(transaction, &self.username, &self.password);
        self.send(&check);
        transaction
    }

    /// Checks until one is answered.
    pub(crate) fn connect(&mut self) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let transaction = self.check();
            if let Some(answer) = self.datagram()
                && stun::is_success(&answer, transaction)
            {
                return;
            }
        }
        panic!("no check is answered");
    }

    /// Shakes hands. False when no keys come within the time.
    pub(crate) fn secure(&mut self, within: Duration) -> bool {
        let end = Instant::now() + within;
        let mut connected = false;
        while Instant::now() < end {
            if self.dtls.handle_timeout(Instant::now()).is_err() {
                return false;
            }
            connected |= self.poll();
            if connected && self.material.is_some() {
                self.take_keys();
                return true;
            }
            if let Some(datagram) = self.datagram()
                && (20..64).contains(&datagram[0])
                && self.dtls.handle_packet(&datagram).is_err()
            {
                return false;
            }
        }
        false
    }

    /// Connects and shakes hands.
    pub(crate) fn join(&mut self) {
        self.connect();
        assert!(self.secure(PATIENCE), "no keys");
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self) {
        self.dtls.close().expect("closed");
        self.poll();
    }

    fn poll(&mut self) -> bool {
        let mut buffer = [0; 2048];
        let mut connected = false;
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => {
                    self.way.send(packet);
                }
                Output::Connected => connected = true,
                Output::PeerCert(der) => self.presented = Some(sha256(der)),
                Output::KeyingMaterial(material, profile) => {
                    self.material = Some((material.to_vec(), profile));
                }
                Output::Timeout(_) => return connected,
                _ => {}
            }
        }
    }

    fn take_keys(&mut self) {
        let (material, profile) = self.material.as_ref().expect("there");
        let (profile, key, salt) = match *profile {
            SrtpProfile::AEAD_AES_128_GCM => (ProtectionProfile::AeadAes128Gcm, 16, 12),
            SrtpProfile::AEAD_AES_256_GCM => (ProtectionProfile::AeadAes256Gcm, 32, 12),
            other => panic!("{other:?} although AES-GCM was offered"),
        };
        let (keys, salts) = material.split_at(2 * key);
        let context = |which: usize| {
            let key = &keys[which * key..][..key];
            let salt = &salts[which * salt..][..salt];
            Context::new(key, salt, profile, None, None).expect("a context")
        };
        self.srtp = Some((context(0), context(1)));
    }

    pub(crate) fn send_rtp(&mut self, rtp: &Rtp, marker: bool, timestamp: u32) {
        let mut packet = vec![0x80, rtp.payload_type | u8::from(marker) << 7];
        packet.extend(rtp.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(rtp.ssrc.to_be_bytes());
        packet.extend(&rtp.payload);
        let (outbound, _) = self.srtp.as_mut().expect("keys");
        let sealed = outbound.encrypt_rtp(&packet).expect("encrypted");
        self.send(&sealed);
    }

    /// Sends an empty receiver report with a feedback packet behind it.
    pub(crate) fn send_feedback(&mut self, feedback: &[u8]) {
        let mut packet = vec![0x80, 201, 0, 1, 0, 0, 0, 1];
        packet.extend(feedback);
        let (outbound, _) = self.srtp.as_mut().expect("keys");
        let sealed = outbound.encrypt_rtcp(&packet).expect("encrypted");
        self.send(&sealed);
    }

    /// What has arrived, waiting for it a little.
    pub(crate) fn receive(&mut self) -> Option<Arrival> {
        let datagram = self.datagram()?;
        if !(128..192).contains(&datagram[0]) {
            return None;
        }
        let (_, inbound) = self.srtp.as_mut().expect("keys");
        if (192..=223).contains(&datagram[1]) {
            let packet = inbound.decrypt_rtcp(&datagram).expect("decrypts");
            return Some(Arrival::Rtcp(packet.to_vec()));
        }
        let packet = inbound.decrypt_rtp(&datagram).expect("decrypts");
        let contributors = usize::from(packet[0] & 15) * 4;
        let mut start = 12 + contributors;
        if packet[0] & 0x10 != 0 {
            let words = u16::from_be_bytes([packet[start + 2], packet[start + 3]]);
            start += 4 + usize::from(words) * 4;
        }
        Some(Arrival::Rtp(Rtp {
            payload_type: packet[1] & 0x7F,
            sequence: u16::from_be_bytes([packet[2], packet[3]]),
            ssrc: u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]),
            payload: packet[start..].to_vec(),
        }))
    }

    /// The next RTP packet; reports are passed over.
    pub(crate) fn rtp(&mut self) -> Rtp {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(Arrival::Rtp(rtp)) = self.receive() {
                return rtp;
            }
        }
        panic!("no packet comes");
    }

    /// Waits for an RTCP packet of this type and format in any compound.
    pub(crate) fn rtcp(&mut self, kind: u8, format: u8) -> Vec<u8> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let Some(Arrival::Rtcp(compound)) = self.receive() else {
                continue;
            };
            let mut rest = &compound[..];
            while rest.len() >= 4 {
                let len = 4 + 4 * usize::from(u16::from_be_bytes([rest[2], rest[3]]));
                if rest[1] == kind && rest[0] & 31 == format {
                    return rest[..len].to_vec();
                }
                rest = rest.get(len..).unwrap_or_default();
            }
        }
        panic!("no RTCP of type {kind}, format {format} comes");
    }
}

fn sha256(der: &[u8]) -> [u8; 32] {
    calculate_fingerprint(der).try_into().expect("SHA-256")
}
