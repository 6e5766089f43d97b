//! What an independent codec (`stun_codec`) writes, we read, and the reverse.

use std::net::SocketAddr;

use bytecodec::{DecodeExt, EncodeExt};
use forebay_wire::stun::{
    self, AttributeType, Builder, Class, Fingerprint, IntegrityInput, Message, Method,
};
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha1::Sha1;
use stun_codec::define_attribute_enums;
use stun_codec::rfc5389::attributes::{
    ErrorCode, Fingerprint as TheirFingerprint, MessageIntegrity, Nonce, Realm, Software, Username,
    XorMappedAddress,
};
use stun_codec::rfc5766::attributes::{
    ChannelNumber, Data, DontFragment, EvenPort, Lifetime, RequestedTransport, ReservationToken,
    XorPeerAddress, XorRelayAddress,
};

define_attribute_enums!(
    Theirs,
    TheirsDecoder,
    TheirsEncoder,
    [
        Username,
        Realm,
        Nonce,
        Software,
        ErrorCode,
        MessageIntegrity,
        TheirFingerprint,
        XorMappedAddress,
        XorPeerAddress,
        XorRelayAddress,
        ChannelNumber,
        Lifetime,
        Data,
        RequestedTransport,
        EvenPort,
        ReservationToken,
        DontFragment
    ]
);

/// One value of every attribute, so that getters and codec meet on each.
#[derive(Debug, Clone)]
struct Values {
    username: String,
    realm: String,
    nonce: String,
    software: String,
    error: (u16, String),
    mapped: SocketAddr,
    peer: SocketAddr,
    relayed: SocketAddr,
    channel: u16,
    lifetime: u32,
    data: Vec<u8>,
    transport: u8,
    even_port: bool,
    token: u64,
    id: [u8; 12],
    password: String,
}

fn values() -> impl Strategy<Value = Values> {
    let texts = (
        "\\PC{1,40}",
        "[a-z.]{1,40}",
        "[0-9a-f]{1,60}",
        "\\PC{0,30}",
        "[a-z]{1,20}",
    );
    let addresses = (
        any::<SocketAddr>(),
        any::<SocketAddr>(),
        any::<SocketAddr>(),
    );
    let numbers = (
        300_u16..600,
        0x4000_u16..=0x4FFF,
        any::<u32>(),
        any::<u8>(),
        any::<bool>(),
        any::<u64>(),
    );
    let rest = (
        "[a-z ]{0,30}",
        prop::collection::vec(any::<u8>(), 0..300),
        any::<[u8; 12]>(),
    );
    (texts, addresses, numbers, rest).prop_map(|(texts, addresses, numbers, rest)| Values {
        username: texts.0,
        realm: texts.1,
        nonce: texts.2,
        software: texts.3,
        password: texts.4,
        mapped: plain(addresses.0),
        peer: plain(addresses.1),
        relayed: plain(addresses.2),
        error: (numbers.0, rest.0),
        channel: numbers.1,
        lifetime: numbers.2,
        transport: numbers.3,
        even_port: numbers.4,
        token: numbers.5,
        data: rest.1,
        id: rest.2,
    })
}

/// Neither flow label nor scope travels in a STUN address.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

fn mac(values: &Values, input: &IntegrityInput<'_>) -> [u8; 20] {
    use md5::Digest;
    let key = md5::Md5::digest(format!(
        "{}:{}:{}",
        values.username, values.realm, values.password
    ));
    let mut mac = Hmac::<Sha1>::new_from_slice(&key).expect("any key length");
    mac.update(&input.header);
    mac.update(input.body);
    mac.finalize().into_bytes().into()
}

fn ours(v: &Values, buffer: &mut [u8]) -> Result<usize, forebay_wire::NoRoom> {
    let mut b = Builder::new(
        buffer,
        Class::Error,
        Method::ALLOCATE,
        stun::TransactionId(v.id),
    )?;
    b.push(AttributeType::USERNAME, v.username.as_bytes())?;
    b.push(AttributeType::REALM, v.realm.as_bytes())?;
    b.push(AttributeType::NONCE, v.nonce.as_bytes())?;
    b.push(AttributeType::SOFTWARE, v.software.as_bytes())?;
    b.push_error_code(
        stun::ErrorCode::new(v.error.0).expect("in range"),
        &v.error.1,
    )?;
    b.push_xor_address(AttributeType::XOR_MAPPED_ADDRESS, v.mapped)?;
    b.push_xor_address(AttributeType::XOR_PEER_ADDRESS, v.peer)?;
    b.push_xor_address(AttributeType::XOR_RELAYED_ADDRESS, v.relayed)?;
    b.push_channel_number(v.channel)?;
    b.push_u32(AttributeType::LIFETIME, v.lifetime)?;
    b.push(AttributeType::DATA, &v.data)?;
    b.push(AttributeType::REQUESTED_TRANSPORT, &[v.transport, 0, 0, 0])?;
    b.push(AttributeType::EVEN_PORT, &[u8::from(v.even_port) << 7])?;
    b.push(AttributeType::RESERVATION_TOKEN, &v.token.to_be_bytes())?;
    b.push_empty(AttributeType::DONT_FRAGMENT)?;
    let tag = mac(v, &b.integrity_input());
    b.push_integrity(&tag)?;
    b.push_fingerprint()?;
    Ok(b.len())
}

