//! Writing a message into a lent buffer.

use core::net::SocketAddr;

use super::address;
use super::attribute::AttributeType;
use super::header::{Class, ErrorCode, HEADER, MAGIC_COOKIE, Method, TransactionId, message_type};
use super::integrity::{IntegrityInput, MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256, fingerprint};
use crate::error::NoRoom;

/// Bytes of a FINGERPRINT attribute, type and length included.
const FINGERPRINT: usize = 4 + 4;

/// Builds one message in place. The header's length field is right after every
/// call, so the message may be taken at any point. After a [`NoRoom`] the
/// message is as it was before the call.
///
/// Order is the caller's: ordinary attributes, then
/// [`push_integrity`](Self::push_integrity) or
/// [`push_integrity_sha256`](Self::push_integrity_sha256) or both, then
/// [`push_fingerprint`](Self::push_fingerprint).
#[derive(Debug)]
pub struct Builder<'b> {
    header: &'b mut [u8; HEADER],
    body: &'b mut [u8],
    len: usize,
    id: TransactionId,
}

impl<'b> Builder<'b> {
    /// Starts a message at the front of `buffer`.
    ///
    /// # Errors
    /// [`NoRoom`] below 20 bytes.
    pub fn new(
        buffer: &'b mut [u8],
        class: Class,
        method: Method,
        id: TransactionId,
    ) -> Result<Self, NoRoom> {
        let (header, body) = buffer.split_first_chunk_mut::<HEADER>().ok_or(NoRoom)?;
        header[..2].copy_from_slice(&message_type(class, method).to_be_bytes());
        header[2..4].fill(0);
        header[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        header[8..].copy_from_slice(&id.0);
        Ok(Self {
            header,
            body,
            len: 0,
            id,
        })
    }

    /// Bytes of message so far, header included.
    pub const fn len(&self) -> usize {
        HEADER + self.len
    }

    /// Whether no attribute was written yet.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes room for an attribute, writes type, length and padding and gives
    /// the value's bytes.
    fn attribute(&mut self, kind: AttributeType, len: usize) -> Result<&mut [u8], NoRoom> {
        let value_len = u16::try_from(len).map_err(|_| NoRoom)?;
        let padded = len.next_multiple_of(4);
        let end = self.len + 4 + padded;
        let total = u16::try_from(end).map_err(|_| NoRoom)?;
        let out = self.body.get_mut(self.len..end).ok_or(NoRoom)?;
        out[..2].copy_from_slice(&kind.0.to_be_bytes());
        out[2..4].copy_from_slice(&value_len.to_be_bytes());
        out[4 + len..].fill(0);
        self.header[2..4].copy_from_slice(&total.to_be_bytes());
        self.len = end;
        Ok(&mut out[4..4 + len])
    }

    /// Adds an attribute with this value.
    ///
    /// # Errors
    /// [`NoRoom`], as all methods that add.
    pub fn push(&mut self, kind: AttributeType, value: &[u8]) -> Result<(), NoRoom> {
        self.attribute(kind, value.len())?.copy_from_slice(value);
        Ok(())
    }

    /// Adds an attribute without a value (DONT-FRAGMENT).
    pub fn push_empty(&mut self, kind: AttributeType) -> Result<(), NoRoom> {
        self.push(kind, &[])
    }

    /// Adds a 32-bit number in network order (LIFETIME).
    pub fn push_u32(&mut self, kind: AttributeType, value: u32) -> Result<(), NoRoom> {
        self.push(kind, &value.to_be_bytes())
    }

    /// Adds an XOR'd address (XOR-MAPPED-, XOR-PEER-, XOR-RELAYED-ADDRESS).
    pub fn push_xor_address(
        &mut self,
        kind: AttributeType,
        address: SocketAddr,
    ) -> Result<(), NoRoom> {
        let mut value = [0; 20];
        let len = address::encode(address, self.id, &mut value);
        self.push(kind, &value[..len])
    }

    /// Adds an address as MAPPED-ADDRESS holds it, without XOR
    /// (ALTERNATE-SERVER).
    pub fn push_address(&mut self, kind: AttributeType, address: SocketAddr) -> Result<(), NoRoom> {
        let mut value = [0; 20];
        let len = address::encode_plain(address, &mut value);
        self.push(kind, &value[..len])
    }

    /// Adds CHANNEL-NUMBER.
    pub fn push_channel_number(&mut self, number: u16) -> Result<(), NoRoom> {
        let [a, b] = number.to_be_bytes();
        self.push(AttributeType::CHANNEL_NUMBER, &[a, b, 0, 0])
    }

    /// Adds ERROR-CODE; `reason` at most 763 bytes (RFC 8489 §14.8), may be
    /// empty.
    pub fn push_error_code(&mut self, code: ErrorCode, reason: &str) -> Result<(), NoRoom> {
        if reason.len() > 763 {
            return Err(NoRoom);
        }
        let value = self.attribute(AttributeType::ERROR_CODE, 4 + reason.len())?;
        value[..4].copy_from_slice(&[0, 0, (code.get() / 100) as u8, (code.get() % 100) as u8]);
        value[4..].copy_from_slice(reason.as_bytes());
        Ok(())
    }

    /// Adds UNKNOWN-ATTRIBUTES with these types.
    pub fn push_unknown_attributes(
        &mut self,
        types: impl Iterator<Item = AttributeType> + Clone,
    ) -> Result<(), NoRoom> {
        let value = self.attribute(AttributeType::UNKNOWN_ATTRIBUTES, types.clone().count() * 2)?;
        for (out, kind) in value.as_chunks_mut::<2>().0.iter_mut().zip(types) {
            *out = kind.0.to_be_bytes();
        }
        Ok(())
    }

    /// What the MAC given to [`push_integrity`](Self::push_integrity) has to
    /// cover.
    pub fn integrity_input(&self) -> IntegrityInput<'_> {
        IntegrityInput::new(self.header, &self.body[..self.len], MESSAGE_INTEGRITY)
    }

    /// Adds MESSAGE-INTEGRITY with HMAC-SHA1 over
    /// [`integrity_input`](Self::integrity_input).
    pub fn push_integrity(&mut self, mac: &[u8; 20]) -> Result<(), NoRoom> {
        self.push(AttributeType::MESSAGE_INTEGRITY, mac)
    }

    /// What the MAC given to
    /// [`push_integrity_sha256`](Self::push_integrity_sha256) has to cover.
    pub fn integrity_sha256_input(&self) -> IntegrityInput<'_> {
        IntegrityInput::new(
            self.header,
            &self.body[..self.len],
            MESSAGE_INTEGRITY_SHA256,
        )
    }

    /// Adds MESSAGE-INTEGRITY-SHA256 with HMAC-SHA256 over
    /// [`integrity_sha256_input`](Self::integrity_sha256_input).
    pub fn push_integrity_sha256(&mut self, mac: &[u8; 32]) -> Result<(), NoRoom> {
        self.push(AttributeType::MESSAGE_INTEGRITY_SHA256, mac)
    }

    /// Adds FINGERPRINT.
    pub fn push_fingerprint(&mut self) -> Result<(), NoRoom> {
        self.push(AttributeType::FINGERPRINT, &[0; 4])?;
        let (before, value) = self.body[..self.len].split_at_mut(self.len - FINGERPRINT);
        value[4..].copy_from_slice(&fingerprint(self.header, before).to_be_bytes());
        Ok(())
    }
}
