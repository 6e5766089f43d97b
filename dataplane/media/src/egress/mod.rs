//! From tracks to subscribers.
//!
//! [`fan_out`] is the path of every packet; [`stream`] rewrites and seals one
//! for one subscriber. Which layers a subscriber gets follows from the
//! [`estimate`] of its bandwidth by [`allocate`]; [`select`] carries it out
//! where a decoder can follow.

mod allocate;
mod clock;
mod estimate;
mod fan_out;
mod feedback;
mod header;
mod numbering;
mod picture;
mod prepare;
mod resend;
mod select;
mod sender;
mod stream;
mod subscribe;
#[cfg(test)]
mod tests;
mod timers;

pub(crate) use fan_out::Cursor;

use crate::config::{Config, Seeds};
use crate::describe::SubscriptionConfig;
use crate::ids::SubscriptionKey;
use crate::report::{Report, SendReport};
use crate::tables::{KeyMap, Keyed, SessionSlot, Slab, Slot, TrackSlot};
use crate::track::MAX_ENCODINGS;
use crate::world::World;
use prepare::Prepared;
use sender::{Sender, Wish};
use stream::Stream;

/// An outgoing stream's slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StreamSlot(u32);

/// A subscription's slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SubscriptionSlot(u32);

macro_rules! slot {
    ($($name:ident),*) => {$(
        impl Slot for $name {
            fn new(index: u32) -> Self {
                Self(index)
            }
            #[inline]
            fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}
slot!(StreamSlot, SubscriptionSlot);

/// A track on its way to a session: one stream, or one per encoding (relay).
struct Subscription {
    config: SubscriptionConfig,
    session: SessionSlot,
    streams: [Option<StreamSlot>; MAX_ENCODINGS],
}

/// All subscriptions, and the sending side of all sessions.
pub(crate) struct Egress {
    subscriptions: Slab<SubscriptionSlot, Subscription>,
    keys: KeyMap<SubscriptionSlot>,
    streams: Slab<StreamSlot, Stream>,
    /// By session slot.
    senders: Vec<Option<Box<Sender>>>,
    /// By track slot: who gets its packets.
    tracks: Vec<Vec<StreamSlot>>,
    /// Of the run that is being forwarded.
    prepared: Vec<Prepared>,
    /// Of the session whose bandwidth is being shared.
    wishes: Vec<Wish>,
    random: Random,
    start_bitrate: u64,
    max_bitrate: u64,
}

/// SplitMix64: numbers that need not be secret.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) as u32
    }
}

/// Packets of one track in one batch that memory is taken for in advance.
const RUN: usize = 1024;

impl Egress {
    /// Takes all memory it will use.
    pub(crate) fn new(config: &Config, seeds: Seeds) -> Self {
        let capacity = &config.capacity;
        Self {
            subscriptions: Slab::new(capacity.subscriptions),
            keys: KeyMap::new(capacity.subscriptions, Keyed::new(seeds.tables)),
            streams: Slab::new(capacity.subscriptions.saturating_mul(2)),
            senders: (0..capacity.sessions).map(|_| None).collect(),
            tracks: (0..capacity.tracks).map(|_| Vec::new()).collect(),
            prepared: Vec::with_capacity(RUN),
            wishes: Vec::with_capacity(64),
            random: Random(seeds.random),
            start_bitrate: config.start_bitrate,
            max_bitrate: config.max_bitrate,
        }
    }

    /// The bandwidth estimate towards a session, bits per second.
    pub(crate) fn estimate(&self, session: SessionSlot) -> Option<u64> {
        let sender = self.senders.get(session.index())?.as_ref()?;
        (sender.estimator.heard() && !sender.streams.is_empty()).then_some(sender.estimate)
    }

    /// Visits the subscriptions of the session, for the periodic report.
    pub(crate) fn report(
        &mut self,
        _world: &mut World<'_>,
        session: SessionSlot,
        visit: &mut dyn FnMut(Report),
    ) {
        let Some(Some(sender)) = self.senders.get(session.index()) else {
            return;
        };
        for (at, &slot) in sender.streams.iter().enumerate() {
            let Some(stream) = self.streams.get_mut(slot) else {
                continue;
            };
            let key = stream.subscription;
            let mut send = stream.take_report();
            // The streams of one relayed track are neighbours: one report.
            let earlier = at.checked_sub(1).and_then(|at| sender.streams.get(at));
            if earlier
                .and_then(|slot| self.streams.get(*slot))
                .is_some_and(|earlier| earlier.subscription == key)
            {
                continue;
            }
            for &slot in &sender.streams[at + 1..] {
                match self.streams.get_mut(slot) {
                    Some(next) if next.subscription == key => {
                        let more = next.take_report();
                        send.packets += more.packets;
                        send.bytes += more.bytes;
                        send.lost += more.lost;
                        send.jitter = send.jitter.max(more.jitter);
                    }
                    _ => break,
                }
            }
            visit(Report::Subscription {
                subscription: key,
                send,
            });
        }
    }

    /// Live subscriptions.
    pub(crate) fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Bytes taken at construction.
    pub(crate) fn memory(&self) -> usize {
        self.subscriptions.memory()
            + self.keys.memory()
            + self.streams.memory()
            + self.senders.capacity() * size_of::<Option<Box<Sender>>>()
            + self.tracks.capacity() * size_of::<Vec<StreamSlot>>()
            + self.prepared.capacity() * size_of::<Prepared>()
    }

    fn slot_of(&self, key: SubscriptionKey) -> Option<SubscriptionSlot> {
        self.keys.get(key.0)
    }

    fn subscribers(&self, track: TrackSlot) -> &[StreamSlot] {
        self.tracks.get(track.index()).map_or(&[], Vec::as_slice)
    }
}

impl Stream {
    fn take_report(&mut self) -> SendReport {
        let sent = &mut self.sent;
        let heard = &mut self.heard;
        let report = SendReport {
            packets: sent.packets - sent.told_packets,
            bytes: sent.bytes - sent.told_bytes,
            lost: u64::try_from(heard.lost.saturating_sub(heard.told_lost)).unwrap_or(0),
            jitter: heard.jitter,
        };
        sent.told_packets = sent.packets;
        sent.told_bytes = sent.bytes;
        heard.told_lost = heard.lost;
        report
    }
}
