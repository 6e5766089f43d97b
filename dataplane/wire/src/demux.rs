//! Telling the protocols that share a UDP port apart (RFC 7983 §7 as updated
//! by RFC 9443, RTP from RTCP by RFC 5761 §4).

/// The protocol a datagram belongs to, judged by its first bytes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// First byte 0–3.
    Stun,
    /// First byte 16–19.
    Zrtp,
    /// First byte 20–63.
    Dtls,
    /// First byte 64–127. RFC 7983 leaves channels 64–79 and RFC 9443 lets QUIC
    /// have all of them, but clients of RFC 5766 may choose any channel up to
    /// 0x7FFF, and on a TURN port nobody speaks QUIC.
    ChannelData,
    /// First byte 128–191 and the second not an RTCP packet type; also a
    /// single byte, which is neither.
    Rtp,
    /// First byte 128–191, second byte 192–223.
    Rtcp,
    /// First byte 192–255.
    Quic,
    /// Empty, or first byte 4–15.
    Unknown,
}

impl Protocol {
    /// Classifies a datagram.
    #[inline]
    pub const fn of(datagram: &[u8]) -> Self {
        let Some(first) = datagram.first() else {
            return Self::Unknown;
        };
        match *first {
            0..=3 => Self::Stun,
            4..=15 => Self::Unknown,
            16..=19 => Self::Zrtp,
            20..=63 => Self::Dtls,
            64..=127 => Self::ChannelData,
            192..=255 => Self::Quic,
            128..=191 => match datagram {
                [_, 192..=223, ..] => Self::Rtcp,
                _ => Self::Rtp,
            },
        }
    }
}
