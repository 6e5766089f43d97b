//! Allocate for TCP between server and peers (RFC 6062 §5.1).

use forebay_wire::stun::{AddressFamily, AttributeType, ErrorCode, Message};

use crate::ids::FiveTuple;
use crate::server::{Listening, OfferedRelay, Server};

use super::{Denied, Request};

impl Server {
    /// The checks that only such an Allocate has to pass; gives the family.
    pub(super) fn wanted_listener(&self, request: &Request<'_, '_>) -> Result<bool, Denied> {
        let message = request.message;
        if self.connections.capacity() == 0 {
            return Err(ErrorCode::UNSUPPORTED_TRANSPORT.into());
        }
        if !self.is_byte_stream(request.tuple) || has_datagram_options(message) {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        // The data connections would stay behind.
        if message.get(AttributeType::MOBILITY_TICKET).is_some() {
            return Err(ErrorCode::MOBILITY_FORBIDDEN.into());
        }
        let v6 = match message.requested_address_family() {
            None | Some(AddressFamily::V4) => false,
            Some(AddressFamily::V6) => true,
            Some(AddressFamily::Other(_)) => {
                return Err(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED.into());
            }
        };
        if !self.has_relays_of(v6) {
            return Err(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED.into());
        }
        match self.listening {
            // Not worth opening one for.
            _ if self.draining || self.room() == 0 => Err(ErrorCode::INSUFFICIENT_CAPACITY.into()),
            Listening::Ask => Err(Denied::Listen { v6 }),
            Listening::Unavailable => Err(ErrorCode::INSUFFICIENT_CAPACITY.into()),
            Listening::Offered(_) => Ok(v6),
        }
    }

    /// The socket opened for the request at hand.
    pub(super) fn take_listener(&mut self, v6: bool) -> Option<OfferedRelay> {
        match core::mem::replace(&mut self.listening, Listening::Unavailable) {
            Listening::Offered(relay) if relay.relayed.0.is_ipv6() == v6 => Some(relay),
            other => {
                self.listening = other;
                None
            }
        }
    }

    /// Whether a client came over TCP or TLS.
    pub(super) fn is_byte_stream(&self, tuple: &FiveTuple) -> bool {
        let index = tuple.socket.0.checked_sub(self.first_stream.0);
        index.is_some_and(|index| {
            let word = self.byte_streams.get(index as usize / 64);
            word.is_some_and(|word| word & 1 << (index % 64) != 0)
        })
    }
}

/// What RFC 6062 §5.1 does not let a client ask for, and a second family, of
/// which it knows nothing.
fn has_datagram_options(message: &Message<'_>) -> bool {
    message.dont_fragment()
        || message.even_port().is_some()
        || message.reservation_token().is_some()
        || message.additional_address_family().is_some()
}
