//! Send indications (RFC 8656 §11), read in one walk: they carry media.

use core::net::SocketAddr;
use core::ops::Range;

use super::address;
use super::attribute::{AttributeType, tlv_at};
use super::header::{Class, HEADER, Method, message_type, split, transaction_id};
use crate::error::ParseError;

/// What a relay has to know of a Send indication.
///
/// FINGERPRINT is not compared: on a TURN port the first two bits and the
/// cookie already tell STUN from ChannelData, and UDP has its own checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendIndication {
    /// XOR-PEER-ADDRESS.
    pub peer: SocketAddr,
    /// Offset of DATA's value within the datagram.
    pub offset: u32,
    /// Bytes of DATA's value, without padding.
    pub len: u16,
    /// Whether DONT-FRAGMENT is present.
    pub dont_fragment: bool,
}

impl SendIndication {
    /// The first two bytes of every Send indication.
    pub const MESSAGE_TYPE: [u8; 2] = message_type(Class::Indication, Method::SEND).to_be_bytes();

    /// Whether a datagram that is STUN by its first bits claims to be a Send
    /// indication.
    #[inline]
    pub fn claimed_by(datagram: &[u8]) -> bool {
        datagram.first_chunk() == Some(&Self::MESSAGE_TYPE)
    }

    /// Reads a datagram that holds exactly one Send indication.
    ///
    /// # Errors
    /// [`ParseError::WrongType`] for any other message;
    /// [`ParseError::Attribute`] when XOR-PEER-ADDRESS or DATA is missing, when
    /// the former is misshapen, or when an attribute that has to be understood
    /// is none a Send indication can have (RFC 8489 §6.3.2).
    #[inline]
    pub fn parse(datagram: &[u8]) -> Result<Self, ParseError> {
        let (header, body) = split(datagram)?;
        if header[..2] != Self::MESSAGE_TYPE {
            return Err(ParseError::WrongType);
        }
        let mut peer = None;
        let mut data = None;
        let mut dont_fragment = false;
        let mut sealed = false;
        let mut at = 0;
        while at < body.len() {
            let tlv = tlv_at(body, at)?;
            at = tlv.next;
            if sealed {
                continue;
            }
            match tlv.kind {
                AttributeType::XOR_PEER_ADDRESS if peer.is_none() => {
                    let value = &body[tlv.value..tlv.value + tlv.len];
                    peer = Some(
                        address::decode(value, transaction_id(header))
                            .ok_or(ParseError::Attribute)?,
                    );
                }
                AttributeType::DATA if data.is_none() => data = Some((tlv.value, tlv.len)),
                AttributeType::DONT_FRAGMENT => dont_fragment = true,
                AttributeType::MESSAGE_INTEGRITY | AttributeType::MESSAGE_INTEGRITY_SHA256 => {
                    sealed = true;
                }
                AttributeType::XOR_PEER_ADDRESS
                | AttributeType::DATA
                | AttributeType::USERNAME
                | AttributeType::REALM
                | AttributeType::NONCE => {}
                kind if kind.comprehension_required() => return Err(ParseError::Attribute),
                _ => {}
            }
        }
        let (Some(peer), Some((value, len))) = (peer, data) else {
            return Err(ParseError::Attribute);
        };
        // Both fit: the body's length and the attribute's are 16-bit fields.
        let offset = u32::try_from(HEADER + value).map_err(|_| ParseError::Length)?;
        let len = u16::try_from(len).map_err(|_| ParseError::Length)?;
        Ok(Self {
            peer,
            offset,
            len,
            dont_fragment,
        })
    }

    /// Where the payload lies within the datagram.
    #[inline]
    pub const fn payload(&self) -> Range<usize> {
        self.offset as usize..self.offset as usize + self.len as usize
    }
}
