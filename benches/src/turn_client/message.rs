//! The few STUN messages a load client needs (RFC 8489, RFC 8656).
//!
//! Written apart from the server's own encoder, so that a mistake there does
//! not answer itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hmac::{Hmac, Mac as _};
use sha1::Sha1;

pub(crate) const ALLOCATE: u16 = 0x003;
pub(crate) const REFRESH: u16 = 0x004;
pub(crate) const CHANNEL_BIND: u16 = 0x009;
pub(crate) const BINDING: u16 = 0x001;

pub(crate) const ERROR_CODE: u16 = 0x0009;
pub(crate) const CHANNEL_NUMBER: u16 = 0x000c;
pub(crate) const LIFETIME: u16 = 0x000d;
pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
pub(crate) const REALM: u16 = 0x0014;
pub(crate) const NONCE: u16 = 0x0015;
pub(crate) const USERNAME: u16 = 0x0006;
pub(crate) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
pub(crate) const EVEN_PORT: u16 = 0x0018;
pub(crate) const REQUESTED_TRANSPORT: u16 = 0x0019;
pub(crate) const RESERVATION_TOKEN: u16 = 0x0022;
pub(crate) const MOBILITY_TICKET: u16 = 0x8030;
const MESSAGE_INTEGRITY: u16 = 0x0008;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const TAG: usize = 20;

/// A transaction id.
pub(crate) type TransactionId = [u8; 12];

/// A request being written.
pub(crate) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: u16, id: &TransactionId) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&class_and_method(method).to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&COOKIE);
        bytes.extend_from_slice(id);
        Self { bytes }
    }

    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&length(value.len()));
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(crate) fn address(&mut self, kind: u16, address: SocketAddr) {
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
    pub(crate) fn finish(mut self, key: Option<&Hmac<Sha1>>) -> Vec<u8> {
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
pub(crate) struct Response<'a> {
    bytes: &'a [u8],
}

impl<'a> Response<'a> {
    /// A success or error response, or nothing.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let kind = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
        let length = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
        let bytes = bytes.get(..HEADER + length)?;
        (bytes[4..8] == COOKIE && kind & 0xc100 == 0x0100).then_some(Self { bytes })
    }

    pub(crate) fn answers(&self, id: &TransactionId) -> bool {
        self.bytes[8..HEADER] == *id
    }

    pub(crate) fn is_success(&self) -> bool {
        self.bytes[0] & 1 == 1 && self.bytes[1] & 0x10 == 0
    }

    pub(crate) fn attribute(&self, wanted: u16) -> Option<&'a [u8]> {
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

    pub(crate) fn error_code(&self) -> Option<u16> {
        let value = self.attribute(ERROR_CODE)?;
        Some(u16::from(*value.get(2)? & 7) * 100 + u16::from(*value.get(3)?))
    }

    pub(crate) fn address(&self, kind: u16) -> Option<SocketAddr> {
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

/// Length of a message in a stream, padding included (RFC 8656 §12.5), from
/// its first four bytes.
pub(crate) fn framed_length(head: [u8; 4]) -> usize {
    let stated = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if head[0] < 0x40 {
        HEADER + stated
    } else {
        4 + stated.next_multiple_of(4)
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
