//! The timestamps of one outgoing stream across sources.

use core::time::Duration;

use forebay_wire::clock::Instant;

use crate::track::SenderReport;

/// Further than this from what arrival says, sender reports are not believed.
const DISAGREEMENT: Duration = Duration::from_millis(1_500);

/// What a source's timestamps mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reference {
    /// Its last sender report, if there was one.
    pub(crate) report: Option<SenderReport>,
    /// RTP clock, Hz.
    pub(crate) rate: u32,
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// The highest timestamp sent, and when.
    last: Option<(u32, Instant)>,
    /// Added to the current source's timestamps.
    shift: u32,
    random: u32,
}

impl Clock {
    pub(crate) fn new(random: u32) -> Self {
        Self {
            last: None,
            shift: 0,
            random,
        }
    }

    /// Added to the current source's timestamps.
    #[cfg(test)]
    pub(crate) fn shift(&self) -> u32 {
        self.shift
    }

    /// The highest timestamp sent, and when.
    pub(crate) fn last(&self) -> Option<(u32, Instant)> {
        self.last
    }

    /// Goes on with a source whose packet of `timestamp` has just come.
    /// `from` and `to` are the clocks of the source before and of this one.
    /// Returns what is to be added to its timestamps.
    pub(crate) fn switch(
        &mut self,
        now: Instant,
        timestamp: u32,
        from: Option<Reference>,
        to: Reference,
    ) -> u32 {
        let Some((last, sent)) = self.last else {
            self.shift = self.random.wrapping_sub(timestamp);
            self.last = Some((self.random, now));
            return self.shift;
        };
        let arrival = last.wrapping_add(ticks(now.since(sent), to.rate));
        let by_reports = from
            .and_then(|from| same_moment(from, to, timestamp))
            .map(|there| there.wrapping_add(self.shift))
            .filter(|there| distance(*there, arrival) < ticks(DISAGREEMENT, to.rate));
        let out = by_reports.unwrap_or(arrival);
        // Strictly rising: at least one tick.
        let out = if (out.wrapping_sub(last) as i32) < 1 {
            last.wrapping_add(1)
        } else {
            out
        };
        self.shift = out.wrapping_sub(timestamp);
        self.last = Some((out, now));
        self.shift
    }

    /// Notes a timestamp that was sent.
    #[inline]
    pub(crate) fn sent(&mut self, now: Instant, out: u32) {
        match self.last {
            Some((last, _)) if (out.wrapping_sub(last) as i32) <= 0 => {}
            _ => self.last = Some((out, now)),
        }
    }
}

/// Ticks of a clock in a time.
pub(crate) fn ticks(time: Duration, rate: u32) -> u32 {
    (time.as_nanos().min(u128::from(u64::MAX)) * u128::from(rate) / 1_000_000_000) as u32
}

fn distance(a: u32, b: u32) -> u32 {
    (a.wrapping_sub(b) as i32).unsigned_abs()
}

/// The timestamp `from` has at the moment `to` has `timestamp`.
fn same_moment(from: Reference, to: Reference, timestamp: u32) -> Option<u32> {
    let (a, b) = (from.report?, to.report?);
    if from.rate != to.rate || to.rate == 0 {
        return None;
    }
    let rate = i128::from(to.rate);
    let since_b = i128::from(timestamp.wrapping_sub(b.rtp) as i32);
    let between = i128::from(b.ntp.wrapping_sub(a.ntp) as i64) * rate;
    let since_a = since_b + ((between + (1 << 31)) >> 32);
    // More than a few minutes is no answer to "now".
    (since_a.abs() < rate * 600).then(|| a.rtp.wrapping_add(since_a as u32))
}
