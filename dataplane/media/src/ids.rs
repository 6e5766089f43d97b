//! Role newtypes: no bare id crosses this crate's border.

use core::fmt;

/// One peer connection (one ICE and DTLS transport), as its owner names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub u64);

/// One published track, as its owner names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackKey(pub u64);

/// One track on its way to one session, as its owner names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionKey(pub u64);

/// A kernel socket as its worker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u32);

/// A synchronisation source (RFC 3550 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ssrc(pub u32);

/// A short identifier kept inline.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Short {
    len: u8,
    bytes: [u8; Self::MAX],
}

impl Short {
    const MAX: usize = 16;

    const fn new(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > Self::MAX {
            return None;
        }
        let mut bytes = [0; Self::MAX];
        let mut at = 0;
        while at < text.len() {
            bytes[at] = text[at];
            at += 1;
        }
        Some(Self {
            len: text.len() as u8,
            bytes,
        })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

/// A media section's identification tag (RFC 9143), 1–16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mid(Short);

/// A restriction identifier: the name of one simulcast encoding (RFC 8852),
/// 1–16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rid(Short);

impl Mid {
    /// The tag, if its length is within bounds.
    pub const fn new(text: &[u8]) -> Option<Self> {
        match Short::new(text) {
            Some(short) => Some(Self(short)),
            None => None,
        }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Rid {
    /// The identifier, if its length is within bounds.
    pub const fn new(text: &[u8]) -> Option<Self> {
        match Short::new(text) {
            Some(short) => Some(Self(short)),
            None => None,
        }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
