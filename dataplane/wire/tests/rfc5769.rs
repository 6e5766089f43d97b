//! The test vectors of RFC 5769.

use forebay_wire::stun::{
    AttributeType, Builder, Class, Fingerprint, IntegrityInput, Message, Method,
};
use hmac::{Hmac, KeyInit, Mac};
use md5::Digest;
use sha1::Sha1;

const SHORT_TERM: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

const REQUEST: &str = "\
    00010058 2112a442 b7e7a701 bc34d686 fa87dfae \
    80220010 5354554e 20746573 7420636c 69656e74 \
    00240004 6e0001ff \
    80290008 932ff9b1 51263b36 \
    00060009 6576746a 3a683676 59202020 \
    00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2 \
    80280004 e57a3bcf";

const RESPONSE_V4: &str = "\
    0101003c 2112a442 b7e7a701 bc34d686 fa87dfae \
    8022000b 74657374 20766563 746f7220 \
    00200008 0001a147 e112a643 \
    00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7 \
    80280004 c07d4c96";

const RESPONSE_V6: &str = "\
    01010048 2112a442 b7e7a701 bc34d686 fa87dfae \
    8022000b 74657374 20766563 746f7220 \
    00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9 \
    00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41 \
    80280004 c8fb0b4c";

const LONG_TERM: &str = "\
    00010060 2112a442 78ad3433 c6ad72c0 29da412e \
    00060012 e3839ee3 8388e383 aae38383 e382afe3 82b90000 \
    0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341 \
    0014000b 6578616d 706c652e 6f726700 \
    00080014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

fn mac(key: &[u8], input: &IntegrityInput<'_>) -> [u8; 20] {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("any key length");
    mac.update(&input.header);
    mac.update(input.body);
    mac.finalize().into_bytes().into()
}

#[test]
fn sample_request() {
    let datagram = bytes(REQUEST);
    let message = Message::parse(&datagram).expect("well-formed");
    assert_eq!(message.class(), Class::Request);
    assert_eq!(message.method(), Method::BINDING);
    assert_eq!(
        message.transaction_id().0,
        bytes("b7e7a701bc34d686fa87dfae")[..]
    );
    assert_eq!(message.software(), Some(&b"STUN test client"[..]));
    assert_eq!(message.username(), Some(&b"evtj:h6vY"[..]));
    assert_eq!(
        message.get(AttributeType(0x0024)),
        Some(&[0x6e, 0, 1, 0xff][..])
    );
    let unknown: Vec<_> = message
        .unknown_required(|kind| kind == AttributeType::USERNAME)
        .collect();
    assert_eq!(unknown, [AttributeType(0x0024)]);
    let integrity = message.integrity().expect("present");
    assert_eq!(mac(SHORT_TERM, &integrity.input), *integrity.mac);
    assert_eq!(message.fingerprint(), Fingerprint::Valid);
}

#[test]
fn sample_responses() {
    for (hex, address) in [
        (RESPONSE_V4, "192.0.2.1:32853"),
        (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let datagram = bytes(hex);
        let message = Message::parse(&datagram).expect("well-formed");
        assert_eq!(message.class(), Class::Success);
        assert_eq!(message.software(), Some(&b"test vector"[..]));
        assert_eq!(
            message.xor_mapped_address(),
            Some(address.parse().expect("an address"))
        );
        let integrity = message.integrity().expect("present");
        assert_eq!(mac(SHORT_TERM, &integrity.input), *integrity.mac);
        assert_eq!(message.fingerprint(), Fingerprint::Valid);
    }
}

#[test]
fn long_term_authentication() {
    let datagram = bytes(LONG_TERM);
    let message = Message::parse(&datagram).expect("well-formed");
    let username = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
    assert_eq!(message.username(), Some(username.as_bytes()));
    assert_eq!(message.nonce(), Some(&b"f//499k954d6OL34oL9FSTvy64sA"[..]));
    assert_eq!(message.realm(), Some(&b"example.org"[..]));
    assert_eq!(message.fingerprint(), Fingerprint::Absent);
    let key = md5::Md5::digest(format!("{username}:example.org:TheMatrIX"));
    let integrity = message.integrity().expect("present");
    assert_eq!(mac(&key, &integrity.input), *integrity.mac);
}

#[test]
fn builder_reproduces_the_long_term_request() {
    let datagram = bytes(LONG_TERM);
    let sample = Message::parse(&datagram).expect("well-formed");
    let mut buffer = [0xAA; 256];
    let mut builder = Builder::new(
        &mut buffer,
        sample.class(),
        sample.method(),
        sample.transaction_id(),
    )
    .expect("room");
    for (kind, value) in sample
        .attributes()
        .filter(|(kind, _)| *kind != AttributeType::MESSAGE_INTEGRITY)
    {
        builder.push(kind, value).expect("room");
    }
    let key =
        md5::Md5::digest("\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}:example.org:TheMatrIX");
    let tag = mac(&key, &builder.integrity_input());
    builder.push_integrity(&tag).expect("room");
    let len = builder.len();
    assert_eq!(buffer[..len], datagram[..]);
}

#[test]
fn a_flipped_bit_breaks_the_fingerprint() {
    let mut datagram = bytes(REQUEST);
    datagram[30] ^= 1;
    let message = Message::parse(&datagram).expect("still well-formed");
    assert_eq!(message.fingerprint(), Fingerprint::Wrong);
}
