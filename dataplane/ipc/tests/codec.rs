//! Whatever is sent arrives, and garbage is an error value.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use forebay_ipc::codec::{Buffer, DecodeError, decode};
use forebay_ipc::{
    FromDataplane, Generation, List, Prefix, Text, ToDataplane, TooLong, limits, stats,
};
use proptest::prelude::*;

proptest! {
    #[test]
    fn commands_round_trip(message in support::to_dataplane()) {
        let mut buffer = Buffer::new();
        let bytes = buffer.encode(&message).unwrap();
        prop_assert_eq!(decode::<ToDataplane>(bytes).unwrap(), message);
    }

    #[test]
    fn reports_round_trip(message in support::from_dataplane()) {
        let mut buffer = Buffer::new();
        let bytes = buffer.encode(&message).unwrap();
        prop_assert_eq!(decode::<FromDataplane>(bytes).unwrap(), message);
    }

    #[test]
    fn garbage_is_an_error_or_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let mut buffer = Buffer::new();
        if let Ok(message) = decode::<ToDataplane>(&bytes) {
            prop_assert!(buffer.encode(&message).is_ok());
        }
        if let Ok(message) = decode::<FromDataplane>(&bytes) {
            prop_assert!(buffer.encode(&message).is_ok());
        }
    }

    #[test]
    fn damage_is_an_error_or_another_message(
        message in support::from_dataplane(),
        at in any::<prop::sample::Index>(),
        bits in 1..=255u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut buffer = Buffer::new();
        let mut bytes = buffer.encode(&message).unwrap().to_vec();
        let cut = cut.index(bytes.len());
        prop_assert!(decode::<FromDataplane>(&bytes[..cut]).is_err());
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        let _ = decode::<FromDataplane>(&bytes);
        bytes[at] ^= bits;
        bytes.push(0);
        prop_assert!(matches!(decode::<FromDataplane>(&bytes), Err(DecodeError::Trailing(1))));
    }
}

#[test]
fn a_list_cannot_promise_more_than_its_bound() {
    // SnapshotBegin whose listeners claim 2^32 - 1 elements, then 65.
    for claim in [&[0x9a, 0xff, 0xff, 0xff, 0xff][..], &[0x98, 65][..]] {
        let mut bytes = vec![0x82, 0x02, 0x81, 0x86];
        bytes.extend_from_slice(claim);
        bytes.resize(4_000, 0);
        let error = decode::<FromDataplane>(&bytes).unwrap_err();
        assert!(
            error.to_string().contains("exceeds the limit of 64"),
            "{error}"
        );
    }
    assert_eq!(
        List::<u8, 3>::new(vec![0; 4]),
        Err(TooLong {
            length: 4,
            limit: 3
        })
    );
}

#[test]
fn a_text_cannot_exceed_its_bound() {
    assert_eq!(
        Text::<3>::new("four"),
        Err(TooLong {
            length: 4,
            limit: 3
        })
    );
    assert_eq!(&*Text::<3>::truncated("aéé"), "aé");
    assert_eq!(&*Text::<2>::truncated("aéé"), "a");
    assert!(matches!(
        decode::<ToDataplane>(&vec![0; limits::MESSAGE + 1]),
        Err(DecodeError::TooLong)
    ));
}

#[test]
fn a_prefix_is_within_its_address() {
    let v4 = "10.0.0.0".parse().unwrap();
    assert!(Prefix::new(v4, 33).is_none());
    assert!(Prefix::new("::".parse().unwrap(), 129).is_none());
    // SetPolicy, generation 1, allow [10.0.0.0/33].
    let bytes = [
        0x82, 0x01, 0x82, 0x01, 0x82, 0x01, 0x81, 0x84, 0x01, 0x81, 0x82, 0x82, 0x00, 0x44, 10, 0,
        0, 0, 0x18, 33, 0x80, 0x00,
    ];
    let error = decode::<ToDataplane>(&bytes).unwrap_err();
    assert!(
        error.to_string().contains("longer than its address"),
        "{error}"
    );
}

#[test]
fn secrets_hide() {
    let (to, _) = support::samples::all();
    let shown = format!("{to:?}");
    assert!(
        shown.contains("2026-11") && shown.contains("(hidden)"),
        "{shown}"
    );
    assert!(
        !shown.contains("pässword") && !shown.contains("north"),
        "{shown}"
    );
    assert!(!shown.contains("110, 111, 114, 116, 104"), "{shown}");
}

#[test]
fn generations_rise_and_never_wrap() {
    assert_eq!(Generation(1).next(), Generation(2));
    assert_eq!(Generation(u64::MAX).next(), Generation(u64::MAX));
}

#[test]
fn the_table_is_in_order_and_names_nothing_twice() {
    for (index, definition) in stats::TABLE.iter().enumerate() {
        assert_eq!(definition.stat as usize, index);
    }
    let mut names: Vec<_> = stats::TABLE.iter().map(|d| (d.name, d.label)).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), stats::COUNT);
    const { assert!(stats::COUNT <= limits::STATS) };
    assert_ne!(stats::fingerprint(), 0);
}
