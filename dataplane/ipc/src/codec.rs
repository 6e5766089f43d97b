//! One message, one packet, at most [`limits::MESSAGE`] bytes.

use core::fmt;

use minicbor::encode::write::Cursor;
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::limits;
use crate::{FromDataplane, ToDataplane};

/// A message either side may send.
pub trait Message: Encode<()> + for<'b> Decode<'b, ()> + fmt::Debug + sealed::Sealed {}

impl Message for ToDataplane {}
impl Message for FromDataplane {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::ToDataplane {}
    impl Sealed for crate::FromDataplane {}
}

/// Why a message cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message exceeds {} bytes", limits::MESSAGE)]
pub struct EncodeError;

/// Why a packet is no message. Fatal to the connection.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Longer than any message.
    #[error("a packet longer than {} bytes", limits::MESSAGE)]
    TooLong,
    /// Not a message of this protocol.
    #[error("not a message of this protocol: {0}")]
    Malformed(#[from] minicbor::decode::Error),
    /// A message with more behind it.
    #[error("{0} bytes behind the message")]
    Trailing(usize),
}

/// Room for one message, overwritten when dropped since it may hold secrets.
/// One per connection and direction; it never grows.
pub struct Buffer(Zeroizing<Vec<u8>>);

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buffer")
    }
}

impl Buffer {
    /// An empty one. It holds one byte more than a message, so that a packet
    /// that is too long shows as such instead of being cut silently.
    pub fn new() -> Self {
        Self(Zeroizing::new(vec![0; limits::MESSAGE + 1]))
    }

    /// Where to receive a packet.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The first `length` bytes, as received.
    pub fn filled(&self, length: usize) -> &[u8] {
        &self.0[..length.min(self.0.len())]
    }

    /// Writes the message and returns its bytes.
    pub fn encode<M: Message>(&mut self, message: &M) -> Result<&[u8], EncodeError> {
        let mut cursor = Cursor::new(&mut self.0[..limits::MESSAGE]);
        minicbor::encode(message, &mut cursor).map_err(|_| EncodeError)?;
        let length = cursor.position();
        Ok(&self.0[..length])
    }
}

/// Reads one message that fills the packet.
pub fn decode<M: Message>(packet: &[u8]) -> Result<M, DecodeError> {
    if packet.len() > limits::MESSAGE {
        return Err(DecodeError::TooLong);
    }
    let mut decoder = minicbor::Decoder::new(packet);
    let message = decoder.decode()?;
    match packet.len() - decoder.position() {
        0 => Ok(message),
        more => Err(DecodeError::Trailing(more)),
    }
}
