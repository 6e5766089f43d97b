//! VP8 and VP9 payload descriptors.

use bytes::Bytes;
use forebay_media::codec::{vp8, vp9};
use proptest::prelude::*;
use rtp::codecs::vp8::Vp8Packet;
use rtp::codecs::vp9::Vp9Packet;
use rtp::packetizer::Depacketizer;

/// Three layers with their sizes and a group of two pictures.
#[test]
fn a_vp9_structure_reads_the_same() {
    let payload = [
        0x0A,
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
        208,
        2,
        0b0001_0100,
        1,
        0b0010_1000,
        1,
        2,
        0xAA,
    ];
    let mut theirs = Vp9Packet::default();
    let rest = theirs
        .depacketize(&Bytes::copy_from_slice(&payload))
        .unwrap();
    let ours = vp9::Descriptor::read(&payload).unwrap();
    assert_eq!(&payload[ours.len..], &rest[..]);
    let structure = ours.structure.unwrap();
    assert_eq!(structure.spatial_layers, theirs.ns + 1);
    assert_eq!(
        structure.resolution,
        Some((theirs.width[2], theirs.height[2]))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn vp8_descriptors_read_the_same(payload in prop::collection::vec(any::<u8>(), 8..20)) {
        let bytes = Bytes::copy_from_slice(&payload);
        let mut theirs = Vp8Packet::default();
        let rest = theirs.depacketize(&bytes).unwrap();
        let ours = vp8::Descriptor::read(&payload).unwrap();
        prop_assert_eq!(&payload[ours.len..], &rest[..]);
        prop_assert_eq!(ours.non_reference, theirs.n == 1);
        prop_assert_eq!(ours.partition_start, theirs.s == 1);
        prop_assert_eq!(ours.partition, theirs.pid);
        prop_assert_eq!(ours.picture_id.is_some(), theirs.i == 1);
        prop_assert_eq!(ours.picture_id.map_or(0, |id| id.value), theirs.picture_id);
        prop_assert_eq!(ours.base_index.map_or(0, |field| field.value), theirs.tl0_pic_idx);
        prop_assert_eq!(ours.layer.unwrap_or_default(), (theirs.tid, theirs.y == 1));
        prop_assert_eq!(ours.key_index.map_or(0, |field| field.value & 0x1F), theirs.key_idx);
        let frame = vp8::frame(&payload, false).unwrap();
        let key = theirs.s == 1 && theirs.pid == 0 && rest[0] & 1 == 0;
        prop_assert_eq!(frame.keyframe, key);
    }

    #[test]
    fn vp9_descriptors_read_the_same(payload in prop::collection::vec(any::<u8>(), 0..60)) {
        let bytes = Bytes::copy_from_slice(&payload);
        let mut theirs = Vp9Packet::default();
        let rest = theirs.depacketize(&bytes);
        let Some(ours) = vp9::Descriptor::read(&payload) else {
            // Some of what is cut off they take.
            return Ok(());
        };
        let layer = ours.layer.unwrap_or_default();
        // They take reserved bits for G.
        prop_assume!(ours.structure.is_none());
        let Ok(rest) = rest else {
            // They refuse spatial layers above 4 and a third reference.
            prop_assert!(layer.spatial > 4 || ours.flexible && ours.inter_picture);
            return Ok(());
        };
        prop_assert_eq!(&payload[ours.len..], &rest[..]);
        prop_assert_eq!(ours.inter_picture, theirs.p);
        prop_assert_eq!(ours.flexible, theirs.f);
        prop_assert_eq!((ours.start, ours.end), (theirs.b, theirs.e));
        prop_assert_eq!(ours.not_reference_above, theirs.z);
        prop_assert_eq!(ours.picture_id.map_or(0, |id| id.value), theirs.picture_id);
        prop_assert_eq!((layer.temporal, layer.spatial), (theirs.tid, theirs.sid));
        prop_assert_eq!((layer.switch_up, layer.inter_layer), (theirs.u, theirs.d));
        prop_assert_eq!(ours.base_index.map_or(0, |field| field.value), theirs.tl0picidx);
    }
}
