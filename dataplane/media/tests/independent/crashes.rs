//! Bytes from any stranger that end a process built on the other crates. When
//! one of these tests fails a newer version no longer does.

use std::panic::{UnwindSafe, catch_unwind};

use bytes::Bytes;
use forebay_wire::rtcp::{Compound, Packet as Rtcp};
use forebay_wire::rtp::Packet;
use rtp::packet::Packet as Theirs;
use webrtc_util::marshal::Unmarshal;

fn ends(run: impl FnOnce() + UnwindSafe) -> bool {
    catch_unwind(run).is_err()
}

#[test]
fn an_extension_element_past_its_block() {
    let bytes = [
        0x90, 0x60, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xBE, 0xDE, 0, 1, 0x1F, 1, 2, 3,
    ];
    assert!(ends(move || drop(Theirs::unmarshal(
        &mut Bytes::copy_from_slice(&bytes)
    ))));
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.extensions().count(), 0);
    assert_eq!(packet.header_len(), bytes.len());
}

#[test]
fn feedback_without_its_sources() {
    let bytes = [0x81, 0xCD, 0, 1, 0, 0, 0, 0];
    assert!(ends(move || drop(rtcp::packet::unmarshal(
        &mut Bytes::copy_from_slice(&bytes)
    ))));
    let mut compound = Compound::new(&bytes);
    assert!(matches!(compound.next(), Some(Rtcp::Malformed(205))));
    assert!(compound.next().is_none());
}
