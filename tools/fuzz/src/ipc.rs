//! The codec between data plane and control plane: what decodes encodes, and
//! decodes to the same again.

use forebay_ipc::codec::{Buffer, Message, decode};
use forebay_ipc::{FromDataplane, ToDataplane};

pub(crate) fn run(packet: &[u8]) {
    round_trip::<ToDataplane>(packet);
    round_trip::<FromDataplane>(packet);
}

fn round_trip<M: Message>(packet: &[u8]) {
    let Ok(message) = decode::<M>(packet) else {
        return;
    };
    let mut buffer = Buffer::new();
    // CBOR may write a number longer than it has to, never shorter, so the
    // message fits wherever it came from.
    let encoded = buffer.encode(&message).expect("fits as it came");
    assert!(encoded.len() <= packet.len());
    let again: M = decode(encoded).expect("encoded here");
    assert_eq!(format!("{message:?}"), format!("{again:?}"));
}
