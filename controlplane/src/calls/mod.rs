//! Records of calls: when, where, who, how well. The database is never in a
//! call's way: what it cannot take in time is dropped and counted.

mod store;
mod writer;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

pub use store::{CallRecord, PAGE_MAX, Page, ParticipantRecord, Store, StoreError};
pub use writer::run;

use crate::rooms::ids::{CallId, Identity, ParticipantId, RoomName};
use crate::rooms::message::LeaveReason;
use crate::rooms::note::Way;

/// Records that may wait to be written.
pub const WAITING: usize = 4_096;

/// Something to be recorded. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq)]
pub enum CallEvent {
    /// A call began.
    Started {
        /// Its id.
        call: CallId,
        /// Where.
        room: RoomName,
        /// When.
        at: u64,
    },
    /// Somebody came.
    Joined {
        /// To which call.
        call: CallId,
        /// Who.
        participant: ParticipantId,
        /// Who.
        identity: Identity,
        /// For people.
        name: String,
        /// How.
        way: Way,
        /// When.
        at: u64,
    },
    /// Somebody went.
    Left {
        /// From which call.
        call: CallId,
        /// Who.
        participant: ParticipantId,
        /// When.
        at: u64,
        /// Why.
        reason: LeaveReason,
        /// Mean opinion score of its streams.
        mos: Option<f64>,
        /// Times its pictures stood still.
        freezes: u64,
        /// For how long, milliseconds.
        freeze_ms: u64,
    },
    /// A call ended.
    Ended {
        /// Which.
        call: CallId,
        /// When.
        at: u64,
        /// The most participants at a time.
        peak: usize,
        /// Mean opinion score of all streams.
        mos: Option<f64>,
    },
}

/// Where records go.
#[derive(Debug, Clone)]
pub struct CallSink {
    queue: Option<mpsc::Sender<CallEvent>>,
    dropped: Counter,
}

impl CallSink {
    /// To nowhere.
    pub fn none() -> Self {
        Self {
            queue: None,
            dropped: Counter::default(),
        }
    }

    /// Into a queue of [`WAITING`]; what does not fit is counted.
    pub fn new(dropped: Counter) -> (Self, mpsc::Receiver<CallEvent>) {
        let (queue, waiting) = mpsc::channel(WAITING);
        let sink = Self {
            queue: Some(queue),
            dropped,
        };
        (sink, waiting)
    }

    /// Records something, if there is room.
    pub(crate) fn record(&self, event: CallEvent) {
        if let Some(queue) = &self.queue
            && queue.try_send(event).is_err()
        {
            self.dropped.inc();
        }
    }
}
