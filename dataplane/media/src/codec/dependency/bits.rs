//! Bit fields, most significant bit first.

use core::ops::Range;

/// Reads fields from the front.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Bits taken.
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The next `count` bits, at most 32; `None` past the end.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0_u64;
        let end = self.at + count as usize;
        let bytes = self.bytes.get(self.at / 8..end.div_ceil(8))?;
        for byte in bytes {
            value = value << 8 | u64::from(*byte);
        }
        let spare = end.next_multiple_of(8) - end;
        self.at = end;
        Some((value >> spare & ((1 << count) - 1)) as u32)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? != 0)
    }

    /// A number below `limit` (at least 1) in as few bits as tell it apart:
    /// ns(n) of the AV1 specification §4.10.7.
    pub(super) fn below(&mut self, limit: u32) -> Option<u32> {
        let width = limit.ilog2() + 1;
        let short = (1 << width) - limit;
        let value = self.take(width - 1)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1 | self.take(1)?) - short)
    }
}

/// Writes fields to the front.
pub(super) struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Appends the lowest `count` bits, at most 32.
    pub(super) fn put(&mut self, value: u32, count: u32) -> Option<()> {
        for shift in (0..count).rev() {
            let byte = self.bytes.get_mut(self.at / 8)?;
            let mask = 0x80 >> (self.at % 8);
            *byte = *byte & !mask | if value >> shift & 1 != 0 { mask } else { 0 };
            self.at += 1;
        }
        Some(())
    }

    /// Appends a range of bits of other bytes.
    pub(super) fn copy(&mut self, from: &[u8], bits: Range<usize>) -> Option<()> {
        let mut reader = Reader::new(from, bits.start);
        while reader.at < bits.end {
            let count = (bits.end - reader.at).min(32) as u32;
            self.put(reader.take(count)?, count)?;
        }
        Some(())
    }

    /// Fills the last byte up with zeros and returns the count of bytes.
    pub(super) fn finish(mut self) -> Option<usize> {
        while !self.at.is_multiple_of(8) {
            self.put(0, 1)?;
        }
        Some(self.at / 8)
    }
}
