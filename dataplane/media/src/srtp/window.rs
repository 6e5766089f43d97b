//! The replay window and the guess of a packet's index.

use super::SrtpError;

/// Which indices were accepted: the highest and a ring of bits behind it. At
/// least `64 * (WORDS - 1)` indices behind the highest are told apart; what
/// lies further back counts as old.
#[derive(Debug, Clone)]
pub(super) struct Window<const WORDS: usize> {
    highest: u64,
    bits: [u64; WORDS],
}

impl<const WORDS: usize> Window<WORDS> {
    /// Of a stream whose first packet this is.
    pub(super) fn starting_at(index: u64) -> Self {
        let mut window = Self {
            highest: index,
            bits: [0; WORDS],
        };
        window.mark(index);
        window
    }

    /// The index of the packet with this sequence number that lies nearest to
    /// the highest (RFC 3711 appendix A); `Old` when that is before the
    /// stream's start.
    #[inline]
    pub(super) fn guess(&self, sequence: u16) -> Result<u64, SrtpError> {
        let distance = sequence.wrapping_sub(self.highest as u16).cast_signed();
        self.highest
            .checked_add_signed(i64::from(distance))
            .ok_or(SrtpError::Old)
    }

    /// Whether a packet of this index may still be accepted.
    #[inline]
    pub(super) fn check(&self, index: u64) -> Result<(), SrtpError> {
        if index > self.highest {
            return Ok(());
        }
        // Counted in words, because the ring is cleared word by word.
        if (self.highest >> 6) - (index >> 6) >= WORDS as u64 {
            return Err(SrtpError::Old);
        }
        if self.bits[Self::word(index)] & Self::bit(index) != 0 {
            return Err(SrtpError::Replayed);
        }
        Ok(())
    }

    /// Notes an authenticated index that [`check`](Self::check) let pass.
    #[inline]
    pub(super) fn accept(&mut self, index: u64) {
        if index > self.highest {
            let passed = ((index >> 6) - (self.highest >> 6)).min(WORDS as u64);
            for step in 0..passed {
                self.bits[Self::word(index - (step << 6))] = 0;
            }
            self.highest = index;
        }
        self.mark(index);
    }

    #[inline]
    fn mark(&mut self, index: u64) {
        self.bits[Self::word(index)] |= Self::bit(index);
    }

    #[inline]
    fn word(index: u64) -> usize {
        (index >> 6) as usize % WORDS
    }

    #[inline]
    fn bit(index: u64) -> u64 {
        1 << (index & 63)
    }
}
