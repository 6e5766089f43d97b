//! Subscriptions coming, changing and going.

use super::clock::Clock;
use super::estimate::Estimator;
use super::header::Template;
use super::numbering::{Numbering, Source};
use super::picture::Pictures;
use super::resend::Repeats;
use super::select::Selector;
use super::sender::{MAX_SSRCS, Sender};
use super::stream::{Ends, Heard, MAX_CODECS, Rtx, Sent, Stream};
use super::timers::whole;
use super::{Egress, StreamSlot, Subscription, SubscriptionSlot};
use crate::describe::{Codec, Mode, SubscriptionConfig, TrackKind};
use crate::forwarder::Refusal;
use crate::ids::{Ssrc, SubscriptionKey};
use crate::queue::Timer;
use crate::tables::{SessionSlot, Slot, TrackSlot};
use crate::track::MAX_ENCODINGS;
use crate::world::World;

impl Egress {
    /// A session was made or its transport's description changed.
    pub(crate) fn session_set(&mut self, world: &mut World<'_>, session: SessionSlot) {
        let Some(transport) = world
            .sessions
            .get(session)
            .map(|session| &session.transport)
        else {
            return;
        };
        let feedback = transport.transport_cc && transport.extensions.transport_cc.is_some();
        let Some(sender) = self.senders.get_mut(session.index()) else {
            return;
        };
        if let Some(sender) = sender {
            for slot in &sender.streams {
                if let Some(stream) = self.streams.get_mut(*slot) {
                    stream.retemplate(transport.extensions, feedback);
                }
            }
            return;
        }
        // Without feedback nothing but loss can bound what is sent.
        let start = if feedback {
            self.start_bitrate
        } else {
            self.max_bitrate
        };
        let estimator = Estimator::new(start, self.max_bitrate);
        *sender = Some(Box::new(Sender::new(world.now.instant, estimator)));
    }

    /// The session is about to be removed: its subscriptions go with it.
    pub(crate) fn session_removed(&mut self, world: &mut World<'_>, session: SessionSlot) {
        let Some(sender) = self.senders.get_mut(session.index()).and_then(Option::take) else {
            return;
        };
        for slot in sender.streams {
            if let Some(key) = self.streams.get(slot).map(|stream| stream.subscription) {
                self.remove_subscription(world, key);
            }
        }
    }

    /// A track was made or its description changed.
    pub(crate) fn track_set(&mut self, world: &mut World<'_>, track: TrackSlot) {
        let Some(found) = world.tracks.get(track) else {
            return;
        };
        let now = world.now.instant;
        for slot in self
            .tracks
            .get(track.index())
            .map_or(&[][..], Vec::as_slice)
        {
            let Some(stream) = self.streams.get_mut(*slot) else {
                continue;
            };
            let key = stream.subscription;
            let mut paused = false;
            if let Some(subscription) = self
                .keys
                .get(key.0)
                .and_then(|slot| self.subscriptions.get(slot))
            {
                paused = subscription.config.paused;
                stream.set_payload_types(&subscription.config.payload_types, &found.codecs);
            }
            if found.muted {
                // What is missed meanwhile cannot be decoded around.
                stream.selector.set_target(now, None);
            } else if found.kind == TrackKind::Audio && !paused {
                // A word must not wait for the next look.
                stream.selector.set_target(now, Some(whole(0)));
            }
            world.queue.arm(stream.session, Timer::Estimate, now);
        }
    }

    /// The track is about to be removed: its subscriptions go with it.
    pub(crate) fn track_removed(&mut self, world: &mut World<'_>, track: TrackSlot) {
        let Some(streams) = self.tracks.get_mut(track.index()).map(core::mem::take) else {
            return;
        };
        for slot in streams {
            if let Some(key) = self.streams.get(slot).map(|stream| stream.subscription) {
                self.remove_subscription(world, key);
            }
        }
    }

    /// Makes or changes a subscription. Session and track exist.
    pub(crate) fn set_subscription(
        &mut self,
        world: &mut World<'_>,
        track: TrackSlot,
        session: SessionSlot,
        config: SubscriptionConfig,
    ) -> Result<(), Refusal> {
        let found = world.tracks.get(track).ok_or(Refusal::Unknown)?;
        if let Mode::Relay(encodings) = &config.mode
            && encodings.len() != found.encodings.len()
        {
            return Err(Refusal::Invalid);
        }
        let slot = match self.slot_of(config.key) {
            Some(slot) => {
                self.change(slot, track, session, config)?;
                slot
            }
            None => self.make(world, track, session, config)?,
        };
        self.apply(world, slot);
        self.share(world, session);
        world.queue.arm(session, Timer::Estimate, world.now.instant);
        Ok(())
    }

