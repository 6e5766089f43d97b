//! STUN and ChannelData as simulated clients and the model see them.
//!
//! Written apart from `forebay-wire` on purpose: an oracle that shared the
//! parser under test would share its mistakes. It may be slow and it may
//! allocate.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

const COOKIE: u32 = 0x2112_A442;

pub(crate) type Transaction = [u8; 12];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

/// Method numbers (RFC 8489 §18.2, RFC 8656 §17).
pub(crate) mod method {
    pub(crate) const BINDING: u16 = 0x001;
    pub(crate) const ALLOCATE: u16 = 0x003;
    pub(crate) const REFRESH: u16 = 0x004;
    pub(crate) const SEND: u16 = 0x006;
    pub(crate) const DATA: u16 = 0x007;
    pub(crate) const CREATE_PERMISSION: u16 = 0x008;
    pub(crate) const CHANNEL_BIND: u16 = 0x009;
    /// RFC 6062 §6.1, as the next.
    pub(crate) const CONNECT: u16 = 0x00A;
    pub(crate) const CONNECTION_BIND: u16 = 0x00B;
}

/// Attribute types (RFC 8489 §18.3, RFC 8656 §18).
pub(crate) mod attribute {
    pub(crate) const USERNAME: u16 = 0x0006;
    pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(crate) const ERROR_CODE: u16 = 0x0009;
    pub(crate) const CHANNEL_NUMBER: u16 = 0x000C;
    pub(crate) const LIFETIME: u16 = 0x000D;
    pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(crate) const DATA: u16 = 0x0013;
    pub(crate) const REALM: u16 = 0x0014;
    pub(crate) const NONCE: u16 = 0x0015;
    pub(crate) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub(crate) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub(crate) const EVEN_PORT: u16 = 0x0018;
    pub(crate) const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub(crate) const DONT_FRAGMENT: u16 = 0x001A;
    pub(crate) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
    pub(crate) const PASSWORD_ALGORITHM: u16 = 0x001D;
    pub(crate) const USERHASH: u16 = 0x001E;
    pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(crate) const RESERVATION_TOKEN: u16 = 0x0022;
    pub(crate) const PASSWORD_ALGORITHMS: u16 = 0x8002;
    pub(crate) const FINGERPRINT: u16 = 0x8028;
}

/// How a key is made (RFC 8489 §18.5), as PASSWORD-ALGORITHM names it.
pub(crate) mod algorithm {
    pub(crate) const MD5: [u8; 4] = [0, 1, 0, 0];
    pub(crate) const SHA256: [u8; 4] = [0, 2, 0, 0];
}

/// The key of the long-term credential mechanism (RFC 8489 §9.2.2).
pub(crate) fn long_term_key(
    algorithm: [u8; 4],
    username: &[u8],
    realm: &str,
    password: &[u8],
) -> Vec<u8> {
    let text = [username, b":", realm.as_bytes(), b":", password].concat();
    match algorithm {
        algorithm::SHA256 => Sha256::digest(text).to_vec(),
        _ => Md5::digest(text).to_vec(),
    }
}

