//! Who sends.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use forebay_media::srtp::{Inbound, Outbound};
use forebay_media::{
    Codec, EncodingConfig, Mid, PublishedCodec, SessionKey, Ssrc, TrackConfig, TrackKey, TrackKind,
};
use forebay_wire::clock::Instant;
use forebay_wire::rtcp::{Compound, NtpTime, Packet, Writer};

use super::encoder::{Encoder, Piece};
use super::{Dice, keys};

pub(crate) struct Publisher {
    pub number: u16,
    pub encoder: Encoder,
    outbound: Outbound,
    inbound: Inbound,
    streams: Vec<Sending>,
    next: Instant,
    next_report: Instant,
    queue: VecDeque<(Instant, Vec<u8>)>,
    pub dice: Dice,
    /// Of a thousand, on the way to the forwarder.
    pub loss: u64,
    pub reorder: u64,
    /// Encodings that are not sent.
    pub off: Vec<bool>,
    pub keyframe_requests: u32,
    pub nacked: u32,
    began: Instant,
    delay: Duration,
}

struct Sending {
    ssrc: u32,
    index: u64,
    rtx_index: u64,
    offset: u32,
    packets: u32,
    octets: u32,
    kept: HashMap<u16, (u32, bool, Piece)>,
}

impl Publisher {
    pub(crate) fn new(number: u16, encoder: Encoder, now: Instant, mut dice: Dice) -> Self {
        let theirs = keys(number).1;
        let streams: Vec<_> = (0..encoder.rates.len())
            .map(|index| Sending {
                ssrc: 1000 + u32::from(number) * 100 + index as u32,
                index: 100 + dice.roll() % 30_000,
                rtx_index: 50,
                offset: dice.roll() as u32,
                packets: 0,
                octets: 0,
                kept: HashMap::new(),
            })
            .collect();
        Self {
            number,
            outbound: Outbound::new(&theirs),
            inbound: Inbound::new(&theirs),
            next: now,
            next_report: now + Duration::from_millis(300),
            queue: VecDeque::new(),
            dice,
            loss: 0,
            reorder: 0,
            off: vec![false; streams.len()],
            streams,
            encoder,
            keyframe_requests: 0,
            nacked: 0,
            began: now,
            delay: Duration::from_millis(20),
        }
    }

    fn rate(&self) -> u32 {
        match self.encoder.codec {
            Codec::Opus => 48_000,
            _ => 90_000,
        }
    }

    pub(crate) fn track(&self, session: SessionKey) -> TrackConfig {
        let video = self.encoder.codec != Codec::Opus;
        TrackConfig {
            key: TrackKey(u64::from(self.number)),
            session,
            mid: Mid::new(b"0").expect("short"),
            kind: if video {
                TrackKind::Video
            } else {
                TrackKind::Audio
            },
            codecs: Box::new([PublishedCodec {
                payload_type: 96,
                codec: self.encoder.codec,
                clock_rate: self.rate(),
                rtx: video.then_some(97),
            }]),
            encodings: self
                .streams
                .iter()
                .map(|stream| EncodingConfig {
                    rid: None,
                    ssrc: Some(Ssrc(stream.ssrc)),
                    rtx_ssrc: video.then_some(Ssrc(stream.ssrc + 50)),
                })
                .collect(),
            nack: video,
            fir: false,
            muted: false,
        }
    }

    pub(crate) fn step(&mut self, now: Instant, mut send: impl FnMut(Vec<u8>)) {
        if now >= self.next {
            self.next = self.next + Duration::from_nanos(1_000_000_000 / self.encoder.fps);
            let since = now.since(self.began);
            for encoding in 0..self.streams.len() {
                if self.off[encoding] {
                    continue;
                }
                let ticks = (since.as_micros() as u64 * u64::from(self.rate()) / 1_000_000) as u32;
                let timestamp = ticks.wrapping_add(self.streams[encoding].offset);
                for piece in self.encoder.encode(encoding, since.as_millis() as u32) {
                    self.send_piece(now, encoding, timestamp, piece);
                }
            }
        }
        if now >= self.next_report {
            self.next_report = now + Duration::from_secs(1);
            self.report(now);
        }
        while let Some((at, _)) = self.queue.front() {
            if *at > now {
                break;
            }
            if let Some((_, datagram)) = self.queue.pop_front() {
                send(datagram);
            }
        }
    }

    fn push(&mut self, now: Instant, datagram: Vec<u8>) {
        if self.dice.chance(self.loss) {
            return;
        }
        let late = if self.dice.chance(self.reorder) {
            Duration::from_millis(1 + self.dice.roll() % 20)
        } else {
            Duration::ZERO
        };
        let at = now + self.delay + late;
        let place = self.queue.partition_point(|(other, _)| *other <= at);
        self.queue.insert(place, (at, datagram));
    }

