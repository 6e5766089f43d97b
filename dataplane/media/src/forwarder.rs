//! One shard's media state and the calls into it.

use core::ops::Range;

use forebay_wire::Protocol;
use forebay_wire::clock::Now;

use crate::config::{Config, Seeds};
use crate::describe::Change;
use crate::egress::{Cursor, Egress};
use crate::event::{Command, Event};
use crate::hub::{Due, Hub};
use crate::ids::{SessionKey, SubscriptionKey};
use crate::output::{Output, Path};
use crate::queue::Timer;
use crate::report::{Counters, DropReason, Report};
use crate::tables::{SessionSlot, TrackSlot};
use crate::world::World;

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
    hub: Hub,
    egress: Egress,
    /// The run being forwarded, and how far.
    at: usize,
    cursor: Cursor,
    timers: usize,
}

impl core::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Forwarder")
            .field("counters", &self.hub.counters)
            .finish_non_exhaustive()
    }
}

impl Forwarder {
    /// Takes all memory it will use; see [`Forwarder::memory`].
    pub fn new(config: Config, seeds: Seeds) -> Self {
        Self {
            hub: Hub::new(&config, seeds),
            egress: Egress::new(&config, seeds),
            at: 0,
            cursor: Cursor::default(),
            timers: config.capacity.sessions as usize * Timer::COUNT,
        }
    }

