//! One session's DTLS association, sans-IO: datagrams and time in, datagrams
//! and news out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, Error, Output, SecurityError, SrtpProfile};
use forebay_media::srtp::{Keys, Master, Profile};

use super::client_hello::{Gathering, Offer, without_clear_alerts};
use super::identity::{Fingerprint, Identity, fingerprint};

/// From the first datagram to the keys.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest datagram sent: what passes every path.
const MTU: usize = 1200;
/// First retransmission of a flight; doubles.
const RETRANSMIT: Duration = Duration::from_millis(100);
/// Handshakes that may break before the session is given up: anyone who can
/// forge the peer's address can break one, and the peer then starts anew.
const ATTEMPTS: u8 = 3;
/// A datagram and a record header more.
const OUTPUT_BUFFER: usize = 2048;

/// Why no keys come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Not done within [`HANDSHAKE_TIMEOUT`].
    Timeout,
    /// The peer's certificate is not the one announced.
    Fingerprint,
    /// The peer offers no SRTP profile we know.
    NoSrtp,
    /// The handshake broke.
    Protocol,
}

/// What came of an input, in order.
#[derive(Debug, PartialEq)]
pub enum News {
    /// The handshake is done and the certificate is the announced one.
    Keys(Keys),
    /// It will not be done. Further datagrams are ignored.
    Failed(Failure),
    /// The peer closed the association, authenticated.
    Closed,
}

/// What an input leads to.
#[derive(Debug, Default)]
pub struct Reaction {
    /// To be sent to the peer.
    pub datagrams: Vec<Box<[u8]>>,
    /// At most two.
    pub news: Vec<News>,
}

/// How every association is set up: server, client certificate required, no
/// cookie exchange, because the peer's address is known from an authenticated
/// ICE check.
#[derive(Clone)]
pub struct Terms(Arc<Config>);

impl Terms {
    /// The terms; `None` when the crypto provider refuses them.
    pub fn new() -> Option<Self> {
        let config = Config::builder()
            .mtu(MTU)
            .require_client_certificate(true)
            .use_server_cookie(false)
            .flight_start_rto(RETRANSMIT)
            .flight_retries(8)
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .build();
        Some(Self(Arc::new(config.ok()?)))
    }
}

/// One session's association.
pub struct Association {
    terms: Terms,
    identity: Arc<Identity>,
    expected: Option<Fingerprint>,
    state: State,
    give_up: Option<Instant>,
    attempts: u8,
    deadline: Option<Instant>,
}

enum State {
    /// Its ClientHello is not complete.
    Gathering(Gathering),
    Shaking(Shaking),
    /// Keys were handed over. What comes now: the peer's last flight again,
    /// when ours was lost, and close_notify.
    Established(Box<Dtls>),
    Over,
}

struct Shaking {
    dtls: Box<Dtls>,
    presented: Option<Fingerprint>,
    keys: Option<Keys>,
    connected: bool,
}

impl Association {
    /// An association that waits for its peer's ClientHello. `expected` is
    /// the SHA-256 of the certificate the peer announced, once known.
    pub fn new(terms: Terms, identity: Arc<Identity>, expected: Option<Fingerprint>) -> Self {
        Self {
            terms,
            identity,
            expected,
            state: State::Gathering(Gathering::default()),
            give_up: None,
            attempts: 0,
            deadline: None,
        }
    }

