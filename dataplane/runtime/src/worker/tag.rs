//! What a completion is about, packed into its 64-bit tag.

/// See the module documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// A datagram, or the end of receiving, on a slot of the file table. The
    /// generation tells the slot's owners apart.
    Receive { slot: u32, generation: u32 },
    /// A relay socket is closed.
    Closed { slot: u32, generation: u32 },
    /// Something came over a connection, or receiving from it ended.
    Stream { slot: u32, generation: u32 },
    /// A connection took what was sent, or a part of it.
    StreamSent { slot: u32, generation: u32 },
    /// A peer wants to be connected to a listening relay.
    Accept { slot: u32, generation: u32 },
    /// A connection with a peer has come about, or has not.
    Connected { slot: u32, generation: u32 },
    /// The other end of a connection was told that nothing will follow.
    Shut { slot: u32, generation: u32 },
    /// A transmit of the batch failed.
    Send { transmit: u32 },
    /// A datagram that was sent again by itself failed.
    Resend,
    /// Another thread woke us.
    Wake,
    /// A read of an error queue.
    Error { read: u32 },
    /// Nothing anybody waits for.
    Other,
}

/// Bits of a generation in a tag. A slot would have to change hands sixteen
/// million times between a request and its completion to be confused.
pub(super) const GENERATION: u32 = (1 << 24) - 1;

impl Tag {
    pub(super) const fn pack(self) -> u64 {
        const fn join(kind: u64, generation: u32, slot: u32) -> u64 {
            kind << 56 | ((generation & GENERATION) as u64) << 32 | slot as u64
        }
        match self {
            Self::Receive { slot, generation } => join(1, generation, slot),
            Self::Closed { slot, generation } => join(2, generation, slot),
            Self::Send { transmit } => join(3, 0, transmit),
            Self::Resend => join(4, 0, 0),
            Self::Wake => join(5, 0, 0),
            Self::Stream { slot, generation } => join(6, generation, slot),
            Self::StreamSent { slot, generation } => join(7, generation, slot),
            Self::Error { read } => join(8, 0, read),
            Self::Accept { slot, generation } => join(9, generation, slot),
            Self::Connected { slot, generation } => join(10, generation, slot),
            Self::Shut { slot, generation } => join(11, generation, slot),
            Self::Other => u64::MAX,
        }
    }

    pub(super) const fn unpack(tag: u64) -> Self {
        let slot = tag as u32;
        let generation = (tag >> 32) as u32 & GENERATION;
        match tag >> 56 {
            1 => Self::Receive { slot, generation },
            2 => Self::Closed { slot, generation },
            3 => Self::Send { transmit: slot },
            4 => Self::Resend,
            5 => Self::Wake,
            6 => Self::Stream { slot, generation },
            7 => Self::StreamSent { slot, generation },
            8 => Self::Error { read: slot },
            9 => Self::Accept { slot, generation },
            10 => Self::Connected { slot, generation },
            11 => Self::Shut { slot, generation },
            _ => Self::Other,
        }
    }
}
