//! The attributes a view keeps at hand, and the shape each value has to have.

use super::address;
use super::attribute::AttributeType;

/// Where the offset of a known attribute is kept.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(super) enum Known {
    Username,
    ErrorCode,
    UnknownAttributes,
    ChannelNumber,
    Lifetime,
    XorPeerAddress,
    Data,
    Realm,
    Nonce,
    XorRelayedAddress,
    RequestedAddressFamily,
    EvenPort,
    RequestedTransport,
    DontFragment,
    XorMappedAddress,
    ReservationToken,
    AdditionalAddressFamily,
    ConnectionId,
    Software,
    Userhash,
    PasswordAlgorithm,
    PasswordAlgorithms,
}

impl Known {
    pub(super) const COUNT: usize = Self::PasswordAlgorithms as usize + 1;

    /// The longest USERNAME (RFC 8489 §14.3).
    const MAX_USERNAME: usize = 508;
    /// The longest REALM, NONCE and SOFTWARE (RFC 8489 §14.9, §14.10, §14.14).
    const MAX_TEXT: usize = 763;

    #[inline]
    pub(super) const fn of(kind: AttributeType) -> Option<Self> {
        Some(match kind {
            AttributeType::USERNAME => Self::Username,
            AttributeType::ERROR_CODE => Self::ErrorCode,
            AttributeType::UNKNOWN_ATTRIBUTES => Self::UnknownAttributes,
            AttributeType::CHANNEL_NUMBER => Self::ChannelNumber,
            AttributeType::LIFETIME => Self::Lifetime,
            AttributeType::XOR_PEER_ADDRESS => Self::XorPeerAddress,
            AttributeType::DATA => Self::Data,
            AttributeType::REALM => Self::Realm,
            AttributeType::NONCE => Self::Nonce,
            AttributeType::XOR_RELAYED_ADDRESS => Self::XorRelayedAddress,
            AttributeType::REQUESTED_ADDRESS_FAMILY => Self::RequestedAddressFamily,
            AttributeType::EVEN_PORT => Self::EvenPort,
            AttributeType::REQUESTED_TRANSPORT => Self::RequestedTransport,
            AttributeType::DONT_FRAGMENT => Self::DontFragment,
            AttributeType::XOR_MAPPED_ADDRESS => Self::XorMappedAddress,
            AttributeType::RESERVATION_TOKEN => Self::ReservationToken,
            AttributeType::ADDITIONAL_ADDRESS_FAMILY => Self::AdditionalAddressFamily,
            AttributeType::CONNECTION_ID => Self::ConnectionId,
            AttributeType::SOFTWARE => Self::Software,
            AttributeType::USERHASH => Self::Userhash,
            AttributeType::PASSWORD_ALGORITHM => Self::PasswordAlgorithm,
            AttributeType::PASSWORD_ALGORITHMS => Self::PasswordAlgorithms,
            _ => return None,
        })
    }

    /// Whether a value has the length and inner form its definition asks for.
    pub(super) fn fits(self, value: &[u8]) -> bool {
        match self {
            Self::Username => value.len() <= Self::MAX_USERNAME,
            Self::Realm | Self::Nonce | Self::Software => value.len() <= Self::MAX_TEXT,
            Self::XorPeerAddress | Self::XorRelayedAddress | Self::XorMappedAddress => {
                address::well_formed(value)
            }
            Self::ChannelNumber
            | Self::Lifetime
            | Self::RequestedTransport
            | Self::RequestedAddressFamily
            | Self::AdditionalAddressFamily
            | Self::ConnectionId => value.len() == 4,
            Self::Userhash => value.len() == 32,
            Self::PasswordAlgorithm | Self::PasswordAlgorithms => value.len() >= 4,
            Self::EvenPort => value.len() == 1,
            Self::ReservationToken => value.len() == 8,
            Self::DontFragment => value.is_empty(),
            Self::ErrorCode => {
                value.len() <= 4 + Self::MAX_TEXT
                    && matches!(value, [_, _, class, number, ..] if (3..=6).contains(&(class & 7)) && *number < 100)
            }
            Self::UnknownAttributes => value.len().is_multiple_of(2),
            Self::Data => true,
        }
    }
}
