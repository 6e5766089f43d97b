//! One shard's media state and the calls into it.

use core::ops::Range;

use forebay_wire::clock::Now;

use crate::config::{Config, Seeds};
use crate::describe::Change;
use crate::event::Command;
use crate::ids::SessionKey;
use crate::output::{Output, Path};
use crate::report::{Counters, Report};

/// Whether a call has finished its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// Everything is in the batch.
    Done,
    /// The batch is full: submit it and call [`Forwarder::forward`] again with
    /// the same receive memory and an empty batch.
    More,
}

/// Why a change was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A table is full.
    Full,
    /// It refers to a session or track that does not exist here.
    Unknown,
    /// It contradicts itself or what may change.
    Invalid,
}

/// All media state of one core.
///
/// # Calling contract
/// Per batch: [`receive`](Self::receive) for every datagram that came to a
/// media socket, then [`forward`](Self::forward) until it says
/// [`Progress::Done`]; the receive memory must not change from the first
/// `receive` to the last `forward`. Then timers that are due, then
/// [`next_command`](Self::next_command) until it is empty. `Now` never goes
/// backwards. Nothing is allocated per packet, but for the datagram of a
/// [`Command::Dtls`].
pub struct Forwarder {
    _todo: (),
}

impl Forwarder {
    /// Takes all memory it will use; see [`Forwarder::memory`].
    pub fn new(_config: Config, _seeds: Seeds) -> Self {
        todo!()
    }

    /// Changes what is forwarded, and how. Answers at once; what follows for
    /// peers (keyframe requests …) goes to `out`.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn apply(
        &mut self,
        _now: Now,
        _change: Change,
        _out: &mut impl Output,
    ) -> Result<(), Refusal> {
        todo!()
    }

    /// Takes one datagram in: `memory[range]`, decrypted in place. Checks are
    /// answered and RTCP is acted on at once; RTP waits for
    /// [`forward`](Self::forward). `scratch` bytes before the range may be
    /// overwritten.
    pub fn receive(
        &mut self,
        _now: Now,
        _path: &Path,
        _memory: &mut [u8],
        _range: Range<usize>,
        _out: &mut impl Output,
    ) {
        todo!()
    }

    /// Sends what was received on to its subscribers: per track, subscribers
    /// outside, packets inside.
    pub fn forward(&mut self, _now: Now, _memory: &[u8], _out: &mut impl Output) -> Progress {
        todo!()
    }

    /// A timer is due. Done even when the batch is full: what did not fit is
    /// tried at the next timer.
    pub fn on_timer(&mut self, _now: Now, _token: u64, _out: &mut impl Output) {
        todo!()
    }

    /// Sends a datagram of the session's DTLS handshake on its selected path;
    /// dropped when there is none.
    pub fn send_dtls(&mut self, _session: SessionKey, _datagram: &[u8], _out: &mut impl Output) {
        todo!()
    }

    /// Rare work, oldest first.
    pub fn next_command(&mut self) -> Option<Command> {
        todo!()
    }

    /// Visits the quality of the next few sessions in turn; called in
    /// housekeeping.
    pub fn report(&mut self, _now: Now, _visit: &mut dyn FnMut(Report)) {
        todo!()
    }

    /// Timers that may be armed at once.
    pub fn timers(&self) -> usize {
        todo!()
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        todo!()
    }

    /// Bytes of memory taken at construction.
    pub fn memory(&self) -> usize {
        todo!()
    }
}
