//! Headers are what an independent reader expects.

use forebay_wire::rtp;
use proptest::prelude::*;

use crate::describe::Extensions;
use crate::egress::header::{Elements, Fields, MAX_HEADER, Template, send_time};
use crate::ids::{Mid, Ssrc};

fn ids() -> impl Strategy<Value = Extensions> {
    let id = |range: core::ops::Range<u8>| prop::option::of(range);
    (
        id(1..2),
        id(2..3),
        id(3..5),
        id(5..6),
        id(6..7),
        prop_oneof![id(7..15), id(15..40)],
        id(40..41),
    )
        .prop_map(
            |(mid, time, wide, level, delay, descriptor, high)| Extensions {
                mid,
                abs_send_time: time,
                transport_cc: wide,
                audio_level: level,
                playout_delay: delay,
                dependency_descriptor: descriptor,
                video_orientation: high,
                ..Extensions::default()
            },
        )
}

proptest! {
    #[test]
    fn read_back(
        ids in ids(),
        descriptor in prop_oneof![Just(0..0), Just(0..3), Just(0..16), Just(0..17), Just(0..90)],
        level in prop::option::of(any::<u8>()),
        marker in any::<bool>(),
        frame_shift in any::<u16>(),
        number in any::<u16>(),
    ) {
        let mid = Mid::new(b"17").expect("short");
        let template = Template::new(Ssrc(0xdead_beef), ids, mid, true);
        let all: Vec<u8> = (0..90).collect();
        let descriptor = &all[descriptor];
        let fields = Fields {
            marker,
            padding: false,
            payload_type: 101,
            sequence: number,
            timestamp: 0x0102_0304,
            transport: number ^ 0x5555,
            send_time: send_time(5_500_000_000),
            elements: Elements {
                audio_level: level,
                video_orientation: Some(3),
                playout_delay: Some([1, 2, 3]),
                abs_capture_time: &[],
                dependency_descriptor: descriptor,
                frame_shift,
            },
        };
        let mut buffer = [0xa5; MAX_HEADER];
        let len = template.write(&mut buffer, &fields);
        let packet = rtp::Packet::parse(&buffer[..len]).expect("well-formed");
        prop_assert_eq!(packet.header_len(), len);
        prop_assert_eq!(packet.ssrc(), 0xdead_beef);
        prop_assert_eq!(packet.marker(), marker);
        prop_assert_eq!(packet.payload_type(), 101);
        prop_assert_eq!(packet.sequence(), number);
        prop_assert_eq!(packet.timestamp(), 0x0102_0304);
        let find = |id: Option<u8>| {
            id.and_then(|id| packet.extension(id)).map(|element| element.data.to_vec())
        };
        prop_assert_eq!(find(ids.mid), ids.mid.map(|_| b"17".to_vec()));
        prop_assert_eq!(find(ids.transport_cc), ids.transport_cc.map(|_| (number ^ 0x5555).to_be_bytes().to_vec()));
        prop_assert_eq!(find(ids.abs_send_time), ids.abs_send_time.map(|_| vec![0x16, 0, 0]));
        prop_assert_eq!(find(ids.audio_level), ids.audio_level.and(level).map(|level| vec![level]));
        prop_assert_eq!(find(ids.video_orientation), ids.video_orientation.map(|_| vec![3]));
        let expected = ids.dependency_descriptor.filter(|_| descriptor.len() >= 3).map(|_| {
            let mut expected = descriptor.to_vec();
            let shifted = u16::from_be_bytes([expected[1], expected[2]]).wrapping_add(frame_shift);
            expected[1..3].copy_from_slice(&shifted.to_be_bytes());
            expected
        });
        prop_assert_eq!(find(ids.dependency_descriptor), expected);
    }
}
