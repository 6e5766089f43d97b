//! What a forwarder is made from.

/// How much of everything there is room for. All memory is taken at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Sessions.
    pub sessions: u32,
    /// Published tracks.
    pub tracks: u32,
    /// Subscriptions.
    pub subscriptions: u32,
    /// Bytes of the retransmission cache shared by all tracks. One second of
    /// 400 Mbit/s is 50 MB.
    pub cache: u32,
}

/// A forwarder's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Table sizes.
    pub capacity: Capacity,
    /// The largest RTP packet sent, UDP payload bytes (1,200 by default).
    pub mtu: u16,
    /// Upper bound of the bandwidth estimate per session, bits per second.
    pub max_bitrate: u64,
    /// The estimate a session starts with, bits per second.
    pub start_bitrate: u64,
}

/// Randomness, taken once: hash keys, first sequence numbers, timestamps.
#[derive(Debug, Clone, Copy)]
pub struct Seeds {
    /// Keys of the hash tables.
    pub tables: u64,
    /// First state of the generator of sequence numbers and timestamps.
    pub random: u64,
}
