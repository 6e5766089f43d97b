//! Payload descriptors and dependency descriptors: a script of packets of one
//! stream.
//!
//! The first byte picks the codec. Each packet is: flags (marker, new picture,
//! descriptor follows), the descriptor's length and bytes, the payload's length
//! and bytes.

use forebay_media::Codec;
use forebay_media::codec::dependency::{Descriptor, Structure};
use forebay_media::codec::{Frames, PictureId, av1, h264, vp8, vp9};

const CODECS: [Codec; 6] = [
    Codec::Vp8,
    Codec::Vp9,
    Codec::Av1,
    Codec::H264,
    Codec::Opus,
    Codec::Other,
];

pub(crate) fn run(input: &[u8]) {
    let Some((&pick, mut script)) = input.split_first() else {
        return;
    };
    let codec = CODECS[usize::from(pick) % CODECS.len()];
    let mut frames = Frames::default();
    let mut structure = Structure::default();
    let mut timestamp = u32::MAX - 9000;
    while let Some((&flags, rest)) = script.split_first() {
        let (descriptor, rest) = match flags & 4 != 0 {
            true => field(rest),
            false => (&[][..], rest),
        };
        let (payload, rest) = field(rest);
        script = rest;
        timestamp = timestamp.wrapping_add(u32::from(flags & 2) * 1500);
        let info = frames.read(codec, payload, flags & 1 != 0, timestamp, descriptor);
        assert!(info.spatial <= 7 && info.temporal <= 7);
        payloads(payload);
        describes(descriptor, &mut structure);
    }
}

/// A length byte and as many bytes as there are of those.
fn field(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((&len, rest)) = bytes.split_first() else {
        return (&[], &[]);
    };
    rest.split_at(usize::from(len).min(rest.len()))
}

fn payloads(payload: &[u8]) {
    let inside = |id: Option<PictureId>| {
        if let Some(id) = id {
            let end = id.at + 1 + usize::from(id.wide);
            assert!(end <= payload.len());
            assert_eq!(payload[id.at] & 0x80 != 0, id.wide);
            assert!(id.value < if id.wide { 0x8000 } else { 0x80 });
        }
    };
    if let Some(descriptor) = vp8::Descriptor::read(payload) {
        inside(descriptor.picture_id);
        assert!(descriptor.len <= payload.len());
        for field in [descriptor.base_index, descriptor.key_index]
            .into_iter()
            .flatten()
        {
            assert!(field.at < descriptor.len);
            assert_eq!(payload[field.at], field.value);
        }
        assert_eq!(
            vp8::frame(payload, true).is_some(),
            descriptor.len < payload.len()
        );
    }
    if let Some(descriptor) = vp9::Descriptor::read(payload) {
        inside(descriptor.picture_id);
        assert!(descriptor.len <= payload.len());
        if let Some(field) = descriptor.base_index {
            assert!(field.at < descriptor.len);
            assert_eq!(payload[field.at], field.value);
        }
    }
    if let Some(units) = h264::Units::read(payload) {
        assert!(units.picture_start || !units.sequence_parameters);
    }
    if let Some(units) = av1::Units::read(payload)
        && let Some((temporal, spatial)) = units.layer
    {
        assert!(temporal <= 7 && spatial <= 3);
    }
}

fn describes(descriptor: &[u8], structure: &mut Structure) {
    let before = *structure;
    let Some(read) = Descriptor::read(descriptor, structure) else {
        assert_eq!(*structure, before, "what cannot be read changes nothing");
        return;
    };
    assert_eq!(
        Descriptor::frame_number(descriptor),
        Some(read.frame_number)
    );
    assert!((1..=32).contains(&structure.targets()));
    assert!(*structure == before || read.frame.keyframe);
    let all = structure.targets_within(7, 7);
    assert_eq!(all.count_ones(), u32::from(structure.targets()));
    let mut room = vec![0xEE; descriptor.len() + 5];
    let len = read
        .write_active_targets(descriptor, structure, all >> 1, &mut room)
        .expect("room for a mask");
    let mut again = before;
    let rewritten = Descriptor::read(&room[..len], &mut again).expect("written here");
    assert_eq!(again, *structure);
    assert_eq!(rewritten.active_targets, Some(all >> 1));
    assert_eq!(rewritten.frame, read.frame);
    assert_eq!(rewritten.frame_number, read.frame_number);
    for target in 0..structure.targets() {
        assert_eq!(rewritten.indication(target), read.indication(target));
    }
}
