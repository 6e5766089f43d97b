//! Single rules of RFC 8489, 8656 and 7983 that a server's safety rests on.

use std::net::SocketAddr;

use forebay_wire::stun::{
    AttributeType, Builder, Class, ErrorCode, Fingerprint, Icmp, Message, Method, SendIndication,
    TransactionId,
};
use forebay_wire::{ChannelData, NoRoom, ParseError, Protocol};

type Fill = dyn Fn(&mut Builder<'_>) -> Result<(), NoRoom>;

const ID: TransactionId = TransactionId([0x5A; 12]);

fn build(
    class: Class,
    method: Method,
    fill: impl FnOnce(&mut Builder<'_>) -> Result<(), NoRoom>,
) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    let mut builder = Builder::new(&mut buffer, class, method, ID).expect("room");
    fill(&mut builder).expect("room");
    let len = builder.len();
    buffer.truncate(len);
    buffer
}

fn request(fill: impl FnOnce(&mut Builder<'_>) -> Result<(), NoRoom>) -> Vec<u8> {
    build(Class::Request, Method::ALLOCATE, fill)
}

fn send(fill: impl FnOnce(&mut Builder<'_>) -> Result<(), NoRoom>) -> Vec<u8> {
    build(Class::Indication, Method::SEND, fill)
}

fn peer() -> SocketAddr {
    "192.0.2.7:4711".parse().expect("an address")
}

#[test]
fn a_header_is_checked_whole() {
    let good = request(|_| Ok(()));
    assert!(Message::parse(&good).is_ok());
    let cases: [(usize, u8, ParseError); 4] = [
        (0, 0x40, ParseError::WrongType),
        (0, 0x80, ParseError::WrongType),
        (5, 0xFF, ParseError::MagicCookie),
        (3, 0x04, ParseError::Length),
    ];
    for (at, xor, error) in cases {
        let mut bad = good.clone();
        bad[at] ^= xor;
        assert_eq!(Message::parse(&bad).err(), Some(error));
    }
    assert_eq!(
        Message::parse(&good[..19]).err(),
        Some(ParseError::TooShort)
    );
    let mut long = good.clone();
    long.push(0);
    assert_eq!(Message::parse(&long).err(), Some(ParseError::Length));
    // Header and datagram agree on a length that is no multiple of four.
    long[3] = 1;
    assert_eq!(Message::parse(&long).err(), Some(ParseError::Length));
}

#[test]
fn an_attribute_may_not_reach_past_the_message() {
    let mut datagram = request(|b| b.push(AttributeType::USERNAME, b"abcde"));
    datagram[23] = 9;
    assert_eq!(
        Message::parse(&datagram).err(),
        Some(ParseError::AttributeOverrun)
    );
    datagram[23] = 8;
    assert!(Message::parse(&datagram).is_ok());
}

#[test]
fn nothing_after_the_integrity_attribute_counts() {
    for (seal, tag) in [
        (AttributeType::MESSAGE_INTEGRITY, 20),
        (AttributeType::MESSAGE_INTEGRITY_SHA256, 32),
    ] {
        let datagram = request(|b| {
            b.push_u32(AttributeType::LIFETIME, 60)?;
            b.push(seal, &vec![0; tag])?;
            b.push(AttributeType::USERNAME, b"smuggled")?;
            b.push(AttributeType(0x7777), b"smuggled")?;
            b.push_u32(AttributeType::CHANNEL_NUMBER, 0x4000_0000)?;
            b.push(AttributeType::REALM, &[b'x'; 900])?;
            b.push_fingerprint()
        });
        let message = Message::parse(&datagram).expect("well-formed");
        assert_eq!(message.lifetime(), Some(60));
        assert_eq!(message.username(), None);
        assert_eq!(message.channel_number(), None);
        assert_eq!(message.malformed(), None);
        assert_eq!(
            message
                .unknown_required(|kind| kind == AttributeType::LIFETIME)
                .count(),
            0
        );
        assert_eq!(message.fingerprint(), Fingerprint::Valid);
        assert_eq!(
            message.integrity().is_some(),
            seal == AttributeType::MESSAGE_INTEGRITY
        );
        let kinds: Vec<_> = message.attributes().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [AttributeType::LIFETIME, seal]);
    }
}

#[test]
fn message_integrity_behind_its_sha256_sibling_is_ignored() {
    let datagram = request(|b| {
        b.push(AttributeType::MESSAGE_INTEGRITY_SHA256, &[1; 32])?;
        b.push(AttributeType::MESSAGE_INTEGRITY, &[2; 20])
    });
    assert!(
        Message::parse(&datagram)
            .expect("well-formed")
            .integrity()
            .is_none()
    );
}

#[test]
fn trailers_have_fixed_lengths_and_places() {
    let wrong: [&Fill; 5] = [
        &|b| b.push(AttributeType::MESSAGE_INTEGRITY, &[0; 19]),
        &|b| b.push(AttributeType::MESSAGE_INTEGRITY, &[0; 24]),
        &|b| b.push(AttributeType::MESSAGE_INTEGRITY_SHA256, &[0; 12]),
        &|b| b.push(AttributeType::FINGERPRINT, &[0; 3]),
        &|b| {
            b.push_fingerprint()?;
            b.push(AttributeType::USERNAME, b"late")
        },
    ];
    for fill in wrong {
        assert_eq!(
            Message::parse(&request(fill)).err(),
            Some(ParseError::Trailer)
        );
    }
}

#[test]
fn the_first_of_two_counts_and_peers_may_be_many() {
    let other: SocketAddr = "[2001:db8::1]:9".parse().expect("an address");
    let datagram = request(|b| {
        b.push_u32(AttributeType::LIFETIME, 1)?;
        b.push_u32(AttributeType::LIFETIME, 2)?;
        b.push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer())?;
        b.push_xor_address(AttributeType::XOR_PEER_ADDRESS, other)
    });
    let message = Message::parse(&datagram).expect("well-formed");
    assert_eq!(message.lifetime(), Some(1));
    assert_eq!(message.xor_peer_address(), Some(peer()));
    assert_eq!(
        message.xor_peer_addresses().collect::<Vec<_>>(),
        [peer(), other]
    );
}

#[test]
fn a_misshapen_value_is_named_and_absent() {
    let cases: [(AttributeType, &[u8]); 9] = [
        (AttributeType::LIFETIME, &[0; 5]),
        (AttributeType::XOR_PEER_ADDRESS, &[0, 1, 0, 0, 0, 0, 0]),
        (AttributeType::XOR_PEER_ADDRESS, &[0, 2, 0, 0, 0, 0, 0, 0]),
        (AttributeType::XOR_PEER_ADDRESS, &[0, 3, 0, 0, 0, 0, 0, 0]),
        (AttributeType::USERNAME, &[b'u'; 509]),
        (AttributeType::EVEN_PORT, &[]),
        (AttributeType::ERROR_CODE, &[0, 0, 7, 0]),
        (AttributeType::DONT_FRAGMENT, &[0]),
        (AttributeType::RESERVATION_TOKEN, &[0; 7]),
    ];
    for (kind, value) in cases {
        let datagram = request(|b| b.push(kind, value));
        let message = Message::parse(&datagram).expect("well-formed");
        assert_eq!(message.malformed(), Some(kind));
        assert_eq!(message.lifetime(), None);
        assert_eq!(message.xor_peer_addresses().count(), 0);
        assert_eq!(message.username(), None);
        assert_eq!(message.error_code(), None);
        assert!(!message.dont_fragment());
        assert_eq!(message.get(kind), Some(value));
    }
}

#[test]
fn unknown_required_types_are_listed_and_echoed() {
    let datagram = request(|b| {
        b.push_empty(AttributeType(0x7F01))?;
        b.push_empty(AttributeType(0xFF01))?;
        b.push_empty(AttributeType(0x7F02))?;
        b.push_integrity(&[0; 20])
    });
    let message = Message::parse(&datagram).expect("well-formed");
    let answer = build(Class::Error, message.method(), |b| {
        b.push_error_code(ErrorCode::UNKNOWN_ATTRIBUTE, "")?;
        b.push_unknown_attributes(message.unknown_required(|_| false))
    });
    let answer = Message::parse(&answer).expect("well-formed");
    assert_eq!(
        answer.error_code(),
        Some((ErrorCode::UNKNOWN_ATTRIBUTE, &b""[..]))
    );
    let listed: Vec<_> = answer.unknown_attributes().collect();
    assert_eq!(listed, [AttributeType(0x7F01), AttributeType(0x7F02)]);
}

#[test]
fn send_indications_are_read_in_one_walk() {
    let datagram = send(|b| {
        b.push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer())?;
        b.push_empty(AttributeType::DONT_FRAGMENT)?;
        b.push(AttributeType::DATA, b"media")?;
        b.push(AttributeType::SOFTWARE, b"x")?;
        b.push_fingerprint()
    });
    let read = SendIndication::parse(&datagram).expect("well-formed");
    assert!(SendIndication::claimed_by(&datagram));
    assert_eq!(
        (read.peer, &datagram[read.payload()], read.dont_fragment),
        (peer(), &b"media"[..], true)
    );
}

