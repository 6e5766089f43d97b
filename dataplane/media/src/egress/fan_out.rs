//! The path of every forwarded packet: subscribers outside, packets inside,
//! so that a frame's packets for one subscriber lie side by side and leave in
//! one send.

use forebay_wire::clock::Instant;

use super::Egress;
use super::header::send_time;
use super::prepare::prepare;
use super::stream::{Moment, Seal, Stream};
use crate::describe::TrackKind;
use crate::event::Event;
use crate::forwarder::Progress;
use crate::output::Output;
use crate::packet::Run;
use crate::queue::{Queue, Timer};
use crate::tables::{SessionSlot, Slot};
use crate::world::World;

/// How far a run of packets has been forwarded; made anew for each run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    subscriber: usize,
    packet: usize,
    prepared: bool,
}

impl Egress {
    /// Forwards one track's packets of a batch. On [`Progress::More`] nothing
    /// of the packet that did not fit has been done, and the same call is made
    /// again with the same cursor and an empty batch.
    pub(crate) fn forward(
        &mut self,
        world: &mut World<'_>,
        run: &Run<'_>,
        cursor: &mut Cursor,
        out: &mut impl Output,
    ) -> Progress {
        let Some(subscribers) = self.tracks.get(run.track.index()) else {
            return Progress::Done;
        };
        let Some(track) = world.tracks.get(run.track) else {
            return Progress::Done;
        };
        if subscribers.is_empty() || track.muted {
            return Progress::Done;
        }
        if !cursor.prepared {
            prepare(run, &track.codecs, &mut self.prepared);
            cursor.prepared = true;
        }
        let now = world.now.instant;
        let moment = Moment {
            now,
            send_time: send_time(now.as_nanos()),
            memory: run.memory,
        };
        let (mut packets, mut bytes) = (0, 0);
        let mut progress = Progress::Done;
        'subscribers: while let Some(&slot) = subscribers.get(cursor.subscriber) {
            let from = core::mem::take(&mut cursor.packet);
            cursor.subscriber += 1;
            let Some(stream) = self.streams.get_mut(slot) else {
                continue;
            };
            let session = stream.session;
            let Some(transport) = world
                .sessions
                .get(session)
                .map(|session| &session.transport)
            else {
                continue;
            };
            let (Some(path), Some(outbound)) = (&transport.path, &transport.outbound) else {
                continue;
            };
            let Some(Some(sender)) = self.senders.get_mut(session.index()) else {
                continue;
            };
            let counts = stream.template.counts();
            let before = stream.sent;
            let layers = stream.selector.current();
            for (at, packet) in run.packets().enumerate().skip(from) {
                if !stream.listens(packet) {
                    continue;
                }
                let prepared = &self.prepared[at];
                let room = Stream::room(packet, prepared);
                if room > MAX_DATAGRAM {
                    continue;
                }
                let Some(buffer) = out.reserve(room) else {
                    cursor.subscriber -= 1;
                    cursor.packet = at;
                    progress = Progress::More;
                    break;
                };
                let into = Seal {
                    outbound,
                    number: sender.estimator.next_number(),
                    buffer,
                };
                let Some(len) = stream.send(&moment, track, packet, prepared, into) else {
                    continue;
                };
                out.commit(session.0, path, len);
                if counts {
                    sender.estimator.sent(now, len);
                }
            }
            packets += stream.sent.packets - before.packets;
            let more = stream.sent.bytes - before.bytes;
            bytes += more;
            sender.sent += more;
            if stream.selector.current() != layers {
                world.counters.layer_switches += 1;
                tell(world.queue, now, session, stream);
            }
            if progress == Progress::More {
                break 'subscribers;
            }
        }
        world.counters.forwarded_packets += packets;
        world.counters.forwarded_bytes += bytes;
        progress
    }
}

/// The most that [`Output::reserve`] lends.
pub(super) const MAX_DATAGRAM: usize = 1_500;

/// Says what a subscriber gets, when it is something else than before.
pub(super) fn tell(queue: &mut Queue, now: Instant, session: SessionSlot, stream: &mut Stream) {
    let layer = stream.layer();
    let video = stream.kind == TrackKind::Video && stream.only.is_none();
    if !video || stream.told == Some(layer) {
        return;
    }
    if queue.event(Event::Layer {
        subscription: stream.subscription,
        layer,
    }) {
        stream.told = Some(layer);
    }
    queue.arm(session, Timer::Estimate, now);
}