    fn send_piece(&mut self, now: Instant, encoding: usize, timestamp: u32, piece: Piece) {
        let stream = &mut self.streams[encoding];
        stream.index += 1;
        stream.packets += 1;
        stream.octets += piece.payload.len() as u32;
        let head = Head {
            payload_type: 96,
            marker: piece.marker,
            index: stream.index,
            timestamp,
            ssrc: stream.ssrc,
        };
        let datagram = seal(
            &self.outbound,
            &head,
            &piece.descriptor,
            &[],
            &piece.payload,
        );
        stream
            .kept
            .insert(stream.index as u16, (timestamp, piece.marker, piece));
        if stream.kept.len() > 2000 {
            let old = (stream.index as u16).wrapping_sub(1500);
            stream
                .kept
                .retain(|number, _| number.wrapping_sub(old) < 0x8000);
        }
        self.push(now, datagram);
    }

    fn report(&mut self, now: Instant) {
        let since = now.since(self.began);
        let rate = self.rate();
        for stream in &self.streams {
            let ticks = (since.as_micros() as u64 * u64::from(rate) / 1_000_000) as u32;
            let ntp = ((3_900_000_000 + since.as_secs()) << 32)
                | ((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000);
            let mut buffer = vec![0; 200];
            let mut writer = Writer::new(&mut buffer);
            writer
                .sender_report(
                    stream.ssrc,
                    NtpTime(ntp),
                    ticks.wrapping_add(stream.offset),
                    stream.packets,
                    stream.octets,
                    &mut core::iter::empty(),
                )
                .expect("room");
            let len = writer.len();
            let len = self.outbound.protect_rtcp(&mut buffer, len).expect("room");
            buffer.truncate(len);
            let at = now + self.delay;
            let place = self.queue.partition_point(|(other, _)| *other <= at);
            self.queue.insert(place, (at, buffer));
        }
    }

    /// RTCP from the forwarder.
    pub(crate) fn receive(&mut self, now: Instant, mut datagram: Vec<u8>) {
        let Ok(len) = self.inbound.unprotect_rtcp(now, &mut datagram) else {
            return;
        };
        let mut again = Vec::new();
        for packet in Compound::new(&datagram[..len]) {
            match packet {
                Packet::PictureLoss(loss) => {
                    self.keyframe_requests += 1;
                    for (index, stream) in self.streams.iter().enumerate() {
                        if stream.ssrc == loss.media {
                            self.encoder.state[index].wants_keyframe = true;
                        }
                    }
                }
                Packet::Nack(nack) => {
                    for number in nack.sequences() {
                        again.push((nack.media, number));
                    }
                }
                _ => {}
            }
        }
        for (ssrc, number) in again {
            self.nacked += 1;
            let Some(index) = self.streams.iter().position(|stream| stream.ssrc == ssrc) else {
                continue;
            };
            let stream = &mut self.streams[index];
            let Some((timestamp, marker, piece)) = stream.kept.get(&number) else {
                continue;
            };
            stream.rtx_index += 1;
            let head = Head {
                payload_type: 97,
                marker: *marker,
                index: stream.rtx_index,
                timestamp: *timestamp,
                ssrc: ssrc + 50,
            };
            let datagram = seal(
                &self.outbound,
                &head,
                &piece.descriptor,
                &number.to_be_bytes(),
                &piece.payload,
            );
            self.push(now + self.delay, datagram);
        }
    }
}

struct Head {
    payload_type: u8,
    marker: bool,
    index: u64,
    timestamp: u32,
    ssrc: u32,
}

fn seal(
    outbound: &Outbound,
    head: &Head,
    descriptor: &[u8],
    prefix: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0x80, u8::from(head.marker) << 7 | head.payload_type];
    packet.extend_from_slice(&(head.index as u16).to_be_bytes());
    packet.extend_from_slice(&head.timestamp.to_be_bytes());
    packet.extend_from_slice(&head.ssrc.to_be_bytes());
    if !descriptor.is_empty() {
        packet[0] |= 0x10;
        let words = (2 + descriptor.len()).div_ceil(4);
        packet.extend_from_slice(&[0x10, 0x00, 0, words as u8, 12, descriptor.len() as u8]);
        packet.extend_from_slice(descriptor);
        packet.resize(16 + words * 4, 0);
    }
    let header = packet.len();
    packet.extend_from_slice(prefix);
    packet.extend_from_slice(payload);
    let len = packet.len();
    packet.resize(len + 16, 0);
    let len = outbound
        .protect_rtp(&mut packet, header, len, head.index)
        .expect("room");
    packet.truncate(len);
    packet
}
