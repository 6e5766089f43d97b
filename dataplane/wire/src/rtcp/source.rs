//! Source description and goodbye (RFC 3550 §6.5, §6.6).

use super::split_u32;

const CNAME: u8 = 1;

/// SDES.
#[derive(Debug, Clone, Copy)]
pub struct SourceDescription<'a> {
    count: u8,
    body: &'a [u8],
}

/// What is said of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The source.
    pub ssrc: u32,
    /// Its canonical name, 0–255 bytes, when it is told.
    pub cname: Option<&'a [u8]>,
}

impl<'a> SourceDescription<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        let whole = Self { count, body };
        // Walked once here, so that half a description is none.
        (whole.chunks().count() == usize::from(count)).then_some(whole)
    }

    /// Its chunks, at most 31.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk<'a>> + use<'a> {
        let mut rest = self.body;
        (0..self.count).map_while(move |_| {
            let (chunk, after) = chunk(rest)?;
            rest = after;
            Some(chunk)
        })
    }
}

/// A chunk and what follows it.
fn chunk(bytes: &[u8]) -> Option<(Chunk<'_>, &[u8])> {
    let (ssrc, items) = split_u32(bytes)?;
    let mut rest = items;
    let mut cname = None;
    loop {
        let (&kind, after) = rest.split_first()?;
        if kind == 0 {
            let used = items.len() - after.len();
            let rest = items.get(used.next_multiple_of(4)..)?;
            return Some((Chunk { ssrc, cname }, rest));
        }
        let (&len, after) = after.split_first()?;
        let (value, after) = after.split_at_checked(usize::from(len))?;
        if kind == CNAME && cname.is_none() {
            cname = Some(value);
        }
        rest = after;
    }
}

/// BYE.
#[derive(Debug, Clone, Copy)]
pub struct Goodbye<'a> {
    sources: &'a [[u8; 4]],
}

impl<'a> Goodbye<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        let sources = body.as_chunks().0.get(..usize::from(count))?;
        Some(Self { sources })
    }

    /// Who leaves, at most 31.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.sources.iter().map(|ssrc| u32::from_be_bytes(*ssrc))
    }
}
