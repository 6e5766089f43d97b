//! From tracks to subscribers.

use crate::config::{Config, Seeds};
use crate::describe::SubscriptionConfig;
use crate::forwarder::{Progress, Refusal};
use crate::ids::SubscriptionKey;
use crate::output::Output;
use crate::packet::Run;
use crate::queue::Timer;
use crate::report::Report;
use crate::tables::{SessionSlot, TrackSlot};
use crate::world::World;

/// All subscriptions, and the sending side of all sessions.
pub(crate) struct Egress {}

/// How far a run of packets has been forwarded; made anew for each run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {}

impl Egress {
    /// Takes all memory it will use.
    pub(crate) fn new(_config: &Config, _seeds: Seeds) -> Self {
        Self {}
    }

    /// A session was made or its transport's description changed.
    pub(crate) fn session_set(&mut self, _world: &mut World<'_>, _session: SessionSlot) {}

    /// The session is about to be removed: its subscriptions go with it.
    pub(crate) fn session_removed(&mut self, _world: &mut World<'_>, _session: SessionSlot) {}

    /// A track was made or its description changed.
    pub(crate) fn track_set(&mut self, _world: &mut World<'_>, _track: TrackSlot) {}

    /// The track is about to be removed: its subscriptions go with it.
    pub(crate) fn track_removed(&mut self, _world: &mut World<'_>, _track: TrackSlot) {}

    /// Makes or changes a subscription. Session and track exist.
    pub(crate) fn set_subscription(
        &mut self,
        _world: &mut World<'_>,
        _track: TrackSlot,
        _session: SessionSlot,
        _config: SubscriptionConfig,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    /// Ends a subscription; unknown keys are nothing.
    pub(crate) fn remove_subscription(
        &mut self,
        _world: &mut World<'_>,
        _subscription: SubscriptionKey,
    ) {
    }

    /// The session got keys, or its first path: it can be sent to.
    pub(crate) fn session_ready(&mut self, _world: &mut World<'_>, _session: SessionSlot) {}

    /// Forwards one track's packets of a batch: subscribers outside, packets inside. On [`Progress::More`]
    /// nothing of the packet that did not fit has been done, and the same call
    /// is made again with the same cursor and an empty batch.
    pub(crate) fn forward(
        &mut self,
        _world: &mut World<'_>,
        _run: &Run<'_>,
        _cursor: &mut Cursor,
        _out: &mut impl Output,
    ) -> Progress {
        Progress::Done
    }

    /// An encoding began or ceased to arrive, or its rates moved (about once a
    /// second for whatever is active).
    pub(crate) fn encoding_changed(
        &mut self,
        _world: &mut World<'_>,
        _track: TrackSlot,
        _encoding: u8,
    ) {
    }

    /// One authenticated, decrypted compound from a session. Report blocks on
    /// our streams, NACK, PLI, FIR, transport-wide feedback and REMB are for
    /// egress; sender reports and the rest have been seen to.
    pub(crate) fn on_rtcp(
        &mut self,
        _world: &mut World<'_>,
        _session: SessionSlot,
        _compound: &[u8],
        _out: &mut impl Output,
    ) {
    }

    /// [`Timer::Pace`] or [`Timer::Estimate`] of a session is due; whoever
    /// needs it again arms it again.
    pub(crate) fn on_timer(
        &mut self,
        _world: &mut World<'_>,
        _session: SessionSlot,
        _timer: Timer,
        _out: &mut impl Output,
    ) {
    }

    /// The bandwidth estimate towards a session, bits per second.
    pub(crate) fn estimate(&self, _session: SessionSlot) -> Option<u64> {
        None
    }

    /// Visits the subscriptions of the session, for the periodic report.
    pub(crate) fn report(
        &mut self,
        _world: &mut World<'_>,
        _session: SessionSlot,
        _visit: &mut dyn FnMut(Report),
    ) {
    }

    /// Live subscriptions.
    pub(crate) fn len(&self) -> usize {
        0
    }

    /// Bytes taken at construction.
    pub(crate) fn memory(&self) -> usize {
        0
    }
}
