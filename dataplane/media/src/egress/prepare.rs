//! What forwarding needs of a packet that is the same for every subscriber.

use super::header::Elements;
use super::picture::{Picture, frame_number};
use crate::codec::FrameInfo;
use crate::describe::{Codec, PublishedCodec};
use crate::packet::{Packet, Run};

/// Packets of a frame that differ by no more than this many bytes are made
/// equal by RTP padding (RFC 3550 §5.1), so that one send carries the frame.
/// Browsers cut VP8 into packets that differ by one. Chromium 156 and Firefox
/// ESR 153 decode what is padded as if it were not, in every call of the
/// browser tests; at 1.3 Mbit/s 5.1 packets leave in a send rather than 2.5.
/// Zero switches it off.
pub(super) const EVEN_OUT: u16 = 3;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prepared {
    pub(super) codec: Codec,
    pub(super) clock_rate: u32,
    pub(super) picture: Picture,
    /// Of the dependency descriptor.
    pub(super) frame: Option<u16>,
    /// Bytes of RTP padding.
    pub(super) padding: u8,
    /// Bytes to reserve beyond header template, payload and tag.
    pub(super) elements: u16,
}

/// Fills `into` for a run.
pub(super) fn prepare(run: &Run<'_>, codecs: &[PublishedCodec], into: &mut Vec<Prepared>) {
    into.clear();
    for packet in run.packets() {
        let codec = codecs.get(usize::from(packet.codec));
        let payload = packet.payload.of(run.memory);
        let kind = codec.map_or(Codec::Other, |codec| codec.codec);
        let descriptor = packet.carried.dependency_descriptor;
        into.push(Prepared {
            codec: kind,
            clock_rate: codec.map_or(90_000, |codec| codec.clock_rate),
            picture: Picture::read(kind, payload),
            frame: frame_number(descriptor.of(run.memory)),
            padding: 0,
            elements: 32 + descriptor.len + packet.carried.abs_capture_time.len,
        });
    }
    if EVEN_OUT > 0 {
        even_out(run, into);
    }
}

/// Adds padding frame by frame: to all packets but the last, which may be
/// shorter without costing a send.
fn even_out(run: &Run<'_>, prepared: &mut [Prepared]) {
    let packets = run.packets().collect_frames();
    let mut from = 0;
    for to in packets {
        pad_frame(run, &mut prepared[from..to], from);
        from = to;
    }
}

fn pad_frame(run: &Run<'_>, prepared: &mut [Prepared], from: usize) {
    let size = |at: usize, prepared: &Prepared| -> u16 {
        let packet = &run.packets[run.order[from + at] as usize];
        // Elements differ within a frame, too; they are rounded to words.
        packet.payload.len + prepared.elements.next_multiple_of(4)
    };
    let Some(most) = prepared
        .iter()
        .enumerate()
        .map(|(at, prepared)| size(at, prepared))
        .max()
    else {
        return;
    };
    for (at, prepared) in prepared.iter_mut().enumerate() {
        let short = most - size(at, prepared);
        if short <= EVEN_OUT {
            prepared.padding = short as u8;
        }
    }
}

/// Where frames end within a run.
trait Frames {
    fn collect_frames(self) -> impl Iterator<Item = usize>;
}

impl<'a, I: ExactSizeIterator<Item = &'a Packet>> Frames for I {
    fn collect_frames(self) -> impl Iterator<Item = usize> {
        let len = self.len();
        let mut packets = self.enumerate().peekable();
        core::iter::from_fn(move || {
            let (_, first) = packets.next()?;
            while packets
                .next_if(|(_, next)| {
                    next.timestamp == first.timestamp && next.encoding == first.encoding
                })
                .is_some()
            {}
            Some(packets.peek().map_or(len, |(at, _)| *at))
        })
    }
}

/// What a packet hands on in its header.
#[inline]
pub(super) fn elements<'a>(packet: &Packet, memory: &'a [u8], frame_shift: u16) -> Elements<'a> {
    let carried = &packet.carried;
    Elements {
        audio_level: carried.audio_level,
        video_orientation: carried.video_orientation,
        playout_delay: carried.playout_delay,
        abs_capture_time: carried.abs_capture_time.of(memory),
        dependency_descriptor: carried.dependency_descriptor.of(memory),
        frame_shift,
    }
}

/// Whether a packet ends the picture for a subscriber that gets no spatial
/// layer above this one (RFC 9628 §4.1, the AV1 RTP specification §4.4).
#[inline]
pub(super) fn ends_picture(frame: &FrameInfo, spatial: u8) -> bool {
    frame.end && frame.spatial == spatial
}
