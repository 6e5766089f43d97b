//! Everything a stranger can throw at the server: made-up bytes, damaged and
//! replayed datagrams, spoofed sources, stolen nonces.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::accounts::Accounts;
use crate::addresses::{Plan, v4, v6};
use crate::network::Packet;
use crate::random::Random;
use crate::stun::{
    Class, Message, Writer, algorithm, attribute, channel_data, long_term_key, method,
};

/// An attacker who sees the datagrams that clients send.
#[derive(Default)]
pub(crate) struct Attacker {
    seen: VecDeque<Packet>,
}

impl Attacker {
    const SEEN: usize = 64;

    /// Overhears a datagram to the server.
    pub(crate) fn overhear(&mut self, packet: &Packet) {
        if self.seen.len() == Self::SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(packet.clone());
    }

    /// One attack, a few datagrams at most.
    pub(crate) fn attack(
        &self,
        plan: &Plan,
        accounts: &Accounts,
        relays: &[SocketAddr],
        unix: u64,
        random: &mut Random,
    ) -> Vec<Packet> {
        let ipv6 = random.percent(30.0);
        let host = random.between(1, 3) as u16;
        let ip = if ipv6 {
            v6(0x2a00, 0x6600 + host)
        } else {
            v4(5, 5, 200, host as u8)
        };
        let own = SocketAddr::new(ip, 7000 + host);
        let server = plan.server(ipv6, random);
        let to_server = |bytes| {
            vec![Packet {
                source: own,
                destination: server,
                ecn: 0,
                bytes,
            }]
        };
        if self.seen.is_empty() || random.percent(20.0) {
            return match random.between(0, 4) {
                0 => to_server(garbage(random)),
                1 => to_server(channel_data(0x4000, b"nobody bound this")),
                2 => {
                    let request = Writer::new(Class::Request, method::ALLOCATE, random.bytes());
                    let count = random.skewed(1, 60) as usize;
                    let bytes = request
                        .with(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
                        .finish();
                    vec![
                        Packet {
                            source: own,
                            destination: server,
                            ecn: 0,
                            bytes
                        };
                        count
                    ]
                }
                3 => {
                    let class = *random.pick(&[
                        Class::Request,
                        Class::Indication,
                        Class::Success,
                        Class::Error,
                    ]);
                    let method = random.between(0, 12) as u16;
                    to_server(Writer::new(class, method, random.bytes()).finish())
                }
                _ => {
                    let targets: Vec<_> = relays
                        .iter()
                        .filter(|relay| relay.is_ipv6() == ipv6)
                        .collect();
                    if targets.is_empty() {
                        return Vec::new();
                    }
                    let source = match plan.peers.iter().find(|peer| peer.is_ipv6() == ipv6) {
                        Some(peer) if random.percent(50.0) => *peer,
                        _ => own,
                    };
                    vec![Packet {
                        source,
                        destination: **random.pick(&targets),
                        ecn: 0,
                        bytes: garbage(random),
                    }]
                }
            };
        }
        let mut packet = self.seen[random.index(self.seen.len())].clone();
        match random.between(0, 6) {
            0 => {}
            1 => {
                packet.source = if packet.source.is_ipv6() == ipv6 {
                    own
                } else {
                    return Vec::new();
                }
            }
            2 => packet
                .bytes
                .truncate(random.between(0, packet.bytes.len() as u64) as usize),
            3 => {
                for _ in 0..random.skewed(1, 8) {
                    if !packet.bytes.is_empty() {
                        let at = random.index(packet.bytes.len());
                        packet.bytes[at] ^= 1 << random.between(0, 7);
                    }
                }
            }
            4 => packet.bytes.extend(garbage(random)),
            5 => {
                packet.bytes =
                    channel_data(0x4000 + random.between(0, 20) as u16, &garbage(random));
            }
            _ => return with_stolen_nonce(packet, own, accounts, unix, random),
        }
        vec![packet]
    }
}

/// A genuine user's request with somebody else's nonce.
fn with_stolen_nonce(
    mut packet: Packet,
    own: SocketAddr,
    accounts: &Accounts,
    unix: u64,
    random: &mut Random,
) -> Vec<Packet> {
    let Some(message) = Message::parse(&packet.bytes) else {
        return Vec::new();
    };
    let (Some(realm), Some(nonce)) = (message.get(attribute::REALM), message.get(attribute::NONCE))
    else {
        return Vec::new();
    };
    if own.is_ipv6() == packet.source.is_ipv6() {
        packet.source = own;
    }
    let account = accounts.issue(unix, 600, random);
    let username = account.username.as_bytes();
    let key = long_term_key(
        algorithm::MD5,
        username,
        &String::from_utf8_lossy(realm),
        account.password.as_bytes(),
    );
    packet.bytes = Writer::new(Class::Request, method::ALLOCATE, random.bytes())
        .with(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
        .with(attribute::USERNAME, username)
        .with(attribute::REALM, realm)
        .with(attribute::NONCE, nonce)
        .with_integrity(&key)
        .finish();
    vec![packet]
}

fn garbage(random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![0; random.skewed(1, 300) as usize - 1];
    random.fill(&mut bytes);
    bytes
}
