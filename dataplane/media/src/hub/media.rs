//! RTP from publishers.

use core::ops::Range;

use forebay_wire::clock::{Instant, Now};
use forebay_wire::rtp;

use super::Hub;
use crate::codec::{FrameInfo, Frames};
use crate::describe::{Codec, TrackKind};
use crate::event::Event;
use crate::ids::Ssrc;
use crate::ingress::{Place, Reception};
use crate::output::Path;
use crate::packet::{Carried, Packet, Sequence, Span};
use crate::queue::{Queue, Timer};
use crate::report::{Counters, DropReason};
use crate::session::Found;
use crate::srtp::SrtpError;
use crate::tables::{SessionSlot, StreamSlot};
use crate::track::{Encoding, Track};

use super::timers::{FEEDBACK, REPAIR};

/// So far behind the highest, a number is not late: its stream began anew
/// without telling, as after its SRTP context was given to another.
const BEGAN_ANEW: u64 = 1 << 15;

/// A decrypted packet.
struct Arrived<'a> {
    view: rtp::Packet<'a>,
    found: Found<'a>,
    /// Where the packet starts in the receive memory.
    start: usize,
    /// Its SRTP index (RFC 3711 §3.3.1).
    index: u64,
    /// As received, tag included.
    bytes: usize,
}

pub(super) fn reason(error: SrtpError) -> DropReason {
    match error {
        SrtpError::Replayed | SrtpError::Old => DropReason::Replayed,
        SrtpError::TooManyStreams => DropReason::TooManyStreams,
        SrtpError::Unauthenticated => DropReason::BadTag,
        _ => DropReason::Malformed,
    }
}

impl Hub {
    /// Decrypts a packet, counts it, and keeps it for forwarding.
    #[inline]
    pub(crate) fn on_rtp(
        &mut self,
        now: Now,
        path: &Path,
        memory: &mut [u8],
        range: Range<usize>,
    ) -> Result<(), DropReason> {
        let start = range.start;
        let datagram = memory.get_mut(range).ok_or(DropReason::Malformed)?;
        let bytes = datagram.len();
        let slot = self.session_on(path).ok_or(DropReason::NoSession)?;
        let session = self.sessions.get_mut(slot).ok_or(DropReason::NoSession)?;
        let inbound = session.inbound.as_mut().ok_or(DropReason::NoKeys)?;
        let header = rtp::Packet::parse_protected(datagram)
            .map_err(|_| DropReason::Malformed)?
            .header_len();
        let (len, index) = inbound
            .unprotect_rtp(now.instant, datagram, header)
            .map_err(reason)?;
        self.counters.received_packets += 1;
        self.counters.received_bytes += bytes as u64;

        let view = memory
            .get(start..start + len)
            .and_then(|packet| rtp::Packet::parse(packet).ok())
            .ok_or(DropReason::Malformed)?;
        let found = session.extensions.read(&view, start);
        if let Some(sequence) = found.transport_sequence {
            session.arrivals.note(now.instant, sequence);
        }
        let ssrc = Ssrc(view.ssrc());
        let stream = match session.recent {
            Some((recent, stream)) if recent == ssrc.0 => stream,
            _ => {
                let stream = match self.stream(slot, ssrc) {
                    Some(stream) => stream,
                    None => self.identify(slot, ssrc, view.payload_type(), &found)?,
                };
                if let Some(session) = self.sessions.get_mut(slot) {
                    session.recent = Some((ssrc.0, stream));
                }
                stream
            }
        };
        self.queue
            .arm(slot, Timer::Feedback, now.instant + FEEDBACK);
        let arrived = Arrived {
            view,
            found,
            start,
            index,
            bytes,
        };
        self.on_stream(now.instant, slot, stream, &arrived, memory)
    }

