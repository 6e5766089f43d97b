//! Payload descriptors.

use forebay_media::codec::{Field, PictureId, av1, h264, opus, vp8, vp9};

#[test]
fn reads_a_vp8_descriptor() {
    // Everything there is: wide picture id, TL0PICIDX, TID 2 with Y, KEYIDX.
    let payload = [0x90, 0xF0, 0x92, 0x34, 0x56, 0xA7, 0x00, 0x9D];
    let descriptor = vp8::Descriptor::read(&payload).unwrap();
    assert_eq!(
        descriptor.picture_id,
        Some(PictureId {
            value: 0x1234,
            wide: true,
            at: 2
        })
    );
    assert_eq!(descriptor.base_index, Some(Field { value: 0x56, at: 4 }));
    assert_eq!(descriptor.layer, Some((2, true)));
    assert_eq!(descriptor.key_index, Some(Field { value: 0xA7, at: 5 }));
    assert_eq!(descriptor.len, 6);
    let frame = vp8::frame(&payload, true).unwrap();
    assert!(frame.keyframe && frame.start && frame.end && frame.switch_up);
    assert_eq!((frame.spatial, frame.temporal), (0, 2));

    for len in 0..6 {
        assert_eq!(vp8::Descriptor::read(&payload[..len]), None);
    }
    assert_eq!(vp8::frame(&payload[..6], true), None);
}

#[test]
fn reads_short_vp8_descriptors() {
    let narrow = vp8::Descriptor::read(&[0xB0, 0x80, 0x12, 0]).unwrap();
    assert_eq!(
        narrow.picture_id,
        Some(PictureId {
            value: 0x12,
            wide: false,
            at: 2
        })
    );
    assert!(narrow.non_reference);
    // KEYIDX without TID: the byte is there, the layer is not told.
    let key_index = vp8::Descriptor::read(&[0x80, 0x10, 0xFF]).unwrap();
    assert_eq!(key_index.layer, None);
    assert_eq!(key_index.key_index, Some(Field { value: 0xFF, at: 2 }));
    assert_eq!(vp8::Descriptor::read(&[0x10]).unwrap().len, 1);

    let frame = |payload: &[u8]| vp8::frame(payload, false).unwrap();
    assert!(frame(&[0x10, 0x00]).keyframe);
    assert!(!frame(&[0x10, 0x01]).keyframe);
    // Only the first packet of the first partition has the frame's header.
    for later in [[0x00, 0x00], [0x11, 0x00]] {
        assert!(!frame(&later).start && !frame(&later).keyframe);
    }
    // A higher temporal layer that needs more than the base layer.
    assert!(!frame(&[0x90, 0x20, 0x40, 0x01]).switch_up);
    assert!(frame(&[0x90, 0x20, 0x60, 0x01]).switch_up);
}

#[test]
fn reads_a_vp9_descriptor() {
    // I, L, B, E, V; non-flexible; TID 1 with U, SID 2 with D.
    let payload = [
        0b1010_1110,
        0x92,
        0x34,
        0b0011_0101,
        0x77, // three layers, sizes, pictures
        0b0101_1000,
        1,
        64,
        0,
        180,
        2,
        128,
        1,
        104,
        5,
        0,
        2,
        208, // group of two
        2,
        0b0001_0100,
        1,
        0b0010_1000,
        1,
        2,
        0xAA,
    ];
    let descriptor = vp9::Descriptor::read(&payload).unwrap();
    assert_eq!(
        descriptor.picture_id,
        Some(PictureId {
            value: 0x1234,
            wide: true,
            at: 1
        })
    );
    let layer = descriptor.layer.unwrap();
    assert_eq!((layer.temporal, layer.spatial), (1, 2));
    assert!(layer.switch_up && layer.inter_layer);
    assert_eq!(descriptor.base_index, Some(Field { value: 0x77, at: 4 }));
    let structure = descriptor.structure.unwrap();
    assert_eq!(structure.spatial_layers, 3);
    assert_eq!(structure.resolution, Some((1280, 720)));
    assert_eq!(descriptor.len, payload.len() - 1);
    let frame = vp9::frame(&payload).unwrap();
    assert!(frame.keyframe && frame.start && frame.end && frame.switch_up);
    assert_eq!((frame.spatial, frame.temporal), (2, 1));
    for len in 0..descriptor.len {
        assert_eq!(vp9::Descriptor::read(&payload[..len]), None, "{len}");
    }
}

