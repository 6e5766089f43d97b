//! What holds for any bytes and any message that was built here.

use std::net::SocketAddr;

use forebay_wire::stun::{
    AttributeType, Builder, Class, Fingerprint, Message, Method, SendIndication, TransactionId,
    data_indication,
};
use forebay_wire::{ChannelData, Protocol};
use proptest::prelude::*;

fn attribute() -> impl Strategy<Value = (AttributeType, Vec<u8>)> {
    let kinds = prop_oneof![
        4 => prop::sample::select(vec![
            AttributeType::USERNAME, AttributeType::LIFETIME, AttributeType::XOR_PEER_ADDRESS,
            AttributeType::DATA, AttributeType::CHANNEL_NUMBER, AttributeType::EVEN_PORT,
            AttributeType::ERROR_CODE, AttributeType::UNKNOWN_ATTRIBUTES, AttributeType::RESERVATION_TOKEN,
            AttributeType::DONT_FRAGMENT, AttributeType::REQUESTED_TRANSPORT, AttributeType::XOR_RELAYED_ADDRESS,
        ]),
        1 => any::<u16>().prop_map(AttributeType),
    ];
    (kinds, prop::collection::vec(any::<u8>(), 0..40)).prop_filter(
        "trailers are added in their place",
        |(kind, _)| {
            !matches!(
                *kind,
                AttributeType::MESSAGE_INTEGRITY
                    | AttributeType::MESSAGE_INTEGRITY_SHA256
                    | AttributeType::FINGERPRINT
            )
        },
    )
}

/// A header that passes, so that the attribute walk sees arbitrary bytes.
fn stun_shaped() -> impl Strategy<Value = Vec<u8>> {
    (
        any::<u16>(),
        any::<[u8; 12]>(),
        prop::collection::vec((prop_oneof![0_u16..0x30, any::<u16>()], 0_u16..40), 0..12),
    )
        .prop_flat_map(|(kind, id, tlvs)| {
            let words: usize = tlvs
                .iter()
                .map(|(_, len)| 1 + usize::from(*len).div_ceil(4))
                .sum();
            (
                Just((kind, id, tlvs)),
                prop::collection::vec(any::<u8>(), words * 4),
                any::<prop::sample::Index>(),
                any::<u8>(),
            )
        })
        .prop_map(|((kind, id, tlvs), mut body, spot, noise)| {
            let mut at = 0;
            for (kind, len) in tlvs {
                body[at..at + 2].copy_from_slice(&kind.to_be_bytes());
                body[at + 2..at + 4].copy_from_slice(&len.to_be_bytes());
                at += 4 + usize::from(len).next_multiple_of(4);
            }
            // One byte of noise reaches overrunning lengths and odd families.
            if !body.is_empty() {
                let spot = spot.index(body.len());
                body[spot] ^= noise & 0x1F;
            }
            let mut message = (kind & 0x3FFF).to_be_bytes().to_vec();
            message.extend((body.len() as u16).to_be_bytes());
            message.extend(0x2112_A442_u32.to_be_bytes());
            message.extend(id);
            message.extend(body);
            message
        })
}

