//! Asking the workers what every allocation moved.

use std::time::{Duration, Instant};

use crate::worker::WorkerReport;

/// How long the workers' answers are waited for. A worker answers within a
/// few rounds, or it has more pressing things to do.
const PATIENCE: Duration = Duration::from_secs(2);

/// The survey made last.
#[derive(Debug, Default)]
pub struct Survey {
    number: u64,
    begun: Option<Instant>,
    /// Workers whose answer is not complete.
    awaited: usize,
}

impl Survey {
    pub(super) fn begin(&mut self, number: u64, asked: usize) {
        self.number = number;
        self.begun = Some(Instant::now());
        self.awaited = asked;
    }

    pub(super) fn note(&mut self, report: &WorkerReport) {
        if let WorkerReport::Surveyed {
            survey, last: true, ..
        } = report
            && *survey == self.number
        {
            self.awaited = self.awaited.saturating_sub(1);
        }
    }

    /// Whether answers are still worth waiting for.
    pub fn is_under_way(&self) -> bool {
        self.awaited > 0 && self.begun.is_some_and(|begun| begun.elapsed() < PATIENCE)
    }

    /// Whether one was begun within this time.
    pub fn is_younger_than(&self, age: Duration) -> bool {
        self.begun.is_some_and(|begun| begun.elapsed() < age)
    }
}
