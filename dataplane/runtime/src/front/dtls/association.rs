//! One DTLS client, sans-IO: datagrams and time in, datagrams and plaintext
//! out. The client needs no certificate; TURN knows it by its password.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, DtlsCertificate, Error, Output};

use crate::dtls::client_hello::{Gathering, without_clear_alerts};

/// The largest datagram of a handshake: what passes every path.
const MTU: usize = 1200;
/// First retransmission of a flight; doubles.
const RETRANSMIT: Duration = Duration::from_millis(400);
/// A datagram of a handshake, and most others; longer ones get a longer buffer.
const OUTPUT_BUFFER: usize = 2048;
/// The longest record there is, its header, and what encryption adds.
const LONGEST_OUTPUT: usize = (16 << 10) + 1024;
/// The longest message a record holds (RFC 6347 §4.1), with room for what
/// encryption adds.
pub(super) const LONGEST_MESSAGE: usize = (16 << 10) - 256;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_VERIFY_REQUEST: u8 = 3;
/// Where a handshake message begins, behind the record's header.
const MESSAGE: usize = 13;
/// Where the random of a ServerHello begins.
const RANDOM: usize = MESSAGE + 12 + 2;
/// What a ServerHello that asks for a cookie has in place of randomness (RFC
/// 8446 §4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91,
    0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

/// Whether a datagram begins a handshake: the first piece of a ClientHello
/// that answers no cookie.
pub(super) fn begins(datagram: &[u8]) -> bool {
    datagram.len() > MESSAGE + 12
        && datagram[0] == HANDSHAKE
        && datagram[3..5] == [0, 0]
        && datagram[MESSAGE] == CLIENT_HELLO
        && datagram[MESSAGE + 4..MESSAGE + 6] == [0, 0]
}

/// Whether a datagram may belong to a handshake that is not done: its first
/// record is not encrypted.
pub(super) fn is_clear(datagram: &[u8]) -> bool {
    datagram.len() > MESSAGE && (20..=26).contains(&datagram[0]) && datagram[3..5] == [0, 0]
}

/// Whether a datagram of ours asks for a cookie.
fn asks_for_cookie(datagram: &[u8]) -> bool {
    match datagram.get(MESSAGE) {
        Some(&HELLO_VERIFY_REQUEST) => true,
        Some(&SERVER_HELLO) => datagram
            .get(RANDOM..RANDOM + 32)
            .is_some_and(|random| random == RETRY_RANDOM),
        _ => false,
    }
}

/// How every association is set up.
#[derive(Clone)]
pub(super) struct Terms(Arc<Config>);

impl Terms {
    /// `None` when the crypto provider refuses them.
    pub(super) fn new(timeout: Duration) -> Option<Self> {
        let config = Config::builder()
            .mtu(MTU)
            .require_client_certificate(false)
            .use_server_cookie(true)
            .flight_start_rto(RETRANSMIT)
            .flight_retries(6)
            .handshake_timeout(timeout)
            .build();
        Some(Self(Arc::new(config.ok()?)))
    }
}

/// What an input leads to.
#[derive(Debug, Default)]
pub(super) struct Reaction {
    /// To be sent to the client.
    pub(super) datagrams: Vec<Box<[u8]>>,
    /// What it said, a message each.
    pub(super) messages: Vec<Box<[u8]>>,
    /// The handshake is done; before any message.
    pub(super) connected: bool,
    /// The client closed.
    pub(super) closed: bool,
}

/// One client's association.
pub(super) struct Association {
    state: State,
    deadline: Option<Instant>,
    cookie_shown: bool,
}

enum State {
    Gathering(Gathering, Terms, DtlsCertificate),
    Running(Box<Dtls>),
}

impl Association {
    pub(super) fn new(terms: Terms, certificate: DtlsCertificate) -> Self {
        Self {
            state: State::Gathering(Gathering::default(), terms, certificate),
            deadline: None,
            cookie_shown: false,
        }
    }

