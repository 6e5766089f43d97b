//! What subscribers report and ask for.

use core::time::Duration;

use forebay_wire::rtcp::{Compound, Nack, Packet, ReportBlock, TransportCc};

use super::estimate::Fate;
use super::fan_out::MAX_DATAGRAM;
use super::header::send_time;
use super::stream::{Moment, Seal, Stream};
use super::{Egress, StreamSlot};
use crate::output::Output;
use crate::queue::Timer;
use crate::tables::{SessionSlot, Slot};
use crate::transport::round_trip;
use crate::world::World;

/// Packets one compound may ask for again.
const MAX_REPEATS: usize = 256;

impl Egress {
    /// One authenticated, decrypted compound from a session. Report blocks on
    /// our streams, NACK, PLI, FIR, transport-wide feedback and REMB are for
    /// egress; sender reports and the rest have been seen to.
    pub(crate) fn on_rtcp(
        &mut self,
        world: &mut World<'_>,
        session: SessionSlot,
        compound: &[u8],
        out: &mut impl Output,
    ) {
        if !matches!(self.senders.get(session.index()), Some(Some(_))) {
            return;
        }
        let mut left = MAX_REPEATS;
        for packet in Compound::new(compound) {
            match packet {
                Packet::ReceiverReport(report) => {
                    for block in report.blocks() {
                        self.on_block(world, session, &block);
                    }
                }
                Packet::SenderReport(report) => {
                    for block in report.blocks() {
                        self.on_block(world, session, &block);
                    }
                }
                Packet::Nack(nack) => self.on_nack(world, session, &nack, &mut left, out),
                Packet::PictureLoss(loss) => self.on_picture_loss(world, session, loss.media),
                Packet::FullIntraRequest(request) => {
                    for (ssrc, _) in request.requests() {
                        self.on_picture_loss(world, session, ssrc);
                    }
                }
                Packet::TransportCc(feedback) => self.on_transport_cc(world, session, &feedback),
                Packet::Remb(remb) => {
                    if let Some(Some(sender)) = self.senders.get_mut(session.index()) {
                        sender.estimator.on_bound(world.now.instant, remb.bitrate);
                        world.queue.arm(session, Timer::Estimate, world.now.instant);
                    }
                }
                _ => {}
            }
        }
    }

    /// The session's stream of this SSRC, or of these retransmissions.
    fn stream_of(&self, session: SessionSlot, ssrc: u32) -> Option<StreamSlot> {
        let sender = self.senders.get(session.index())?.as_ref()?;
        sender.streams.iter().copied().find(|slot| {
            self.streams
                .get(*slot)
                .is_some_and(|stream| stream.ssrc.0 == ssrc)
        })
    }

    fn on_block(&mut self, world: &mut World<'_>, session: SessionSlot, block: &ReportBlock) {
        let now = world.now.instant;
        let Some(stream) = self
            .stream_of(session, block.ssrc)
            .and_then(|slot| self.streams.get_mut(slot))
        else {
            return;
        };
        let Some(transport) = world.transport(session) else {
            return;
        };
        if let Some(sample) = round_trip(now, block.last_report, block.delay) {
            transport.measure_rtt(sample);
        }
        let feedback = stream.template.counts();
        let rtt = transport.rtt;
        let heard = &mut stream.heard;
        let lost = block.lost.wrapping_sub(heard.lost).clamp(0, 1 << 20) as u32;
        let expected = block.highest_sequence.wrapping_sub(heard.highest);
        let known = heard.any;
        heard.any = true;
        heard.lost = block.lost;
        heard.highest = block.highest_sequence;
        let rate = u64::from(stream.clock_rate.max(1));
        heard.jitter = Duration::from_nanos(u64::from(block.jitter) * 1_000_000_000 / rate);
        if !feedback
            && known
            && expected < 1 << 20
            && let Some(Some(sender)) = self.senders.get_mut(session.index())
        {
            sender
                .estimator
                .on_loss(now, rtt, lost.min(expected), expected);
        }
    }

    fn on_transport_cc(
        &mut self,
        world: &mut World<'_>,
        session: SessionSlot,
        feedback: &TransportCc<'_>,
    ) {
        let now = world.now.instant;
        let rtt = world.transport(session).and_then(|transport| transport.rtt);
        let Some(Some(sender)) = self.senders.get_mut(session.index()) else {
            return;
        };
        let fates = feedback.statuses().map(|status| Fate {
            number: status.sequence,
            arrival: status.micros,
        });
        sender
            .estimator
            .on_feedback(now, rtt, feedback.reference_micros(), fates);
        if sender.estimator.estimate(now) * 10 < sender.estimate * 9 {
            // Less room: do not wait for the next tick.
            self.share(world, session);
        }
    }

    fn on_picture_loss(&mut self, world: &mut World<'_>, session: SessionSlot, ssrc: u32) {
        let Some(stream) = self
            .stream_of(session, ssrc)
            .and_then(|slot| self.streams.get(slot))
        else {
            return;
        };
        let selector = &stream.selector;
        let current = selector.current().or(selector.target());
        if let Some(target) = current {
            let encoding = stream.only.unwrap_or(target.encoding);
            world.request_keyframe(stream.track, encoding);
        }
    }

    fn on_nack(
        &mut self,
        world: &mut World<'_>,
        session: SessionSlot,
        nack: &Nack<'_>,
        left: &mut usize,
        out: &mut impl Output,
    ) {
        let now = world.now.instant;
        let Some(stream) = self
            .stream_of(session, nack.media)
            .and_then(|slot| self.streams.get_mut(slot))
        else {
            return;
        };
        if stream.rtx.is_none() {
            return;
        }
        let Some(Some(sender)) = self.senders.get_mut(session.index()) else {
            return;
        };
        let Some(transport) = world
            .sessions
            .get(session)
            .map(|session| &session.transport)
        else {
            return;
        };
        let (Some(path), Some(outbound), Some(track)) = (
            &transport.path,
            &transport.outbound,
            world.tracks.get(stream.track),
        ) else {
            return;
        };
        let moment = Moment {
            now,
            send_time: send_time(now.as_nanos()),
            memory: &[],
        };
        sender.allowance.fill(now, sender.sent);
        for number in nack.sequences() {
            if *left == 0 {
                return;
            }
            *left -= 1;
            let Some(found) = stream.cached(world.cache, number) else {
                world.counters.retransmissions_missed += 1;
                continue;
            };
            let room = Stream::repeat_room(&found.1);
            if room > MAX_DATAGRAM
                || !stream.repeats.allows(now, transport.rtt, number)
                || !sender.allowance.take(found.1.payload.len() + 40)
            {
                continue;
            }
            let Some(buffer) = out.reserve(room) else {
                return;
            };
            let into = Seal {
                outbound,
                number: sender.estimator.next_number(),
                buffer,
            };
            if let Some(len) = stream.repeat(&moment, &track.codecs, number, &found, into) {
                out.commit(session.0, path, len);
                if stream.template.counts() {
                    sender.estimator.sent(now, len);
                }
                world.counters.retransmitted_packets += 1;
            }
        }
    }
}
