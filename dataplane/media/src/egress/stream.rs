//! One outgoing stream: one SSRC at one subscriber.

use core::time::Duration;

use forebay_wire::clock::Instant;

use super::clock::{Clock, Reference};
use super::header::{Fields, MAX_HEADER, Template};
use super::numbering::{Numbering, Shifts, Source};
use super::picture::Pictures;
use super::prepare::{Prepared, elements, ends_picture};
use super::resend::Repeats;
use super::select::{Selector, Step};
use crate::describe::{PayloadMap, PublishedCodec, TrackKind};
use crate::ids::{Ssrc, SubscriptionKey};
use crate::packet::{Packet, Sequence};
use crate::srtp::Outbound;
use crate::tables::{SessionSlot, TrackSlot};
use crate::track::{MAX_LAYERS, Track};

/// As highest spatial layer: an encoding as it is.
const WHOLE: u8 = MAX_LAYERS as u8 - 1;

/// Payload types a track may have.
pub(super) const MAX_CODECS: usize = 8;

/// What a payload type becomes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mapped {
    pub(super) to: u8,
    pub(super) rtx: Option<u8>,
}

/// Retransmissions of a stream (RFC 4588).
pub(super) struct Rtx {
    pub(super) ssrc: Ssrc,
    pub(super) template: Template,
    /// The index of the next one.
    pub(super) next: u64,
}

/// See the module.
pub(super) struct Stream {
    pub(super) selector: Selector,
    pub(super) numbering: Numbering,
    pub(super) clock: Clock,
    pub(super) pictures: Pictures,
    pub(super) template: Template,
    /// By place in the track's codecs.
    pub(super) payload_types: [Option<Mapped>; MAX_CODECS],
    pub(super) session: SessionSlot,
    pub(super) track: TrackSlot,
    pub(super) kind: TrackKind,
    pub(super) subscription: SubscriptionKey,
    /// The only encoding it ever carries (relay), or any.
    pub(super) only: Option<u8>,
    /// What was forwarded last, even before a pause.
    pub(super) source: Source,
    pub(super) codec: u8,
    pub(super) clock_rate: u32,
    /// The last packet sent ended a frame.
    pub(super) frame_ended: bool,
    /// Whether every picture that others need had an end.
    pub(super) ends: Ends,
    pub(super) ssrc: Ssrc,
    pub(super) rtx: Option<Rtx>,
    pub(super) repeats: Repeats,
    pub(super) sent: Sent,
    /// What was last told of it.
    pub(super) told: Option<Option<(u8, u8)>>,
    pub(super) report_at: Option<Instant>,
    pub(super) heard: Heard,
}

/// Chromium's sender of VP9 in which layers meet in keyframes only leaves the
/// marker off a picture whose upper layer its encoder dropped, and Chromium's
/// receiver waits three seconds for the end of such a picture.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ends {
    /// The last packet ended a layer's part of a picture that others need, but
    /// not the picture: its number and timestamp.
    open: Option<(Sequence, u32)>,
    /// Only a keyframe helps.
    pub(super) missing: bool,
}

impl Ends {
    /// A packet is forwarded in its turn.
    #[inline]
    fn sent(&mut self, packet: &Packet, marker: bool) {
        let frame = &packet.frame;
        if frame.keyframe && frame.start && frame.spatial == 0 {
            self.missing = false;
        } else if let Some((Sequence(before), timestamp)) = self.open
            && packet.sequence.0 == before + 1
            && packet.timestamp != timestamp
        {
            self.missing = true;
        }
        let open = frame.end && !marker && frame.temporal == 0;
        self.open = open.then_some((packet.sequence, packet.timestamp));
    }
}

/// Counted from the beginning; report fields wrap.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    pub(super) packets: u64,
    /// With headers and tags.
    pub(super) bytes: u64,
    /// Payload alone, as sender reports count.
    pub(super) octets: u64,
    /// As of the last quality report.
    pub(super) told_packets: u64,
    pub(super) told_bytes: u64,
}

/// What the subscriber says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heard {
    pub(super) lost: i32,
    pub(super) told_lost: i32,
    pub(super) highest: u32,
    pub(super) jitter: Duration,
    pub(super) any: bool,
}

/// What the batch has in common.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) now: Instant,
    /// 24 bits.
    pub(super) send_time: u32,
    pub(super) memory: &'a [u8],
}

/// Where a packet is written, and what seals it.
pub(super) struct Seal<'a> {
    pub(super) outbound: &'a Outbound,
    /// Its transport-wide number.
    pub(super) number: u16,
    pub(super) buffer: &'a mut [u8],
}

impl Stream {
    pub(super) fn set_payload_types(&mut self, map: &[PayloadMap], codecs: &[PublishedCodec]) {
        self.payload_types = [None; MAX_CODECS];
        for (into, codec) in self.payload_types.iter_mut().zip(codecs) {
            *into = map
                .iter()
                .find(|entry| entry.from == codec.payload_type)
                .map(|entry| Mapped {
                    to: entry.to,
                    rtx: entry.rtx,
                });
        }
    }

    /// Whether a packet may have to be sent: a cheap no for most.
    #[inline]
    pub(super) fn listens(&self, packet: &Packet) -> bool {
        self.selector.listens(packet.encoding)
            && self
                .payload_types
                .get(usize::from(packet.codec))
                .is_some_and(Option::is_some)
    }

    /// Bytes to reserve for a packet.
    #[inline]
    pub(super) fn room(packet: &Packet, prepared: &Prepared) -> usize {
        let len = usize::from(packet.payload.len)
            + 64
            + usize::from(prepared.elements)
            + usize::from(prepared.padding)
            + Outbound::RTP_OVERHEAD;
        len.max(MAX_HEADER + Outbound::RTP_OVERHEAD + usize::from(u8::MAX))
    }

