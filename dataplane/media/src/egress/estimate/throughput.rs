//! How much arrives at the other end.

/// Microseconds per bucket.
const BUCKET: i64 = 50_000;
const BUCKETS: usize = 10;

/// Bytes that arrived, by time of arrival at the receiver.
#[derive(Debug, Default)]
pub(crate) struct Throughput {
    buckets: [u32; BUCKETS],
    /// Number of the newest bucket.
    newest: i64,
    /// Number of the first bucket since counting began.
    oldest: Option<i64>,
}

impl Throughput {
    /// Bytes that arrived at this time, microseconds.
    pub(crate) fn add(&mut self, arrival: i64, bytes: u16) {
        let bucket = arrival.div_euclid(BUCKET);
        if self.oldest.is_none() || bucket - self.newest > 40 {
            // The beginning, or two seconds of silence.
            *self = Self {
                newest: bucket,
                oldest: Some(bucket),
                ..Self::default()
            };
        }
        while self.newest < bucket {
            self.newest += 1;
            self.buckets[self.newest.rem_euclid(BUCKETS as i64) as usize] = 0;
        }
        if self.newest - bucket < BUCKETS as i64 {
            let slot = &mut self.buckets[bucket.rem_euclid(BUCKETS as i64) as usize];
            *slot = slot.saturating_add(u32::from(bytes));
        }
    }

    /// Bits per second over the last half second; `None` until there is
    /// enough to tell.
    pub(crate) fn bits_per_second(&self) -> Option<f64> {
        let span = (self.newest - self.oldest?).min(BUCKETS as i64 - 1);
        if span < 4 {
            return None;
        }
        // The newest bucket is still being filled.
        let newest = self.newest.rem_euclid(BUCKETS as i64) as usize;
        let bytes: u64 = self
            .buckets
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != newest)
            .map(|(_, bytes)| u64::from(*bytes))
            .sum();
        Some(bytes as f64 * 8.0 * 1e6 / (span * BUCKET) as f64)
    }
}
