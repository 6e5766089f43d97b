//! When packets of a transport arrived, for transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use forebay_wire::clock::Instant;

/// Packets remembered: 100 ms at 80 Mbit/s.
const ROOM: u64 = 1024;

/// Arrivals not yet reported, and some of those that were.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// Nanoseconds; zero is not here.
    times: Box<[u64]>,
    /// First number of the next feedback.
    begin: u64,
    /// Highest number seen; numbers start one cycle up, so that there is room
    /// below the first.
    highest: u64,
    started: bool,
    news: bool,
    count: u8,
}

impl Arrivals {
    /// Memory is taken at the first packet.
    pub(crate) fn new() -> Self {
        Self {
            times: Box::default(),
            begin: 0,
            highest: 0,
            started: false,
            news: false,
            count: 0,
        }
    }

    /// Takes its memory for good.
    pub(crate) fn prepare(&mut self) {
        if self.times.is_empty() {
            self.times = vec![0; ROOM as usize].into();
        }
    }

    /// Takes a packet in.
    #[inline]
    pub(crate) fn note(&mut self, now: Instant, low: u16) {
        if self.times.is_empty() {
            return;
        }
        if !self.started {
            self.started = true;
            self.highest = 0x1_0000 + u64::from(low);
            self.begin = self.highest;
        }
        let ahead = low.wrapping_sub(self.highest as u16) as i16;
        let number = self.highest.saturating_add_signed(i64::from(ahead));
        if number > self.highest {
            let skipped = (number - self.highest).min(ROOM);
            for number in number - skipped + 1..=number {
                self.times[(number % ROOM) as usize] = 0;
            }
            self.highest = number;
            self.begin = self.begin.max(number.saturating_sub(ROOM - 1));
        } else if number + ROOM <= self.highest {
            return;
        }
        // A late one is told with all after it once more, as its sender's
        // estimator expects.
        self.begin = self.begin.min(number);
        self.times[(number % ROOM) as usize] = now.as_nanos().max(1);
        self.news = true;
    }

    /// Whether there is something to report.
    pub(crate) fn is_pending(&self) -> bool {
        self.news
    }

    /// Arrivals to report, rising.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (u16, Instant)> + Clone + '_ {
        (self.begin..=self.highest).filter_map(|number| {
            let time = *self.times.get((number % ROOM) as usize)?;
            (time != 0).then(|| (number as u16, Instant::from_nanos(time)))
        })
    }

    /// The count of the next feedback packet.
    pub(crate) fn count(&self) -> u8 {
        self.count
    }

    /// The first `told` of the pending ones are in a feedback packet.
    pub(crate) fn told(&mut self, told: usize) {
        self.count = self.count.wrapping_add(1);
        let rest = self.pending().nth(told).map(|(low, _)| low);
        match rest {
            Some(low) => {
                let behind = (self.highest as u16).wrapping_sub(low);
                self.begin = self.highest - u64::from(behind);
            }
            None => {
                self.begin = self.highest + 1;
                self.news = false;
            }
        }
    }
}
