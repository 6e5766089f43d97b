//! Requests of a client: building, repeating (RFC 8489 §6.2.1), answers.

use std::net::SocketAddr;

use super::{Client, Turn};
use crate::network::{MILLISECOND, SECOND, Time};
use crate::stun::{
    Class, Message, Transaction, Writer, algorithm, attribute, long_term_key, method,
    parse_channel_data, userhash,
};

/// First retransmission timeout; doubles each time.
const RTO: Time = 500 * MILLISECOND;
/// Sends of one request (Rc).
const SENDS: u32 = 7;
/// Multiple of the RTO to wait after the last send (Rm).
const LAST_WAIT: Time = 16;

/// What a request is meant to achieve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Intent {
    Binding,
    Allocate {
        ipv6: bool,
        /// Asks for an even port, as RTP once wanted.
        even: bool,
        lifetime: Option<u32>,
    },
    Refresh(Option<u32>),
    Permit(Vec<SocketAddr>),
    Bind(u16, SocketAddr),
    /// Nothing; it has to be refused.
    Odd,
}

/// A request without an answer yet.
pub(super) struct Pending {
    intent: Intent,
    bytes: Vec<u8>,
    sends: u32,
    /// Answers to 401 and 438 so far.
    challenges: u32,
}

impl Client {
    /// Starts a transaction.
    pub(super) fn request(&mut self, intent: Intent, turn: &mut Turn<'_>) {
        self.request_again(intent, 0, turn);
    }

    fn request_again(&mut self, intent: Intent, challenges: u32, turn: &mut Turn<'_>) {
        let transaction: Transaction = turn.random.bytes();
        let mut writer;
        match &intent {
            Intent::Binding | Intent::Odd => {
                writer = Writer::new(Class::Request, method::BINDING, transaction);
            }
            Intent::Allocate {
                ipv6,
                even,
                lifetime,
            } => {
                writer = Writer::new(Class::Request, method::ALLOCATE, transaction)
                    .with(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
                if *ipv6 {
                    writer = writer.with(attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]);
                }
                if *even {
                    writer = writer.with(attribute::EVEN_PORT, &[0]);
                }
                if let Some(lifetime) = lifetime {
                    writer = writer.with(attribute::LIFETIME, &lifetime.to_be_bytes());
                }
            }
            Intent::Refresh(lifetime) => {
                writer = Writer::new(Class::Request, method::REFRESH, transaction);
                if let Some(lifetime) = lifetime {
                    writer = writer.with(attribute::LIFETIME, &lifetime.to_be_bytes());
                }
            }
            Intent::Permit(peers) => {
                writer = Writer::new(Class::Request, method::CREATE_PERMISSION, transaction);
                for peer in peers {
                    writer = writer.with_address(attribute::XOR_PEER_ADDRESS, *peer);
                }
            }
            Intent::Bind(number, peer) => {
                let [high, low] = number.to_be_bytes();
                writer = Writer::new(Class::Request, method::CHANNEL_BIND, transaction)
                    .with(attribute::CHANNEL_NUMBER, &[high, low, 0, 0])
                    .with_address(attribute::XOR_PEER_ADDRESS, *peer);
            }
        }
        let bytes = if intent == Intent::Binding {
            self.close(writer)
        } else {
            self.sign(writer)
        };
        self.begin(
            transaction,
            Pending {
                intent,
                bytes,
                sends: 0,
                challenges,
            },
            turn,
        );
    }

