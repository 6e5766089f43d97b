//! The view of a whole STUN message.

use core::fmt;
use core::net::SocketAddr;

use super::address;
use super::attribute::{AttributeType, Attributes, tlv_at};
use super::header::{
    Class, ErrorCode, HEADER, Method, TransactionId, class_of, method_of, split, transaction_id,
};
use super::integrity::{
    Fingerprint, Integrity, IntegrityInput, IntegritySha256, MESSAGE_INTEGRITY, fingerprint,
};
use super::shape::Known;
use crate::error::ParseError;

/// REQUESTED-TRANSPORT's number for UDP (RFC 8656 §18.8).
pub const TRANSPORT_UDP: u8 = 17;
/// REQUESTED-TRANSPORT for TCP between server and peer (RFC 6062).
pub const TRANSPORT_TCP: u8 = 6;

/// An address family as RFC 8656 §18.6 encodes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressFamily {
    /// 0x01.
    V4,
    /// 0x02.
    V6,
    /// A number that names no family a relay can have.
    Other(u8),
}

/// A STUN message that fills a datagram.
///
/// Attributes behind MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 do not
/// exist for the getters, but for FINGERPRINT and for the second right behind
/// the first (RFC 8489 §14.5, §14.6). Of an
/// attribute that appears twice the first counts (§14). A known attribute
/// whose value is misshapen is reported by [`Message::malformed`] and absent
/// for its getter, so that a server can answer 400 where it has to.
#[derive(Clone)]
pub struct Message<'a> {
    header: &'a [u8; HEADER],
    body: &'a [u8],
    /// End of the attributes that count, within the body: the first integrity
    /// attribute is the last of them.
    end: usize,
    /// Offset within the body of MESSAGE-INTEGRITY.
    integrity: Option<u16>,
    /// Offset within the body of MESSAGE-INTEGRITY-SHA256.
    integrity_sha256: Option<u16>,
    /// Whether the last attribute is FINGERPRINT.
    fingerprint: bool,
    malformed: Option<AttributeType>,
    /// Offsets within the body of known attributes, in words plus one; zero
    /// is absent. The body's length is a 16-bit multiple of four.
    first: [u16; Known::COUNT],
}

