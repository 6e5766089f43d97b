//! Why bytes are no message, or why a message did not fit.

use core::error::Error;
use core::fmt;

/// Why bytes are not a well-formed message. Packet noise: callers count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// Shorter than the header.
    TooShort,
    /// The leading bits belong to another protocol or message type.
    WrongType,
    /// The magic cookie is not RFC 8489's.
    MagicCookie,
    /// The stated length is not what the datagram holds, or is not a multiple
    /// of four where it has to be.
    Length,
    /// An attribute reaches past the end of the message.
    AttributeOverrun,
    /// MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 or FINGERPRINT has a length
    /// its definition does not allow, or FINGERPRINT is not the last attribute.
    Trailer,
    /// An attribute that the message type cannot do without is missing or its
    /// value has the wrong shape.
    Attribute,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "shorter than the header",
            Self::WrongType => "leading bits of another message type",
            Self::MagicCookie => "wrong magic cookie",
            Self::Length => "stated length differs from the datagram",
            Self::AttributeOverrun => "attribute reaches past the message",
            Self::Trailer => "malformed integrity or fingerprint attribute",
            Self::Attribute => "required attribute missing or malformed",
        })
    }
}

impl Error for ParseError {}

/// The lent buffer is too small for what was to be written into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("buffer too small for the message")
    }
}

impl Error for NoRoom {}