    fn change(
        &mut self,
        slot: SubscriptionSlot,
        track: TrackSlot,
        session: SessionSlot,
        config: SubscriptionConfig,
    ) -> Result<(), Refusal> {
        let subscription = self.subscriptions.get_mut(slot).ok_or(Refusal::Unknown)?;
        let same = subscription.session == session
            && subscription.config.track == config.track
            && ssrcs(&subscription.config.mode).eq(ssrcs(&config.mode));
        let here = subscription.streams.iter().flatten().all(|stream| {
            self.streams
                .get(*stream)
                .is_some_and(|found| found.track == track)
        });
        if !same || !here {
            return Err(Refusal::Invalid);
        }
        subscription.config = config;
        Ok(())
    }

    fn make(
        &mut self,
        world: &World<'_>,
        track: TrackSlot,
        session: SessionSlot,
        config: SubscriptionConfig,
    ) -> Result<SubscriptionSlot, Refusal> {
        let count = match &config.mode {
            Mode::Select { .. } => 1,
            Mode::Relay(encodings) => encodings.len(),
        };
        if count > MAX_ENCODINGS {
            return Err(Refusal::Invalid);
        }
        let new: Vec<Ssrc> = ssrcs(&config.mode).collect();
        let sender = self
            .senders
            .get_mut(session.index())
            .and_then(Option::as_mut)
            .ok_or(Refusal::Unknown)?;
        let twice = new
            .iter()
            .enumerate()
            .any(|(at, ssrc)| new[..at].contains(ssrc));
        if twice || new.iter().any(|ssrc| sender.used.contains(ssrc)) {
            return Err(Refusal::Invalid);
        }
        if sender.used.len() + new.len() > MAX_SSRCS
            || self.streams.len() + count > self.streams.capacity()
        {
            return Err(Refusal::Full);
        }
        let key = config.key;
        let slot = self
            .subscriptions
            .insert(Subscription {
                config,
                session,
                streams: [None; MAX_ENCODINGS],
            })
            .ok_or(Refusal::Full)?;
        self.keys.insert(key.0, slot);
        sender.used.extend(new);
        for index in 0..count {
            if let Some(stream) = self.stream(world, slot, track, index) {
                let stream = self.streams.insert(stream);
                if let Some(subscription) = self.subscriptions.get_mut(slot) {
                    subscription.streams[index] = stream;
                }
                if let (Some(stream), Some(Some(sender)), Some(subscribers)) = (
                    stream,
                    self.senders.get_mut(session.index()),
                    self.tracks.get_mut(track.index()),
                ) {
                    sender.streams.push(stream);
                    subscribers.push(stream);
                }
            }
        }
        Ok(slot)
    }

    /// The `index`-th stream of a new subscription.
    fn stream(
        &mut self,
        world: &World<'_>,
        slot: SubscriptionSlot,
        track: TrackSlot,
        index: usize,
    ) -> Option<Stream> {
        let subscription = self.subscriptions.get(slot)?;
        let transport = &world.sessions.get(subscription.session)?.transport;
        let found = world.tracks.get(track)?;
        let config = &subscription.config;
        let (ssrc, rtx_ssrc, only) = match &config.mode {
            Mode::Select { ssrc, rtx_ssrc } => (*ssrc, *rtx_ssrc, None),
            Mode::Relay(encodings) => {
                let encoding = encodings.get(index)?;
                (encoding.ssrc, Some(encoding.rtx_ssrc), Some(index as u8))
            }
        };
        let feedback = transport.transport_cc;
        let template = |ssrc| Template::new(ssrc, transport.extensions, config.mid, feedback);
        let free = only.is_some()
            || found.kind == TrackKind::Audio
            || found.codecs.iter().all(|codec| codec.codec == Codec::Other);
        let mut stream = Stream {
            selector: Selector::new(free),
            numbering: Numbering::new(self.random.next()),
            clock: Clock::new(self.random.next()),
            pictures: Pictures::default(),
            template: template(ssrc),
            payload_types: [None; MAX_CODECS],
            session: subscription.session,
            track,
            kind: found.kind,
            subscription: config.key,
            only,
            source: Source::default(),
            codec: 0,
            clock_rate: found
                .codecs
                .first()
                .map_or(90_000, |codec| codec.clock_rate),
            frame_ended: false,
            ends: Ends::default(),
            ssrc,
            rtx: rtx_ssrc.map(|ssrc| Rtx {
                ssrc,
                template: template(ssrc),
                next: u64::from(self.random.next() & 0x3fff) + 1,
            }),
            repeats: Repeats::new(),
            sent: Sent::default(),
            told: None,
            report_at: None,
            heard: Heard::default(),
        };
        stream.set_payload_types(&config.payload_types, &found.codecs);
        Some(stream)
    }