/// The value of USERHASH (RFC 8489 §14.4).
pub(crate) fn userhash(username: &[u8], realm: &str) -> [u8; 32] {
    Sha256::digest([username, b":", realm.as_bytes()].concat()).into()
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes any key"));
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(crate) fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes any key"));
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A message under construction.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(class: Class, method: u16, transaction: Transaction) -> Self {
        let bits = match class {
            Class::Request => 0x000,
            Class::Indication => 0x010,
            Class::Success => 0x100,
            Class::Error => 0x110,
        };
        let kind = bits | (method & 0x00F) | (method & 0x070) << 1 | (method & 0xF80) << 2;
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(COOKIE.to_be_bytes());
        bytes.extend(transaction);
        Self(bytes)
    }

    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(kind.to_be_bytes());
        self.0.extend((value.len() as u16).to_be_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.set_length(0);
        self
    }

    pub(crate) fn with_address(self, kind: u16, address: SocketAddr) -> Self {
        let mut pad = COOKIE.to_be_bytes().to_vec();
        pad.extend(&self.0[8..20]);
        let port = address.port() ^ (COOKIE >> 16) as u16;
        let (family, ip) = match address.ip() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let mut value = vec![0, family];
        value.extend(port.to_be_bytes());
        value.extend(ip.iter().zip(&pad).map(|(byte, mask)| byte ^ mask));
        self.with(kind, &value)
    }

    /// Appends MESSAGE-INTEGRITY (RFC 8489 §14.5).
    pub(crate) fn with_integrity(mut self, key: &[u8]) -> Self {
        self.set_length(24);
        let tag = hmac_sha1(key, &[&self.0]);
        self.with(attribute::MESSAGE_INTEGRITY, &tag)
    }

    /// Appends MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6).
    pub(crate) fn with_integrity_sha256(mut self, key: &[u8]) -> Self {
        self.set_length(36);
        let tag = hmac_sha256(key, &[&self.0]);
        self.with(attribute::MESSAGE_INTEGRITY_SHA256, &tag)
    }

    /// Appends FINGERPRINT (RFC 8489 §14.7).
    pub(crate) fn with_fingerprint(mut self) -> Self {
        self.set_length(8);
        let value = crc32fast::hash(&self.0) ^ 0x5354_554E;
        self.with(attribute::FINGERPRINT, &value.to_be_bytes())
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn set_length(&mut self, ahead: usize) {
        let length = (self.0.len() - 20 + ahead) as u16;
        self.0[2..4].copy_from_slice(&length.to_be_bytes());
    }
}

/// A parsed message.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) class: Class,
    pub(crate) method: u16,
    pub(crate) transaction: Transaction,
    bytes: Vec<u8>,
    /// Type, offset of the attribute's header, value.
    attributes: Vec<(u16, usize, Vec<u8>)>,
}

