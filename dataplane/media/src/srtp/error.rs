//! Why a packet was not protected or not accepted.

/// A refusal. The packet's bytes are unspecified afterwards: drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SrtpError {
    /// Shorter than its header, trailer and tag, or a header length beyond
    /// the packet.
    Short,
    /// Its index was accepted before (RFC 3711 §3.3.2).
    Replayed,
    /// Its index lies behind the replay window.
    Old,
    /// The tag does not fit: forged, damaged, or other keys.
    Unauthenticated,
    /// Authentic, but of one more SSRC than a transport may have while none
    /// of the others is idle.
    TooManyStreams,
    /// The buffer has no room for tag and trailer.
    NoRoom,
    /// The index does not end in the header's sequence number.
    WrongIndex,
    /// The keys have protected as many packets as they may (RFC 3711 §9.2),
    /// or the library refuses them.
    Exhausted,
}

impl core::fmt::Display for SrtpError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Short => "packet too short",
            Self::Replayed => "replayed",
            Self::Old => "behind the replay window",
            Self::Unauthenticated => "authentication failed",
            Self::TooManyStreams => "too many streams on the transport",
            Self::NoRoom => "no room for the tag",
            Self::WrongIndex => "index and sequence number differ",
            Self::Exhausted => "keys used up",
        })
    }
}

impl core::error::Error for SrtpError {}