    /// Carries a subscription's description over to its streams.
    fn apply(&mut self, world: &mut World<'_>, slot: SubscriptionSlot) {
        let Some(subscription) = self.subscriptions.get(slot) else {
            return;
        };
        let config = &subscription.config;
        let Some(transport) = world
            .sessions
            .get(subscription.session)
            .map(|session| &session.transport)
        else {
            return;
        };
        for stream in subscription.streams.iter().flatten() {
            let Some(stream) = self.streams.get_mut(*stream) else {
                continue;
            };
            if let Some(track) = world.tracks.get(stream.track) {
                stream.set_payload_types(&config.payload_types, &track.codecs);
            }
            stream.template = Template::new(
                stream.ssrc,
                transport.extensions,
                config.mid,
                transport.transport_cc,
            );
            if let Some(rtx) = &mut stream.rtx {
                rtx.template = Template::new(
                    rtx.ssrc,
                    transport.extensions,
                    config.mid,
                    transport.transport_cc,
                );
            }
        }
    }

    /// Ends a subscription; unknown keys are nothing.
    pub(crate) fn remove_subscription(&mut self, _world: &mut World<'_>, key: SubscriptionKey) {
        let Some(subscription) = self
            .keys
            .remove(key.0)
            .and_then(|slot| self.subscriptions.remove(slot))
        else {
            return;
        };
        for slot in subscription.streams.into_iter().flatten() {
            let Some(stream) = self.streams.remove(slot) else {
                continue;
            };
            let others = |streams: &mut Vec<StreamSlot>| streams.retain(|other| *other != slot);
            if let Some(subscribers) = self.tracks.get_mut(stream.track.index()) {
                others(subscribers);
            }
            if let Some(Some(sender)) = self.senders.get_mut(stream.session.index()) {
                others(&mut sender.streams);
            }
        }
    }

    /// The session got keys, or its first path: it can be sent to.
    pub(crate) fn session_ready(&mut self, world: &mut World<'_>, session: SessionSlot) {
        self.share(world, session);
        world.queue.arm(session, Timer::Estimate, world.now.instant);
    }

    /// An encoding began or ceased to arrive, or its rates moved (about once a
    /// second for whatever is active).
    pub(crate) fn encoding_changed(
        &mut self,
        world: &mut World<'_>,
        track: TrackSlot,
        _encoding: u8,
    ) {
        // Looked at with the sessions' next tick, all tracks at once.
        for slot in self.subscribers(track) {
            if let Some(stream) = self.streams.get(*slot) {
                world
                    .queue
                    .arm(stream.session, Timer::Estimate, world.now.instant);
            }
        }
    }
}

impl Stream {
    fn retemplate(&mut self, extensions: crate::describe::Extensions, feedback: bool) {
        self.template.set_ids(extensions, feedback);
        if let Some(rtx) = &mut self.rtx {
            rtx.template.set_ids(extensions, feedback);
        }
    }
}

fn ssrcs(mode: &Mode) -> impl Iterator<Item = Ssrc> + '_ {
    let (one, many) = match mode {
        Mode::Select { ssrc, rtx_ssrc } => (Some((Some(*ssrc), *rtx_ssrc)), &[][..]),
        Mode::Relay(encodings) => (None, encodings.as_ref()),
    };
    one.into_iter()
        .chain(
            many.iter()
                .map(|encoding| (Some(encoding.ssrc), Some(encoding.rtx_ssrc))),
        )
        .flat_map(|(media, rtx)| media.into_iter().chain(rtx))
}
