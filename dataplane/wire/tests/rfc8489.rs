//! The test vector of RFC 8489 §B.1, and the integrity attributes around it.

use forebay_wire::stun::{
    AttributeType, Builder, Class, IntegrityInput, Message, Method, TransactionId,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

const USER: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
const LENGTH_AS_PRINTED: u16 = 0x9C;

/// As printed, but for the message length: the RFC says 0x9C where the
/// attributes take 0x88 bytes, and its MAC was made over the wrong one.
const REQUEST: &str = "\
    00010088 2112a442 78ad3433 c6ad72c0 29da412e \
    001e0020 4a3cf38f ef6992bd a952c678 0417da0f 24819415 569e60b2 05c46e41 407f1704 \
    00150029 6f624d61 744a6f73 32414141 43662f2f 3439396b 39353464 364f4c33 346f4c39 \
             46535476 79363473 41000000 \
    0014000b 6578616d 706c652e 6f726700 \
    001c0020 e4686c8f 0edeb590 13e07090 010a93ef ccbccc54 4c0a45d9 f830aa6d 6f735a01";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

fn mac(key: &[u8], input: &IntegrityInput<'_>) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    mac.update(&input.header);
    mac.update(input.body);
    mac.finalize().into_bytes().into()
}

fn key() -> [u8; 32] {
    Sha256::digest(format!("{USER}:example.org:TheMatrIX")).into()
}

#[test]
fn long_term_authentication_with_sha256_and_userhash() {
    let datagram = bytes(REQUEST);
    let message = Message::parse(&datagram).expect("well-formed");
    let userhash: [u8; 32] = Sha256::digest(format!("{USER}:example.org")).into();
    assert_eq!(message.userhash(), Some(&userhash));
    assert_eq!(message.username(), None);
    assert_eq!(
        message.nonce(),
        Some(&b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA"[..])
    );
    assert_eq!(message.realm(), Some(&b"example.org"[..]));
    assert_eq!(message.unknown_required(|_| false).count(), 3);
    assert!(message.integrity().is_none());

    let integrity = message.integrity_sha256().expect("present");
    assert_eq!(integrity.input.header[2..4], [0, 0x88]);
    let mut as_printed = integrity.input;
    as_printed.header[2..4].copy_from_slice(&LENGTH_AS_PRINTED.to_be_bytes());
    assert_eq!(mac(&key(), &as_printed), integrity.mac);
}

#[test]
fn a_built_request_reads_back() {
    let mut buffer = [0xAA; 256];
    let id = TransactionId([7; 12]);
    let mut builder = Builder::new(&mut buffer, Class::Request, Method::BINDING, id).expect("room");
    builder
        .push(AttributeType::USERHASH, &[5; 32])
        .expect("room");
    builder
        .push(AttributeType::PASSWORD_ALGORITHM, &[0, 2, 0, 0])
        .expect("room");
    builder
        .push(
            AttributeType::PASSWORD_ALGORITHMS,
            &[0, 2, 0, 0, 0, 1, 0, 0],
        )
        .expect("room");
    let tag = mac(&key(), &builder.integrity_sha256_input());
    builder.push_integrity_sha256(&tag).expect("room");
    builder.push_fingerprint().expect("room");
    let len = builder.len();

    let message = Message::parse(&buffer[..len]).expect("well-formed");
    assert_eq!(message.userhash(), Some(&[5; 32]));
    assert_eq!(message.password_algorithm(), Some(&[0, 2, 0, 0][..]));
    assert_eq!(
        message.password_algorithms(),
        Some(&[0, 2, 0, 0, 0, 1, 0, 0][..])
    );
    let integrity = message.integrity_sha256().expect("present");
    assert_eq!(mac(&key(), &integrity.input), integrity.mac);
}

/// Of both, each covers what stands before it, and the second counts only
/// right behind the first.
#[test]
fn both_integrity_attributes() {
    let build = |between: bool| {
        let mut buffer = vec![0; 256];
        let id = TransactionId([7; 12]);
        let mut builder =
            Builder::new(&mut buffer, Class::Request, Method::BINDING, id).expect("room");
        builder.push(AttributeType::NONCE, b"n").expect("room");
        builder.push_integrity(&[1; 20]).expect("room");
        if between {
            builder.push(AttributeType::DATA, b"?").expect("room");
        }
        let tag = mac(&key(), &builder.integrity_sha256_input());
        builder.push_integrity_sha256(&tag).expect("room");
        let len = builder.len();
        buffer.truncate(len);
        buffer
    };
    let datagram = build(false);
    let message = Message::parse(&datagram).expect("well-formed");
    assert_eq!(message.integrity().expect("present").input.body.len(), 8);
    let integrity = message.integrity_sha256().expect("present");
    assert_eq!(integrity.input.body.len(), 8 + 24);
    assert_eq!(mac(&key(), &integrity.input), integrity.mac);

    let datagram = build(true);
    let message = Message::parse(&datagram).expect("well-formed");
    assert!(message.integrity().is_some() && message.integrity_sha256().is_none());
    assert_eq!(message.data(), None);
}

#[test]
fn a_truncated_mac_is_told_as_it_came() {
    for len in [16, 20, 28, 32] {
        let mut buffer = [0; 128];
        let id = TransactionId([7; 12]);
        let mut builder =
            Builder::new(&mut buffer, Class::Request, Method::BINDING, id).expect("room");
        builder
            .push(AttributeType::MESSAGE_INTEGRITY_SHA256, &[9; 32][..len])
            .expect("room");
        let end = builder.len();
        let message = Message::parse(&buffer[..end]).expect("well-formed");
        let integrity = message.integrity_sha256().expect("present");
        assert_eq!(integrity.mac, &[9; 32][..len]);
        assert_eq!(usize::from(integrity.input.header[3]), 4 + len);
    }
}

#[test]
fn misshapen_values_are_absent_and_named() {
    for (kind, value) in [
        (AttributeType::USERHASH, &[0; 31][..]),
        (AttributeType::PASSWORD_ALGORITHM, &[0; 2]),
        (AttributeType::PASSWORD_ALGORITHMS, &[]),
    ] {
        let mut buffer = [0; 128];
        let id = TransactionId([7; 12]);
        let mut builder =
            Builder::new(&mut buffer, Class::Request, Method::BINDING, id).expect("room");
        builder.push(kind, value).expect("room");
        let end = builder.len();
        let message = Message::parse(&buffer[..end]).expect("well-formed");
        assert_eq!(message.malformed(), Some(kind));
        assert_eq!(message.userhash(), None);
        assert_eq!(message.password_algorithm(), None);
        assert_eq!(message.password_algorithms(), None);
    }
}
