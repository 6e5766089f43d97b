//! STUN requests: one file per method, the checks they share here.

mod allocate;
mod binding;
mod channel_bind;
mod create_permission;
mod refresh;

use core::time::Duration;

use forebay_wire::NoRoom;
use forebay_wire::clock::Now;
use forebay_wire::stun::{AttributeType, Builder, Class, ErrorCode, Fingerprint, Message, Method};

use crate::answer::reason;
use crate::auth::{Authenticated, Known, Rejected};
use crate::command::Deletion;
use crate::ids::FiveTuple;
use crate::server::{Outcome, Server};
use crate::verdict::Refusal;

/// How long a request may be repeated with the same transaction id (RFC 8489
/// §6.3.1).
pub(crate) const RETRANSMISSION: Duration = Duration::from_secs(40);

/// Attribute types an UNKNOWN-ATTRIBUTES lists at most: a list as long as the
/// request would make the answer as long.
const UNKNOWN_LISTED: usize = 16;

/// An authentic request and what it concerns.
struct Request<'r, 'm> {
    now: Now,
    tuple: &'r FiveTuple,
    message: &'r Message<'m>,
    from: Authenticated<'m>,
    /// Slot of the allocation on its five-tuple.
    allocation: Option<u32>,
}

/// A request that was granted.
enum Granted {
    /// Allocate; the allocation's slot.
    Allocated(u32),
    /// Refresh; the lifetime in seconds.
    Refreshed(u32),
    /// CreatePermission, ChannelBind.
    Done,
}

impl Server {
    /// Handles a STUN message other than a Send indication and writes the
    /// answer into `answer` (lend at least [`Server::MAX_ANSWER`] bytes).
    pub fn request(
        &mut self,
        now: Now,
        tuple: &FiveTuple,
        datagram: &[u8],
        answer: &mut [u8],
    ) -> Outcome {
        let Ok(message) = Message::parse(datagram) else {
            return Outcome::Silent(Refusal::Malformed);
        };
        if message.fingerprint() == Fingerprint::Wrong {
            return Outcome::Silent(Refusal::BadFingerprint);
        }
        if message.class() != Class::Request {
            return Outcome::Silent(Refusal::Unexpected);
        }
        // Checked before anything changes, so that every change is answered.
        if answer.len() < Self::MAX_ANSWER || !self.has_room_for_commands() {
            return Outcome::Silent(Refusal::NoRoom);
        }
        let written = match message.method() {
            Method::BINDING => self.binding(now, tuple, &message, answer),
            Method::ALLOCATE
            | Method::REFRESH
            | Method::CREATE_PERMISSION
            | Method::CHANNEL_BIND => self.authenticate(now, tuple, &message, answer),
            _ => return Outcome::Silent(Refusal::Unexpected),
        };
        match written {
            Ok(Some(len)) => Outcome::Reply(len),
            Ok(None) => Outcome::Silent(Refusal::PrefixBudget),
            Err(NoRoom) => Outcome::Silent(Refusal::NoRoom),
        }
    }

    fn authenticate(
        &mut self,
        now: Now,
        tuple: &FiveTuple,
        message: &Message<'_>,
        answer: &mut [u8],
    ) -> Result<Option<usize>, NoRoom> {
        let mut allocation = self.tables.allocation_of(tuple);
        if let Some(slot) = allocation
            && self
                .tables
                .allocations
                .get(slot)
                .is_none_or(|found| found.expires <= now.instant)
        {
            // Its timer is a little late.
            self.end(slot, Deletion::Expired);
            allocation = None;
        }
        let known = match allocation.and_then(|slot| self.tables.allocations.get(slot)) {
            Some(found) => Some(Known {
                user: found.user,
                key: &found.key,
            }),
            // The key of a deleted allocation is good for repeating the
            // deletion and nothing else.
            None if message.method() == Method::REFRESH => self
                .deletions
                .find(now.instant, tuple)
                .filter(|gone| gone.transaction == message.transaction_id())
                .map(|gone| Known {
                    user: gone.user,
                    key: &gone.key,
                }),
            None => None,
        };
        let from = match self.auth.check(now, tuple.client, message, known) {
            Ok(from) => from,
            Err(Rejected::OverBudget) => return Ok(None),
            Err(Rejected::Answer(code)) => {
                return self.challenge(now, tuple, message, code, answer).map(Some);
            }
        };
        self.perform(
            Request {
                now,
                tuple,
                message,
                from,
                allocation,
            },
            answer,
        )
        .map(Some)
    }

