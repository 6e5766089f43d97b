//! What forwarding has to know of a codec's payload.

/// What a packet says of its frame; codecs that say nothing (sound, encrypted
/// payloads without a dependency descriptor) leave the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FrameInfo {
    /// It belongs to a frame that can be decoded without any before it.
    pub(crate) keyframe: bool,
    /// It is the first packet of its frame (of its spatial layer).
    pub(crate) start: bool,
    /// It is the last packet of its frame (of its spatial layer).
    pub(crate) end: bool,
    /// Spatial layer within the stream.
    pub(crate) spatial: u8,
    /// Temporal layer.
    pub(crate) temporal: u8,
    /// One may begin to forward this temporal layer here.
    pub(crate) switch_up: bool,
}
