//! AV1 (RTP Payload Format for AV1, §4).

use super::FrameInfo;

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;

/// What an RTP payload's aggregation header and the headers of the OBUs that
/// begin in it say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Units {
    /// Z: the first OBU element continues one of the packet before.
    pub continues: bool,
    /// Y: the last OBU element goes on in the packet after.
    pub continued: bool,
    /// N: a coded video sequence begins.
    pub new_sequence: bool,
    /// A sequence header is among them.
    pub sequence_header: bool,
    /// Temporal and spatial layer of the first OBU with such a header.
    pub layer: Option<(u8, u8)>,
}

impl Units {
    /// Reads an RTP payload; `None` when an element reaches past the end.
    #[inline]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (&aggregation, mut rest) = payload.split_first()?;
        let mut units = Self {
            continues: aggregation & 0x80 != 0,
            continued: aggregation & 0x40 != 0,
            new_sequence: aggregation & 0x08 != 0,
            ..Self::default()
        };
        let count = aggregation >> 4 & 3;
        let mut index = 1;
        while !rest.is_empty() {
            // Without a count every element has its length, else all but the
            // last.
            let element = if count != 0 && index == count {
                core::mem::take(&mut rest)
            } else {
                let (len, after) = leb128(rest)?;
                let (element, after) = after.split_at_checked(len)?;
                rest = after;
                element
            };
            if index > 1 || !units.continues {
                units.add(element);
            }
            index = index.saturating_add(1);
        }
        Some(units)
    }

    /// What the packet says of its frame, or rather, without a dependency
    /// descriptor, of its temporal unit. `first`: no packet of this picture came
    /// before. `layer`: temporal and spatial.
    pub(super) const fn frame(self, marker: bool, first: bool, layer: (u8, u8)) -> FrameInfo {
        let (temporal, spatial) = layer;
        FrameInfo {
            keyframe: self.new_sequence,
            start: !self.continues && (self.new_sequence || first),
            end: marker,
            spatial,
            temporal,
            switch_up: self.new_sequence || temporal == 0,
            discardable: false,
        }
    }

    #[inline]
    fn add(&mut self, element: &[u8]) {
        let Some(&header) = element.first() else {
            return;
        };
        let kind = header >> 3 & 0x0F;
        self.sequence_header |= kind == SEQUENCE_HEADER;
        let layered = !matches!(kind, SEQUENCE_HEADER | TEMPORAL_DELIMITER | TILE_LIST);
        if header & 0x04 != 0
            && layered
            && self.layer.is_none()
            && let Some(extension) = element.get(1)
        {
            self.layer = Some((extension >> 5, extension >> 3 & 3));
        }
    }
}

/// A length of at most 32 bits and what follows it.
#[inline]
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(8) {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return Some((value as usize, bytes.get(index + 1..)?));
        }
    }
    None
}
