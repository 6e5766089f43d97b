//! How much an encoding carries, by layer.

use core::time::Duration;

use forebay_wire::clock::Instant;

use crate::codec::FrameInfo;
use crate::track::{MAX_LAYERS, Rates};

/// One measurement. Shorter ones see frames, not rates; longer ones keep the
/// allocator of bandwidth waiting.
const WINDOW: Duration = Duration::from_millis(500);
/// After so long without a measurement the past says nothing.
const FORGOTTEN: Duration = Duration::from_secs(3);

/// Bits counted in the present window.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    start: Option<Instant>,
    bits: [[u32; MAX_LAYERS]; MAX_LAYERS],
    measured: bool,
}

impl Meter {
    /// Takes a packet in. True when the rates were measured anew.
    #[inline]
    pub(crate) fn add(
        &mut self,
        now: Instant,
        frame: &FrameInfo,
        bytes: usize,
        rates: &mut Rates,
    ) -> bool {
        let start = *self.start.get_or_insert(now);
        let passed = now.since(start);
        let measured = passed >= WINDOW;
        if measured {
            self.fold(now, passed, rates);
        }
        let spatial = usize::from(frame.spatial).min(MAX_LAYERS - 1);
        let temporal = usize::from(frame.temporal).min(MAX_LAYERS - 1);
        let bits = &mut self.bits[spatial][temporal];
        *bits = bits.saturating_add(bytes as u32 * 8);
        measured
    }

    #[cold]
    fn fold(&mut self, now: Instant, passed: Duration, rates: &mut Rates) {
        let millis = passed.as_millis().max(1) as u64;
        let trusted = self.measured && passed < FORGOTTEN;
        for (bits, rate) in self
            .bits
            .as_flattened_mut()
            .iter_mut()
            .zip(rates.layers.as_flattened_mut())
        {
            let measured = u64::from(core::mem::take(bits)) * 1000 / millis;
            let smoothed = if trusted {
                (u64::from(*rate) + measured) / 2
            } else {
                measured
            };
            *rate = u32::try_from(smoothed).unwrap_or(u32::MAX);
        }
        self.measured = true;
        self.start = Some(now);
    }

    /// The encoding ceased.
    pub(crate) fn reset(&mut self, rates: &mut Rates) {
        *self = Self::default();
        *rates = Rates::default();
    }
}
