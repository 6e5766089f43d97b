//! The fixed 20 bytes (RFC 8489 §5) and the numbers in them.

use core::fmt;

use crate::error::ParseError;

/// Bytes 4–8 of every message (RFC 8489 §5).
pub const MAGIC_COOKIE: u32 = 0x2112_A442;

pub(super) const HEADER: usize = 20;

/// The class of a message (RFC 8489 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Wants a response.
    Request,
    /// Wants none.
    Indication,
    /// Answers a request that was granted.
    Success,
    /// Answers a request that was refused.
    Error,
}

/// A 12-bit method number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Method(u16);

impl Method {
    /// RFC 8489 §3.
    pub const BINDING: Self = Self(0x001);
    /// RFC 8656 §7.
    pub const ALLOCATE: Self = Self(0x003);
    /// RFC 8656 §8.
    pub const REFRESH: Self = Self(0x004);
    /// RFC 8656 §11, client to server.
    pub const SEND: Self = Self(0x006);
    /// RFC 8656 §11, server to client.
    pub const DATA: Self = Self(0x007);
    /// RFC 8656 §10.
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// RFC 8656 §12.
    pub const CHANNEL_BIND: Self = Self(0x009);
    /// Connects to a peer over TCP (RFC 6062).
    pub const CONNECT: Self = Self(0x00A);
    /// Makes a connection of the client the one for a peer's data (RFC 6062).
    pub const CONNECTION_BIND: Self = Self(0x00B);
    /// Tells the client of a peer that has connected (RFC 6062).
    pub const CONNECTION_ATTEMPT: Self = Self(0x00C);

    /// The method of this number; `None` above twelve bits.
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            0..=0x0FFF => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The 96-bit transaction id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub [u8; 12]);

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The number of an ERROR-CODE attribute, within 300–699 (RFC 8489 §14.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(u16);

impl ErrorCode {
    /// Another server is to be asked (RFC 8489 §10).
    pub const TRY_ALTERNATE: Self = Self(300);
    /// Malformed request.
    pub const BAD_REQUEST: Self = Self(400);
    /// No or wrong credentials.
    pub const UNAUTHENTICATED: Self = Self(401);
    /// Not allowed by policy.
    pub const FORBIDDEN: Self = Self(403);
    /// The allocation may not move (RFC 8016 §3.4).
    pub const MOBILITY_FORBIDDEN: Self = Self(405);
    /// An attribute that has to be understood is not.
    pub const UNKNOWN_ATTRIBUTE: Self = Self(420);
    /// No allocation, or one where none may be.
    pub const ALLOCATION_MISMATCH: Self = Self(437);
    /// The nonce is too old.
    pub const STALE_NONCE: Self = Self(438);
    /// No relay of the address family asked for.
    pub const ADDRESS_FAMILY_NOT_SUPPORTED: Self = Self(440);
    /// Other credentials than those of the allocation.
    pub const WRONG_CREDENTIALS: Self = Self(441);
    /// A transport other than UDP between server and peer.
    pub const UNSUPPORTED_TRANSPORT: Self = Self(442);
    /// The peer's address family is not the relay's.
    pub const PEER_ADDRESS_FAMILY_MISMATCH: Self = Self(443);
    /// The peer is connected, or being connected, already (RFC 6062 §6.3).
    pub const CONNECTION_ALREADY_EXISTS: Self = Self(446);
    /// The peer could not be connected (RFC 6062 §6.3).
    pub const CONNECTION_FAILED: Self = Self(447);
    /// The user holds as many allocations as allowed.
    pub const ALLOCATION_QUOTA_REACHED: Self = Self(486);
    /// Both agents think they have the same role (RFC 8445 §7.3.1.1).
    pub const ROLE_CONFLICT: Self = Self(487);
    /// The server failed.
    pub const SERVER_ERROR: Self = Self(500);
    /// No relay, table slot or bandwidth left.
    pub const INSUFFICIENT_CAPACITY: Self = Self(508);

    /// The code of this number; `None` outside 300–699.
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            300..=699 => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The message type field: class bits C1 and C0 lie between the method's bits.
pub(super) const fn message_type(class: Class, method: Method) -> u16 {
    let m = method.0;
    let class = match class {
        Class::Request => 0x0000,
        Class::Indication => 0x0010,
        Class::Success => 0x0100,
        Class::Error => 0x0110,
    };
    (m & 0x000F) | ((m & 0x0070) << 1) | ((m & 0x0F80) << 2) | class
}

pub(super) const fn class_of(message_type: u16) -> Class {
    match message_type & 0x0110 {
        0x0000 => Class::Request,
        0x0010 => Class::Indication,
        0x0100 => Class::Success,
        _ => Class::Error,
    }
}

pub(super) const fn method_of(message_type: u16) -> Method {
    Method(
        (message_type & 0x000F) | ((message_type >> 1) & 0x0070) | ((message_type >> 2) & 0x0F80),
    )
}

/// Splits a datagram that holds exactly one message into header and body.
#[inline]
pub(super) fn split(datagram: &[u8]) -> Result<(&[u8; HEADER], &[u8]), ParseError> {
    let (header, body) = datagram
        .split_first_chunk::<HEADER>()
        .ok_or(ParseError::TooShort)?;
    if header[0] & 0xC0 != 0 {
        return Err(ParseError::WrongType);
    }
    if header[4..8] != MAGIC_COOKIE.to_be_bytes() {
        return Err(ParseError::MagicCookie);
    }
    let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if len != body.len() || len % 4 != 0 {
        return Err(ParseError::Length);
    }
    Ok((header, body))
}

#[inline]
pub(super) fn transaction_id(header: &[u8; HEADER]) -> TransactionId {
    let mut id = [0; 12];
    id.copy_from_slice(&header[8..]);
    TransactionId(id)
}