    /// A request that is well-formed and made by its user, and yet has to be
    /// refused, or that others have to be left alone by.
    pub(super) fn act_oddly(&mut self, turn: &mut Turn<'_>) {
        let transaction: Transaction = turn.random.bytes();
        let number = 0x3FFE + turn.random.between(0, 0x4010) as u16;
        let peer = self.peer(turn);
        let numbered = |writer: Writer| {
            writer.with(
                attribute::CHANNEL_NUMBER,
                &[(number >> 8) as u8, number as u8, 0, 0],
            )
        };
        let new = |method| Writer::new(Class::Request, method, transaction);
        let udp = |writer: Writer| writer.with(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        let writer = match turn.random.between(0, 14) {
            0 => new(method::ALLOCATE),
            1 => new(method::ALLOCATE).with(attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0]),
            2 => {
                udp(new(method::ALLOCATE)).with(attribute::REQUESTED_ADDRESS_FAMILY, &[3, 0, 0, 0])
            }
            3 => udp(new(method::ALLOCATE)).with(
                attribute::EVEN_PORT,
                &[0x80; 2][..turn.random.between(0, 2) as usize],
            ),
            4 => udp(new(method::ALLOCATE)).with(attribute::RESERVATION_TOKEN, &[1; 8]),
            5 => udp(new(method::ALLOCATE)),
            6 => udp(new(method::ALLOCATE)).with(0x7FFF, b"?"),
            7 => new(method::CREATE_PERMISSION),
            8 => new(method::CREATE_PERMISSION).with(attribute::XOR_PEER_ADDRESS, &[0, 1, 2]),
            9 => numbered(new(method::CHANNEL_BIND)),
            10 => new(method::CHANNEL_BIND).with_address(attribute::XOR_PEER_ADDRESS, peer),
            11 => {
                numbered(new(method::CHANNEL_BIND)).with_address(attribute::XOR_PEER_ADDRESS, peer)
            }
            12 => new(method::REFRESH).with(
                attribute::REQUESTED_ADDRESS_FAMILY,
                &[turn.random.between(0, 3) as u8, 0, 0, 0],
            ),
            13 => {
                // What somebody on the way would have made of the offer.
                let offered = self.offer.clone();
                match self.offer.get_mut(turn.random.between(0, 7) as usize) {
                    Some(byte) => *byte ^= 1,
                    None => self.offer.clear(),
                }
                let bytes = self.sign(udp(new(method::ALLOCATE)));
                self.offer = offered;
                let pending = Pending {
                    intent: Intent::Odd,
                    bytes,
                    sends: 0,
                    challenges: 9,
                };
                return self.begin(transaction, pending, turn);
            }
            _ => {
                // Somebody else's name on this five-tuple.
                let own = std::mem::replace(
                    &mut self.account,
                    turn.accounts.issue(turn.unix, 600, turn.random),
                );
                let lifetime = [0, 0, 0, 0];
                let bytes = self.sign(new(method::REFRESH).with(attribute::LIFETIME, &lifetime));
                self.account = own;
                let pending = Pending {
                    intent: Intent::Odd,
                    bytes,
                    sends: 0,
                    challenges: 9,
                };
                return self.begin(transaction, pending, turn);
            }
        };
        let bytes = self.sign(writer);
        self.begin(
            transaction,
            Pending {
                intent: Intent::Odd,
                bytes,
                sends: 0,
                challenges: 9,
            },
            turn,
        );
    }

    fn begin(&mut self, transaction: Transaction, pending: Pending, turn: &mut Turn<'_>) {
        self.pending.insert(transaction, pending);
        self.on_timer(transaction, turn);
    }

    /// Sends a request for the first time or again, or gives it up.
    pub(crate) fn on_timer(&mut self, transaction: Transaction, turn: &mut Turn<'_>) {
        let Some(pending) = self.pending.get_mut(&transaction) else {
            return;
        };
        if pending.sends == SENDS {
            self.pending.remove(&transaction);
            return;
        }
        pending.sends += 1;
        let wait = if pending.sends == SENDS {
            RTO * LAST_WAIT
        } else {
            RTO << (pending.sends - 1)
        };
        let bytes = pending.bytes.clone();
        turn.timers.push((turn.now + wait, transaction));
        self.send(bytes, turn);
    }

    /// A datagram from the server.
    pub(crate) fn receive(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        if let Some((_, payload)) =
            parse_channel_data(bytes).filter(|(number, _)| *number >= 0x4000)
        {
            self.received += payload.len() as u64;
            return;
        }
        let Some(answer) = Message::parse(bytes) else {
            return;
        };
        if answer.class == Class::Indication {
            self.received += answer.get(attribute::DATA).map_or(0, <[u8]>::len) as u64;
            return;
        }
        let Some(pending) = self.pending.remove(&answer.transaction) else {
            return;
        };
        match answer.class {
            Class::Success => self.granted(pending.intent, &answer, turn.now),
            _ => self.refused(pending, &answer, turn),
        }
    }

