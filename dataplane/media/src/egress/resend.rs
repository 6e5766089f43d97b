//! Packets sent again, and padding: everything that goes out on the
//! retransmission stream (RFC 4588).

use core::time::Duration;

use forebay_wire::clock::Instant;
use forebay_wire::rtp::rtx;

use super::header::{Elements, Fields, MAX_HEADER};
use super::numbering::Origin;
use super::picture::Picture;
use super::stream::{MAX_CODECS, Moment, Seal, Stream, pad};
use crate::cache::{Cache, Cached, PacketName};
use crate::describe::{Codec, PublishedCodec};
use crate::srtp::Outbound;

/// Numbers whose last repetition is remembered.
const REMEMBERED: usize = 64;
/// Between two repetitions of one packet, whatever the round trip.
const SHORTEST: Duration = Duration::from_millis(10);
const UNKNOWN_RTT: Duration = Duration::from_millis(100);

/// When packets were last sent again.
#[derive(Debug, Clone)]
pub(super) struct Repeats {
    /// By the low bits of the number.
    last: [(u16, Option<Instant>); REMEMBERED],
}

impl Repeats {
    pub(super) fn new() -> Self {
        Self {
            last: [(0, None); REMEMBERED],
        }
    }

    /// Whether this number may be sent again now: once per round trip.
    pub(super) fn allows(&mut self, now: Instant, rtt: Option<Duration>, number: u16) -> bool {
        let entry = &mut self.last[usize::from(number) % REMEMBERED];
        let pause = rtt.unwrap_or(UNKNOWN_RTT).max(SHORTEST);
        if let (same, Some(at)) = *entry
            && same == number
            && now.since(at) < pause
        {
            return false;
        }
        *entry = (number, Some(now));
        true
    }
}

/// Bytes that may go into repetitions: half as much as is sent besides, and a
/// little more, so that who asks for everything again gets no more than that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    bytes: u64,
    filled: Instant,
    sent: u64,
}

impl Allowance {
    const MOST: u64 = 128 * 1024;
    const PER_SECOND: u64 = 16 * 1024;

    pub(super) fn new(now: Instant) -> Self {
        Self {
            bytes: Self::MOST / 2,
            filled: now,
            sent: 0,
        }
    }

    /// `sent`: all bytes of media the session was sent so far.
    pub(super) fn fill(&mut self, now: Instant, sent: u64) {
        let passed = now.since(self.filled).as_millis() as u64;
        if passed > 0 {
            self.filled = now;
            self.bytes += passed * Self::PER_SECOND / 1_000;
        }
        self.bytes = (self.bytes + sent.saturating_sub(self.sent) / 2).min(Self::MOST);
        self.sent = sent;
    }

    pub(super) fn take(&mut self, bytes: usize) -> bool {
        match self.bytes.checked_sub(bytes as u64) {
            Some(left) => {
                self.bytes = left;
                true
            }
            None => false,
        }
    }
}

