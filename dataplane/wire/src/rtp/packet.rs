//! The view of a packet.

use core::ops::Range;

use super::extension::{Extension, Extensions, Form};
use crate::error::ParseError;

/// Bytes of a header without contributing sources and extensions.
const FIXED: usize = 12;
/// Bytes in front of the extension elements: profile and length.
const EXTENSION_HEADER: usize = 4;

/// An RTP packet. Everything was checked when it was made.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    fixed: &'a [u8; FIXED],
    csrcs: &'a [[u8; 4]],
    form: Form,
    extensions: &'a [u8],
    header_len: usize,
    payload: &'a [u8],
    padding: u8,
}

impl<'a> Packet<'a> {
    /// The length of a header without contributing sources and extensions,
    /// bytes; the shortest packet.
    pub const FIXED_HEADER: usize = FIXED;

    /// Reads a whole plaintext packet.
    ///
    /// # Errors
    /// [`ParseError::TooShort`] without a fixed header,
    /// [`ParseError::WrongType`] for another version than 2,
    /// [`ParseError::Length`] when contributing sources, the extension block or
    /// the padding reach past the end, or the padding bit stands without
    /// padding.
    #[inline]
    pub fn parse(packet: &'a [u8]) -> Result<Self, ParseError> {
        let mut view = Self::parse_protected(packet)?;
        if view.has_padding() {
            let padding = view.payload.last().copied().unwrap_or(0);
            let len = view.payload.len().checked_sub(usize::from(padding));
            match len.and_then(|len| view.payload.get(..len)) {
                Some(payload) if padding != 0 => {
                    view.payload = payload;
                    view.padding = padding;
                }
                _ => return Err(ParseError::Length),
            }
        }
        Ok(view)
    }

    /// Reads a packet whose payload is still encrypted (RFC 3711 §3.1): only
    /// the header is looked at, and [`payload`](Self::payload) is all that
    /// follows it, with padding, authentication tag and MKI.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), but for the padding.
    #[inline]
    pub fn parse_protected(packet: &'a [u8]) -> Result<Self, ParseError> {
        let (fixed, rest) = packet
            .split_first_chunk::<FIXED>()
            .ok_or(ParseError::TooShort)?;
        if fixed[0] & 0xC0 != 0x80 {
            return Err(ParseError::WrongType);
        }
        let csrcs = usize::from(fixed[0] & 0x0F) * 4;
        let (csrcs, mut rest) = rest.split_at_checked(csrcs).ok_or(ParseError::Length)?;
        let (csrcs, _) = csrcs.as_chunks::<4>();
        let mut form = Form::None;
        let mut extensions: &[u8] = &[];
        if fixed[0] & 0x10 != 0 {
            let (head, after) = rest
                .split_first_chunk::<EXTENSION_HEADER>()
                .ok_or(ParseError::Length)?;
            let len = usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
            (extensions, rest) = after.split_at_checked(len).ok_or(ParseError::Length)?;
            form = Form::of_profile(u16::from_be_bytes([head[0], head[1]]));
        }
        Ok(Self {
            fixed,
            csrcs,
            form,
            extensions,
            header_len: packet.len() - rest.len(),
            payload: rest,
            padding: 0,
        })
    }

    /// The marker bit.
    #[inline]
    pub const fn marker(&self) -> bool {
        self.fixed[1] & 0x80 != 0
    }

    /// Payload type, 0–127.
    #[inline]
    pub const fn payload_type(&self) -> u8 {
        self.fixed[1] & 0x7F
    }

    /// Sequence number.
    #[inline]
    pub const fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// Timestamp in units of the codec's clock.
    #[inline]
    pub const fn timestamp(&self) -> u32 {
        u32::from_be_bytes([self.fixed[4], self.fixed[5], self.fixed[6], self.fixed[7]])
    }

    /// Synchronisation source.
    #[inline]
    pub const fn ssrc(&self) -> u32 {
        u32::from_be_bytes([self.fixed[8], self.fixed[9], self.fixed[10], self.fixed[11]])
    }

    /// The padding bit.
    #[inline]
    pub const fn has_padding(&self) -> bool {
        self.fixed[0] & 0x20 != 0
    }

    /// Contributing sources, at most 15.
    pub fn csrcs(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.csrcs.iter().map(|csrc| u32::from_be_bytes(*csrc))
    }

    /// Bytes of header with contributing sources and the extension block; the
    /// payload starts at this offset.
    #[inline]
    pub const fn header_len(&self) -> usize {
        self.header_len
    }

    /// The form of the extension block.
    #[inline]
    pub const fn extension_form(&self) -> Form {
        self.form
    }

    /// Where the extension elements lie in the packet, behind the four bytes
    /// of profile and length; empty without an extension block.
    #[inline]
    pub const fn extension_range(&self) -> Range<usize> {
        self.header_len - self.extensions.len()..self.header_len
    }

    /// The extension elements in order; see [`Extensions`].
    #[inline]
    pub const fn extensions(&self) -> Extensions<'a> {
        Extensions::new(
            self.form,
            self.extensions,
            self.header_len - self.extensions.len(),
        )
    }

    /// The first extension element of this id.
    #[inline]
    pub fn extension(&self, id: u8) -> Option<Extension<'a>> {
        self.extensions().find(|extension| extension.id == id)
    }

    /// The payload without padding.
    #[inline]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Where the payload without padding lies in the packet.
    #[inline]
    pub const fn payload_range(&self) -> Range<usize> {
        self.header_len..self.header_len + self.payload.len()
    }

    /// Bytes of padding, its count included; 0–255. Zero for a protected
    /// packet.
    #[inline]
    pub const fn padding(&self) -> u8 {
        self.padding
    }

    /// Nothing but padding, or nothing at all: a bandwidth probe, without
    /// anything to forward.
    #[inline]
    pub const fn is_padding_only(&self) -> bool {
        self.payload.is_empty()
    }
}
