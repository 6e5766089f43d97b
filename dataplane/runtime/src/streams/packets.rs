//! Where packets end in a stream of media (RFC 4571 §2): each has its length,
//! two bytes, before it.

use std::ops::Range;

use forebay_engine::RxSlot;

use super::framing::{Outcome, Room};

/// Bytes before each packet.
pub const PREFIX: usize = 2;

/// What begins with a whole prefix.
#[inline]
fn first(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX>()?;
    Some((usize::from(u16::from_be_bytes(*prefix)), rest))
}

/// The first packet of a stream; `None` until all of it is there.
pub fn opening(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = first(bytes)?;
    rest.get(..len)
}

/// Puts the packets in `range` of `memory` into slots that are otherwise like
/// `alike`, one each, and takes them out of the range. Empty ones say nothing.
pub fn fill(
    memory: &[u8],
    range: &mut Range<usize>,
    alike: &RxSlot,
    room: &mut Room,
    slots: &mut Vec<RxSlot>,
) -> Outcome {
    loop {
        let bytes = memory.get(range.clone()).unwrap_or_default();
        let Some((len, rest)) = first(bytes) else {
            return Outcome::Whole;
        };
        if rest.len() < len {
            return Outcome::Whole;
        }
        if len > 0 {
            if room.slots == 0 {
                return Outcome::Full;
            }
            room.slots -= 1;
            slots.push(RxSlot {
                start: (range.start + PREFIX) as u32,
                len: len as u32,
                segment: len as u16,
                ..*alike
            });
        }
        range.start += PREFIX + len;
    }
}

/// Appends packets of `segment` bytes each, the last of which may be shorter,
/// with their prefixes; `pieces` follow each other in any lengths.
pub fn append<'a>(
    output: &mut Vec<u8>,
    segment: u16,
    len: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
) {
    // To the end of the packet under way, and of all.
    let (mut missing, mut left) = (0, len);
    for mut piece in pieces {
        while !piece.is_empty() && left > 0 {
            if missing == 0 {
                let packet = left.min(usize::from(segment.max(1)));
                output.extend_from_slice(&(packet as u16).to_be_bytes());
                missing = packet;
            }
            let (now, later) = piece.split_at(piece.len().min(missing));
            output.extend_from_slice(now);
            missing -= now.len();
            left -= now.len();
            piece = later;
        }
    }
}
