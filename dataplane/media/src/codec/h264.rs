//! H.264 (RFC 6184): single NAL units, STAP-A and FU-A, which is all of
//! packetization mode 1.

use super::FrameInfo;

const SLICE: u8 = 1;
const IDR_SLICE: u8 = 5;
const SEQUENCE_PARAMETERS: u8 = 7;
const PICTURE_PARAMETERS: u8 = 8;
const DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// What NAL units of a packet begin in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Units {
    /// A slice of an IDR picture, or a fragment of one.
    pub idr: bool,
    /// A sequence parameter set begins.
    pub sequence_parameters: bool,
    /// A picture parameter set begins.
    pub picture_parameters: bool,
    /// What can only stand at the start of an access unit: a delimiter, a
    /// parameter set, the slice with the picture's first macroblock.
    pub picture_start: bool,
    /// One of them is needed by others (nal_ref_idc).
    pub reference: bool,
}

impl Units {
    /// Reads an RTP payload; `None` when it is empty or a unit reaches past
    /// the end.
    #[inline]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let mut units = Self::default();
        let (&first, rest) = payload.split_first()?;
        match first & 0x1F {
            STAP_A => {
                let mut rest = rest;
                while !rest.is_empty() {
                    let (len, after) = rest.split_first_chunk()?;
                    let len = usize::from(u16::from_be_bytes(*len));
                    let (unit, after) = after.split_at_checked(len)?;
                    let (&header, body) = unit.split_first()?;
                    units.add(header, body, true);
                    rest = after;
                }
            }
            FU_A => {
                let (&fragment, body) = rest.split_first()?;
                let header = first & 0x60 | fragment & 0x1F;
                units.add(header, body, fragment & 0x80 != 0);
            }
            _ => units.add(first, rest, true),
        }
        Some(units)
    }

    /// What the packet says of its frame. A keyframe begins with its sequence
    /// parameters: whoever joins cannot decode without. Only while a stream has
    /// shown none (`parameters_apart`: they travel outside of it), an IDR
    /// picture is enough. `first`: no packet of this picture came before.
    pub(super) fn frame(self, marker: bool, first: bool, parameters_apart: bool) -> FrameInfo {
        let keyframe = self.sequence_parameters || self.idr && parameters_apart;
        FrameInfo {
            keyframe,
            start: self.sequence_parameters || self.picture_start && first,
            end: marker,
            spatial: 0,
            temporal: 0,
            switch_up: true,
            discardable: !self.reference,
        }
    }

    #[inline]
    fn add(&mut self, header: u8, body: &[u8], begins: bool) {
        self.reference |= header & 0x60 != 0;
        let kind = header & 0x1F;
        match kind {
            SLICE | IDR_SLICE => {
                self.idr |= kind == IDR_SLICE;
                // first_mb_in_slice is 0 when its Exp-Golomb code is one bit.
                self.picture_start |= begins && body.first().is_some_and(|byte| byte & 0x80 != 0);
            }
            SEQUENCE_PARAMETERS => self.sequence_parameters |= begins,
            PICTURE_PARAMETERS => self.picture_parameters |= begins,
            _ => {}
        }
        self.picture_start |=
            begins && matches!(kind, SEQUENCE_PARAMETERS | PICTURE_PARAMETERS | DELIMITER);
    }
}
