//! What a shard is made from.

use core::ops::Range;

use forebay_turn::Config;

/// What a shard is made from.
pub struct ShardConfig {
    /// The TURN server.
    pub turn: Config,
    /// SRTP forwarding; `None` where only TURN is served.
    pub media: Option<MediaConfig>,
    /// Listening sockets have ids below this; behind them lie media sockets,
    /// then relay sockets.
    pub listeners: u32,
    /// Relay sockets have ids below this.
    pub sockets: u32,
    /// Connections of clients (TCP, TLS, or DTLS decrypted elsewhere), whose
    /// ids follow those of the relay sockets, one each.
    pub streams: u32,
    /// Datagrams larger than this are never merged into a GSO send (the kernel
    /// refuses a segment that does not fit the path's MTU).
    pub max_segment: u16,
    /// STUN messages handled in a batch that also carries media; the rest of
    /// them is dropped and counted. A batch without media has no such limit.
    pub requests_per_batch: u16,
}

impl ShardConfig {
    /// Ids of the connections that media comes over.
    pub fn media_streams(&self) -> Range<u32> {
        let first = self.sockets.saturating_add(self.streams);
        let count = self.media.as_ref().map_or(0, |media| media.streams);
        first..first.saturating_add(count)
    }

    /// Relay sockets have ids at or above this.
    pub(crate) fn first_relay(&self) -> u32 {
        let media = self.media.as_ref().map_or(0, |media| media.sockets);
        self.listeners.saturating_add(media)
    }
}

/// What a shard's forwarder is made from.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// Number of media sockets.
    pub sockets: u32,
    /// Connections that media comes over, whose ids follow those of
    /// [`ShardConfig::streams`], one each.
    pub streams: u32,
    /// The forwarder.
    pub forwarder: forebay_media::Config,
    /// Its randomness.
    pub seeds: forebay_media::Seeds,
}