    fn on_stream(
        &mut self,
        now: Instant,
        slot: SessionSlot,
        stream: StreamSlot,
        arrived: &Arrived<'_>,
        memory: &[u8],
    ) -> Result<(), DropReason> {
        let stream = self.streams.get(stream).ok_or(DropReason::UnknownStream)?;
        let (track_slot, at, repair) = (stream.track, stream.encoding, stream.repair);
        let track = self
            .tracks
            .get_mut(track_slot)
            .ok_or(DropReason::UnknownStream)?;
        let payload_type = arrived.view.payload_type();
        let codec = track.codecs.iter().position(|codec| {
            if repair {
                codec.rtx == Some(payload_type)
            } else {
                codec.payload_type == payload_type
            }
        });
        let codec = codec.ok_or(DropReason::UnknownStream)?;
        let range = arrived.view.payload_range();
        let mut payload = Span {
            start: (arrived.start + range.start) as u32,
            len: range.len() as u16,
        };
        let encoding = track
            .encodings
            .get_mut(usize::from(at))
            .ok_or(DropReason::UnknownStream)?;
        let sequence = if repair {
            // A probe of padding carries no number.
            let Some((original, _)) = rtp::rtx::split(arrived.view.payload()) else {
                return Ok(());
            };
            let reception = encoding
                .inflow
                .reception
                .as_ref()
                .ok_or(DropReason::UnknownStream)?;
            payload.start += rtp::rtx::HEADER as u32;
            payload.len -= rtp::rtx::HEADER as u16;
            reception.extend(original)
        } else {
            Sequence(arrived.index)
        };
        let clock_rate = track.codecs[codec].clock_rate;
        let mut place = encoding.take(now, sequence, repair, clock_rate);
        if place == Place::Known && !repair {
            let behind = encoding
                .inflow
                .reception
                .as_ref()
                .map_or(0, |reception| reception.highest().0)
                .saturating_sub(sequence.0);
            if behind > BEGAN_ANEW {
                self.next_epoch = self.next_epoch.wrapping_add(1);
                encoding.begin_anew(self.next_epoch);
                place = encoding.take(now, sequence, false, clock_rate);
            }
        }
        match place {
            Place::Known if repair => return Ok(()),
            Place::Known => return Err(DropReason::Replayed),
            Place::Ahead { missing: 0 } | Place::Behind => {}
            Place::Ahead { .. } => self.queue.arm(slot, Timer::Repair, now + REPAIR),
        }
        if !repair && let Some(reception) = &mut encoding.inflow.reception {
            reception.timed(now, arrived.view.timestamp());
        }
        let mut packet = Packet {
            track: track_slot,
            encoding: at,
            codec: codec as u8,
            marker: arrived.view.marker(),
            recovered: repair,
            epoch: encoding.epoch,
            timestamp: arrived.view.timestamp(),
            sequence,
            payload,
            frame: FrameInfo::default(),
            carried: arrived.found.carried,
        };
        let mut changed = encoding.arrived(
            now,
            &mut packet,
            track.codecs[codec].codec,
            arrived.bytes,
            memory,
        );
        if !encoding.active && !payload.is_empty() {
            encoding.active = true;
            changed = true;
            let event = Event::Encoding {
                track: track.key,
                encoding: at,
                active: true,
            };
            if encoding.keyframe_wanted {
                self.queue.arm(slot, Timer::Repair, now);
            }
            if !self.queue.event(event) {
                count(&mut self.counters, DropReason::NoRoom);
            }
        }
        if track.kind == TrackKind::Audio && !packet.payload.is_empty() {
            track.hear(now, &packet.carried, packet.payload, &mut self.queue);
        }
        if !track.muted {
            if track.kind == TrackKind::Video && !packet.payload.is_empty() {
                self.cache.store(&packet, memory);
            }
            if !self.runs.push(packet) {
                return Err(DropReason::NoRoom);
            }
        }
        if changed {
            self.note_change(track_slot, at);
        }
        Ok(())
    }
}

fn count(counters: &mut Counters, why: DropReason) {
    counters.dropped[why as usize] += 1;
}

impl Encoding {
    /// Takes a packet's number in.
    #[inline]
    fn take(&mut self, now: Instant, sequence: Sequence, healed: bool, clock_rate: u32) -> Place {
        let inflow = &mut self.inflow;
        let place = inflow
            .reception
            .get_or_insert_with(|| Reception::new(sequence, clock_rate))
            .arrived(sequence, healed);
        match place {
            Place::Ahead { missing }
                if missing > 0 && !inflow.missing.skipped(now, sequence, missing) =>
            {
                self.keyframe_wanted = true;
            }
            Place::Behind => inflow.missing.arrived(sequence),
            _ => {}
        }
        place
    }

    /// Another source, or the same from new numbers on.
    pub(super) fn begin_anew(&mut self, epoch: u16) {
        self.epoch = epoch;
        self.sender_report = None;
        self.inflow.frames = Frames::default();
        self.inflow.missing.clear();
        if let Some(mut reception) = self.inflow.reception.take() {
            self.inflow.lost += reception.lost_for_good();
        }
    }

    /// Reads and counts a packet that is new. True when the rates moved.
    #[inline]
    fn arrived(
        &mut self,
        now: Instant,
        packet: &mut Packet,
        codec: Codec,
        bytes: usize,
        memory: &[u8],
    ) -> bool {
        let inflow = &mut self.inflow;
        inflow.packets += 1;
        inflow.bytes += bytes as u64;
        inflow.heard = Some(now);
        if packet.payload.is_empty() {
            return false;
        }
        packet.frame = inflow.frames.read(
            codec,
            packet.payload.of(memory),
            packet.marker,
            packet.timestamp,
            packet.carried.dependency_descriptor.of(memory),
        );
        if packet.frame.keyframe && packet.frame.start {
            inflow.keyframes.came();
            self.keyframe_wanted = false;
        }
        inflow.meter.add(now, &packet.frame, bytes, &mut self.rates)
    }
}

impl Track {
    /// Follows the loudness.
    #[inline]
    fn hear(&mut self, now: Instant, carried: &Carried, payload: Span, queue: &mut Queue) {
        self.level
            .packet(now, carried.audio_level, usize::from(payload.len));
        if let Some((level, voice)) = self.level.news(now) {
            let _ = queue.event(Event::AudioLevel {
                track: self.key,
                level,
                voice,
            });
        }
    }
}
