//! RTP headers and their extensions.

use forebay_wire::ParseError;
use forebay_wire::rtp::{
    AbsSendTime, AudioLevel, Form, HeaderWriter, Packet, VideoOrientation, rtx,
};

const HEADER: HeaderWriter = HeaderWriter {
    marker: true,
    padding: false,
    payload_type: 96,
    sequence: 0xFFFE,
    timestamp: 0x0102_0304,
    ssrc: 0xA1B2_C3D4,
};

fn written(header: HeaderWriter, extensions: &[(u8, &[u8])], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xEE; 2048];
    let len = header.write(&mut packet, extensions).expect("room for it");
    assert_eq!(len, HeaderWriter::len(extensions));
    packet.truncate(len);
    packet.extend_from_slice(payload);
    packet
}

/// A packet as a browser sends video: mid, transport-wide number, send time
/// and rid in the one-byte form.
const BROWSER: &[u8] = &[
    0x90, 0xE0, 0x12, 0x34, 0, 0, 0x10, 0, 0xDE, 0xAD, 0xBE, 0xEF, // fixed
    0xBE, 0xDE, 0, 4, // sixteen bytes of elements
    0x40, b'0', // mid
    0x31, 0x0A, 0x0B, // transport-wide sequence number
    0x22, 0x12, 0x34, 0x56, // absolute send time
    0xA1, b'h', 0, // rid, filled up with a zero
    0, 0, // padding between elements
    0xD0, 0x06, // video orientation
    0x90, 0xE0, 0x80, 0x2A, 0x00, // payload
];

#[test]
fn reads_a_browsers_video_packet() {
    let packet = Packet::parse(BROWSER).unwrap();
    assert!(packet.marker());
    assert_eq!(packet.payload_type(), 96);
    assert_eq!(packet.sequence(), 0x1234);
    assert_eq!(packet.timestamp(), 0x1000);
    assert_eq!(packet.ssrc(), 0xDEAD_BEEF);
    assert_eq!(packet.csrcs().len(), 0);
    assert_eq!(packet.header_len(), 32);
    assert_eq!(packet.extension_form(), Form::OneByte);
    assert_eq!(packet.extension_range(), 16..32);
    assert_eq!(packet.payload_range(), 32..37);
    assert_eq!(packet.payload(), &BROWSER[32..]);
    assert_eq!(packet.extensions().count(), 5);
    let extension = |id| packet.extension(id).unwrap();
    assert_eq!(extension(4).tag(), Some(&b"0"[..]));
    assert_eq!(extension(3).transport_sequence(), Some(0x0A0B));
    assert_eq!(extension(2).abs_send_time().unwrap().units(), 0x12_3456);
    assert_eq!(extension(10).tag(), Some(&b"h"[..]));
    assert_eq!(
        extension(13).video_orientation(),
        Some(VideoOrientation {
            back_camera: false,
            flipped: true,
            degrees: 180,
        })
    );
    for extension in packet.extensions() {
        let range = extension.at..extension.at + extension.data.len();
        assert_eq!(&BROWSER[range], extension.data);
    }
    assert!(packet.extension(7).is_none());
}

#[test]
fn refuses_what_is_no_packet() {
    let error = |bytes: &[u8]| Packet::parse(bytes).unwrap_err();
    assert_eq!(error(&[]), ParseError::TooShort);
    assert_eq!(error(&[0x80; 11]), ParseError::TooShort);
    assert_eq!(error(&[0x40; 12]), ParseError::WrongType);
    // One contributing source, none there.
    assert_eq!(error(&[0x81; 12]), ParseError::Length);
    // An extension block without its length, and one that is too long.
    assert_eq!(error(&[0x90; 12]), ParseError::Length);
    let mut long = BROWSER[..32].to_vec();
    long[15] = 5;
    assert_eq!(error(&long), ParseError::Length);
}

#[test]
fn an_element_past_the_block_ends_the_elements() {
    // The 20 bytes on which rtp 0.17 panics: id 1, sixteen bytes, three there.
    let mut bytes = vec![0x90, 0x60, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1];
    bytes.extend([0xBE, 0xDE, 0, 1, 0x1F, 1, 2, 3]);
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.extensions().count(), 0);
    assert!(packet.payload().is_empty());
    assert_eq!(packet.header_len(), 20);
}

#[test]
fn reserved_ids_end_the_elements_of_the_one_byte_form() {
    let elements = |block: [u8; 8]| {
        let mut bytes = BROWSER[..12].to_vec();
        bytes.extend([0xBE, 0xDE, 0, 2]);
        bytes.extend(block);
        let packet = Packet::parse(&bytes).unwrap();
        packet.extensions().map(|e| e.id).collect::<Vec<_>>()
    };
    assert_eq!(elements([0x10, 1, 0xF0, 1, 0x20, 1, 0, 0]), [1]);
    assert_eq!(elements([0x10, 1, 0x01, 1, 1, 0x20, 1, 0]), [1]);
    assert_eq!(elements([0x10, 1, 0, 0, 0, 0, 0x20, 1]), [1, 2]);
}

#[test]
fn reads_the_two_byte_form() {
    let mut bytes = BROWSER[..12].to_vec();
    bytes.extend([0x10, 0x05, 0, 3]);
    bytes.extend([15, 0, 0, 200, 2, 7, 8, 1, 1, 0x85, 9, 40]);
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.extension_form(), Form::TwoByte);
    let elements: Vec<_> = packet.extensions().map(|e| (e.id, e.data, e.at)).collect();
    // The last one claims 40 bytes that are not there.
    let expected: [(u8, &[u8], usize); 3] = [(15, &[], 18), (200, &[7, 8], 21), (1, &[0x85], 25)];
    assert_eq!(elements, expected);
    assert_eq!(
        packet.extension(1).unwrap().audio_level(),
        Some(AudioLevel {
            voice: true,
            below_overload: 5
        })
    );
}

