//! VP9 (RFC 9628).

use super::{Cursor, Field, FrameInfo, PictureId};

/// A payload descriptor (RFC 9628 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// P: the frame needs others than those of its own picture.
    pub inter_picture: bool,
    /// F: references are told with each frame.
    pub flexible: bool,
    /// B: a layer's frame begins.
    pub start: bool,
    /// E: a layer's frame ends.
    pub end: bool,
    /// Z: no higher spatial layer needs it.
    pub not_reference_above: bool,
    /// The picture's number.
    pub picture_id: Option<PictureId>,
    /// The layer, when told.
    pub layer: Option<Layer>,
    /// TL0PICIDX: the number of the base-layer frame needed; not in flexible
    /// mode.
    pub base_index: Option<Field>,
    /// V: a scalability structure is in it.
    pub structure: Option<Structure>,
    /// Its length, bytes; the VP9 payload follows.
    pub len: usize,
}

/// Layer indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layer {
    /// TID, 0–7.
    pub temporal: u8,
    /// U: higher temporal layers can begin after this picture.
    pub switch_up: bool,
    /// SID, 0–7.
    pub spatial: u8,
    /// D: needs the layer below in its own picture.
    pub inter_layer: bool,
}

/// A scalability structure, as far as anybody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Structure {
    /// Spatial layers, 1–8.
    pub spatial_layers: u8,
    /// Width and height of the highest layer, pixels, when told.
    pub resolution: Option<(u16, u16)>,
}

impl Descriptor {
    /// Reads the start of an RTP payload; `None` when it is cut off or names
    /// more than three references.
    #[inline]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        let first = cursor.byte()?;
        let bit = |mask: u8| first & mask != 0;
        let mut descriptor = Self {
            inter_picture: bit(0x40),
            flexible: bit(0x10),
            start: bit(0x08),
            end: bit(0x04),
            not_reference_above: bit(0x01),
            picture_id: None,
            layer: None,
            base_index: None,
            structure: None,
            len: 0,
        };
        if bit(0x80) {
            descriptor.picture_id = Some(PictureId::read(&mut cursor)?);
        }
        if bit(0x20) {
            let layer = cursor.byte()?;
            descriptor.layer = Some(Layer {
                temporal: layer >> 5,
                switch_up: layer & 0x10 != 0,
                spatial: layer >> 1 & 7,
                inter_layer: layer & 1 != 0,
            });
            if !descriptor.flexible {
                descriptor.base_index = Some(Field::read(&mut cursor)?);
            }
        }
        if descriptor.flexible && descriptor.inter_picture {
            let mut references = 1;
            while cursor.byte()? & 1 != 0 {
                references += 1;
                if references > 3 {
                    return None;
                }
            }
        }
        if bit(0x02) {
            descriptor.structure = Some(Structure::read(&mut cursor)?);
        }
        descriptor.len = cursor.at;
        Some(descriptor)
    }
}

impl Structure {
    #[cold]
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let first = cursor.byte()?;
        let spatial_layers = (first >> 5) + 1;
        let mut resolution = None;
        if first & 0x10 != 0 {
            for _ in 0..spatial_layers {
                let width = u16::from_be_bytes([cursor.byte()?, cursor.byte()?]);
                let height = u16::from_be_bytes([cursor.byte()?, cursor.byte()?]);
                resolution = Some((width, height));
            }
        }
        if first & 0x08 != 0 {
            for _ in 0..cursor.byte()? {
                let references = cursor.byte()? >> 2 & 3;
                cursor.skip(usize::from(references))?;
            }
        }
        Some(Self {
            spatial_layers,
            resolution,
        })
    }
}

/// What a payload says of its frame.
#[inline]
pub fn frame(payload: &[u8]) -> Option<FrameInfo> {
    let descriptor = Descriptor::read(payload)?;
    let layer = descriptor.layer.unwrap_or_default();
    Some(FrameInfo {
        keyframe: !descriptor.inter_picture,
        start: descriptor.start,
        end: descriptor.end,
        spatial: layer.spatial,
        temporal: layer.temporal,
        switch_up: layer.switch_up,
        discardable: false,
    })
}
