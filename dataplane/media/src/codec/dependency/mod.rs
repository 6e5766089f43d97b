//! The dependency descriptor (RTP Payload Format for AV1, appendix A), which
//! tells of any codec, encrypted or not, what forwarding has to know.

mod bits;
mod structure;

pub use structure::{Indication, Structure};

use super::FrameInfo;
use bits::{Reader, Writer};
use structure::Template;

/// Bits of the fields that are always there.
const MANDATORY: usize = 24;
/// Bits of the flags of the extended fields.
const FLAGS: usize = 5;
/// Place of the flag of the active decode targets.
const ACTIVE_FLAG: usize = MANDATORY + 1;

/// A descriptor, read against the structure of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// What it says of the frame. `keyframe`: a structure is attached, which is
    /// so in the first packet of a keyframe alone.
    pub frame: FrameInfo,
    /// Number of the frame, rising by one per frame in decoding order.
    pub frame_number: u16,
    /// One bit for each decode target that is still sent, when told.
    pub active_targets: Option<u32>,
    /// How the frame matters to each decode target, two bits each, the first
    /// one lowest; see [`Indication`].
    indications: u64,
    /// Bit at which the mask of active targets stands, or would.
    active_at: usize,
    /// Its last bit that means something.
    end: usize,
}

impl Descriptor {
    /// The number of the frame of any descriptor: it needs no structure.
    #[inline]
    pub fn frame_number(descriptor: &[u8]) -> Option<u16> {
        let &[_, high, low] = descriptor.first_chunk()?;
        Some(u16::from_be_bytes([high, low]))
    }

    /// Reads a descriptor. An attached structure replaces `structure`.
    ///
    /// `None` when it is cut off, or cannot be understood without a structure
    /// that was lost.
    #[inline]
    pub fn read(descriptor: &[u8], structure: &mut Structure) -> Option<Self> {
        let &[first, high, low] = descriptor.first_chunk()?;
        let mut this = Self {
            frame: FrameInfo {
                start: first & 0x80 != 0,
                end: first & 0x40 != 0,
                ..FrameInfo::default()
            },
            frame_number: u16::from_be_bytes([high, low]),
            active_targets: None,
            indications: 0,
            active_at: MANDATORY + FLAGS,
            end: MANDATORY,
        };
        if descriptor.len() * 8 == MANDATORY {
            this.apply(first & 0x3F, structure, None)?;
        } else {
            this.extended(first & 0x3F, descriptor, structure)?;
        }
        Some(this)
    }

    #[cold]
    fn extended(
        &mut self,
        template: u8,
        descriptor: &[u8],
        structure: &mut Structure,
    ) -> Option<()> {
        let mut reader = Reader::new(descriptor, MANDATORY);
        let attached = reader.flag()?;
        let active = reader.flag()?;
        let own_indications = reader.flag()?;
        let own_differences = reader.flag()?;
        let own_chains = reader.flag()?;
        let fresh;
        let known = if attached {
            fresh = Structure::read(&mut reader)?;
            &fresh
        } else {
            &*structure
        };
        self.active_at = reader.at;
        if active {
            self.active_targets = Some(reader.take(u32::from(known.targets()))?);
        }
        let indications = match own_indications {
            true => Some(structure::read_indications(&mut reader, known.targets())?),
            false => None,
        };
        if own_differences {
            loop {
                let size = reader.take(2)?;
                if size == 0 {
                    break;
                }
                reader.take(size * 4)?;
            }
        }
        if own_chains {
            for _ in 0..known.chains() {
                reader.take(8)?;
            }
        }
        self.end = reader.at;
        self.frame.keyframe = attached;
        self.apply(template, known, indications)?;
        if attached {
            *structure = *known;
        }
        Some(())
    }

    #[inline]
    fn apply(&mut self, id: u8, structure: &Structure, indications: Option<u64>) -> Option<()> {
        let template = structure.template(id)?;
        self.indications = indications.unwrap_or(template.indications);
        let frame = &mut self.frame;
        frame.spatial = template.spatial;
        frame.temporal = template.temporal;
        let (switch_up, discardable) = match indications {
            None => (template.switch_up, template.discardable),
            Some(indications) => structure.judge(&Template {
                indications,
                ..*template
            }),
        };
        frame.switch_up = switch_up || frame.keyframe;
        frame.discardable = discardable;
        Some(())
    }

    /// How the frame matters to a decode target, 0–31.
    pub const fn indication(&self, target: u8) -> Indication {
        Indication::of(self.indications, target)
    }

    /// Writes a copy of the descriptor this was read from, whose mask says
    /// that only these decode targets are still sent. Returns its length: up to
    /// five bytes more than before. `None` when there is no room.
    pub fn write_active_targets(
        &self,
        descriptor: &[u8],
        structure: &Structure,
        targets: u32,
        into: &mut [u8],
    ) -> Option<usize> {
        let mut writer = Writer::new(into);
        let after = if self.end == MANDATORY {
            writer.copy(descriptor, 0..MANDATORY)?;
            writer.put(0b01000, FLAGS as u32)?;
            self.end
        } else {
            writer.copy(descriptor, 0..ACTIVE_FLAG)?;
            writer.put(1, 1)?;
            writer.copy(descriptor, ACTIVE_FLAG + 1..self.active_at)?;
            let present = self.active_targets.map_or(0, |_| structure.targets());
            self.active_at + usize::from(present)
        };
        writer.put(targets, u32::from(structure.targets()))?;
        writer.copy(descriptor, after..self.end)?;
        writer.finish()
    }
}