    /// Changes what is forwarded, and how. Answers at once; what follows for
    /// peers (keyframe requests …) goes to `out` or waits for a timer.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn apply(
        &mut self,
        now: Now,
        change: Change,
        _out: &mut impl Output,
    ) -> Result<(), Refusal> {
        match change {
            Change::SetSession(config) => {
                let slot = self.hub.set_session(now, config)?;
                self.egress.session_set(&mut self.hub.world(now), slot);
                self.ready(now, slot);
            }
            Change::RemoveSession(key) => {
                if let Some(slot) = self.hub.session(key) {
                    self.end(now, slot);
                }
            }
            Change::SetTrack(config) => {
                let slot = self.hub.set_track(now, config)?;
                self.egress.track_set(&mut self.hub.world(now), slot);
            }
            Change::RemoveTrack(key) => {
                if let Some(slot) = self.hub.track_keys.get(key.0) {
                    self.end_track(now, slot);
                }
            }
            Change::SetSubscription(config) => {
                let track = self.hub.track_keys.get(config.track.0);
                let session = self.hub.session(config.session);
                let (Some(track), Some(session)) = (track, session) else {
                    return Err(Refusal::Unknown);
                };
                self.egress
                    .set_subscription(&mut self.hub.world(now), track, session, config)?;
                self.count_subscriptions();
            }
            Change::RemoveSubscription(key) => self.end_subscription(now, key),
            Change::SetKeys { session, keys } => {
                let slot = self.hub.set_keys(session, &keys)?;
                self.ready(now, slot);
            }
        }
        Ok(())
    }

    fn ready(&mut self, now: Now, slot: SessionSlot) {
        let mut world = self.hub.world(now);
        if world
            .transport(slot)
            .is_some_and(|transport| transport.is_ready())
        {
            self.egress.session_ready(&mut world, slot);
        }
    }

    fn end(&mut self, now: Now, slot: SessionSlot) {
        self.egress.session_removed(&mut self.hub.world(now), slot);
        while let Some(track) = self
            .hub
            .sessions
            .get(slot)
            .and_then(|session| session.tracks.last().copied())
        {
            self.end_track(now, track);
        }
        self.hub.remove_session(slot);
        self.count_subscriptions();
    }

    fn count_subscriptions(&mut self) {
        self.hub.counters.subscriptions = self.egress.len() as u64;
    }

    fn end_track(&mut self, now: Now, slot: TrackSlot) {
        self.egress.track_removed(&mut self.hub.world(now), slot);
        self.hub.remove_track(slot);
        self.count_subscriptions();
        // What waits is not in order any more.
        self.at = 0;
        self.cursor = Cursor::default();
    }

    fn end_subscription(&mut self, now: Now, key: SubscriptionKey) {
        self.egress
            .remove_subscription(&mut self.hub.world(now), key);
        self.count_subscriptions();
    }

    /// Takes one datagram in: `memory[range]`, decrypted in place. Checks are
    /// answered and RTCP is acted on at once; RTP waits for
    /// [`forward`](Self::forward). `scratch` bytes before the range may be
    /// overwritten.
    #[inline]
    pub fn receive(
        &mut self,
        now: Now,
        path: &Path,
        memory: &mut [u8],
        range: Range<usize>,
        out: &mut impl Output,
    ) {
        let Some(datagram) = memory.get(range.clone()) else {
            self.hub.dropped(DropReason::Malformed);
            return;
        };
        match Protocol::of(datagram) {
            Protocol::Rtp => {
                if let Err(why) = self.hub.on_rtp(now, path, memory, range) {
                    self.hub.dropped(why);
                }
                if !self.hub.changed.is_empty() {
                    self.tell_changes(now);
                }
            }
            Protocol::Rtcp => match self.hub.on_rtcp(now, path, memory, range) {
                Ok((slot, compound)) => {
                    let compound = memory.get(compound).unwrap_or_default();
                    self.egress
                        .on_rtcp(&mut self.hub.world(now), slot, compound, out);
                }
                Err(why) => self.hub.dropped(why),
            },
            Protocol::Stun => {
                if let Some(slot) = self.hub.on_check(now, path, datagram, out) {
                    self.ready(now, slot);
                }
            }
            Protocol::Dtls => self.hub.on_dtls(now, path, datagram),
            Protocol::Zrtp | Protocol::ChannelData | Protocol::Quic | Protocol::Unknown => {
                self.hub.dropped(DropReason::Malformed);
            }
        }
    }

    #[cold]
    fn tell_changes(&mut self, now: Now) {
        while let Some((track, encoding)) = self.hub.changed.pop() {
            self.egress
                .encoding_changed(&mut self.hub.world(now), track, encoding);
        }
    }

    /// Sends what was received on to its subscribers: per track, subscribers
    /// outside, packets inside.
    pub fn forward(&mut self, now: Now, memory: &[u8], out: &mut impl Output) -> Progress {
        self.hub.runs.sort();
        let Hub {
            sessions,
            tracks,
            cache,
            queue,
            counters,
            runs,
            ..
        } = &mut self.hub;
        let mut world = World {
            now,
            sessions,
            tracks,
            cache,
            queue,
            counters,
        };
        while let Some(run) = runs.get(self.at, memory) {
            let progress = self.egress.forward(&mut world, &run, &mut self.cursor, out);
            if progress == Progress::More {
                return Progress::More;
            }
            self.at += 1;
            self.cursor = Cursor::default();
        }
        runs.clear();
        self.at = 0;
        Progress::Done
    }

    /// A timer is due. Done even when the batch is full: what did not fit is
    /// tried at the next timer.
    pub fn on_timer(&mut self, now: Now, token: u64, out: &mut impl Output) {
        match self.hub.on_timer(now, token, out) {
            Due::Nothing => {}
            Due::Egress(slot, timer) => {
                self.egress
                    .on_timer(&mut self.hub.world(now), slot, timer, out);
            }
            Due::Ended(slot, why) => {
                if let Some(session) = self.hub.sessions.get(slot) {
                    let session = session.transport.key;
                    self.end(now, slot);
                    self.hub.event(Event::Ended { session, why });
                }
            }
        }
        if !self.hub.changed.is_empty() {
            self.tell_changes(now);
        }
    }

    /// Sends a datagram of the session's DTLS handshake on its selected path,
    /// or while there is none on the path checked last; dropped when there is
    /// neither.
    pub fn send_dtls(&mut self, session: SessionKey, datagram: &[u8], out: &mut impl Output) {
        let sent = self.hub.send_dtls(session, datagram, out);
        if sent.is_none() {
            self.hub.dropped(DropReason::NoRoom);
        }
    }

    /// The connection this path lies on is gone: nothing is sent there any
    /// more. A session it was selected by waits for a check on another.
    pub fn disconnected(&mut self, path: &Path) {
        self.hub.forget_path(path);
    }

    /// Whether a good check came over this path.
    pub fn knows(&self, path: &Path) -> bool {
        self.hub.owner_on(path).is_some()
    }

    /// Rare work, oldest first.
    pub fn next_command(&mut self) -> Option<Command> {
        self.hub.queue.pop()
    }

    /// Visits the quality of the next few sessions in turn; called in
    /// housekeeping.
    pub fn report(&mut self, now: Now, visit: &mut dyn FnMut(Report)) {
        for slot in self.hub.next_to_report() {
            if !self.hub.is_report_due(now.instant, slot) {
                continue;
            }
            let estimate = self.egress.estimate(slot);
            self.hub.report_session(slot, estimate, visit);
            self.egress.report(&mut self.hub.world(now), slot, visit);
        }
    }

    /// Timers that may be armed at once.
    pub fn timers(&self) -> usize {
        self.timers
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.hub.counters
    }

    /// Bytes of memory taken at construction.
    pub fn memory(&self) -> usize {
        self.hub.memory() + self.egress.memory()
    }
}
