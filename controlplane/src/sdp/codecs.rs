//! Codecs as both ends name them.

use forebay_ipc::media::{PayloadMap, PublishedCodec};
use serde::{Deserialize, Serialize};

/// A codec with whatever makes two of its kind incompatible. Equal formats can
/// be forwarded from one to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Format {
    /// Opus, 48 kHz, two channels.
    Opus,
    /// VP8.
    Vp8,
    /// VP9 of this profile, 0–3.
    Vp9(u8),
    /// AV1 of this profile, 0–2.
    Av1(u8),
    /// H.264 by profile_idc and constraint flags that matter, and
    /// packetization mode.
    H264 {
        /// `profile_idc`.
        profile: u8,
        /// `profile-iop`.
        constraints: u8,
        /// 0 or 1.
        mode: u8,
    },
}

/// What a publisher may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NegotiatedCodec {
    /// For the data plane.
    pub published: PublishedCodec,
    /// For matching it with subscribers.
    pub format: Format,
}

/// What a subscriber takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedCodec {
    /// Which.
    pub format: Format,
    /// Its payload type there.
    pub payload_type: u8,
    /// Payload type of retransmissions there.
    pub rtx: Option<u8>,
}

/// What becomes of a publisher's payload types at a subscriber; empty when it
/// can decode none of them.
pub fn payload_map(published: &[NegotiatedCodec], accepted: &[AcceptedCodec]) -> Vec<PayloadMap> {
    published
        .iter()
        .filter_map(|codec| {
            let fit = accepted.iter().find(|a| a.format == codec.format)?;
            Some(PayloadMap {
                from: codec.published.payload_type,
                to: fit.payload_type,
                rtx: fit.rtx,
            })
        })
        .collect()
}
