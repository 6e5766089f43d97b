//! Streams of packets: what only a frame's first packet tells holds for all
//! of them.

use forebay_media::Codec;
use forebay_media::codec::{FrameInfo, Frames};

use crate::bits::{Extended, descriptor};
use crate::descriptor::l1t3;

struct Stream {
    frames: Frames,
    codec: Codec,
}

impl Stream {
    fn new(codec: Codec) -> Self {
        Self {
            frames: Frames::default(),
            codec,
        }
    }

    fn packet(&mut self, payload: &[u8], marker: bool, timestamp: u32) -> FrameInfo {
        self.frames
            .read(self.codec, payload, marker, timestamp, &[])
    }

    fn described(&mut self, descriptor: &[u8], timestamp: u32) -> FrameInfo {
        // What an encrypted payload looks like is anybody's guess.
        self.frames
            .read(self.codec, &[0x55; 20], false, timestamp, descriptor)
    }
}

const KEY: &[u8] = &[0x90, 0x80, 1, 0x00];
const MORE: &[u8] = &[0x80, 0x80, 1, 0x00];
const DELTA: &[u8] = &[0x90, 0x80, 2, 0x01];

#[test]
fn all_packets_of_a_vp8_keyframe_are_known() {
    let mut stream = Stream::new(Codec::Vp8);
    let first = stream.packet(KEY, false, 100);
    assert!(first.keyframe && first.start && !first.end);
    let last = stream.packet(MORE, true, 100);
    assert!(last.keyframe && !last.start && last.end);
    assert!(!stream.packet(DELTA, false, 3100).keyframe);
    assert!(!stream.packet(MORE, true, 3100).keyframe);
    // The clock wraps.
    assert!(stream.packet(KEY, false, u32::MAX - 5).keyframe);
    assert!(!stream.packet(DELTA, false, 10).keyframe);
    // One that comes late changes nothing.
    stream.packet(KEY, false, 6000);
    assert!(!stream.packet(DELTA, true, 3000).keyframe);
    assert!(stream.packet(MORE, true, 6000).keyframe);
}

#[test]
fn a_h264_keyframe_begins_with_its_parameters() {
    const PARAMETERS: &[u8] = &[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0x01];
    const IDR: &[u8] = &[0x7C, 0x85, 0x88];
    const SLICE: &[u8] = &[0x61, 0x9A];
    let mut stream = Stream::new(Codec::H264);
    // Nobody knows yet whether parameters come with the stream.
    let idr = stream.packet(IDR, false, 100);
    assert!(idr.keyframe && idr.start);
    let delta = stream.packet(SLICE, true, 3100);
    assert!(!delta.keyframe && delta.start && delta.end);
    let parameters = stream.packet(PARAMETERS, false, 6100);
    assert!(parameters.keyframe && parameters.start);
    let idr = stream.packet(IDR, true, 6100);
    assert!(idr.keyframe && !idr.start && idr.end);
    // Their packet was lost: whoever begins here cannot decode.
    let idr = stream.packet(IDR, false, 9100);
    assert!(!idr.keyframe && idr.start);
    let recovered = stream.packet(PARAMETERS, false, 9100);
    assert!(recovered.keyframe && recovered.start);
    assert!(stream.packet(IDR, true, 9100).keyframe);
}

#[test]
fn av1_without_a_descriptor_tells_what_it_can() {
    let mut stream = Stream::new(Codec::Av1);
    let key = stream.packet(&[0x68, 2, 0x08, 0xAA, 0x34, 0x20, 0xBB], false, 100);
    assert!(key.keyframe && key.start && key.switch_up);
    assert_eq!((key.temporal, key.spatial), (1, 0));
    let more = stream.packet(&[0x90, 0x34, 0xFF], true, 100);
    assert!(more.keyframe && !more.start && more.end);
    assert_eq!((more.temporal, more.spatial), (1, 0));
    let delta = stream.packet(&[0x10, 0x34, 0x40, 0xBB], true, 3100);
    assert!(!delta.keyframe && delta.start && !delta.switch_up);
    assert_eq!(delta.temporal, 2);
}

#[test]
fn vp9_is_told_by_every_packet() {
    let mut stream = Stream::new(Codec::Vp9);
    let frame = stream.packet(&[0b0010_1100, 0b0001_0010, 1], true, 100);
    assert!(frame.keyframe && frame.start && frame.end && frame.switch_up);
    assert_eq!((frame.spatial, frame.temporal), (1, 0));
}

#[test]
fn a_descriptor_tells_of_encrypted_payloads() {
    for codec in [Codec::Vp8, Codec::H264, Codec::Av1, Codec::Other] {
        let mut stream = Stream::new(codec);
        let structure = l1t3();
        let targets = structure.targets();
        let attached = Extended {
            structure: Some(structure),
            ..Extended::default()
        };
        let key = stream.described(
            &descriptor(true, false, 5, 10, Some((&attached, targets))),
            100,
        );
        assert!(key.keyframe && key.start && !key.end);
        let rest = stream.described(&descriptor(false, true, 5, 10, None), 100);
        assert!(rest.keyframe && !rest.start && rest.end);
        let delta = stream.described(&descriptor(true, true, 9, 11, None), 3100);
        assert!(!delta.keyframe && delta.start && delta.switch_up);
        assert_eq!(delta.temporal, 2);
        assert_eq!(stream.frames.structure().targets(), 3);
    }
}

#[test]
fn a_descriptor_without_its_structure_leaves_the_payload() {
    let mut stream = Stream::new(Codec::Vp8);
    let unknown = descriptor(true, true, 5, 10, None);
    let frame = stream.frames.read(Codec::Vp8, KEY, true, 100, &unknown);
    assert!(frame.keyframe && frame.start);
    let sound = stream.frames.read(Codec::Opus, &[1], true, 100, &unknown);
    assert_eq!(sound, FrameInfo::default());
}
