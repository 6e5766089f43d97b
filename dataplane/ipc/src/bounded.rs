//! Text, bytes and lists that cannot exceed their bound, at either end.

use core::fmt;
use core::ops::Deref;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use zeroize::Zeroize;

/// What was given exceeds the bound of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{length} exceeds the limit of {limit}")]
pub struct TooLong {
    /// Bytes or elements given.
    pub length: usize,
    /// Bytes or elements allowed.
    pub limit: usize,
}

fn check(length: usize, limit: usize) -> Result<(), TooLong> {
    if length > limit {
        Err(TooLong { length, limit })
    } else {
        Ok(())
    }
}

/// UTF-8 of at most `MAX` bytes.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// The text, if it is within the bound.
    pub fn new(text: impl Into<String>) -> Result<Self, TooLong> {
        let text = text.into();
        check(text.len(), MAX)?;
        Ok(Self(text))
    }

    /// As much of the text as fits, cut between characters.
    pub fn truncated(text: &str) -> Self {
        let mut end = text.len().min(MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text[..end].to_owned())
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> Zeroize for Text<MAX> {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl<C, const MAX: usize> Encode<C> for Text<MAX> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C, const MAX: usize> Decode<'b, C> for Text<MAX> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let text = d.str()?;
        check(text.len(), MAX).map_err(|e| decode::Error::message(e).at(at))?;
        Ok(Self(text.to_owned()))
    }
}

/// At most `MAX` bytes.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Bytes<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Bytes<MAX> {
    /// The bytes, if they are within the bound.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, TooLong> {
        let bytes = bytes.into();
        check(bytes.len(), MAX)?;
        Ok(Self(bytes))
    }
}

impl<const MAX: usize> Deref for Bytes<MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Bytes<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> Zeroize for Bytes<MAX> {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl<C, const MAX: usize> Encode<C> for Bytes<MAX> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C, const MAX: usize> Decode<'b, C> for Bytes<MAX> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let bytes = d.bytes()?;
        check(bytes.len(), MAX).map_err(|e| decode::Error::message(e).at(at))?;
        Ok(Self(bytes.to_owned()))
    }
}

/// At most `MAX` elements.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// The list, if it is within the bound.
    pub fn new(elements: impl Into<Vec<T>>) -> Result<Self, TooLong> {
        let elements = elements.into();
        check(elements.len(), MAX)?;
        Ok(Self(elements))
    }

    /// The first elements, as many as fit.
    pub fn truncated(elements: impl IntoIterator<Item = T>) -> Self {
        Self(elements.into_iter().take(MAX).collect())
    }

    /// The elements.
    pub fn into_inner(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: fmt::Debug, const MAX: usize> fmt::Debug for List<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<C, T: Encode<C>, const MAX: usize> Encode<C> for List<T, MAX> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        for element in &self.0 {
            element.encode(e, ctx)?;
        }
        Ok(())
    }
}

impl<'b, C, T: Decode<'b, C>, const MAX: usize> Decode<'b, C> for List<T, MAX> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let Some(length) = d.array()? else {
            return Err(decode::Error::message("a list of indefinite length").at(at));
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        check(length, MAX).map_err(|e| decode::Error::message(e).at(at))?;
        let mut elements = Vec::with_capacity(length);
        for _ in 0..length {
            elements.push(T::decode(d, ctx)?);
        }
        Ok(Self(elements))
    }
}

/// Key material: hidden in `Debug`, overwritten when dropped.
///
/// Equality is not constant-time: it serves tests and the question whether a
/// file changed, never authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct Sensitive<T: Zeroize>(T);

impl<T: Zeroize> Sensitive<T> {
    /// Takes charge of the value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the one who must have it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Sensitive<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl<C, T: Zeroize + Encode<C>> Encode<C> for Sensitive<T> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        self.0.encode(e, ctx)
    }
}

impl<'b, C, T: Zeroize + Decode<'b, C>> Decode<'b, C> for Sensitive<T> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        T::decode(d, ctx).map(Self)
    }
}
