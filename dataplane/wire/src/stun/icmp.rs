//! The ICMP attribute (RFC 8656 §18.13).

/// What an ICMP or ICMPv6 error said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Icmp {
    /// Type, below 128 as that of every error is.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The next link's MTU where a datagram was too long for it (3/4; ICMPv6
    /// 2), else zero.
    pub data: u32,
}

impl Icmp {
    /// Bytes of the attribute's value.
    pub const LEN: usize = 8;

    /// The attribute's value. The figure of §18.13 gives the type seven bits
    /// and the code nine.
    pub const fn encode(self) -> [u8; Self::LEN] {
        let [high, low] = ((self.kind as u16) << 9 | self.code as u16).to_be_bytes();
        let [a, b, c, d] = self.data.to_be_bytes();
        [0, 0, high, low, a, b, c, d]
    }

    /// Reads an attribute's value; `None` for another length, or a code that
    /// no ICMP message has.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let &[_, _, high, low, a, b, c, d] = value else {
            return None;
        };
        let both = u16::from_be_bytes([high, low]);
        Some(Self {
            kind: (both >> 9) as u8,
            code: u8::try_from(both & 0x1FF).ok()?,
            data: u32::from_be_bytes([a, b, c, d]),
        })
    }
}
