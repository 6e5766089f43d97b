//! [`SendIndication`] against [`Message`]: the fast walk sees what the whole
//! parse sees.

use forebay_wire::stun::{AttributeType, Class, Message, Method, SendIndication};

pub(crate) fn run(datagram: &[u8]) {
    let fast = SendIndication::parse(datagram);
    if let Ok(fast) = &fast {
        assert!(SendIndication::claimed_by(datagram));
        assert!(datagram.get(fast.payload()).is_some());
    }
    let Ok(whole) = Message::parse(datagram) else {
        return;
    };
    let is_send = whole.class() == Class::Indication && whole.method() == Method::SEND;
    assert_eq!(is_send, SendIndication::claimed_by(datagram));
    if !is_send {
        return assert!(fast.is_err());
    }
    if let Ok(fast) = fast {
        assert_eq!(whole.xor_peer_address(), Some(fast.peer));
        assert_eq!(whole.data(), Some(&datagram[fast.payload()]));
    } else if let (Some(_), Some(_), None) =
        (whole.xor_peer_address(), whole.data(), whole.malformed())
    {
        // Refused although complete: only for an attribute it may not have.
        assert!(whole.unknown_required(known).next().is_some());
    }
}

fn known(kind: AttributeType) -> bool {
    matches!(
        kind,
        AttributeType::XOR_PEER_ADDRESS | AttributeType::DATA | AttributeType::DONT_FRAGMENT
    )
}
