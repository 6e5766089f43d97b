//! The run's only source of chance.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// One seeded stream; every choice of a run is drawn from it in event order,
/// which is what makes a seed replay.
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `low..=high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        debug_assert!(low <= high);
        let span = (high - low).saturating_add(1);
        low + self.u64() % span
    }

    /// Uniform in `0..len`.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.between(0, len as u64 - 1) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }

    /// True in `percent` of a hundred cases; fractions count.
    pub(crate) fn percent(&mut self, percent: f64) -> bool {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64 * 100.0 < percent
    }

    /// Small values often, large ones rarely: uniform in the exponent.
    pub(crate) fn skewed(&mut self, low: u64, high: u64) -> u64 {
        let (from, to) = ((low.max(1) as f64).ln(), (high as f64).ln());
        let unit = (self.u64() >> 11) as f64 / (1u64 << 53) as f64;
        ((from + (to - from) * unit).exp() as u64).clamp(low, high)
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// An index drawn in proportion to its weight.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(u32, T)]) -> T {
        let total: u32 = choices.iter().map(|(weight, _)| weight).sum();
        let mut at = self.between(0, u64::from(total) - 1) as u32;
        for (weight, choice) in choices {
            if at < *weight {
                return *choice;
            }
            at -= weight;
        }
        choices[0].1
    }
}
