//! A published track and its encodings, as egress sees them.

use forebay_wire::clock::Instant;

use crate::describe::{PublishedCodec, TrackKind};
use crate::ids::{Mid, Rid, TrackKey};
use crate::ingress::{Inflow, Level};
use crate::tables::SessionSlot;

/// Encodings a track may have.
pub(crate) const MAX_ENCODINGS: usize = 4;
/// Spatial and temporal layers told apart.
pub(crate) const MAX_LAYERS: usize = 4;

/// A published track.
pub(crate) struct Track {
    pub(crate) key: TrackKey,
    /// The publisher.
    pub(crate) session: SessionSlot,
    pub(crate) mid: Mid,
    pub(crate) kind: TrackKind,
    /// As configured; [`Packet::codec`](crate::packet::Packet) points here.
    pub(crate) codecs: Box<[PublishedCodec]>,
    /// 1–4, lowest quality first.
    pub(crate) encodings: Box<[Encoding]>,
    pub(crate) nack: bool,
    pub(crate) fir: bool,
    pub(crate) muted: bool,
    /// How loud it is, if it is sound.
    pub(crate) level: Level,
}

/// One encoding of a track.
#[derive(Default)]
pub(crate) struct Encoding {
    pub(crate) rid: Option<Rid>,
    /// Whether packets arrive.
    pub(crate) active: bool,
    /// Which source feeds it now; see [`Packet::epoch`](crate::packet::Packet).
    pub(crate) epoch: u16,
    /// What it carries.
    pub(crate) rates: Rates,
    /// The publisher's last sender report of the current epoch.
    pub(crate) sender_report: Option<SenderReport>,
    /// A keyframe is needed; ingress asks for it, throttled, until it comes.
    pub(crate) keyframe_wanted: bool,
    /// What only ingress looks at.
    pub(crate) inflow: Inflow,
}

/// The publisher's clock at one moment (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderReport {
    /// NTP time, 32.32 seconds.
    pub(crate) ntp: u64,
    /// The RTP time of the same moment.
    pub(crate) rtp: u32,
    /// When it came here.
    pub(crate) received: Instant,
}

/// Bits per second of RTP payload and header, by spatial and temporal layer,
/// each layer on its own; smoothed over about a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) layers: [[u32; MAX_LAYERS]; MAX_LAYERS],
}

impl Rates {
    /// Bits per second up to and including these layers.
    pub(crate) fn up_to(&self, spatial: u8, temporal: u8) -> u64 {
        self.layers
            .iter()
            .take(usize::from(spatial) + 1)
            .flat_map(|row| row.iter().take(usize::from(temporal) + 1))
            .map(|&rate| u64::from(rate))
            .sum()
    }

    /// Bits per second altogether.
    pub(crate) fn total(&self) -> u64 {
        self.up_to(u8::MAX, u8::MAX)
    }
}
