//! What a connection's first byte says.

/// What a client begins to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// STUN. ChannelData cannot come first: its allocation is not made yet,
    /// which is why the letters of HTTP are free.
    Turn,
    /// A TLS handshake record.
    Tls,
    /// A method of HTTP.
    Http,
    /// Nothing we serve.
    Other,
}

impl Opening {
    /// All registered methods of STUN (RFC 8489 §18.2) have a type below
    /// 0x0200.
    pub(super) fn of(first: u8) -> Self {
        match first {
            0x00 | 0x01 => Self::Turn,
            0x16 => Self::Tls,
            b'A'..=b'Z' => Self::Http,
            _ => Self::Other,
        }
    }
}
