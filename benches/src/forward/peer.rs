//! A peer connection as small as a load needs: one ICE check at a time, DTLS as
//! the client, SRTP contexts from it.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use dimpl::{Dtls, DtlsCertificate, Output, SrtpProfile};
use forebay_media::srtp::{Keys, Master, Profile};
use forebay_wire::Protocol;
use forebay_wire::stun::{AttributeType, Builder, Class, Message, Method, TransactionId};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// ICE credentials of both ends.
#[derive(Clone, Debug)]
pub struct Ice {
    /// The server's fragment.
    pub remote_ufrag: String,
    /// The server's password.
    pub remote_password: String,
    /// Our fragment.
    pub local_ufrag: String,
    /// What else the server's agent does.
    pub agent: Agent,
}

/// The server's ICE agent (RFC 8445 §2.5).
#[derive(Clone, Debug)]
pub enum Agent {
    /// Answers checks and sends none.
    Lite,
    /// Sends checks of its own, which have to be answered before it takes
    /// anything else in.
    Full {
        /// Our password, for the answers.
        local_password: String,
        /// Whether it nominates; otherwise we do.
        controlling: bool,
    },
}

/// What all peers of a run share.
#[derive(Clone)]
pub struct Identity {
    certificate: DtlsCertificate,
    config: Arc<dimpl::Config>,
}

impl Identity {
    /// A certificate for all.
    ///
    /// # Errors
    /// When none can be made.
    pub fn new() -> Result<Self> {
        Ok(Self {
            certificate: dimpl::certificate::generate_self_signed_certificate()
                .map_err(|error| anyhow::anyhow!("no certificate: {error:?}"))?,
            config: Arc::new(dimpl::Config::default()),
        })
    }

    /// SHA-256 of the certificate.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.certificate.certificate).into()
    }

    /// The same as SDP writes it.
    #[must_use]
    pub fn fingerprint_text(&self) -> String {
        let bytes: Vec<String> = self
            .fingerprint()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        bytes.join(":")
    }
}

/// One connection.
pub struct Peer {
    /// Connected to the server.
    pub socket: UdpSocket,
    ice: Ice,
    dtls: Dtls,
    checks: u64,
    last_check: Instant,
    timeout: Option<Instant>,
    started: Instant,
    /// The server answered a check.
    answered: bool,
    /// We answered one of the server's.
    asked: bool,
    handshaking: bool,
    /// Set when it is up.
    pub keys: Option<Keys>,
    /// From the first check to the keys.
    pub joined_in: Duration,
}

const TIE_BREAKER: [u8; 8] = [7; 8];
const CHECK_EVERY: Duration = Duration::from_millis(100);

impl Peer {
    /// A connection from `local` to `server` that has not begun.
    ///
    /// # Errors
    /// When the socket cannot be had.
    pub fn new(
        local: SocketAddr,
        server: SocketAddr,
        ice: Ice,
        identity: &Identity,
    ) -> Result<Self> {
        let socket = UdpSocket::bind(local).with_context(|| format!("cannot bind {local}"))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        let now = Instant::now();
        let mut dtls = Dtls::new_12(identity.config.clone(), identity.certificate.clone(), now);
        dtls.set_active(true);
        Ok(Self {
            socket,
            ice,
            dtls,
            checks: 0,
            last_check: now,
            timeout: None,
            started: now,
            answered: false,
            asked: false,
            handshaking: false,
            keys: None,
            joined_in: Duration::ZERO,
        })
    }

