//! What arrives from publishers, and what they are told of it.

mod arrivals;
mod keyframes;
mod level;
mod meter;
mod missing;
mod reception;

pub(crate) use arrivals::Arrivals;
pub(crate) use keyframes::Keyframes;
pub(crate) use level::Level;
pub(crate) use meter::Meter;
pub(crate) use missing::Missing;
pub(crate) use reception::{Place, Reception};

use forebay_wire::clock::Instant;

use crate::codec::Frames;
use crate::ids::Ssrc;

/// The receiving side of one encoding.
#[derive(Debug, Default)]
pub(crate) struct Inflow {
    /// The source that feeds it.
    pub(crate) ssrc: Option<Ssrc>,
    /// The source of its retransmissions.
    pub(crate) rtx_ssrc: Option<Ssrc>,
    /// Begins anew with each source.
    pub(crate) reception: Option<Reception>,
    pub(crate) missing: Missing,
    pub(crate) keyframes: Keyframes,
    pub(crate) meter: Meter,
    /// Reads its payloads.
    pub(crate) frames: Frames,
    /// When the last packet came.
    pub(crate) heard: Option<Instant>,
    /// Since the last report.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Lost for good with former sources, since the last report.
    pub(crate) lost: u64,
}
