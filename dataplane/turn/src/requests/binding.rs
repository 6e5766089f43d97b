//! Binding (RFC 8489 §3): tells a client its own address, and how its NAT
//! behaves (RFC 5780).

use core::net::SocketAddr;

use forebay_wire::NoRoom;
use forebay_wire::clock::Now;
use forebay_wire::stun::{AttributeType, Class, ErrorCode, Message};

use crate::discovery::{Arrival, Change};
use crate::ids::{ClientAddr, FiveTuple};
use crate::server::{ReplyFrom, Server};

use super::Handled;

/// RESPONSE-PORT below this is refused: no client listens there, services do.
const LOWEST_RESPONSE_PORT: u16 = 1024;

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
        let arrival = Arrival::of(&self.discovery, tuple);
        let more: fn(AttributeType) -> bool = match arrival {
            Some(_) => is_discovery,
            None => |_| false,
        };
        let mut unknown = self.unknown_attributes(message, more).peekable();
        if unknown.peek().is_some() {
            return self
                .style
                .plain(answer, message, Class::Error, |answer| {
                    answer.push_error_code(ErrorCode::UNKNOWN_ATTRIBUTE, "")?;
                    answer.push_unknown_attributes(unknown)
                })
                .map(Handled::Answered);
        }
        let Some(arrival) = arrival else {
            return self
                .style
                .plain(answer, message, Class::Success, |answer| {
                    answer.push_xor_address(AttributeType::XOR_MAPPED_ADDRESS, tuple.client.0)
                })
                .map(Handled::Answered);
        };
        let (Some(change), Some(client)) = (change(message), destination(tuple, message)) else {
            return self
                .style
                .plain(answer, message, Class::Error, |answer| {
                    answer.push_error_code(ErrorCode::BAD_REQUEST, "")
                })
                .map(Handled::Answered);
        };
        let (from, other) = (arrival.after(change), arrival.other());
        let len = self
            .style
            .plain(answer, message, Class::Success, |answer| {
                answer.push_xor_address(AttributeType::XOR_MAPPED_ADDRESS, tuple.client.0)?;
                answer.push_address(AttributeType::MAPPED_ADDRESS, tuple.client.0)?;
                answer.push_address(AttributeType::RESPONSE_ORIGIN, from.public)?;
                answer.push_address(AttributeType::OTHER_ADDRESS, other.public)
            })?;
        Ok(Handled::AnsweredFrom(ReplyFrom {
            len,
            tuple: FiveTuple {
                socket: from.socket,
                client,
                local: from.local.ip(),
            },
        }))
    }
}

/// PADDING is not among them: an answer in fragments is what reflects best and
/// what networks lose first.
const fn is_discovery(kind: AttributeType) -> bool {
    matches!(
        kind,
        AttributeType::CHANGE_REQUEST | AttributeType::RESPONSE_PORT
    )
}

/// What to change; `None` when it makes no sense.
fn change(message: &Message<'_>) -> Option<Change> {
    match message.get(AttributeType::CHANGE_REQUEST) {
        Some(value) => Change::parse(value),
        None => Some(Change::default()),
    }
}

/// Where to answer to: never another host than the one that asked.
fn destination(tuple: &FiveTuple, message: &Message<'_>) -> Option<ClientAddr> {
    let Some(value) = message.get(AttributeType::RESPONSE_PORT) else {
        return Some(tuple.client);
    };
    let [a, b, ..] = *value.first_chunk::<4>()?;
    let port = u16::from_be_bytes([a, b]);
    (port >= LOWEST_RESPONSE_PORT).then(|| ClientAddr(SocketAddr::new(tuple.client.0.ip(), port)))
}
