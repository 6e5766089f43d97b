//! VP8 (RFC 7741).

use super::{Cursor, Field, FrameInfo, PictureId};

/// A payload descriptor (RFC 7741 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// N: no other frame needs this one.
    pub non_reference: bool,
    /// S: a partition begins here.
    pub partition_start: bool,
    /// PID: which partition, 0–7.
    pub partition: u8,
    /// The picture's number.
    pub picture_id: Option<PictureId>,
    /// TL0PICIDX: the number of the base-layer frame needed.
    pub base_index: Option<Field>,
    /// TID and Y: temporal layer, and whether only the base layer is needed.
    pub layer: Option<(u8, bool)>,
    /// The byte that holds KEYIDX in its lower five bits.
    pub key_index: Option<Field>,
    /// Its length, bytes; the VP8 payload follows.
    pub len: usize,
}

impl Descriptor {
    /// Reads the start of an RTP payload; `None` when it is cut off.
    #[inline]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        let first = cursor.byte()?;
        let mut descriptor = Self {
            non_reference: first & 0x20 != 0,
            partition_start: first & 0x10 != 0,
            partition: first & 0x07,
            picture_id: None,
            base_index: None,
            layer: None,
            key_index: None,
            len: 1,
        };
        if first & 0x80 != 0 {
            let present = cursor.byte()?;
            if present & 0x80 != 0 {
                descriptor.picture_id = Some(PictureId::read(&mut cursor)?);
            }
            if present & 0x40 != 0 {
                descriptor.base_index = Some(Field::read(&mut cursor)?);
            }
            if present & 0x30 != 0 {
                let field = Field::read(&mut cursor)?;
                if present & 0x20 != 0 {
                    descriptor.layer = Some((field.value >> 6, field.value & 0x20 != 0));
                }
                descriptor.key_index = (present & 0x10 != 0).then_some(field);
            }
            descriptor.len = cursor.at;
        }
        Some(descriptor)
    }
}

/// What a payload says of its frame. Whether it is a keyframe stands in the
/// frame's first packet alone (RFC 7741 §4.3, P).
#[inline]
pub fn frame(payload: &[u8], marker: bool) -> Option<FrameInfo> {
    let descriptor = Descriptor::read(payload)?;
    let header = *payload.get(descriptor.len)?;
    let start = descriptor.partition_start && descriptor.partition == 0;
    let (temporal, synced) = descriptor.layer.unwrap_or_default();
    let keyframe = start && header & 1 == 0;
    Some(FrameInfo {
        keyframe,
        start,
        end: marker,
        spatial: 0,
        temporal,
        switch_up: keyframe || synced || temporal == 0,
        discardable: descriptor.non_reference,
    })
}