impl<'a> Message<'a> {
    /// Checks a datagram that holds exactly one message.
    ///
    /// # Errors
    /// Every [`ParseError`] but [`ParseError::Attribute`].
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let (header, body) = split(datagram)?;
        let mut message = Self {
            header,
            body,
            end: body.len(),
            integrity: None,
            integrity_sha256: None,
            fingerprint: false,
            malformed: None,
            first: [0; Known::COUNT],
        };
        let mut sealed = false;
        let mut at = 0;
        while at < body.len() {
            let tlv = tlv_at(body, at)?;
            match tlv.kind {
                AttributeType::FINGERPRINT => {
                    if tlv.len != 4 || tlv.next != body.len() {
                        return Err(ParseError::Trailer);
                    }
                    message.fingerprint = true;
                    message.end = message.end.min(at);
                }
                // The one attribute that counts behind MESSAGE-INTEGRITY.
                AttributeType::MESSAGE_INTEGRITY_SHA256
                    if message.integrity_sha256.is_none() && (!sealed || at == message.end) =>
                {
                    if !(16..=32).contains(&tlv.len) || tlv.len % 4 != 0 {
                        return Err(ParseError::Trailer);
                    }
                    message.integrity_sha256 = u16::try_from(at).ok();
                    if !sealed {
                        message.end = tlv.next;
                    }
                    sealed = true;
                }
                _ if sealed => {}
                AttributeType::MESSAGE_INTEGRITY => {
                    if tlv.len != 20 {
                        return Err(ParseError::Trailer);
                    }
                    message.integrity = u16::try_from(at).ok();
                    message.end = tlv.next;
                    sealed = true;
                }
                kind => message.note(kind, at, &body[tlv.value..tlv.value + tlv.len]),
            }
            at = tlv.next;
        }
        Ok(message)
    }

    #[inline]
    fn note(&mut self, kind: AttributeType, at: usize, value: &[u8]) {
        let Some(known) = Known::of(kind) else { return };
        if !known.fits(value) {
            self.malformed.get_or_insert(kind);
        } else if let slot @ 0 = &mut self.first[known as usize] {
            *slot = u16::try_from(at / 4 + 1).unwrap_or(0);
        }
    }

    /// The class.
    #[inline]
    pub const fn class(&self) -> Class {
        class_of(self.message_type())
    }

    /// The method.
    #[inline]
    pub const fn method(&self) -> Method {
        method_of(self.message_type())
    }

    const fn message_type(&self) -> u16 {
        u16::from_be_bytes([self.header[0], self.header[1]])
    }

    /// The transaction id.
    #[inline]
    pub fn transaction_id(&self) -> TransactionId {
        transaction_id(self.header)
    }

    /// The attributes that count, up to and including the integrity attribute;
    /// without FINGERPRINT.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes {
            body: &self.body[..self.end],
            at: 0,
        }
    }

    /// The first attribute of this type that counts.
    pub fn get(&self, kind: AttributeType) -> Option<&'a [u8]> {
        self.attributes()
            .find_map(|(k, value)| (k == kind).then_some(value))
    }

    /// The first known attribute whose value is misshapen.
    pub const fn malformed(&self) -> Option<AttributeType> {
        self.malformed
    }

    /// The attributes a receiver has to understand but `understood` denies, in
    /// the order of the message (RFC 8489 §6.3.1). The integrity attributes
    /// are always understood.
    pub fn unknown_required<F>(
        &self,
        understood: F,
    ) -> impl Iterator<Item = AttributeType> + Clone + use<'a, F>
    where
        F: Fn(AttributeType) -> bool + Clone,
    {
        self.attributes()
            .map(|(kind, _)| kind)
            .filter(move |&kind| {
                kind.comprehension_required()
                    && !matches!(
                        kind,
                        AttributeType::MESSAGE_INTEGRITY | AttributeType::MESSAGE_INTEGRITY_SHA256
                    )
                    && !understood(kind)
            })
    }

    /// MESSAGE-INTEGRITY and what it covers.
    pub fn integrity(&self) -> Option<Integrity<'a>> {
        let at = usize::from(self.integrity?);
        let mac = self.body.get(at + 4..)?.first_chunk()?;
        Some(Integrity {
            input: IntegrityInput::new(self.header, &self.body[..at], MESSAGE_INTEGRITY),
            mac,
        })
    }

    /// MESSAGE-INTEGRITY-SHA256 and what it covers. Where both integrity
    /// attributes are present, this one decides (RFC 8489 §9.2.4).
    pub fn integrity_sha256(&self) -> Option<IntegritySha256<'a>> {
        let at = usize::from(self.integrity_sha256?);
        let tlv = tlv_at(self.body, at).ok()?;
        Some(IntegritySha256 {
            input: IntegrityInput::new(self.header, &self.body[..at], 4 + tlv.len),
            mac: &self.body[tlv.value..tlv.value + tlv.len],
        })
    }

    /// Compares FINGERPRINT with the message.
    pub fn fingerprint(&self) -> Fingerprint {
        if !self.fingerprint {
            return Fingerprint::Absent;
        }
        let Some((before, &[_, _, _, _, a, b, c, d])) = self.body.split_last_chunk::<8>() else {
            return Fingerprint::Wrong;
        };
        if fingerprint(self.header, before) == u32::from_be_bytes([a, b, c, d]) {
            Fingerprint::Valid
        } else {
            Fingerprint::Wrong
        }
    }

    #[inline]
    fn known(&self, known: Known) -> Option<&'a [u8]> {
        let at = usize::from(self.first[known as usize].checked_sub(1)?) * 4;
        let tlv = tlv_at(self.body, at).ok()?;
        Some(&self.body[tlv.value..tlv.value + tlv.len])
    }

    fn u32(&self, known: Known) -> Option<[u8; 4]> {
        self.known(known)?.first_chunk().copied()
    }

    fn address(&self, known: Known) -> Option<SocketAddr> {
        address::decode(self.known(known)?, self.transaction_id())
    }

    fn family(&self, known: Known) -> Option<AddressFamily> {
        Some(match self.u32(known)?[0] {
            1 => AddressFamily::V4,
            2 => AddressFamily::V6,
            other => AddressFamily::Other(other),
        })
    }

    /// USERNAME, at most 508 bytes, not checked to be UTF-8.
    pub fn username(&self) -> Option<&'a [u8]> {
        self.known(Known::Username)
    }

    /// USERHASH (RFC 8489 §14.4).
    pub fn userhash(&self) -> Option<&'a [u8; 32]> {
        self.known(Known::Userhash)?.first_chunk()
    }

    /// PASSWORD-ALGORITHM: number, length of parameters, parameters.
    pub fn password_algorithm(&self) -> Option<&'a [u8]> {
        self.known(Known::PasswordAlgorithm)
    }

    /// PASSWORD-ALGORITHMS: such entries one after the other, as they came.
    pub fn password_algorithms(&self) -> Option<&'a [u8]> {
        self.known(Known::PasswordAlgorithms)
    }

    /// REALM, at most 763 bytes, not checked to be UTF-8.
    pub fn realm(&self) -> Option<&'a [u8]> {
        self.known(Known::Realm)
    }

    /// NONCE, at most 763 bytes.
    pub fn nonce(&self) -> Option<&'a [u8]> {
        self.known(Known::Nonce)
    }

    /// SOFTWARE, at most 763 bytes, not checked to be UTF-8.
    pub fn software(&self) -> Option<&'a [u8]> {
        self.known(Known::Software)
    }

    /// The first XOR-PEER-ADDRESS.
    pub fn xor_peer_address(&self) -> Option<SocketAddr> {
        self.address(Known::XorPeerAddress)
    }

    /// Every well-formed XOR-PEER-ADDRESS in the order of the message.
    pub fn xor_peer_addresses(&self) -> impl Iterator<Item = SocketAddr> + Clone + 'a {
        let id = self.transaction_id();
        self.attributes()
            .filter(|(kind, _)| *kind == AttributeType::XOR_PEER_ADDRESS)
            .filter_map(move |(_, value)| address::decode(value, id))
    }

    /// XOR-MAPPED-ADDRESS.
    pub fn xor_mapped_address(&self) -> Option<SocketAddr> {
        self.address(Known::XorMappedAddress)
    }

    /// XOR-RELAYED-ADDRESS.
    pub fn xor_relayed_address(&self) -> Option<SocketAddr> {
        self.address(Known::XorRelayedAddress)
    }

    /// LIFETIME in seconds.
    pub fn lifetime(&self) -> Option<u32> {
        self.u32(Known::Lifetime).map(u32::from_be_bytes)
    }

    /// REQUESTED-TRANSPORT's protocol number; [`TRANSPORT_UDP`] for UDP,
    /// [`TRANSPORT_TCP`] for TCP.
    pub fn requested_transport(&self) -> Option<u8> {
        self.u32(Known::RequestedTransport)
            .map(|[protocol, ..]| protocol)
    }

    /// REQUESTED-ADDRESS-FAMILY.
    pub fn requested_address_family(&self) -> Option<AddressFamily> {
        self.family(Known::RequestedAddressFamily)
    }

    /// ADDITIONAL-ADDRESS-FAMILY.
    pub fn additional_address_family(&self) -> Option<AddressFamily> {
        self.family(Known::AdditionalAddressFamily)
    }

    /// CHANNEL-NUMBER, any 16-bit number.
    pub fn channel_number(&self) -> Option<u16> {
        self.u32(Known::ChannelNumber)
            .map(|[a, b, ..]| u16::from_be_bytes([a, b]))
    }

    /// CONNECTION-ID.
    pub fn connection_id(&self) -> Option<u32> {
        self.u32(Known::ConnectionId).map(u32::from_be_bytes)
    }

    /// DATA.
    pub fn data(&self) -> Option<&'a [u8]> {
        self.known(Known::Data)
    }

    /// ERROR-CODE and its reason phrase, not checked to be UTF-8.
    pub fn error_code(&self) -> Option<(ErrorCode, &'a [u8])> {
        let (&[_, _, class, number], reason) =
            self.known(Known::ErrorCode)?.split_first_chunk::<4>()?;
        Some((
            ErrorCode::new(u16::from(class & 7) * 100 + u16::from(number))?,
            reason,
        ))
    }

    /// The types in UNKNOWN-ATTRIBUTES.
    pub fn unknown_attributes(&self) -> impl Iterator<Item = AttributeType> + Clone + 'a {
        let (types, _) = self
            .known(Known::UnknownAttributes)
            .unwrap_or_default()
            .as_chunks::<2>();
        types.iter().map(|t| AttributeType(u16::from_be_bytes(*t)))
    }

    /// EVEN-PORT; true asks to reserve the next higher port too.
    pub fn even_port(&self) -> Option<bool> {
        self.known(Known::EvenPort)?
            .first()
            .map(|bits| bits & 0x80 != 0)
    }

    /// RESERVATION-TOKEN.
    pub fn reservation_token(&self) -> Option<&'a [u8; 8]> {
        self.known(Known::ReservationToken)?.first_chunk()
    }

    /// Whether DONT-FRAGMENT is present.
    pub fn dont_fragment(&self) -> bool {
        self.known(Known::DontFragment).is_some()
    }
}

impl fmt::Debug for Message<'_> {
    /// Header and attribute lengths only: values may identify a user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("class", &self.class())
            .field("method", &self.method())
            .field("transaction_id", &self.transaction_id())
            .field("attributes", &self.attributes())
            .finish()
    }
}