impl Message {
    /// The message, if header, cookie, lengths and attributes hold together.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < 20 || bytes[0] & 0xC0 != 0 || bytes[4..8] != COOKIE.to_be_bytes() {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        if length % 4 != 0 || 20 + length != bytes.len() {
            return None;
        }
        let kind = u16::from_be_bytes([bytes[0], bytes[1]]);
        let class = match kind & 0x110 {
            0x000 => Class::Request,
            0x010 => Class::Indication,
            0x100 => Class::Success,
            _ => Class::Error,
        };
        let method = (kind & 0x00F) | (kind & 0x0E0) >> 1 | (kind & 0x3E00) >> 2;
        let mut attributes = Vec::new();
        let mut at = 20;
        while at < bytes.len() {
            let kind = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            let value = bytes.get(at + 4..at + 4 + length)?;
            attributes.push((kind, at, value.to_vec()));
            at += 4 + length.next_multiple_of(4);
        }
        let transaction = bytes[8..20].try_into().ok()?;
        (at == bytes.len()).then(|| Self {
            class,
            method,
            transaction,
            bytes: bytes.to_vec(),
            attributes,
        })
    }

    /// The attributes that count: those before MESSAGE-INTEGRITY, or all
    /// where there is none (RFC 8489 §14.5).
    fn covered(&self) -> impl Iterator<Item = &(u16, usize, Vec<u8>)> {
        self.attributes.iter().take_while(|(kind, ..)| {
            !matches!(
                *kind,
                attribute::MESSAGE_INTEGRITY | attribute::MESSAGE_INTEGRITY_SHA256
            )
        })
    }

    /// The first attribute of this type.
    pub(crate) fn get(&self, kind: u16) -> Option<&[u8]> {
        self.all(kind).next()
    }

    /// Every attribute of this type.
    pub(crate) fn all(&self, kind: u16) -> impl Iterator<Item = &[u8]> {
        self.covered()
            .filter(move |(other, ..)| *other == kind)
            .map(|(.., value)| value.as_slice())
    }

    /// The types present, in order.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = u16> {
        self.covered().map(|(kind, ..)| *kind)
    }

    /// All attributes of this type as XOR addresses, `None` for broken ones.
    pub(crate) fn addresses(&self, kind: u16) -> Vec<Option<SocketAddr>> {
        self.all(kind).map(|value| self.unxor(value)).collect()
    }

    /// The first attribute of this type as an XOR address.
    pub(crate) fn address(&self, kind: u16) -> Option<SocketAddr> {
        self.get(kind).and_then(|value| self.unxor(value))
    }

    pub(crate) fn u32(&self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }

    pub(crate) fn error_code(&self) -> Option<u16> {
        let value = self.get(attribute::ERROR_CODE)?;
        Some(u16::from(*value.get(2)? & 7) * 100 + u16::from(*value.get(3)?))
    }

    pub(crate) fn has_integrity(&self) -> bool {
        self.integrity_at().is_some()
    }

    /// Whether the integrity attribute that decides was made with this key.
    pub(crate) fn is_from(&self, key: &[u8]) -> bool {
        let Some((kind, at, tag)) = self.integrity_at() else {
            return false;
        };
        let mut header = self.bytes[..20].to_vec();
        header[2..4].copy_from_slice(&((at - 20 + 4 + tag.len()) as u16).to_be_bytes());
        let parts: [&[u8]; 2] = [&header, &self.bytes[20..at]];
        match kind {
            attribute::MESSAGE_INTEGRITY => hmac_sha1(key, &parts) == tag,
            _ => hmac_sha256(key, &parts) == tag,
        }
    }

    /// Which integrity attribute decides.
    pub(crate) fn integrity_kind(&self) -> Option<u16> {
        self.integrity_at().map(|(kind, ..)| kind)
    }

    /// Whether it is a request whose integrity attributes have a right length
    /// and whose FINGERPRINT, where there is one, stands last and is right.
    pub(crate) fn is_answerable(&self) -> bool {
        let last = self.attributes.len().saturating_sub(1);
        let request = self.class == Class::Request && self.fingerprint() != Some(false);
        request
            && self
                .attributes
                .iter()
                .enumerate()
                .all(|(at, (kind, _, value))| match *kind {
                    attribute::MESSAGE_INTEGRITY => value.len() == 20,
                    attribute::MESSAGE_INTEGRITY_SHA256 => {
                        (16..=32).contains(&value.len()) && value.len() % 4 == 0
                    }
                    attribute::FINGERPRINT => value.len() == 4 && at == last,
                    _ => true,
                })
    }

    /// Whether FINGERPRINT is right, where it is the last attribute.
    pub(crate) fn fingerprint(&self) -> Option<bool> {
        let (kind, at, value) = self.attributes.last()?;
        if *kind != attribute::FINGERPRINT {
            return None;
        }
        let right = crc32fast::hash(&self.bytes[..*at]) ^ 0x5354_554E;
        Some(value.as_slice() == right.to_be_bytes())
    }

    /// The first integrity attribute, or the other right behind it when that
    /// is MESSAGE-INTEGRITY-SHA256 (RFC 8489 §9.2.4).
    fn integrity_at(&self) -> Option<(u16, usize, &[u8])> {
        let is_seal = |kind: u16| {
            kind == attribute::MESSAGE_INTEGRITY || kind == attribute::MESSAGE_INTEGRITY_SHA256
        };
        let first = self
            .attributes
            .iter()
            .position(|(kind, ..)| is_seal(*kind))?;
        let second = self
            .attributes
            .get(first + 1)
            .filter(|(kind, ..)| *kind == attribute::MESSAGE_INTEGRITY_SHA256);
        let (kind, at, value) = second.unwrap_or(&self.attributes[first]);
        Some((*kind, *at, value.as_slice()))
    }

    fn unxor(&self, value: &[u8]) -> Option<SocketAddr> {
        let plain: Vec<u8> = value
            .iter()
            .skip(4)
            .zip(&self.bytes[4..20])
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        let port = u16::from_be_bytes([*value.get(2)?, *value.get(3)?]) ^ (COOKIE >> 16) as u16;
        let ip = match (value[1], value.len()) {
            (1, 8) => Ipv4Addr::from(<[u8; 4]>::try_from(plain).ok()?).into(),
            (2, 20) => Ipv6Addr::from(<[u8; 16]>::try_from(plain).ok()?).into(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} method {:#05x} {:02x?}:",
            self.class,
            self.method,
            &self.transaction[..4]
        )?;
        self.attributes
            .iter()
            .try_for_each(|(kind, _, value)| write!(f, " {kind:#06x}[{}]", value.len()))
    }
}

/// A ChannelData message without padding (RFC 8656 §12.4).
pub(crate) fn channel_data(channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = channel.to_be_bytes().to_vec();
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The channel and the payload, trimmed to the length it states.
pub(crate) fn parse_channel_data(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let channel = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    let length = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    Some((channel, bytes.get(4..4 + length)?))
}