#[test]
fn another_profile_has_no_elements() {
    let mut bytes = BROWSER.to_vec();
    bytes[12] = 0xAB;
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.extension_form(), Form::Other);
    assert_eq!(packet.extensions().count(), 0);
    assert_eq!(packet.extension_range(), 16..32);
}

#[test]
fn trims_padding() {
    let mut bytes = BROWSER.to_vec();
    bytes[0] |= 0x20;
    bytes.extend([0, 0, 3]);
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.payload(), &BROWSER[32..]);
    assert_eq!(packet.padding(), 3);
    assert!(!packet.is_padding_only());
    let protected = Packet::parse_protected(&bytes).unwrap();
    assert_eq!(protected.payload_range(), 32..40);
    assert_eq!(protected.padding(), 0);

    // All of the payload is padding: a probe.
    *bytes.last_mut().unwrap() = 8;
    assert!(Packet::parse(&bytes).unwrap().is_padding_only());
    // More padding than payload, none at all, no byte to hold the count.
    for (count, len) in [(9, 40), (0, 40), (8, 32)] {
        *bytes.last_mut().unwrap() = count;
        assert_eq!(
            Packet::parse(&bytes[..len]).unwrap_err(),
            ParseError::Length
        );
    }
}

#[test]
fn skips_contributing_sources() {
    let mut bytes = BROWSER[..12].to_vec();
    bytes[0] = 0x82;
    bytes.extend([0, 0, 0, 7, 0, 0, 0, 9, 0xAA]);
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.csrcs().collect::<Vec<_>>(), [7, 9]);
    assert_eq!(packet.header_len(), 20);
    assert_eq!(packet.payload(), [0xAA]);
    assert_eq!(packet.extension_range(), 20..20);
}

#[test]
fn writes_the_form_the_elements_need() {
    let profile = |extensions: &[(u8, &[u8])]| {
        let packet = written(HEADER, extensions, &[]);
        let view = Packet::parse(&packet).unwrap();
        assert!(
            view.extensions()
                .map(|e| (e.id, e.data))
                .eq(extensions.iter().copied())
        );
        view.extension_form()
    };
    assert_eq!(profile(&[]), Form::None);
    assert_eq!(profile(&[(1, &[7]), (14, &[1; 16])]), Form::OneByte);
    assert_eq!(profile(&[(1, &[7]), (15, &[1])]), Form::TwoByte);
    assert_eq!(profile(&[(1, &[7]), (14, &[1; 17])]), Form::TwoByte);
    assert_eq!(profile(&[(1, &[])]), Form::TwoByte);
    assert_eq!(profile(&[(255, &[9; 255])]), Form::TwoByte);
}

#[test]
fn writes_every_field() {
    let header = HeaderWriter {
        padding: true,
        ..HEADER
    };
    let packet = written(header, &[(5, &[1, 2])], &[0xAB, 1]);
    assert_eq!(
        packet,
        [
            0xB0, 0xE0, 0xFF, 0xFE, 1, 2, 3, 4, 0xA1, 0xB2, 0xC3, 0xD4, 0xBE, 0xDE, 0, 1, 0x51, 1,
            2, 0, 0xAB, 1
        ]
    );
}

#[test]
fn writing_needs_room_and_possible_elements() {
    let extensions: &[(u8, &[u8])] = &[(1, &[1, 2, 3]), (2, &[4])];
    let len = HeaderWriter::len(extensions);
    for short in 0..len {
        assert!(HEADER.write(&mut vec![0; short], extensions).is_err());
    }
    assert_eq!(HEADER.write(&mut vec![0; len], extensions), Ok(len));
    let mut room = vec![0; 1000];
    assert!(HEADER.write(&mut room, &[(0, &[1])]).is_err());
    assert!(HEADER.write(&mut room, &[(1, &[1; 256])]).is_err());
}

#[test]
fn absolute_send_time_wraps_after_64_seconds() {
    let at = |millis: u64| AbsSendTime::from_nanos(millis * 1_000_000);
    assert_eq!(at(500).to_bytes(), [0x02, 0, 0]);
    assert_eq!(at(64_500), at(500));
    assert_eq!(at(1500).micros_since(at(1000)), 500_000);
    assert_eq!(at(1000).micros_since(at(1500)), -500_000);
    assert_eq!(at(64_250).micros_since(at(63_750)), 500_000);
}

#[test]
fn tags_are_visible_ascii() {
    let tag = |value: &[u8]| {
        let packet = written(HEADER, &[(1, value)], &[]);
        let view = Packet::parse(&packet).unwrap();
        view.extension(1).unwrap().tag().map(<[u8]>::to_vec)
    };
    assert_eq!(tag(b"hi"), Some(b"hi".to_vec()));
    assert_eq!(tag(b"hi\0\0"), Some(b"hi".to_vec()));
    assert_eq!(tag(b"\0"), None);
    assert_eq!(tag(b"a\0b"), None);
    assert_eq!(tag("é".as_bytes()), None);
}

#[test]
fn splits_retransmissions() {
    let [a, b] = rtx::header(0x1234);
    assert_eq!(rtx::split(&[a, b, 9]), Some((0x1234, &[9][..])));
    assert_eq!(rtx::split(&[a]), None);
}
