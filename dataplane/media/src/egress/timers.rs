//! What happens without a packet: estimate, shares, keyframe requests, sender
//! reports, probes.

use core::time::Duration;

use forebay_wire::clock::Instant;

use super::clock::ticks;
use super::estimate::STEP;
use super::fan_out::{MAX_DATAGRAM, tell};
use super::header::{MAX_HEADER, send_time};
use super::select::Target;
use super::sender::{Wish, ladder};
use super::stream::{Moment, Seal, Stream, reference};
use super::{Egress, StreamSlot};
use crate::describe::{Mode, TrackKind};
use crate::event::Event;
use crate::output::Output;
use crate::queue::Timer;
use crate::srtp::Outbound;
use crate::tables::{SessionSlot, Slot};
use crate::track::{Encoding, MAX_LAYERS, Track};
use crate::transport::ntp;
use crate::world::World;

/// Between two looks at a session.
const TICK: Duration = Duration::from_millis(100);
/// Between two shares, unless something happens.
const SHARE: Duration = Duration::from_millis(200);
/// Between two sender reports of a stream.
const REPORT: Duration = Duration::from_secs(1);
/// Sender reports in one compound.
const REPORTS: usize = 16;
/// The most padding one packet holds (RFC 3550 §5.1).
const PADDING: u8 = 255;
/// Packets sent for a probe at one step.
const PER_STEP: usize = 64;

impl Egress {
    /// [`Timer::Pace`] or [`Timer::Estimate`] of a session is due; whoever
    /// needs it again arms it again.
    pub(crate) fn on_timer(
        &mut self,
        world: &mut World<'_>,
        session: SessionSlot,
        timer: Timer,
        out: &mut impl Output,
    ) {
        match timer {
            Timer::Estimate => self.look(world, session, out),
            Timer::Pace => self.pace(world, session, out),
            Timer::Report | Timer::Feedback | Timer::Repair => {}
        }
    }

    fn look(&mut self, world: &mut World<'_>, session: SessionSlot, out: &mut impl Output) {
        let now = world.now.instant;
        let Some(Some(sender)) = self.senders.get_mut(session.index()) else {
            return;
        };
        if sender.streams.is_empty() {
            // The next subscription wakes it.
            return;
        }
        world.queue.arm(session, Timer::Estimate, now + TICK);
        let ready = world
            .sessions
            .get(session)
            .is_some_and(|session| session.transport.is_ready());
        if !ready {
            return;
        }
        sender.estimator.on_tick(now);
        if sender.shared.is_none_or(|at| now.since(at) >= SHARE) {
            self.share(world, session);
        }
        self.ask_for_keyframes(world, session);
        self.send_reports(world, session, out);
        if let Some(Some(sender)) = self.senders.get_mut(session.index())
            && sender.estimator.maybe_probe(now)
        {
            self.pace(world, session, out);
        }
    }

    /// Gives every stream of a session its target.
    pub(super) fn share(&mut self, world: &mut World<'_>, session: SessionSlot) {
        let now = world.now.instant;
        let Some(Some(sender)) = self.senders.get_mut(session.index()) else {
            return;
        };
        let mut wishes = core::mem::take(&mut self.wishes);
        wishes.clear();
        for &slot in &sender.streams {
            let Some(stream) = self.streams.get_mut(slot) else {
                continue;
            };
            let found = self.keys.get(stream.subscription.0);
            let Some(subscription) = found.and_then(|slot| self.subscriptions.get(slot)) else {
                continue;
            };
            let config = &subscription.config;
            let Some(track) = world.tracks.get(stream.track) else {
                continue;
            };
            if let (Some(only), Mode::Relay(encodings)) = (stream.only, &config.mode) {
                let wanted = encodings
                    .get(usize::from(only))
                    .is_some_and(|encoding| encoding.wanted);
                let target = whole(only);
                stream
                    .selector
                    .set_target(now, (wanted && !config.paused).then_some(target));
            } else if config.paused || track.muted || !stream.is_understood() {
                stream.selector.set_target(now, None);
                tell(world.queue, now, session, stream);
            } else {
                wishes.push(Wish {
                    stream: slot,
                    kind: stream.kind,
                    ladder: ladder(track, config.cap),
                    priority: config.priority,
                    has: stream.selector.target(),
                });
            }
        }
        let streams = &mut self.streams;
        let queue = &mut *world.queue;
        sender.share(now, &wishes, |slot, target| {
            if let Some(stream) = streams.get_mut(slot)
                && stream.selector.target() != target
            {
                stream.selector.set_target(now, target);
                if target.is_none() {
                    tell(queue, now, session, stream);
                }
            }
        });
        self.wishes = wishes;
        sender.estimate = sender.estimator.estimate(now);
        let (estimate, told) = (sender.estimate, sender.told_estimate);
        if sender.estimator.heard()
            && estimate.abs_diff(told) * 10 > told
            && world.queue.event(Event::Bandwidth {
                session: match world.sessions.get(session) {
                    Some(session) => session.transport.key,
                    None => return,
                },
                bits_per_second: estimate,
            })
        {
            sender.told_estimate = estimate;
        }
        self.ask_for_keyframes(world, session);
    }

    fn ask_for_keyframes(&mut self, world: &mut World<'_>, session: SessionSlot) {
        let Some(Some(sender)) = self.senders.get(session.index()) else {
            return;
        };
        for slot in &sender.streams {
            let Some(stream) = self.streams.get(*slot) else {
                continue;
            };
            let Some(track) = world.tracks.get(stream.track) else {
                continue;
            };
            let epoch = |encoding| {
                let encoding: &Encoding = track.encodings.get(usize::from(encoding))?;
                Some(encoding.epoch)
            };
            let source = stream.selector.source();
            let stuck = source.filter(|_| stream.ends.missing);
            let stuck = stuck.map(|source| source.encoding);
            if let Some(encoding) = stream.selector.needs_keyframe(epoch).or(stuck)
                && arrives(track, encoding)
            {
                world.request_keyframe(stream.track, encoding);
            }
        }
    }

