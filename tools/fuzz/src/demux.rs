//! [`Protocol::of`] agrees with the parsers behind it.

use forebay_wire::stun::Message;
use forebay_wire::{ChannelData, Protocol};

pub(crate) fn run(datagram: &[u8]) {
    let protocol = Protocol::of(datagram);
    assert_eq!(
        protocol,
        Protocol::of(datagram.get(..2).unwrap_or(datagram))
    );
    // RFC 7983 reads one more bit of a STUN message than RFC 8489 fixes, but
    // no method that high is assigned.
    if Message::parse(datagram).is_ok() && datagram[0] < 4 {
        assert_eq!(protocol, Protocol::Stun);
    }
    if ChannelData::parse(datagram).is_ok() {
        assert_eq!(protocol, Protocol::ChannelData);
    }
}
