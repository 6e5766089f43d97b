//! How long a worker stays in the kernel between two rounds.

use std::time::Duration;

use forebay_engine::RxBatch;
use forebay_sys::ring::Wait;

use super::Worker;

/// How old the page may get when traffic pauses. Not shorter: a timeout that
/// is the core's next timer has the clock device programmed twice per sleep,
/// which costs more than a microsecond where that leaves a virtual machine.
const SETTLE: Duration = Duration::from_millis(250);
/// The longest stay in the kernel when there is nothing to do; commands and
/// datagrams end it at once.
const IDLE: Duration = Duration::from_millis(500);
/// How long a round under load waits for more than one datagram. Waking for
/// each few costs up to a tenth of the CPU time of single packets and up to
/// two fifths of that of merged ones; a NIC that gathers frames before it
/// interrupts takes about as long.
const GATHER: Duration = Duration::from_micros(50);
/// Datagrams that are worth a round without waiting longer.
const GATHERED: u32 = 32;
/// A round is under load when that many can be expected within [`GATHER`].
const EXPECTED: u32 = 4;

impl Worker {
    /// How long the next stay in the kernel may last.
    pub(super) fn wait(&self) -> Wait {
        let state = &self.state;
        let waiting = state.reaped.requests.len() + state.reaped.media.len();
        if state.reaped.media.len() >= RxBatch::MAX_SLOTS {
            // Taking more in would only use up buffers.
            return Wait::Not;
        }
        let busy = self.sockets.any_ended() || self.streams.busy();
        if waiting > 0 || busy || state.mail || state.stopping {
            return Wait::Poll;
        }
        if self.survey.is_under_way() && !self.control.reports.is_full() {
            return Wait::Poll;
        }
        let mut until = state.now.instant + IDLE;
        if state.dirty {
            until = until.min(state.housekept + SETTLE);
        }
        let deadlines = [
            self.shard.next_deadline(),
            state.refill_at,
            self.streams.next_deadline(),
        ];
        for deadline in deadlines.into_iter().flatten() {
            until = until.min(deadline);
        }
        match until.since(state.now.instant) {
            Duration::ZERO => Wait::Poll,
            up_to if self.under_load() && up_to > GATHER => Wait::Gather {
                completions: GATHERED,
                within: GATHER,
                up_to,
            },
            time => Wait::UpTo(time),
        }
    }

    /// Whether datagrams come so densely that waiting for several delays none
    /// of them much.
    fn under_load(&self) -> bool {
        let state = &self.state;
        u32::try_from(state.slots.len()).is_ok_and(|datagrams| {
            state.round.saturating_mul(EXPECTED) <= GATHER.saturating_mul(datagrams)
        })
    }
}
