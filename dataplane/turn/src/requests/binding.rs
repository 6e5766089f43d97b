//! Binding (RFC 8489 §3): tells a client its own address.

use forebay_wire::NoRoom;
use forebay_wire::clock::Now;
use forebay_wire::stun::{AttributeType, Class, ErrorCode, Message};

use crate::ids::FiveTuple;
use crate::server::Server;

use super::Handled;

impl Server {
    /// Needs no credentials and ignores them; every answer is paid for by the
    /// source prefix.
    pub(super) fn binding(
        &mut self,
        now: Now,
        tuple: &FiveTuple,
        message: &Message<'_>,
        answer: &mut [u8],
    ) -> Result<Handled, NoRoom> {
        if !self.auth.pay(now, tuple.client) {
            return Ok(Handled::Unpaid);
        }
        let mut unknown = self.unknown_attributes(message).peekable();
        if unknown.peek().is_some() {
            return self
                .style
                .plain(answer, message, Class::Error, |answer| {
                    answer.push_error_code(ErrorCode::UNKNOWN_ATTRIBUTE, "")?;
                    answer.push_unknown_attributes(unknown)
                })
                .map(Handled::Answered);
        }
        self.style
            .plain(answer, message, Class::Success, |answer| {
                answer.push_xor_address(AttributeType::XOR_MAPPED_ADDRESS, tuple.client.0)
            })
            .map(Handled::Answered)
    }
}
