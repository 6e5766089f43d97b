//! ChannelData messages (RFC 8656 §12.4): four bytes of header, then payload.

use crate::error::ParseError;

/// A ChannelData message received over UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelData<'a> {
    number: u16,
    payload: &'a [u8],
}

const HEADER: usize = 4;

impl<'a> ChannelData<'a> {
    /// Bytes of header; the payload starts at this offset.
    pub const HEADER: usize = HEADER;

    /// Reads a whole datagram. What follows the stated length is padding and
    /// is cut off (RFC 8656 §12.5 allows it over UDP).
    ///
    /// # Errors
    /// [`ParseError::TooShort`] without a whole header, [`ParseError::WrongType`]
    /// for a number outside 0x4000–0x7FFF, [`ParseError::Length`] when the
    /// datagram is shorter than the header states.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let (header, rest) = datagram
            .split_first_chunk::<HEADER>()
            .ok_or(ParseError::TooShort)?;
        let number = u16::from_be_bytes([header[0], header[1]]);
        if number & 0xC000 != 0x4000 {
            return Err(ParseError::WrongType);
        }
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let payload = rest.get(..len).ok_or(ParseError::Length)?;
        Ok(Self { number, payload })
    }

    /// The channel number, within 0x4000–0x7FFF.
    #[inline]
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// The application data without header and padding; lies at
    /// [`ChannelData::HEADER`] of the datagram.
    #[inline]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The header to put before `len` bytes of payload.
    #[inline]
    pub const fn header(number: u16, len: u16) -> [u8; HEADER] {
        let [n0, n1] = number.to_be_bytes();
        let [l0, l1] = len.to_be_bytes();
        [n0, n1, l0, l1]
    }
}
