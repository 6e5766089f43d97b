//! [`Message`]: every getter stays inside the datagram, and a message rebuilt
//! from its attributes reads the same.

use forebay_wire::stun::{AttributeType, Builder, Fingerprint, Message};

pub(crate) fn run(datagram: &[u8]) {
    let Ok(message) = Message::parse(datagram) else {
        return;
    };
    stays_inside(datagram, &message);
    rebuilds(datagram.len(), &message);
}

fn stays_inside(datagram: &[u8], message: &Message<'_>) {
    let whole = datagram.as_ptr_range();
    let inside = |part: &[u8]| {
        let part = part.as_ptr_range();
        whole.start <= part.start && part.end <= whole.end
    };
    let count = message.attributes().count();
    assert!(message.attributes().all(|(_, value)| inside(value)));
    let slices = [
        message.username(),
        message.realm(),
        message.nonce(),
        message.software(),
        message.data(),
        message.userhash().map(<[u8; 32]>::as_slice),
        message.password_algorithm(),
        message.password_algorithms(),
        message.reservation_token().map(<[u8; 8]>::as_slice),
        message.error_code().map(|(_, reason)| reason),
    ];
    assert!(slices.into_iter().flatten().all(inside));
    if let Some(integrity) = message.integrity() {
        assert!(inside(integrity.input.body) && inside(integrity.mac));
        let covered = u16::from_be_bytes([integrity.input.header[2], integrity.input.header[3]]);
        assert_eq!(usize::from(covered), integrity.input.body.len() + 24);
    }
    if let Some(integrity) = message.integrity_sha256() {
        assert!(inside(integrity.input.body) && inside(integrity.mac));
        let covered = u16::from_be_bytes([integrity.input.header[2], integrity.input.header[3]]);
        let attribute = 4 + integrity.mac.len();
        assert_eq!(usize::from(covered), integrity.input.body.len() + attribute);
    }
    assert_eq!(
        message.xor_peer_addresses().next().is_some(),
        message.xor_peer_address().is_some()
    );
    assert!(message.xor_peer_addresses().count() <= count);
    assert!(message.unknown_required(|_| false).count() <= count);
    assert!(message.unknown_attributes().count() <= datagram.len() / 2);
    if let Some(kind) = message.malformed() {
        assert!(message.get(kind).is_some());
    }
    let fixed = [
        (message.lifetime().is_some(), AttributeType::LIFETIME),
        (
            message.requested_transport().is_some(),
            AttributeType::REQUESTED_TRANSPORT,
        ),
        (
            message.requested_address_family().is_some(),
            AttributeType::REQUESTED_ADDRESS_FAMILY,
        ),
        (
            message.additional_address_family().is_some(),
            AttributeType::ADDITIONAL_ADDRESS_FAMILY,
        ),
        (
            message.channel_number().is_some(),
            AttributeType::CHANNEL_NUMBER,
        ),
        (message.even_port().is_some(), AttributeType::EVEN_PORT),
        (message.dont_fragment(), AttributeType::DONT_FRAGMENT),
        (
            message.xor_mapped_address().is_some(),
            AttributeType::XOR_MAPPED_ADDRESS,
        ),
        (
            message.xor_relayed_address().is_some(),
            AttributeType::XOR_RELAYED_ADDRESS,
        ),
    ];
    for (read, kind) in fixed {
        // Absent and misshapen are the only reasons to read nothing.
        let present = message.get(kind).is_some();
        assert!(
            read == present || (present && message.malformed().is_some()),
            "{kind:?}"
        );
    }
}

fn rebuilds(len: usize, message: &Message<'_>) {
    let mut buffer = vec![0; len];
    let mut builder = Builder::new(
        &mut buffer,
        message.class(),
        message.method(),
        message.transaction_id(),
    )
    .expect("as long as the original");
    for (kind, value) in message.attributes() {
        builder.push(kind, value).expect("as long as the original");
    }
    let signed = message.fingerprint() != Fingerprint::Absent;
    if signed {
        builder.push_fingerprint().expect("as long as the original");
    }
    let len = builder.len();
    let again = Message::parse(&buffer[..len]).expect("built here");
    assert!(again.attributes().eq(message.attributes()));
    assert_eq!(again.malformed(), message.malformed());
    assert_eq!(again.fingerprint() == Fingerprint::Valid, signed);
}