    /// Answers a request that is not authentic, in as few bytes as can be.
    fn challenge(
        &self,
        now: Now,
        tuple: &FiveTuple,
        message: &Message<'_>,
        code: ErrorCode,
        answer: &mut [u8],
    ) -> Result<usize, NoRoom> {
        self.style.plain(answer, message, Class::Error, |answer| {
            answer.push_error_code(code, "")?;
            if code == ErrorCode::BAD_REQUEST {
                return Ok(());
            }
            answer.push(AttributeType::REALM, self.style.realm.as_bytes())?;
            answer.push(
                AttributeType::NONCE,
                &self.auth.challenge_nonce(now, tuple.client),
            )
        })
    }

    fn perform(&mut self, request: Request<'_, '_>, answer: &mut [u8]) -> Result<usize, NoRoom> {
        let mut unknown = unknown_attributes(request.message).peekable();
        if unknown.peek().is_some() {
            return self.style.authenticated(
                answer,
                request.message,
                Class::Error,
                request.from.key(),
                |answer| {
                    answer.push_error_code(
                        ErrorCode::UNKNOWN_ATTRIBUTE,
                        reason(ErrorCode::UNKNOWN_ATTRIBUTE),
                    )?;
                    answer.push_unknown_attributes(unknown)
                },
            );
        }
        let result = match request.message.method() {
            Method::ALLOCATE => self.allocate(&request).map(Granted::Allocated),
            Method::REFRESH => self.refresh(&request).map(Granted::Refreshed),
            Method::CREATE_PERMISSION => self.create_permission(&request).map(|()| Granted::Done),
            _ => self.channel_bind(&request).map(|()| Granted::Done),
        };
        let class = if result.is_ok() {
            Class::Success
        } else {
            Class::Error
        };
        self.style.authenticated(
            answer,
            request.message,
            class,
            request.from.key(),
            |answer| match result {
                Ok(Granted::Allocated(slot)) => self.describe(slot, request.tuple, answer),
                Ok(Granted::Refreshed(lifetime)) => {
                    answer.push_u32(AttributeType::LIFETIME, lifetime)
                }
                Ok(Granted::Done) => Ok(()),
                Err(code) => answer.push_error_code(code, reason(code)),
            },
        )
    }

    /// The allocation a request other than Allocate concerns, which has to be
    /// the requester's own (RFC 8656 §5).
    fn own_allocation(&self, request: &Request<'_, '_>) -> Result<u32, ErrorCode> {
        let slot = request.allocation.ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        match self.tables.allocations.get(slot) {
            Some(found) if found.user == request.from.user() => Ok(slot),
            Some(_) => Err(ErrorCode::WRONG_CREDENTIALS),
            None => Err(ErrorCode::ALLOCATION_MISMATCH),
        }
    }
}

/// Attributes that have to be understood and are not (RFC 8489 §6.3.1).
fn unknown_attributes(message: &Message<'_>) -> impl Iterator<Item = AttributeType> + Clone {
    message.unknown_required(understood).take(UNKNOWN_LISTED)
}

/// Attributes we know, whether or not the method at hand uses them. Among
/// those we do not: RESERVATION-TOKEN, DONT-FRAGMENT, USERHASH and
/// PASSWORD-ALGORITHM.
fn understood(kind: AttributeType) -> bool {
    matches!(
        kind,
        AttributeType::MAPPED_ADDRESS
            | AttributeType::USERNAME
            | AttributeType::ERROR_CODE
            | AttributeType::UNKNOWN_ATTRIBUTES
            | AttributeType::CHANNEL_NUMBER
            | AttributeType::LIFETIME
            | AttributeType::XOR_PEER_ADDRESS
            | AttributeType::DATA
            | AttributeType::REALM
            | AttributeType::NONCE
            | AttributeType::XOR_RELAYED_ADDRESS
            | AttributeType::REQUESTED_ADDRESS_FAMILY
            | AttributeType::EVEN_PORT
            | AttributeType::REQUESTED_TRANSPORT
            | AttributeType::XOR_MAPPED_ADDRESS
    )
}

/// Adds ADDRESS-ERROR-CODE (RFC 8656 §18.12) for IPv6.
fn push_address_error(answer: &mut Builder<'_>, code: ErrorCode) -> Result<(), NoRoom> {
    let number = code.get();
    answer.push(
        AttributeType::ADDRESS_ERROR_CODE,
        &[2, 0, (number / 100) as u8, (number % 100) as u8],
    )
}