    /// Forwards a packet into a buffer that has [`room`](Self::room); the bytes
    /// to be committed, if any are.
    #[inline]
    pub(super) fn send(
        &mut self,
        moment: &Moment<'_>,
        track: &Track,
        packet: &Packet,
        prepared: &Prepared,
        into: Seal<'_>,
    ) -> Option<usize> {
        let Seal {
            outbound,
            number,
            buffer,
        } = into;
        let mapped = self.payload_types[usize::from(packet.codec) % MAX_CODECS]?;
        let numbering = &self.numbering;
        let step = self.selector.step(moment.now, prepared.codec, packet, || {
            numbering.in_order(packet.sequence)
        });
        let mut fill = false;
        let place = match step {
            Step::Forward => {
                self.pictures.shifts.spatial = self.selector.spatial();
                self.numbering
                    .forward(packet.sequence, self.pictures.shifts)
            }
            Step::Omit => {
                self.numbering.omit(packet.sequence, packet.timestamp);
                self.pictures.omit(prepared.codec, &prepared.picture);
                return None;
            }
            Step::Skip => return None,
            Step::Late => {
                let source = Source {
                    encoding: packet.encoding,
                    epoch: packet.epoch,
                };
                let place = self.numbering.late(source, packet.sequence)?;
                // Its number was kept before it was known to be of a layer
                // that is left out.
                fill = packet.frame.spatial > place.shifts.spatial;
                place
            }
            Step::Switch => self.switch(moment.now, track, packet, prepared),
        };
        let shifts = place.shifts;
        let timestamp = packet.timestamp.wrapping_add(shifts.timestamp);
        let marker = !fill && (packet.marker || ends_picture(&packet.frame, shifts.spatial));
        let padding = if fill { 1 } else { prepared.padding };
        let fields = Fields {
            marker,
            padding: padding > 0,
            payload_type: mapped.to,
            sequence: place.index as u16,
            timestamp,
            transport: number,
            send_time: moment.send_time,
            elements: if fill {
                Default::default()
            } else {
                elements(packet, moment.memory, shifts.frame)
            },
        };
        let head = buffer.first_chunk_mut::<MAX_HEADER>()?;
        let header = self.template.write(head, &fields);
        let payload = if fill {
            &[]
        } else {
            packet.payload.of(moment.memory)
        };
        let sealed = if padding == 0 && !prepared.picture.changes(&shifts) {
            outbound.protect_rtp_from(buffer, header, payload, place.index)
        } else {
            let end = header + payload.len() + usize::from(padding);
            let body = buffer.get_mut(header..end)?;
            body[..payload.len()].copy_from_slice(payload);
            prepared.picture.write(&shifts, body);
            pad(body, padding);
            outbound.protect_rtp(buffer, header, end, place.index)
        };
        let len = sealed.ok()?;
        if step != Step::Late {
            self.clock.sent(moment.now, timestamp);
            self.pictures.sent(&prepared.picture, prepared.frame);
            self.frame_ended = marker;
            self.ends.sent(packet, marker);
            self.codec = packet.codec;
        }
        self.sent.packets += 1;
        self.sent.bytes += len as u64;
        self.sent.octets += payload.len() as u64;
        Some(len)
    }

    #[cold]
    fn switch(
        &mut self,
        now: Instant,
        track: &Track,
        packet: &Packet,
        prepared: &Prepared,
    ) -> super::numbering::Place {
        let source = Source {
            encoding: packet.encoding,
            epoch: packet.epoch,
        };
        let from = reference(track, self.source, self.clock_rate);
        let to = Reference {
            report: reference(track, source, prepared.clock_rate).and_then(|found| found.report),
            rate: prepared.clock_rate,
        };
        let timestamp = self.clock.switch(now, packet.timestamp, from, to);
        self.pictures.switch(&prepared.picture, prepared.frame);
        self.pictures.shifts.timestamp = timestamp;
        self.pictures.shifts.spatial = self.selector.spatial();
        self.source = source;
        self.clock_rate = prepared.clock_rate;
        // A report soon, so that the other end keeps lips in step.
        self.report_at = Some(now);
        self.numbering
            .begin(source, packet.sequence, self.pictures.shifts)
    }

    /// What it was sent, in the words of a control plane.
    pub(super) fn layer(&self) -> Option<(u8, u8)> {
        self.selector.current().map(|current| {
            // An encoding of several is sent whole, with all the spatial layers it may have.
            let spatial = match current.spatial {
                WHOLE => current.encoding,
                spatial => current.encoding.max(spatial),
            };
            (spatial, current.temporal)
        })
    }

    /// Added to the timestamps of the current source.
    pub(super) fn shifts(&self) -> Shifts {
        self.pictures.shifts
    }
}

/// Fills the end of a packet's body with RTP padding: its last byte counts it.
#[inline]
pub(super) fn pad(body: &mut [u8], padding: u8) {
    let from = body.len() - usize::from(padding);
    let (_, end) = body.split_at_mut(from);
    if let Some((last, zeros)) = end.split_last_mut() {
        zeros.fill(0);
        *last = padding;
    }
}

/// The clock of a source, unless another has taken its place.
pub(super) fn reference(track: &Track, source: Source, rate: u32) -> Option<Reference> {
    let encoding = track.encodings.get(usize::from(source.encoding))?;
    (encoding.epoch == source.epoch).then_some(Reference {
        report: encoding.sender_report,
        rate,
    })
}