    fn send_reports(&mut self, world: &mut World<'_>, session: SessionSlot, out: &mut impl Output) {
        let now = world.now.instant;
        let Some(Some(sender)) = self.senders.get_mut(session.index()) else {
            return;
        };
        let mut from = 0;
        while from < sender.streams.len() {
            let due: [Option<StreamSlot>; REPORTS] = {
                let mut due = [None; REPORTS];
                let mut count = 0;
                while from < sender.streams.len() && count < REPORTS {
                    let slot = sender.streams[from];
                    from += 1;
                    let stream = self.streams.get(slot);
                    if stream.is_some_and(|stream| stream.report_at.is_some_and(|at| now >= at)) {
                        due[count] = Some(slot);
                        count += 1;
                    }
                }
                due
            };
            if due[0].is_none() {
                return;
            }
            let tracks = &*world.tracks;
            let streams = &mut self.streams;
            let Some(transport) = world
                .sessions
                .get_mut(session)
                .map(|session| &mut session.transport)
            else {
                return;
            };
            let cname = transport.cname.clone();
            let sent = transport.send_rtcp(out, |writer| {
                for slot in due.iter().flatten() {
                    let Some(stream) = streams.get_mut(*slot) else {
                        continue;
                    };
                    let Some(track) = tracks.get(stream.track) else {
                        continue;
                    };
                    let Some(rtp) = stream.timestamp_of(now, track) else {
                        continue;
                    };
                    writer.sender_report(
                        stream.ssrc.0,
                        ntp(now),
                        rtp,
                        stream.sent.packets as u32,
                        stream.sent.octets as u32,
                        &mut core::iter::empty(),
                    )?;
                    writer.cname(stream.ssrc.0, cname.as_bytes())?;
                    stream.report_at = Some(now + REPORT);
                }
                Ok(())
            });
            if !sent {
                return;
            }
            world.counters.rtcp_sent += 1;
        }
    }

    /// Sends the padding that is due for a probe.
    fn pace(&mut self, world: &mut World<'_>, session: SessionSlot, out: &mut impl Output) {
        let now = world.now.instant;
        let Some(Some(sender)) = self.senders.get_mut(session.index()) else {
            return;
        };
        let Some(mut due) = sender.estimator.padding_due(now) else {
            return;
        };
        world.queue.arm(session, Timer::Pace, now + STEP);
        let Some(transport) = world
            .sessions
            .get(session)
            .map(|session| &session.transport)
        else {
            return;
        };
        let (Some(path), Some(outbound)) = (&transport.path, &transport.outbound) else {
            return;
        };
        let moment = Moment {
            now,
            send_time: send_time(now.as_nanos()),
            memory: &[],
        };
        // Whoever is being sent pictures carries it; sound alone needs none.
        let streams = &mut self.streams;
        let carrier = sender.streams.iter().copied().find(|slot| {
            streams.get(*slot).is_some_and(|stream| {
                stream.kind == TrackKind::Video
                    && stream.only.is_none()
                    && stream.template.counts()
                    && stream.can_pad()
            })
        });
        let Some(stream) = carrier.and_then(|slot| streams.get_mut(slot)) else {
            return;
        };
        let room = MAX_HEADER + usize::from(PADDING) + Outbound::RTP_OVERHEAD;
        for _ in 0..PER_STEP {
            if due == 0 || room > MAX_DATAGRAM {
                return;
            }
            let Some(buffer) = out.reserve(room) else {
                return;
            };
            let into = Seal {
                outbound,
                number: sender.estimator.next_number(),
                buffer,
            };
            let Some(len) = stream.padding(&moment, PADDING, into) else {
                return;
            };
            out.commit(session.0, path, len);
            sender.estimator.sent(now, len);
            world.counters.probe_packets += 1;
            due = due.saturating_sub(len as u64);
        }
    }
}

/// Everything of an encoding.
pub(super) fn whole(encoding: u8) -> Target {
    Target {
        encoding,
        spatial: MAX_LAYERS as u8 - 1,
        temporal: MAX_LAYERS as u8 - 1,
    }
}

fn arrives(track: &Track, encoding: u8) -> bool {
    !track.muted
        && track
            .encodings
            .get(usize::from(encoding))
            .is_some_and(|encoding| encoding.active)
}

impl Stream {
    /// What its clock shows now: by the publisher's last report, else by the
    /// last packet. `None` before the first.
    fn timestamp_of(&self, now: Instant, track: &Track) -> Option<u32> {
        let (last, at) = self.clock.last()?;
        let report = reference(track, self.source, self.clock_rate).and_then(|found| found.report);
        Some(match report {
            Some(report) => report
                .rtp
                .wrapping_add(ticks(now.since(report.received), self.clock_rate))
                .wrapping_add(self.shifts().timestamp),
            None => last.wrapping_add(ticks(now.since(at), self.clock_rate)),
        })
    }

    /// Whether the subscriber takes any of the track's payload types.
    fn is_understood(&self) -> bool {
        self.payload_types.iter().any(Option::is_some)
    }

    /// Whether padding can be sent on it.
    fn can_pad(&self) -> bool {
        self.clock.last().is_some() && (self.rtx.is_some() || self.frame_ended)
    }
}