fn theirs(v: &Values) -> bytecodec::Result<Vec<u8>> {
    let method = stun_codec::rfc5766::methods::ALLOCATE;
    let id = stun_codec::TransactionId::new(v.id);
    let mut m =
        stun_codec::Message::<Theirs>::new(stun_codec::MessageClass::ErrorResponse, method, id);
    let username = Username::new(v.username.clone())?;
    let realm = Realm::new(v.realm.clone())?;
    m.add_attribute(username.clone());
    m.add_attribute(realm.clone());
    m.add_attribute(Nonce::new(v.nonce.clone())?);
    m.add_attribute(Software::new(v.software.clone())?);
    m.add_attribute(ErrorCode::new(v.error.0, v.error.1.clone())?);
    m.add_attribute(XorMappedAddress::new(v.mapped));
    m.add_attribute(XorPeerAddress::new(v.peer));
    m.add_attribute(XorRelayAddress::new(v.relayed));
    m.add_attribute(ChannelNumber::new(v.channel)?);
    m.add_attribute(Lifetime::from_u32(v.lifetime));
    m.add_attribute(Data::new(v.data.clone())?);
    m.add_attribute(RequestedTransport::new(v.transport));
    m.add_attribute(EvenPort::new(v.even_port));
    m.add_attribute(ReservationToken::new(v.token));
    m.add_attribute(DontFragment);
    m.add_attribute(MessageIntegrity::new_long_term_credential(
        &m,
        &username,
        &realm,
        &v.password,
    )?);
    m.add_attribute(TheirFingerprint::new(&m)?);
    stun_codec::MessageEncoder::<Theirs>::new().encode_into_bytes(m)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn both_write_the_same_bytes(v in values()) {
        let mut buffer = [0x55; 2048];
        let len = ours(&v, &mut buffer).expect("room");
        let other = theirs(&v).expect("encodes");
        prop_assert_eq!(&buffer[..len], &other[..]);
    }

    #[test]
    fn we_read_what_they_write(v in values()) {
        let datagram = theirs(&v).expect("encodes");
        let m = Message::parse(&datagram).expect("well-formed");
        prop_assert_eq!(m.malformed(), None);
        prop_assert_eq!(m.class(), Class::Error);
        prop_assert_eq!(m.method(), Method::ALLOCATE);
        prop_assert_eq!(m.transaction_id().0, v.id);
        prop_assert_eq!(m.username(), Some(v.username.as_bytes()));
        prop_assert_eq!(m.realm(), Some(v.realm.as_bytes()));
        prop_assert_eq!(m.nonce(), Some(v.nonce.as_bytes()));
        prop_assert_eq!(m.software(), Some(v.software.as_bytes()));
        let (code, reason) = m.error_code().expect("present");
        prop_assert_eq!((code.get(), reason), (v.error.0, v.error.1.as_bytes()));
        prop_assert_eq!(m.xor_mapped_address(), Some(v.mapped));
        prop_assert_eq!(m.xor_peer_address(), Some(v.peer));
        prop_assert_eq!(m.xor_relayed_address(), Some(v.relayed));
        prop_assert_eq!(m.channel_number(), Some(v.channel));
        prop_assert_eq!(m.lifetime(), Some(v.lifetime));
        prop_assert_eq!(m.data(), Some(&v.data[..]));
        prop_assert_eq!(m.requested_transport(), Some(v.transport));
        prop_assert_eq!(m.even_port(), Some(v.even_port));
        prop_assert_eq!(m.reservation_token(), Some(&v.token.to_be_bytes()));
        prop_assert!(m.dont_fragment());
        let integrity = m.integrity().expect("present");
        prop_assert_eq!(mac(&v, &integrity.input), *integrity.mac);
        prop_assert_eq!(m.fingerprint(), Fingerprint::Valid);
    }

    #[test]
    fn they_accept_what_we_write(v in values()) {
        let mut buffer = [0x55; 2048];
        let len = ours(&v, &mut buffer).expect("room");
        let decoded = stun_codec::MessageDecoder::<Theirs>::new()
            .decode_from_bytes(&buffer[..len])
            .expect("a header")
            .expect("attributes");
        let integrity = decoded.get_attribute::<MessageIntegrity>().expect("present");
        let username = Username::new(v.username.clone()).expect("short");
        let realm = Realm::new(v.realm.clone()).expect("short");
        prop_assert!(integrity.check_long_term_credential(&username, &realm, &v.password).is_ok());
        prop_assert_eq!(decoded.get_attribute::<XorPeerAddress>().map(XorPeerAddress::address), Some(v.peer));
        prop_assert_eq!(decoded.unknown_attributes().count(), 0);
    }
}
