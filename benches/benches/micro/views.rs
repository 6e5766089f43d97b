//! Reading and writing RTP headers, payloads and RTCP; no cryptography.

use std::hint::black_box;

use forebay_media::Codec;
use forebay_media::codec::Frames;
use forebay_wire::clock::Instant;
use forebay_wire::rtcp::{Compound, Packet as Rtcp, Writer};
use forebay_wire::rtp::{HeaderWriter, Packet};

use crate::cases::Case;

const ROUNDS: u64 = 1000;

/// What a browser sends with video: mid, rid, transport-wide sequence number
/// and absolute send time.
const EXTENSIONS: [(u8, &[u8]); 4] = [(4, b"0"), (10, b"h"), (3, &[0x12, 0x34]), (2, &[1, 2, 3])];

const HEADER: HeaderWriter = HeaderWriter {
    marker: true,
    padding: false,
    payload_type: 96,
    sequence: 1,
    timestamp: 2,
    ssrc: 3,
};

/// A closure that is one operation.
struct Repeated<F>(F);

impl<F: FnMut(u16)> Case for Repeated<F> {
    fn run(&mut self) -> u64 {
        for round in 0..ROUNDS {
            (self.0)(round as u16);
        }
        ROUNDS
    }
}

pub(crate) fn read_header() -> Box<dyn Case> {
    let mut packet = vec![0x5A; 1200];
    HEADER
        .write(&mut packet, &EXTENSIONS)
        .expect("room for a header");
    Box::new(Repeated(move |_| {
        let Ok(packet) = Packet::parse(black_box(&packet)) else {
            return;
        };
        black_box((packet.ssrc(), packet.sequence(), packet.payload().len()));
        for extension in packet.extensions() {
            match extension.id {
                2 => {
                    black_box(extension.abs_send_time());
                }
                3 => {
                    black_box(extension.transport_sequence());
                }
                _ => {
                    black_box(extension.tag());
                }
            }
        }
    }))
}

pub(crate) fn write_header() -> Box<dyn Case> {
    let mut buffer = [0; 1200];
    Box::new(Repeated(move |sequence| {
        let header = HeaderWriter { sequence, ..HEADER };
        let len = header.write(&mut buffer, black_box(&EXTENSIONS));
        let _ = black_box(len);
    }))
}

pub(crate) fn vp8_frames() -> Box<dyn Case> {
    let mut frames = Frames::default();
    let payload = [0x90, 0xE0, 0x92, 0x34, 0x56, 0x40, 0x01, 0, 0, 0];
    Box::new(Repeated(move |round| {
        let timestamp = u32::from(round / 8) * 3000;
        let payload = black_box(&payload);
        black_box(frames.read(Codec::Vp8, payload, round % 8 == 7, timestamp, &[]));
    }))
}

fn arrivals() -> impl Iterator<Item = (u16, Instant)> + Clone {
    // Two percent lost, packets 400 µs apart.
    (0..100)
        .filter(|sequence| sequence % 50 != 7)
        .map(|sequence| (sequence, Instant::from_nanos(u64::from(sequence) * 400_000)))
}

pub(crate) fn write_transport_cc() -> Box<dyn Case> {
    let mut buffer = [0; 1200];
    Box::new(Repeated(move |round| {
        let mut writer = Writer::new(&mut buffer);
        let told = writer.transport_cc(1, 2, round as u8, black_box(arrivals()));
        let _ = black_box(told);
    }))
}

pub(crate) fn read_transport_cc() -> Box<dyn Case> {
    let mut buffer = [0; 1200];
    let mut writer = Writer::new(&mut buffer);
    writer
        .transport_cc(1, 2, 3, arrivals())
        .expect("room for all");
    let bytes = writer.as_bytes().to_vec();
    Box::new(Repeated(move |_| {
        for packet in Compound::new(black_box(&bytes)) {
            if let Rtcp::TransportCc(feedback) = packet {
                feedback.received().for_each(|arrival| {
                    black_box(arrival);
                });
            }
        }
    }))
}