#[test]
fn send_indications_lack_nothing_and_hide_nothing() {
    let wrong = [
        send(|b| b.push(AttributeType::DATA, b"no peer")),
        send(|b| b.push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer())),
        send(|b| {
            b.push(AttributeType::XOR_PEER_ADDRESS, &[0, 1, 0, 0])?;
            b.push(AttributeType::DATA, b"no address")
        }),
        send(|b| {
            b.push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer())?;
            b.push_empty(AttributeType(0x7F01))?;
            b.push(AttributeType::DATA, b"not understood")
        }),
        send(|b| {
            b.push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer())?;
            b.push_integrity(&[0; 20])?;
            b.push(AttributeType::DATA, b"behind the seal")
        }),
    ];
    for datagram in wrong {
        assert_eq!(SendIndication::parse(&datagram), Err(ParseError::Attribute));
    }
    let request = request(|b| b.push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer()));
    assert!(!SendIndication::claimed_by(&request));
    assert_eq!(SendIndication::parse(&request), Err(ParseError::WrongType));
}

#[test]
fn the_longest_message_can_be_written_and_read() {
    let payload = vec![7; 65_532 - 4];
    let datagram = request(|b| b.push(AttributeType::DATA, &payload));
    assert_eq!(
        Message::parse(&datagram).expect("well-formed").data(),
        Some(&payload[..])
    );
    let mut buffer = vec![0; 70_000];
    let mut builder = Builder::new(&mut buffer, Class::Request, Method::BINDING, ID).expect("room");
    builder.push(AttributeType::DATA, &payload).expect("room");
    assert_eq!(
        builder.push_empty(AttributeType::DONT_FRAGMENT),
        Err(NoRoom)
    );
    assert_eq!(builder.push_fingerprint(), Err(NoRoom));
    assert_eq!(
        builder.push(AttributeType::DATA, &vec![0; 65_536]),
        Err(NoRoom)
    );
}