#[test]
fn reads_vp9_references() {
    // P, F: one, three and four references.
    let len = |payload: &[u8]| vp9::Descriptor::read(payload).map(|read| read.len);
    assert_eq!(len(&[0b0101_0000, 0x02]), Some(2));
    assert_eq!(len(&[0b0101_0000, 0x03, 0x03, 0x02]), Some(4));
    assert_eq!(len(&[0b0101_0000, 0x03, 0x03, 0x03, 0x02]), None);
    // Flexible mode has layer indices but no TL0PICIDX.
    let descriptor = vp9::Descriptor::read(&[0b0011_0000, 0x42]).unwrap();
    assert_eq!(descriptor.base_index, None);
    assert_eq!(descriptor.len, 2);
    assert!(!vp9::frame(&[0b0101_0000, 0x02]).unwrap().keyframe);
}

#[test]
fn finds_h264_units() {
    let units = |payload: &[u8]| h264::Units::read(payload).unwrap();
    // A slice, not the picture's first; one that is; one nobody needs.
    assert_eq!(
        units(&[0x61, 0x40]),
        h264::Units {
            reference: true,
            ..h264::Units::default()
        }
    );
    assert!(units(&[0x61, 0x9A]).picture_start);
    assert!(!units(&[0x01, 0x9A]).reference);
    // STAP-A of SPS and PPS.
    let parameters = units(&[0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68]);
    assert!(parameters.sequence_parameters && parameters.picture_parameters);
    assert!(parameters.picture_start && !parameters.idr);
    // FU-A of an IDR slice: start, middle.
    let start = units(&[0x7C, 0x85, 0x88]);
    assert!(start.idr && start.picture_start);
    let middle = units(&[0x7C, 0x05, 0x88]);
    assert!(middle.idr && !middle.picture_start);
    // FU-A of sequence parameters that go on.
    assert!(!units(&[0x7C, 0x07, 0x88]).sequence_parameters);

    assert_eq!(h264::Units::read(&[]), None);
    assert_eq!(h264::Units::read(&[0x7C]), None);
    assert_eq!(h264::Units::read(&[0x78, 0, 3, 0x67, 0x42]), None);
    assert_eq!(h264::Units::read(&[0x78, 0, 0]), None);
    assert_eq!(h264::Units::read(&[0x78, 0]), None);
}

#[test]
fn finds_av1_units() {
    let units = |payload: &[u8]| av1::Units::read(payload).unwrap();
    // N, two elements: a sequence header, a frame of T1 S2 that goes on.
    let first = units(&[0x68, 2, 0x08, 0xAA, 0x34, 0x30, 0xBB]);
    assert!(first.new_sequence && first.sequence_header);
    assert!(!first.continues && first.continued);
    assert_eq!(first.layer, Some((1, 2)));
    // Z: what continues has no header.
    let later = units(&[0x90, 0x34, 0x30]);
    assert!(later.continues && !later.new_sequence);
    assert_eq!(later.layer, None);
    // Without a count every element has a length.
    let counted = units(&[0x00, 2, 0x34, 0x28, 1, 0x08]);
    assert_eq!(counted.layer, Some((1, 1)));
    assert!(counted.sequence_header);
    // An element past the end, a length that never ends or is absurd.
    assert_eq!(av1::Units::read(&[0x00, 3, 0x34, 0x28]), None);
    assert_eq!(av1::Units::read(&[0x00, 0x80, 0x80]), None);
    assert_eq!(
        av1::Units::read(&[0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
        None
    );
    assert_eq!(av1::Units::read(&[]), None);
}

#[test]
fn short_opus_packets_are_silence() {
    assert!(opus::is_silence(&[0xF8]));
    assert!(opus::is_silence(&[0xF8, 0xFF]));
    assert!(!opus::is_silence(&[0xF8, 0xFF, 0xFE]));
}
