//! The few STUN messages a load client needs (RFC 8489, RFC 8656).
//!
//! Written apart from the server's own encoder, so that a mistake there does
//! not answer itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hmac::{Hmac, Mac as _};
use sha1::Sha1;

pub(super) const ALLOCATE: u16 = 0x003;
pub(super) const REFRESH: u16 = 0x004;
pub(super) const CHANNEL_BIND: u16 = 0x009;
pub(super) const BINDING: u16 = 0x001;

pub(super) const ERROR_CODE: u16 = 0x0009;
pub(super) const CHANNEL_NUMBER: u16 = 0x000c;
pub(super) const LIFETIME: u16 = 0x000d;
pub(super) const XOR_PEER_ADDRESS: u16 = 0x0012;
pub(super) const REALM: u16 = 0x0014;
pub(super) const NONCE: u16 = 0x0015;
pub(super) const USERNAME: u16 = 0x0006;
pub(super) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
pub(super) const REQUESTED_TRANSPORT: u16 = 0x0019;
const MESSAGE_INTEGRITY: u16 = 0x0008;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const TAG: usize = 20;

/// A transaction id.
pub(super) type TransactionId = [u8; 12];

/// A request being written.
pub(super) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    pub(super) fn new(method: u16, id: &TransactionId) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&class_and_method(method).to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&COOKIE);
        bytes.extend_from_slice(id);
        Self { bytes }
    }

    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&length(value.len()));
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(super) fn address(&mut self, kind: u16, address: SocketAddr) {
        let mut value = vec![0, if address.is_ipv4() { 1 } else { 2 }];
        let port = address.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
        value.extend_from_slice(&port.to_be_bytes());
        let octets = match address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let mask = self.bytes[4..HEADER].iter();
        value.extend(octets.iter().zip(mask).map(|(octet, mask)| octet ^ mask));
        self.attribute(kind, &value);
    }

    /// Closes the message, with MESSAGE-INTEGRITY when there is a key.
    pub(super) fn finish(mut self, key: Option<&Hmac<Sha1>>) -> Vec<u8> {
        if let Some(key) = key {
            let end = self.bytes.len() + 4 + TAG;
            self.bytes[2..4].copy_from_slice(&length(end - HEADER));
            let mut mac = key.clone();
            mac.update(&self.bytes);
            let tag = mac.finalize().into_bytes();
            self.attribute(MESSAGE_INTEGRITY, &tag);
        } else {
            let body = length(self.bytes.len() - HEADER);
            self.bytes[2..4].copy_from_slice(&body);
        }
        self.bytes
    }
}

/// A response that has been received.
pub(super) struct Response<'a> {
    bytes: &'a [u8],
}

impl<'a> Response<'a> {
    /// A success or error response, or nothing.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let kind = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
        let length = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
        let bytes = bytes.get(..HEADER + length)?;
        (bytes[4..8] == COOKIE && kind & 0xc100 == 0x0100).then_some(Self { bytes })
    }

    pub(super) fn answers(&self, id: &TransactionId) -> bool {
        self.bytes[8..HEADER] == *id
    }

    pub(super) fn is_success(&self) -> bool {
        self.bytes[0] & 1 == 1 && self.bytes[1] & 0x10 == 0
    }

    pub(super) fn attribute(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut rest = &self.bytes[HEADER..];
        while let [k0, k1, l0, l1, body @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            if u16::from_be_bytes([*k0, *k1]) == wanted {
                return body.get(..length);
            }
            rest = body.get(length.next_multiple_of(4)..)?;
        }
        None
    }

    pub(super) fn error_code(&self) -> Option<u16> {
        let value = self.attribute(ERROR_CODE)?;
        Some(u16::from(*value.get(2)? & 7) * 100 + u16::from(*value.get(3)?))
    }

    pub(super) fn address(&self, kind: u16) -> Option<SocketAddr> {
        let [_, family, p0, p1, octets @ ..] = self.attribute(kind)? else {
            return None;
        };
        let port = u16::from_be_bytes([p0 ^ COOKIE[0], p1 ^ COOKIE[1]]);
        let mask = &self.bytes[4..HEADER];
        let plain: Vec<u8> = octets
            .iter()
            .zip(mask)
            .map(|(octet, mask)| octet ^ mask)
            .collect();
        let ip = match family {
            1 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(plain).ok()?)),
            2 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(plain).ok()?)),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }
}

/// A ChannelData message (RFC 8656 §12.4), unpadded as over UDP.
#[must_use]
pub fn channel_data(channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = channel.to_be_bytes().to_vec();
    bytes.extend_from_slice(&length(payload.len()));
    bytes.extend_from_slice(payload);
    bytes
}

fn length(value: usize) -> [u8; 2] {
    u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes()
}

/// Methods used here fit the low bits, and the class bits of a request are 0.
fn class_and_method(method: u16) -> u16 {
    method & 0xf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_round_trip() {
        let id = [7; 12];
        let address: SocketAddr = "25.18.0.1:49152".parse().unwrap();
        let mut request = Request::new(ALLOCATE, &id);
        request.attribute(REALM, b"bench");
        request.address(XOR_RELAYED_ADDRESS, address);
        let mut bytes = request.finish(None);
        assert!(
            Response::parse(&bytes).is_none(),
            "a request is no response"
        );
        bytes[0] |= 1;
        let response = Response::parse(&bytes).unwrap();
        assert!(response.is_success() && response.answers(&id));
        assert_eq!(response.attribute(REALM), Some(&b"bench"[..]));
        assert_eq!(response.address(XOR_RELAYED_ADDRESS), Some(address));
    }
}
