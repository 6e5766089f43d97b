//! A transmit batch as the place where a forwarder's datagrams leave.

use forebay_media::{Output, Path};
use forebay_turn::SocketId;

use crate::batch::{Arena, TrafficClass, TxBatch};
use crate::runs::{Route, Runs, Span};

/// Merges what a forwarder sends: datagrams of one flow, equal in size, become
/// one GSO send, and those that lie one behind the other one piece of it.
#[derive(Debug)]
pub struct Coalescer {
    runs: Runs,
}

impl Coalescer {
    /// The longest datagram there is room for.
    const LONGEST: usize = 1500;

    /// For flows below `flows`; datagrams larger than `max_segment` travel
    /// alone.
    pub fn new(flows: usize, max_segment: u16) -> Self {
        Self {
            runs: Runs::new(flows, max_segment),
        }
    }

    /// The batch as an output. An empty one begins a new batch: nothing is
    /// merged with what was sent before.
    #[inline]
    pub fn output<'a>(&'a mut self, tx: &'a mut TxBatch) -> BatchOutput<'a> {
        if tx.transmits.is_empty() {
            self.runs.next_batch();
        }
        BatchOutput {
            runs: &mut self.runs,
            tx,
        }
    }

    /// Merges only datagrams smaller than `refused` from now on.
    pub fn lower_max_segment(&mut self, refused: u16) {
        self.runs.lower_max_segment(refused);
    }

    /// Bytes of memory taken at construction.
    pub fn memory(&self) -> usize {
        self.runs.memory()
    }
}

/// See [`Coalescer::output`].
#[derive(Debug)]
pub struct BatchOutput<'a> {
    runs: &'a mut Runs,
    tx: &'a mut TxBatch,
}

impl Output for BatchOutput<'_> {
    #[inline]
    fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        let tx = &mut *self.tx;
        // Asked here, so that a commit never fails.
        if len > Coalescer::LONGEST
            || tx.transmits.len() == tx.transmits.capacity()
            || tx.pieces.len() == tx.pieces.capacity()
        {
            return None;
        }
        tx.headers.reserve(len)
    }

    #[inline]
    fn commit(&mut self, flow: u32, path: &Path, len: usize) {
        let route = Route {
            flow,
            socket: SocketId(path.socket.0),
            destination: path.remote,
            // Media sockets are bound to their address.
            source: None,
        };
        let span = Span {
            arena: Arena::Headers,
            start: self.tx.headers.commit(len) as u32,
            len: len as u32,
        };
        // Refused only for a flow beyond the capacity, which no forwarder of
        // that capacity names.
        let pushed = self
            .runs
            .push_adjacent(self.tx, &route, TrafficClass::default(), span);
        debug_assert_eq!(pushed, Ok(()));
    }
}
