//! Answers to checks (RFC 8445 §7.3, RFC 8489 §6.3, §9.1.3).

use core::net::{IpAddr, SocketAddr};

use forebay_wire::NoRoom;
use forebay_wire::stun::{AttributeType, Builder, Class, ErrorCode, Message, Method};

use super::credentials::Credentials;

/// Why a check was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// USERNAME or MESSAGE-INTEGRITY missing or misshapen.
    BadRequest,
    /// Unknown fragment or wrong password.
    Unauthenticated,
    /// The peer thinks it is controlled. A lite agent always is (RFC 8445
    /// §6.1.1), so the peer has to change.
    RoleConflict,
    /// It demands what we do not know.
    UnknownAttribute,
}

/// Attributes a check may demand to be understood.
pub(crate) fn understood(kind: AttributeType) -> bool {
    matches!(
        kind,
        AttributeType::USERNAME | AttributeType::PRIORITY | AttributeType::USE_CANDIDATE
    )
}

/// An address that is IPv4 in IPv6's clothes, undressed: it is what the peer
/// calls itself.
fn plain(remote: SocketAddr) -> SocketAddr {
    match remote.ip() {
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => SocketAddr::new(ip.into(), remote.port()),
            None => remote,
        },
        IpAddr::V4(_) => remote,
    }
}

/// Writes the answer to a good check; returns its length.
pub(crate) fn answer(
    buffer: &mut [u8],
    check: &Message<'_>,
    remote: SocketAddr,
    credentials: &Credentials,
) -> Result<usize, NoRoom> {
    let mut message = Builder::new(
        buffer,
        Class::Success,
        Method::BINDING,
        check.transaction_id(),
    )?;
    message.push_xor_address(AttributeType::XOR_MAPPED_ADDRESS, plain(remote))?;
    let mac = credentials.mac(&message.integrity_input());
    message.push_integrity(&mac)?;
    message.push_fingerprint()?;
    Ok(message.len())
}

/// Writes a refusal; authenticated when the check was.
pub(crate) fn refuse(
    buffer: &mut [u8],
    check: &Message<'_>,
    why: Refused,
    credentials: Option<&Credentials>,
) -> Result<usize, NoRoom> {
    let mut message = Builder::new(
        buffer,
        Class::Error,
        Method::BINDING,
        check.transaction_id(),
    )?;
    let code = match why {
        Refused::BadRequest => ErrorCode::BAD_REQUEST,
        Refused::Unauthenticated => ErrorCode::UNAUTHENTICATED,
        Refused::RoleConflict => ErrorCode::ROLE_CONFLICT,
        Refused::UnknownAttribute => ErrorCode::UNKNOWN_ATTRIBUTE,
    };
    message.push_error_code(code, "")?;
    if why == Refused::UnknownAttribute {
        message.push_unknown_attributes(check.unknown_required(understood).take(8))?;
    }
    if let Some(credentials) = credentials {
        let mac = credentials.mac(&message.integrity_input());
        message.push_integrity(&mac)?;
    }
    message.push_fingerprint()?;
    Ok(message.len())
}