    fn granted(&mut self, intent: Intent, answer: &Message, now: Time) {
        let lifetime = answer.u32(attribute::LIFETIME).unwrap_or(0);
        match intent {
            Intent::Allocate { .. } => {
                if let Some(relayed) = answer.address(attribute::XOR_RELAYED_ADDRESS) {
                    self.install(relayed, lifetime, now);
                }
            }
            Intent::Refresh(_) if lifetime == 0 => self.session = None,
            Intent::Refresh(_) => {
                if let Some(session) = &mut self.session {
                    session.refresh_at = now + Time::from(lifetime) * SECOND * 2 / 3;
                }
            }
            Intent::Permit(peers) => {
                if let Some(session) = &mut self.session {
                    session.permissions.extend(peers.iter().map(SocketAddr::ip));
                }
            }
            Intent::Bind(number, peer) => {
                if let Some(session) = &mut self.session {
                    session.permissions.insert(peer.ip());
                    session.channels.insert(number, peer);
                }
            }
            Intent::Binding | Intent::Odd => {}
        }
    }

    fn refused(&mut self, pending: Pending, answer: &Message, turn: &mut Turn<'_>) {
        match answer.error_code() {
            Some(401 | 438) => {
                self.realm = answer.get(attribute::REALM).unwrap_or_default().to_vec();
                self.nonce = answer.get(attribute::NONCE).unwrap_or_default().to_vec();
                let offer = answer.get(attribute::PASSWORD_ALGORITHMS);
                self.offer = offer.unwrap_or_default().to_vec();
                match pending.challenges {
                    0..=2 => self.request_again(pending.intent, pending.challenges + 1, turn),
                    // The password is wrong or has run out: ask for another.
                    _ => self.ask_for_credentials(turn),
                }
            }
            // The allocation is not there (any more), or this tuple holds one
            // that the client does not know of.
            Some(437 | 441) => {
                self.session = None;
                if turn.random.percent(50.0) {
                    self.request(Intent::Refresh(Some(0)), turn);
                }
            }
            _ => {}
        }
    }

    fn ask_for_credentials(&mut self, turn: &mut Turn<'_>) {
        let ttl = turn.random.skewed(1, 3600);
        self.account = turn.accounts.issue(turn.unix, ttl, turn.random);
    }

    /// Adds credentials, once a challenge has told the realm.
    fn sign(&self, writer: Writer) -> Vec<u8> {
        if self.nonce.is_empty() {
            return self.close(writer);
        }
        let username = self.account.username.as_bytes();
        let realm = String::from_utf8_lossy(&self.realm);
        // A REST name is found by its hash only while it has an allocation.
        let writer = if self.habits.hashed && !username.contains(&b':') {
            writer.with(attribute::USERHASH, &userhash(username, &realm))
        } else {
            writer.with(attribute::USERNAME, username)
        };
        let writer = writer
            .with(attribute::REALM, &self.realm)
            .with(attribute::NONCE, &self.nonce);
        let password = self.account.password.as_bytes();
        if !self.habits.modern || self.offer.is_empty() {
            let key = long_term_key(algorithm::MD5, username, &realm, password);
            return self.close(writer.with_integrity(&key));
        }
        // The first on the list.
        let mut first = algorithm::MD5;
        first.copy_from_slice(&self.offer[..4]);
        let key = long_term_key(first, username, &realm, password);
        let mut writer = writer
            .with(attribute::PASSWORD_ALGORITHMS, &self.offer)
            .with(attribute::PASSWORD_ALGORITHM, &first);
        if self.habits.doubly {
            writer = writer.with_integrity(&key);
        }
        self.close(writer.with_integrity_sha256(&key))
    }

    fn close(&self, writer: Writer) -> Vec<u8> {
        if self.habits.fingerprint {
            writer.with_fingerprint().finish()
        } else {
            writer.finish()
        }
    }
}