impl Stream {
    /// What was sent under a number, while it can still be had.
    pub(super) fn cached<'a>(&self, cache: &'a Cache, number: u16) -> Option<(Origin, Cached<'a>)> {
        let origin = self.numbering.origin(number)?;
        let cached = cache.get(PacketName {
            track: self.track,
            encoding: origin.source.encoding,
            epoch: origin.source.epoch,
            sequence: origin.sequence,
        })?;
        Some((origin, cached))
    }

    /// Bytes to reserve for a repetition.
    pub(super) fn repeat_room(cached: &Cached<'_>) -> usize {
        let len = cached.payload.len()
            + rtx::HEADER
            + 96
            + cached.dependency_descriptor.len()
            + cached.abs_capture_time.len()
            + Outbound::RTP_OVERHEAD;
        len.max(MAX_HEADER + Outbound::RTP_OVERHEAD)
    }

    /// Writes a packet again, onto the retransmission stream. `None` when it
    /// has none, or not for this payload type.
    pub(super) fn repeat(
        &mut self,
        moment: &Moment<'_>,
        codecs: &[PublishedCodec],
        number: u16,
        (origin, cached): &(Origin, Cached<'_>),
        into: Seal<'_>,
    ) -> Option<usize> {
        let Seal {
            outbound,
            number: transport,
            buffer,
        } = into;
        let payload_type = self
            .payload_types
            .get(usize::from(cached.codec))?
            .as_ref()?
            .rtx?;
        let rtx = self.rtx.as_mut()?;
        let kind = codecs
            .get(usize::from(cached.codec))
            .map_or(Codec::Other, |codec| codec.codec);
        let shifts = &origin.shifts;
        let fields = Fields {
            marker: cached.marker
                || kind == Codec::Vp9 && ends_layer(cached.payload, shifts.spatial),
            padding: false,
            payload_type,
            sequence: rtx.next as u16,
            timestamp: cached.timestamp.wrapping_add(shifts.timestamp),
            transport,
            send_time: moment.send_time,
            elements: Elements {
                audio_level: None,
                video_orientation: cached.video_orientation,
                playout_delay: None,
                abs_capture_time: cached.abs_capture_time,
                dependency_descriptor: cached.dependency_descriptor,
                frame_shift: shifts.frame,
            },
        };
        let header = rtx
            .template
            .write(buffer.first_chunk_mut::<MAX_HEADER>()?, &fields);
        let end = header + rtx::HEADER + cached.payload.len();
        let body = buffer.get_mut(header..end)?;
        let (original, payload) = body.split_at_mut(rtx::HEADER);
        original.copy_from_slice(&rtx::header(number));
        payload.copy_from_slice(cached.payload);
        Picture::read(kind, cached.payload).write(shifts, payload);
        let index = rtx.next;
        rtx.next += 1;
        outbound.protect_rtp(buffer, header, end, index).ok()
    }

    /// Writes a packet of nothing but padding: on the retransmission stream,
    /// else on the media's own between two frames.
    pub(super) fn padding(
        &mut self,
        moment: &Moment<'_>,
        padding: u8,
        into: Seal<'_>,
    ) -> Option<usize> {
        let Seal {
            outbound,
            number: transport,
            buffer,
        } = into;
        let (timestamp, _) = self.clock.last()?;
        let mapped = self.payload_types[usize::from(self.codec) % MAX_CODECS]?;
        let (template, payload_type, index) = match (&mut self.rtx, mapped.rtx) {
            (Some(rtx), Some(payload_type)) => {
                rtx.next += 1;
                (&rtx.template, payload_type, rtx.next - 1)
            }
            _ if self.frame_ended => (&self.template, mapped.to, self.numbering.insert()),
            _ => return None,
        };
        let fields = Fields {
            marker: false,
            padding: true,
            payload_type,
            sequence: index as u16,
            timestamp,
            transport,
            send_time: moment.send_time,
            elements: Elements::default(),
        };
        let header = template.write(buffer.first_chunk_mut::<MAX_HEADER>()?, &fields);
        let end = header + usize::from(padding);
        pad(buffer.get_mut(header..end)?, padding);
        outbound.protect_rtp(buffer, header, end, index).ok()
    }
}

/// Whether a VP9 packet ends this spatial layer (RFC 9628 §4.2: E, SID).
fn ends_layer(payload: &[u8], spatial: u8) -> bool {
    let Some(&flags) = payload.first() else {
        return false;
    };
    if flags & 0x24 != 0x24 {
        return false;
    }
    let id = match (flags & 0x80, payload.get(1)) {
        (0, _) => 0,
        (_, Some(byte)) if byte & 0x80 == 0 => 1,
        _ => 2,
    };
    payload
        .get(1 + id)
        .is_some_and(|layer| layer >> 1 & 7 == spatial)
}