/// Calls every getter and checks that slices stay inside the datagram.
fn exercise(datagram: &[u8]) {
    let inside = |part: &[u8]| {
        datagram.as_ptr_range().start <= part.as_ptr()
            && part.as_ptr_range().end <= datagram.as_ptr_range().end
    };
    assert_eq!(
        matches!(Protocol::of(datagram), Protocol::Stun),
        datagram.first().is_some_and(|b| *b < 4)
    );
    if let Ok(channel) = ChannelData::parse(datagram) {
        assert!(inside(channel.payload()));
        assert_eq!(Protocol::of(datagram), Protocol::ChannelData);
    }
    if let Ok(send) = SendIndication::parse(datagram) {
        let message = Message::parse(datagram);
        if let Ok(message) = message {
            assert_eq!(message.data(), Some(&datagram[send.payload()]));
            assert_eq!(message.xor_peer_address(), Some(send.peer));
        }
        assert!(datagram.get(send.payload()).is_some());
    }
    let Ok(message) = Message::parse(datagram) else {
        return;
    };
    assert!(message.attributes().all(|(_, value)| inside(value)));
    for text in [
        message.username(),
        message.realm(),
        message.nonce(),
        message.software(),
        message.data(),
    ] {
        assert!(text.is_none_or(inside));
    }
    assert!(
        message
            .integrity()
            .is_none_or(|i| inside(i.input.body) && inside(i.mac))
    );
    assert!(
        message
            .error_code()
            .is_none_or(|(code, reason)| (300..700).contains(&code.get()) && inside(reason))
    );
    assert!(message.xor_peer_addresses().count() <= message.attributes().count());
    assert_eq!(
        message.xor_peer_addresses().next(),
        message.xor_peer_address()
    );
    assert!(message.unknown_required(|_| false).count() <= message.attributes().count());
    assert!(message.fingerprint() != Fingerprint::Valid || datagram.len() >= 28);
    let _ = (
        message.lifetime(),
        message.requested_transport(),
        message.channel_number(),
        message.even_port(),
    );
    let _ = (
        message.requested_address_family(),
        message.additional_address_family(),
        message.dont_fragment(),
    );
    let _ = (
        message.reservation_token(),
        message.unknown_attributes().count(),
        message.malformed(),
    );
    assert!(!format!("{message:?}").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn any_bytes(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&datagram);
    }

    #[test]
    fn any_attributes(datagram in stun_shaped()) {
        exercise(&datagram);
    }

    #[test]
    fn built_messages_read_back(
        attributes in prop::collection::vec(attribute(), 0..12),
        id in any::<[u8; 12]>(),
        method in 0_u16..0x1000,
        class in prop::sample::select(vec![Class::Request, Class::Indication, Class::Success, Class::Error]),
        tag in prop::option::of(any::<[u8; 20]>()),
        fingerprint in any::<bool>(),
    ) {
        let mut buffer = [0xEE; 1024];
        let method = Method::new(method).expect("twelve bits");
        let mut builder = Builder::new(&mut buffer, class, method, TransactionId(id)).expect("room");
        for (kind, value) in &attributes {
            builder.push(*kind, value).expect("room");
        }
        let input = builder.integrity_input();
        let expected = (input.header, input.body.to_vec());
        if let Some(tag) = &tag {
            builder.push_integrity(tag).expect("room");
        }
        if fingerprint {
            builder.push_fingerprint().expect("room");
        }
        let len = builder.len();
        exercise(&buffer[..len]);

        let message = Message::parse(&buffer[..len]).expect("well-formed");
        prop_assert_eq!((message.class(), message.method(), message.transaction_id().0), (class, method, id));
        let read: Vec<_> = message.attributes().map(|(kind, value)| (kind, value.to_vec())).collect();
        prop_assert_eq!(&read[..attributes.len()], &attributes[..]);
        prop_assert_eq!(read.len(), attributes.len() + usize::from(tag.is_some()));
        let expected_fingerprint = if fingerprint { Fingerprint::Valid } else { Fingerprint::Absent };
        prop_assert_eq!(message.fingerprint(), expected_fingerprint);
        match (message.integrity(), tag) {
            (None, None) => {}
            (Some(integrity), Some(tag)) => {
                prop_assert_eq!(integrity.mac, &tag);
                prop_assert_eq!((integrity.input.header, integrity.input.body.to_vec()), expected);
            }
            (read, built) => prop_assert!(false, "read {}, built {}", read.is_some(), built.is_some()),
        }
    }

    #[test]
    fn running_out_of_room_leaves_the_message_whole(
        attributes in prop::collection::vec(attribute(), 1..12),
        room in 0_usize..200,
    ) {
        let mut buffer = vec![0xEE; room];
        let Ok(mut builder) = Builder::new(&mut buffer, Class::Request, Method::REFRESH, TransactionId([7; 12])) else {
            prop_assert!(room < 20);
            return Ok(());
        };
        let mut fitted = Vec::new();
        for (kind, value) in attributes {
            let needed = 4 + value.len().next_multiple_of(4);
            let fits = builder.len() + needed <= room;
            prop_assert_eq!(builder.push(kind, &value).is_ok(), fits);
            if fits {
                fitted.push((kind, value));
            }
        }
        let len = builder.len();
        let message = Message::parse(&buffer[..len]).expect("well-formed");
        let read: Vec<_> = message.attributes().map(|(kind, value)| (kind, value.to_vec())).collect();
        prop_assert_eq!(read, fitted);
    }

    #[test]
    fn data_indications_wrap_a_payload_in_place(
        payload in prop::collection::vec(any::<u8>(), 0..100),
        peer in any::<SocketAddr>(),
        id in any::<[u8; 12]>(),
        spare in 0_usize..20,
    ) {
        let peer = SocketAddr::new(peer.ip(), peer.port());
        let len = payload.len() as u16;
        let framing = data_indication::Framing::of(&peer, len);
        let mut memory = vec![0xEE; spare + usize::from(framing.header)];
        prop_assert_eq!(data_indication::write_header(&mut memory, TransactionId(id), peer, len), Ok(framing));
        prop_assert!(memory[..spare].iter().all(|b| *b == 0xEE));
        memory.extend(&payload);
        memory.extend(vec![0x99; usize::from(framing.padding)]);

        let message = Message::parse(&memory[spare..]).expect("well-formed");
        prop_assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        prop_assert_eq!(message.transaction_id().0, id);
        prop_assert_eq!(message.xor_peer_address(), Some(peer));
        prop_assert_eq!(message.data(), Some(&payload[..]));
        let mut short = vec![0; usize::from(framing.header) - 1];
        prop_assert!(data_indication::write_header(&mut short, TransactionId(id), peer, len).is_err());
    }

    #[test]
    fn channel_data_trims_padding(
        number in 0x4000_u16..=0x7FFF,
        payload in prop::collection::vec(any::<u8>(), 0..100),
        padding in 0_usize..4,
    ) {
        let mut datagram = ChannelData::header(number, payload.len() as u16).to_vec();
        datagram.extend(&payload);
        datagram.extend(vec![0xAB; padding]);
        let channel = ChannelData::parse(&datagram).expect("well-formed");
        prop_assert_eq!((channel.number(), channel.payload()), (number, &payload[..]));
        datagram.truncate(4 + payload.len());
        datagram.pop();
        prop_assert!(ChannelData::parse(&datagram).is_err());
    }
}