#[test]
fn channel_numbers_end_at_0x7fff() {
    assert!(ChannelData::parse(&[0x7F, 0xFF, 0, 0]).is_ok());
    assert_eq!(
        ChannelData::parse(&[0x80, 0x00, 0, 0]),
        Err(ParseError::WrongType)
    );
    assert_eq!(
        ChannelData::parse(&[0x3F, 0xFF, 0, 0]),
        Err(ParseError::WrongType)
    );
    assert_eq!(
        ChannelData::parse(&[0x40, 0x00, 0]),
        Err(ParseError::TooShort)
    );
    assert_eq!(
        ChannelData::parse(&[0x40, 0x00, 0, 1]),
        Err(ParseError::Length)
    );
}

#[test]
fn first_bytes_tell_protocols_apart() {
    let expected = |byte: u8| match byte {
        0..=3 => Protocol::Stun,
        4..=15 => Protocol::Unknown,
        16..=19 => Protocol::Zrtp,
        20..=63 => Protocol::Dtls,
        64..=127 => Protocol::ChannelData,
        192..=255 => Protocol::Quic,
        128..=191 => Protocol::Rtp,
    };
    for byte in 0..=255 {
        assert_eq!(Protocol::of(&[byte, 96]), expected(byte), "{byte}");
    }
    assert_eq!(Protocol::of(&[]), Protocol::Unknown);
    assert_eq!(Protocol::of(&[0x80, 200]), Protocol::Rtcp);
    assert_eq!(Protocol::of(&[0x80, 224]), Protocol::Rtp);
}

#[test]
fn icmp_has_seven_bits_of_type_and_nine_of_code() {
    let unreachable = Icmp {
        kind: 3,
        code: 3,
        data: 0,
    };
    assert_eq!(unreachable.encode(), [0, 0, 6, 3, 0, 0, 0, 0]);
    let too_long = Icmp {
        kind: 3,
        code: 4,
        data: 1280,
    };
    assert_eq!(too_long.encode(), [0, 0, 6, 4, 0, 0, 5, 0]);
    for kind in 0..128 {
        for code in 0..=255 {
            let icmp = Icmp {
                kind,
                code,
                data: u32::MAX - u32::from(code),
            };
            assert_eq!(Icmp::decode(&icmp.encode()), Some(icmp));
        }
    }
    assert_eq!(Icmp::decode(&[0, 0, 7, 0, 0, 0, 0, 0]), None);
    assert_eq!(Icmp::decode(&[0; 7]), None);
    assert_eq!(Icmp::decode(&[0; 12]), None);
}
