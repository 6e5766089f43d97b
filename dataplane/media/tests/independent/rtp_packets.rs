//! RTP headers, both ways.

use bytes::Bytes;
use forebay_wire::rtp::{Form, HeaderWriter, Packet};
use proptest::prelude::*;
use rtp::header::{Extension, Header};
use rtp::packet::Packet as Theirs;
use webrtc_util::marshal::{Marshal, Unmarshal};

fn elements(two_byte: bool) -> BoxedStrategy<Vec<(u8, Vec<u8>)>> {
    let one = (1_u8..=14, prop::collection::vec(any::<u8>(), 1..=16));
    let two = (1_u8..=255, prop::collection::vec(any::<u8>(), 0..=40));
    match two_byte {
        false => prop::collection::vec(one, 1..6).boxed(),
        true => prop::collection::vec(two, 1..6).boxed(),
    }
}

fn headers() -> impl Strategy<Value = (HeaderWriter, Vec<(u8, Vec<u8>)>)> {
    let extensions = prop_oneof![Just(Vec::new()).boxed(), elements(false), elements(true)];
    let fields = (
        any::<bool>(),
        0_u8..128,
        any::<u16>(),
        any::<u32>(),
        any::<u32>(),
    );
    (fields, extensions).prop_map(|((marker, payload_type, sequence, timestamp, ssrc), all)| {
        let header = HeaderWriter {
            marker,
            padding: false,
            payload_type,
            sequence,
            timestamp,
            ssrc,
        };
        (header, all)
    })
}

proptest! {
    #[test]
    fn they_read_what_we_write(
        (header, extensions) in headers(),
        payload in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let borrowed: Vec<_> = extensions.iter().map(|(id, value)| (*id, &value[..])).collect();
        let mut packet = vec![0xEE; HeaderWriter::len(&borrowed)];
        header.write(&mut packet, &borrowed).unwrap();
        packet.extend_from_slice(&payload);
        let theirs = Theirs::unmarshal(&mut Bytes::from(packet)).unwrap();
        prop_assert_eq!(theirs.header.marker, header.marker);
        prop_assert_eq!(theirs.header.payload_type, header.payload_type);
        prop_assert_eq!(theirs.header.sequence_number, header.sequence);
        prop_assert_eq!(theirs.header.timestamp, header.timestamp);
        prop_assert_eq!(theirs.header.ssrc, header.ssrc);
        let read = theirs.header.extensions.iter().map(|e| (e.id, e.payload.to_vec()));
        prop_assert!(read.eq(extensions));
        prop_assert_eq!(&theirs.payload[..], payload);
    }

    #[test]
    fn we_read_what_they_write(
        (header, extensions) in headers(),
        csrc in prop::collection::vec(any::<u32>(), 0..=15),
        payload in prop::collection::vec(any::<u8>(), 0..100),
        padding in prop::option::of(1_u8..=255),
    ) {
        let one_byte = extensions
            .iter()
            .all(|(id, value)| *id <= 14 && (1..=16).contains(&value.len()));
        let theirs = Theirs {
            header: Header {
                version: 2,
                padding: padding.is_some(),
                extension: !extensions.is_empty(),
                marker: header.marker,
                payload_type: header.payload_type,
                sequence_number: header.sequence,
                timestamp: header.timestamp,
                ssrc: header.ssrc,
                csrc: csrc.clone(),
                extension_profile: if one_byte { 0xBEDE } else { 0x1000 },
                extensions: extensions
                    .iter()
                    .map(|(id, value)| Extension {
                        id: *id,
                        payload: Bytes::copy_from_slice(value),
                    })
                    .collect(),
                extensions_padding: 0,
            },
            payload: Bytes::copy_from_slice(&payload),
        };
        // They fill up to a multiple of four on their own.
        let mut bytes = theirs.header.marshal().unwrap().to_vec();
        bytes.extend_from_slice(&payload);
        if let Some(padding) = padding {
            bytes.resize(bytes.len() + usize::from(padding) - 1, 0);
            bytes.push(padding);
        }
        let packet = Packet::parse(&bytes).unwrap();
        prop_assert_eq!(packet.marker(), header.marker);
        prop_assert_eq!(packet.payload_type(), header.payload_type);
        prop_assert_eq!(packet.sequence(), header.sequence);
        prop_assert_eq!(packet.timestamp(), header.timestamp);
        prop_assert_eq!(packet.ssrc(), header.ssrc);
        prop_assert!(packet.csrcs().eq(csrc));
        prop_assert_eq!(packet.payload(), payload);
        prop_assert_eq!(packet.padding(), padding.unwrap_or(0));
        let form = match (extensions.is_empty(), one_byte) {
            (true, _) => Form::None,
            (_, true) => Form::OneByte,
            _ => Form::TwoByte,
        };
        prop_assert_eq!(packet.extension_form(), form);
        let read = packet.extensions().map(|e| (e.id, e.data.to_vec()));
        prop_assert!(read.eq(extensions));
    }
}