    /// When [`timeout`](Self::timeout) is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the client showed a cookie, and so is where its datagrams say.
    pub(super) fn is_verified(&self) -> bool {
        self.cookie_shown
    }

    /// A datagram from the client. An error is the end.
    pub(super) fn receive(&mut self, now: Instant, datagram: &[u8]) -> Result<Reaction, Error> {
        let mut reaction = Reaction::default();
        // Nobody authenticated these.
        let Some(datagram) = without_clear_alerts(datagram.into()) else {
            return Ok(reaction);
        };
        let datagrams = match &mut self.state {
            State::Running(_) => vec![datagram],
            State::Gathering(gathering, terms, certificate) => {
                let Some((offer, datagrams)) = gathering.push(datagram) else {
                    return Ok(reaction);
                };
                let config = Arc::clone(&terms.0);
                let certificate = std::mem::replace(
                    certificate,
                    DtlsCertificate {
                        certificate: Vec::new(),
                        private_key: Vec::new(),
                    },
                );
                let dtls = if offer.dtls13 {
                    Dtls::new_13(config, certificate, now)
                } else {
                    Dtls::new_12(config, certificate, now)
                };
                self.state = State::Running(Box::new(dtls));
                datagrams
            }
        };
        let State::Running(dtls) = &mut self.state else {
            return Ok(reaction);
        };
        let mut result = dtls.handle_timeout(now);
        for datagram in &datagrams {
            result = result.and_then(|()| dtls.handle_packet(datagram));
        }
        self.poll(&mut reaction);
        if !reaction.datagrams.is_empty() && !reaction.datagrams.iter().any(|d| asks_for_cookie(d))
        {
            self.cookie_shown = true;
        }
        result.map(|()| reaction)
    }

    /// A message for the client; at most [`LONGEST_MESSAGE`].
    pub(super) fn send(&mut self, message: &[u8]) -> Result<Reaction, Error> {
        let mut reaction = Reaction::default();
        let State::Running(dtls) = &mut self.state else {
            return Ok(reaction);
        };
        let result = dtls.send_application_data(message);
        self.poll(&mut reaction);
        result.map(|_| reaction)
    }

    /// Retransmits, or gives up with an error.
    pub(super) fn timeout(&mut self, now: Instant) -> Result<Reaction, Error> {
        let mut reaction = Reaction::default();
        let State::Running(dtls) = &mut self.state else {
            return Ok(reaction);
        };
        let result = dtls.handle_timeout(now);
        self.poll(&mut reaction);
        result.map(|()| reaction)
    }

    /// Says goodbye.
    pub(super) fn close(&mut self) -> Reaction {
        let mut reaction = Reaction::default();
        if let State::Running(dtls) = &mut self.state {
            // It is over, said or not.
            let _ = dtls.close();
            self.poll(&mut reaction);
        }
        reaction
    }

    fn poll(&mut self, reaction: &mut Reaction) {
        let State::Running(dtls) = &mut self.state else {
            return;
        };
        let mut usual = [0; OUTPUT_BUFFER];
        let mut longer = Vec::new();
        loop {
            let is_usual = longer.is_empty();
            let buffer = if is_usual {
                &mut usual[..]
            } else {
                &mut longer[..]
            };
            match dtls.poll_output(buffer) {
                Output::Packet(datagram) => reaction.datagrams.push(datagram.into()),
                Output::ApplicationData(message) => reaction.messages.push(message.into()),
                Output::Connected => reaction.connected = true,
                Output::CloseNotify => reaction.closed = true,
                Output::Timeout(at) => {
                    self.deadline = Some(at);
                    return;
                }
                Output::BufferTooSmall { .. } if is_usual => {
                    longer.resize(LONGEST_OUTPUT, 0);
                }
                Output::BufferTooSmall { .. } => return,
                _ => {}
            }
        }
    }
}