    /// Whether the handshake is still to be done.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Gathering(_) | State::Shaking(_))
    }

    /// When [`timeout`](Self::timeout) is due.
    pub fn deadline(&self) -> Option<Instant> {
        match (self.deadline, self.give_up) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The peer's fingerprint became known.
    pub fn announce(&mut self, now: Instant, expected: Fingerprint) -> Reaction {
        let mut reaction = Reaction::default();
        self.expected = Some(expected);
        self.drive(now, &mut reaction, |_| Ok(()));
        reaction
    }

    /// A datagram from the peer.
    pub fn receive(&mut self, now: Instant, datagram: Box<[u8]>) -> Reaction {
        let mut reaction = Reaction::default();
        let Some(datagram) = without_clear_alerts(datagram) else {
            return reaction;
        };
        if self.give_up.is_none() && self.is_pending() {
            self.give_up = Some(now + HANDSHAKE_TIMEOUT);
        }
        let State::Gathering(gathering) = &mut self.state else {
            self.drive(now, &mut reaction, |dtls| dtls.handle_packet(&datagram));
            return reaction;
        };
        let Some((offer, datagrams)) = gathering.push(datagram) else {
            return reaction;
        };
        if !offer.srtp {
            self.fail(Failure::NoSrtp, &mut reaction);
            return reaction;
        }
        self.state = State::Shaking(Shaking {
            dtls: Box::new(self.make(now, offer)),
            presented: None,
            keys: None,
            connected: false,
        });
        for datagram in datagrams {
            self.drive(now, &mut reaction, |dtls| dtls.handle_packet(&datagram));
        }
        reaction
    }

    /// Retransmits, or gives up.
    pub fn timeout(&mut self, now: Instant) -> Reaction {
        let mut reaction = Reaction::default();
        self.drive(now, &mut reaction, |_| Ok(()));
        if self.is_pending() && self.give_up.is_some_and(|at| at <= now) {
            self.fail(Failure::Timeout, &mut reaction);
        }
        reaction
    }

    fn make(&self, now: Instant, offer: Offer) -> Dtls {
        let Terms(config) = self.terms.clone();
        let certificate = self.identity.certificate();
        if offer.dtls13 {
            Dtls::new_13(config, certificate, now)
        } else {
            Dtls::new_12(config, certificate, now)
        }
    }

    fn fail(&mut self, why: Failure, reaction: &mut Reaction) {
        self.end();
        reaction.news.push(News::Failed(why));
    }

    fn end(&mut self) {
        self.state = State::Over;
        self.deadline = None;
        self.give_up = None;
    }

    /// Lets time pass, applies `input`, and takes what comes of it.
    fn drive(
        &mut self,
        now: Instant,
        reaction: &mut Reaction,
        input: impl FnOnce(&mut Dtls) -> Result<(), Error>,
    ) {
        let result = match &mut self.state {
            State::Gathering(_) | State::Over => return,
            State::Shaking(shaking) => {
                let input = feed(&mut shaking.dtls, now, input);
                shaking.poll(reaction, &mut self.deadline);
                input
            }
            State::Established(dtls) => {
                let mut input = feed(dtls, now, input);
                if poll_established(dtls, reaction, &mut self.deadline) {
                    input = Err(Error::ConnectionClosed);
                }
                input
            }
        };
        if let Err(error) = result {
            self.broke(&error, reaction);
            return;
        }
        let State::Shaking(shaking) = &mut self.state else {
            return;
        };
        if let (Some(expected), Some(presented)) = (self.expected, shaking.presented)
            && expected != presented
        {
            reaction.datagrams.clear();
            self.fail(Failure::Fingerprint, reaction);
            return;
        }
        if !shaking.connected || self.expected.is_none() || shaking.presented.is_none() {
            return;
        }
        let Some(keys) = shaking.keys.take() else {
            self.fail(Failure::NoSrtp, reaction);
            return;
        };
        reaction.news.push(News::Keys(keys));
        self.give_up = None;
        let State::Shaking(shaking) = core::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        self.state = State::Established(shaking.dtls);
    }

    /// Every error of a `Dtls` is final for it.
    fn broke(&mut self, error: &Error, reaction: &mut Reaction) {
        tracing::debug!(?error, "DTLS association broke");
        self.deadline = None;
        if matches!(self.state, State::Established(_)) {
            // What was agreed stays agreed, unless the peer itself,
            // authenticated, says otherwise.
            let by_peer = matches!(
                error,
                Error::ConnectionClosed | Error::SecurityError(SecurityError::FatalAlert { .. })
            );
            self.end();
            if by_peer {
                reaction.news.push(News::Closed);
            }
            return;
        }
        self.attempts += 1;
        match error {
            Error::Timeout(_) => self.fail(Failure::Timeout, reaction),
            _ if self.attempts >= ATTEMPTS => self.fail(Failure::Protocol, reaction),
            _ => self.state = State::Gathering(Gathering::default()),
        }
    }
}

fn feed(
    dtls: &mut Dtls,
    now: Instant,
    input: impl FnOnce(&mut Dtls) -> Result<(), Error>,
) -> Result<(), Error> {
    dtls.handle_timeout(now)?;
    input(dtls)
}

impl Shaking {
    fn poll(&mut self, reaction: &mut Reaction, deadline: &mut Option<Instant>) {
        let mut buffer = [0; OUTPUT_BUFFER];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => reaction.datagrams.push(packet.into()),
                Output::Connected => self.connected = true,
                Output::PeerCert(der) => self.presented = Some(fingerprint(der)),
                Output::KeyingMaterial(material, profile) => {
                    self.keys = split(&material, profile);
                }
                Output::Timeout(at) => {
                    *deadline = Some(at);
                    return;
                }
                Output::BufferTooSmall { .. } => return,
                _ => {}
            }
        }
    }
}

/// Whether the peer closed.
fn poll_established(
    dtls: &mut Dtls,
    reaction: &mut Reaction,
    deadline: &mut Option<Instant>,
) -> bool {
    let mut buffer = [0; OUTPUT_BUFFER];
    let mut closed = false;
    loop {
        match dtls.poll_output(&mut buffer) {
            Output::Packet(packet) => reaction.datagrams.push(packet.into()),
            Output::CloseNotify => closed = true,
            Output::Timeout(at) => {
                *deadline = Some(at);
                return closed;
            }
            Output::BufferTooSmall { .. } => return closed,
            _ => {}
        }
    }
}

/// Client key, server key, client salt, server salt (RFC 5764 §4.2); we are
/// the server.
fn split(material: &[u8], profile: SrtpProfile) -> Option<Keys> {
    let profile = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Profile::AesCm128HmacSha1_80,
        SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
        _ => return None,
    };
    let (key, salt) = (profile.key_len(), profile.salt_len());
    if material.len() != 2 * (key + salt) {
        return None;
    }
    let (keys, salts) = material.split_at(2 * key);
    let master = |which: usize| {
        let mut master = Master::default();
        master.key[..key].copy_from_slice(&keys[which * key..][..key]);
        master.salt[..salt].copy_from_slice(&salts[which * salt..][..salt]);
        master
    };
    Some(Keys {
        profile,
        local: master(1),
        remote: master(0),
    })
}