    /// Sends a check, which nominates if that is ours to do; also keeps consent.
    ///
    /// # Errors
    /// When the check cannot be written.
    pub fn check(&mut self) -> Result<()> {
        if self.checks == 0 {
            self.started = Instant::now();
        }
        self.checks += 1;
        self.last_check = Instant::now();
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.checks.to_be_bytes());
        let mut buffer = [0; 256];
        let username = format!("{}:{}", self.ice.remote_ufrag, self.ice.local_ufrag);
        let room = |_| anyhow::anyhow!("a check does not fit");
        let mut builder = Builder::new(
            &mut buffer,
            Class::Request,
            Method::BINDING,
            TransactionId(id),
        )
        .map_err(room)?;
        builder
            .push(AttributeType::USERNAME, username.as_bytes())
            .map_err(room)?;
        builder
            .push_u32(AttributeType::PRIORITY, 0x6e00_1eff)
            .map_err(room)?;
        if matches!(
            self.ice.agent,
            Agent::Full {
                controlling: true,
                ..
            }
        ) {
            builder
                .push(AttributeType::ICE_CONTROLLED, &TIE_BREAKER)
                .map_err(room)?;
        } else {
            builder
                .push(AttributeType::ICE_CONTROLLING, &TIE_BREAKER)
                .map_err(room)?;
            builder
                .push_empty(AttributeType::USE_CANDIDATE)
                .map_err(room)?;
        }
        let length = seal(builder, &self.ice.remote_password)?;
        // A full queue loses it like the network would; the next one follows.
        let _ = self.socket.send(&buffer[..length]);
        Ok(())
    }

    /// Answers the server's own check.
    fn answer(&self, id: TransactionId, password: &str) -> Result<()> {
        let mut buffer = [0; 128];
        let room = |_| anyhow::anyhow!("an answer does not fit");
        let mut builder =
            Builder::new(&mut buffer, Class::Success, Method::BINDING, id).map_err(room)?;
        builder
            .push_xor_address(AttributeType::XOR_MAPPED_ADDRESS, self.socket.peer_addr()?)
            .map_err(room)?;
        let length = seal(builder, password)?;
        let _ = self.socket.send(&buffer[..length]);
        Ok(())
    }

    /// Takes in what arrived and sends what is due. True once it is up.
    ///
    /// # Errors
    /// When the handshake fails.
    pub fn drive(&mut self) -> Result<bool> {
        let mut buffer = [0; 2048];
        let now = Instant::now();
        if self.keys.is_none() && (self.checks == 0 || now - self.last_check > CHECK_EVERY) {
            self.check()?;
        }
        loop {
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // An ICMP error of an earlier packet.
                Err(_) => continue,
            };
            let datagram = &buffer[..length];
            match Protocol::of(datagram) {
                Protocol::Stun => self.on_stun(datagram)?,
                Protocol::Dtls => {
                    self.dtls.handle_timeout(now).map_err(failed)?;
                    self.dtls.handle_packet(datagram).map_err(failed)?;
                    self.poll()?;
                }
                _ => {}
            }
        }
        if self.timeout.is_some_and(|at| at <= now) {
            self.dtls.handle_timeout(now).map_err(failed)?;
            self.poll()?;
        }
        Ok(self.keys.is_some())
    }

    fn on_stun(&mut self, datagram: &[u8]) -> Result<()> {
        let Ok(message) = Message::parse(datagram) else {
            return Ok(());
        };
        match (message.class(), &self.ice.agent) {
            (Class::Success, _) => self.answered = true,
            (Class::Request, Agent::Full { local_password, .. }) => {
                self.answer(message.transaction_id(), local_password)?;
                self.asked = true;
            }
            (Class::Error, _) => bail!("the server refuses the check"),
            _ => {}
        }
        // A full agent drops handshakes before it has a pair.
        let paired = self.answered && (self.asked || matches!(self.ice.agent, Agent::Lite));
        if paired && !self.handshaking {
            self.handshaking = true;
            self.dtls.handle_timeout(Instant::now()).map_err(failed)?;
            self.poll()?;
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<()> {
        let mut buffer = [0; 2048];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => {
                    let _ = self.socket.send(packet);
                }
                Output::KeyingMaterial(material, profile) => {
                    self.keys = Some(split(&material, profile)?);
                    self.joined_in = self.started.elapsed();
                }
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    return Ok(());
                }
                Output::BufferTooSmall { .. } => bail!("a DTLS flight exceeds 2 kB"),
                Output::CloseNotify => bail!("the server closed"),
                _ => {}
            }
        }
    }
}

/// Adds MESSAGE-INTEGRITY and FINGERPRINT; returns the message's length.
fn seal(mut builder: Builder<'_>, password: &str) -> Result<usize> {
    let room = |_| anyhow::anyhow!("a STUN message does not fit");
    let mut mac = Hmac::<Sha1>::new_from_slice(password.as_bytes())?;
    let input = builder.integrity_input();
    mac.update(&input.header);
    mac.update(input.body);
    builder
        .push_integrity(&mac.finalize().into_bytes().into())
        .map_err(room)?;
    builder.push_fingerprint().map_err(room)?;
    Ok(builder.len())
}

fn failed(error: dimpl::Error) -> anyhow::Error {
    anyhow::anyhow!("DTLS: {error:?}")
}

/// Client and server keys, then client and server salts (RFC 5764 §4.2); we
/// are the client.
fn split(material: &[u8], profile: SrtpProfile) -> Result<Keys> {
    let profile = match profile {
        SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
        SrtpProfile::AES128_CM_SHA1_80 => Profile::AesCm128HmacSha1_80,
        _ => bail!("an unknown protection profile"),
    };
    let (key, salt) = (profile.key_len(), profile.salt_len());
    if material.len() < 2 * (key + salt) {
        bail!("too little keying material");
    }
    let master = |side: usize| {
        let mut master = Master::default();
        master.key[..key].copy_from_slice(&material[side * key..][..key]);
        master.salt[..salt].copy_from_slice(&material[2 * key + side * salt..][..salt]);
        master
    };
    Ok(Keys {
        profile,
        local: master(0),
        remote: master(1),
    })
}

/// Brings all of them up, `in_flight` at a time.
///
/// # Errors
/// When one fails or `limit` passes.
pub fn connect(peers: &mut [Peer], in_flight: usize, limit: Duration) -> Result<()> {
    let end = Instant::now() + limit;
    let mut first = 0;
    while first < peers.len() {
        let last = peers.len().min(first + in_flight);
        let mut waiting = false;
        for peer in &mut peers[first..last] {
            if peer.keys.is_none() {
                waiting |= !peer.drive()?;
            }
        }
        while first < peers.len() && peers[first].keys.is_some() {
            first += 1;
        }
        if Instant::now() > end {
            bail!("{} of {} connections came up", first, peers.len());
        }
        if waiting {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    Ok(())
}
