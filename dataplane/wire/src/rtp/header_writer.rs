//! Writing a fresh header.

use crate::error::NoRoom;

/// The fields of a header to write. Contributing sources are never written:
/// a forwarder mixes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderWriter {
    /// Marker bit.
    pub marker: bool,
    /// Sets the padding bit; the caller appends the padding and its count.
    pub padding: bool,
    /// 0–127; higher bits are cut off.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

const FIXED: usize = 12;
const LONGEST_ONE_BYTE: usize = 16;
const LAST_ONE_BYTE: u8 = 14;

impl HeaderWriter {
    /// Bytes of a header with these extensions (id and value): 12 without any,
    /// else 16 and the elements filled up to a multiple of four.
    #[inline]
    pub fn len(extensions: &[(u8, &[u8])]) -> usize {
        if extensions.is_empty() {
            return FIXED;
        }
        let mut values = 0;
        for (_, value) in extensions {
            values += value.len();
        }
        let header = if fits_one_byte(extensions) { 1 } else { 2 };
        FIXED + 4 + (values + header * extensions.len()).next_multiple_of(4)
    }

    /// Writes the header to the start of `buffer` and returns its length. The
    /// one-byte form when all ids are 1–14 and all values 1–16 bytes, else the
    /// two-byte form for all (RFC 8285 §4.1.2 lets a receiver of one form see
    /// the other only when `a=extmap-allow-mixed` was negotiated).
    ///
    /// # Errors
    /// `buffer` is shorter than [`len`](Self::len), or an element has id 0 or
    /// more than 255 bytes, which no form has room for. `buffer` is then as
    /// before or has a part of the header.
    #[inline]
    pub fn write(&self, buffer: &mut [u8], extensions: &[(u8, &[u8])]) -> Result<usize, NoRoom> {
        let (fixed, rest) = buffer.split_first_chunk_mut::<FIXED>().ok_or(NoRoom)?;
        let extended = !extensions.is_empty();
        fixed[0] = 0x80 | u8::from(self.padding) << 5 | u8::from(extended) << 4;
        fixed[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7F;
        fixed[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        fixed[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        if !extended {
            return Ok(FIXED);
        }
        let one_byte = fits_one_byte(extensions);
        let (head, block) = rest.split_first_chunk_mut::<4>().ok_or(NoRoom)?;
        let mut free = &mut *block;
        let mut used = 0;
        for (id, value) in extensions {
            let header = if one_byte {
                let (first, rest) = free.split_first_mut().ok_or(NoRoom)?;
                *first = id << 4 | (value.len() - 1) as u8;
                free = rest;
                1
            } else {
                let (header, rest) = free.split_first_chunk_mut::<2>().ok_or(NoRoom)?;
                if *id == 0 {
                    return Err(NoRoom);
                }
                *header = [*id, u8::try_from(value.len()).map_err(|_| NoRoom)?];
                free = rest;
                2
            };
            let (into, rest) = free.split_at_mut_checked(value.len()).ok_or(NoRoom)?;
            into.copy_from_slice(value);
            free = rest;
            used += header + value.len();
        }
        let padding = used.next_multiple_of(4) - used;
        free.get_mut(..padding).ok_or(NoRoom)?.fill(0);
        let words = u16::try_from((used + padding) / 4).map_err(|_| NoRoom)?;
        let [w0, w1] = words.to_be_bytes();
        let [p0, p1]: [u8; 2] = if one_byte { [0xBE, 0xDE] } else { [0x10, 0x00] };
        *head = [p0, p1, w0, w1];
        Ok(FIXED + 4 + used + padding)
    }
}

#[inline]
fn fits_one_byte(extensions: &[(u8, &[u8])]) -> bool {
    extensions.iter().all(|(id, value)| {
        (1..=LAST_ONE_BYTE).contains(id) && (1..=LONGEST_ONE_BYTE).contains(&value.len())
    })
}
