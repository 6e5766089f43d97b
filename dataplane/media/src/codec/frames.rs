//! The frames of one stream.

use super::dependency::{Descriptor, Structure};
use super::{FrameInfo, av1, h264, vp8, vp9};
use crate::describe::Codec;

/// Reads one encoding's packets in order of arrival and remembers what only
/// the first packet of a frame tells. Fixed size, about 1.2 KiB.
#[derive(Debug, Clone, Default)]
pub struct Frames {
    structure: Structure,
    /// Timestamp of the picture read last.
    timestamp: Option<u32>,
    /// It is a keyframe.
    keyframe: bool,
    /// Its temporal and spatial layer, as a packet told them last.
    layer: (u8, u8),
    /// H.264 sequence parameters were seen in the stream.
    has_parameters: bool,
}

impl Frames {
    /// The structure of the stream's dependency descriptors; empty until one
    /// was seen.
    pub const fn structure(&self) -> &Structure {
        &self.structure
    }

    /// What a packet says of its frame. `descriptor` is the value of its
    /// dependency descriptor, empty without one; it is believed over the
    /// payload, which may be encrypted, but for VP9, whose payload descriptor
    /// is never encrypted and tells more about switching.
    #[inline]
    pub fn read(
        &mut self,
        codec: Codec,
        payload: &[u8],
        marker: bool,
        timestamp: u32,
        descriptor: &[u8],
    ) -> FrameInfo {
        if !matches!(codec, Codec::Vp9 | Codec::Opus)
            && !descriptor.is_empty()
            && let Some(descriptor) = Descriptor::read(descriptor, &mut self.structure)
        {
            let picture = self.picture(timestamp);
            return self.remember(picture, timestamp, descriptor.frame);
        }
        let picture = self.picture(timestamp);
        let info = match codec {
            Codec::Vp8 => vp8::frame(payload, marker),
            Codec::Vp9 => return vp9::frame(payload).unwrap_or_default(),
            Codec::H264 => self.h264(payload, marker, picture),
            Codec::Av1 => self.av1(payload, marker, picture),
            Codec::Opus | Codec::Other => None,
        };
        match info {
            Some(info) => self.remember(picture, timestamp, info),
            None => FrameInfo::default(),
        }
    }

    fn h264(&mut self, payload: &[u8], marker: bool, picture: Picture) -> Option<FrameInfo> {
        let units = h264::Units::read(payload)?;
        self.has_parameters |= units.sequence_parameters;
        let parameters_apart = !self.has_parameters;
        Some(units.frame(marker, picture == Picture::Next, parameters_apart))
    }

    fn av1(&mut self, payload: &[u8], marker: bool, picture: Picture) -> Option<FrameInfo> {
        let units = av1::Units::read(payload)?;
        let layer = match picture {
            Picture::Same => units.layer.unwrap_or(self.layer),
            Picture::Next | Picture::Earlier => units.layer.unwrap_or_default(),
        };
        Some(units.frame(marker, picture == Picture::Next, layer))
    }

    #[inline]
    fn picture(&self, timestamp: u32) -> Picture {
        match self.timestamp.map(|last| timestamp.wrapping_sub(last)) {
            Some(0) => Picture::Same,
            Some(ahead) if ahead > i32::MAX as u32 => Picture::Earlier,
            _ => Picture::Next,
        }
    }

    /// All packets of a picture share its timestamp, and only the first one of
    /// them may tell that it is a keyframe.
    #[inline]
    fn remember(&mut self, picture: Picture, timestamp: u32, mut info: FrameInfo) -> FrameInfo {
        match picture {
            Picture::Same => self.keyframe |= info.keyframe,
            Picture::Next => {
                self.timestamp = Some(timestamp);
                self.keyframe = info.keyframe;
            }
            Picture::Earlier => return info,
        }
        self.layer = (info.temporal, info.spatial);
        info.keyframe = self.keyframe;
        info.switch_up |= self.keyframe;
        info
    }
}

/// Where a packet's picture stands to the one read last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Picture {
    Same,
    Next,
    Earlier,
}
