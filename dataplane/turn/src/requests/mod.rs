//! STUN requests: one file per method, the checks they share here.

mod allocate;
mod allocate_tcp;
mod binding;
mod channel_bind;
mod connect;
mod connection_bind;
mod create_permission;
mod mobility;
mod refresh;

use core::net::SocketAddr;
use core::time::Duration;

use forebay_wire::NoRoom;
use forebay_wire::clock::Now;
use forebay_wire::stun::{AttributeType, Builder, Class, ErrorCode, Fingerprint, Message, Method};

use crate::answer::reason;
use crate::auth::{Authenticated, Known, Rejected};
use crate::config::Alternate;
use crate::ids::{ClientAddr, FiveTuple, PeerConnection};
use crate::server::{Outcome, ReplyFrom, Server};
use crate::verdict::Refusal;

pub(crate) use connect::PATIENCE;

use connect::Connected;
use refresh::Refreshed;

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
    /// Slot of the allocation on its five-tuple, or of the one whose client has
    /// moved there.
    allocation: Option<u32>,
}

/// A request that was granted.
enum Granted {
    /// Allocate; the allocation's slot.
    Allocated(u32),
    /// Refresh.
    Refreshed(Refreshed),
    /// Connect; the CONNECTION-ID.
    Connected(u32),
    /// ConnectionBind.
    Bound(PeerConnection),
    /// CreatePermission, ChannelBind.
    Done,
}

/// Why a request is not granted.
enum Denied {
    /// Answer with this code.
    With(ErrorCode),
    /// Another shard decides.
    Elsewhere(u16),
    /// Answer with 300 and this server (RFC 8489 §10).
    Sent(Alternate),
    /// A listening socket has to be opened first.
    Listen { v6: bool },
}

impl From<ErrorCode> for Denied {
    fn from(code: ErrorCode) -> Self {
        Self::With(code)
    }
}

/// What a request comes to.
enum Handled {
    /// The answer has so many bytes.
    Answered(usize),
    /// The answer leaves from elsewhere.
    AnsweredFrom(ReplyFrom),
    /// The source prefix cannot pay for an answer.
    Unpaid,
    /// Another shard's.
    Elsewhere(u16),
    /// A listening socket has to be opened first.
    Listen { v6: bool },
    /// The answer follows.
    Later,
    /// The answer has so many bytes, and the connection is the peer's now.
    Bound(usize, PeerConnection),
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
        let handled = match message.method() {
            Method::BINDING => self.binding(now, tuple, &message, answer),
            Method::ALLOCATE
            | Method::REFRESH
            | Method::CREATE_PERMISSION
            | Method::CHANNEL_BIND
            | Method::CONNECT
            | Method::CONNECTION_BIND => self.authenticate(now, tuple, &message, answer),
            _ => return Outcome::Silent(Refusal::Unexpected),
        };
        match handled {
            Ok(Handled::Answered(len)) => Outcome::Reply(len),
            Ok(Handled::AnsweredFrom(reply)) => Outcome::ReplyFrom(reply),
            Ok(Handled::Unpaid) => Outcome::Silent(Refusal::PrefixBudget),
            Ok(Handled::Elsewhere(shard)) => Outcome::Elsewhere(shard),
            Ok(Handled::Listen { v6 }) => Outcome::Listen { v6 },
            Ok(Handled::Later) => Outcome::Later,
            Ok(Handled::Bound(len, connection)) => Outcome::Bound { len, connection },
            Err(NoRoom) => Outcome::Silent(Refusal::NoRoom),
        }
    }

    fn authenticate(
        &mut self,
        now: Now,
        tuple: &FiveTuple,
        message: &Message<'_>,
        answer: &mut [u8],
    ) -> Result<Handled, NoRoom> {
        // Timers are a little late.
        let allocation = self
            .tables
            .allocation_of(tuple)
            .filter(|&slot| self.outlives(now.instant, slot));
        let next = match allocation {
            None => self
                .tables
                .allocation_moving_to(tuple)
                .filter(|&slot| self.outlives(now.instant, slot)),
            Some(_) => None,
        };
        let ticket = self.ticket(message);
        let here = allocation.or(next);
        let ticketed = match ticket {
            // Made with our key: worth passing on without asking who sent it.
            Some(ticket) if here.is_none() && self.is_elsewhere(tuple, ticket.shard) => {
                return Ok(Handled::Elsewhere(ticket.shard));
            }
            Some(ticket) => self
                .mobile(&ticket)
                .filter(|&slot| self.outlives(now.instant, slot)),
            None => None,
        };
        let known = match here
            .or(ticketed)
            .or_else(|| self.binds_to(message))
            .and_then(|slot| self.tables.allocations.get(slot))
        {
            Some(found) => Some(Known {
                user: found.user,
                key: &found.key,
                until: found.until,
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
                    until: None,
                }),
            None => None,
        };
        let from = match self.auth.check(now, self.proven(tuple), message, known) {
            Ok(from) => from,
            Err(Rejected::OverBudget) => return Ok(Handled::Unpaid),
            Err(Rejected::Answer(code)) => {
                return self
                    .challenge(now, tuple, message, code, answer)
                    .map(Handled::Answered);
            }
        };
        // Whatever its client sends from where it has moved to shows that it
        // is there, but for another copy of the request that moved it.
        if let Some(slot) = next
            && ticket.is_none()
            && self
                .tables
                .allocations
                .get(slot)
                .is_some_and(|found| found.user == from.user())
        {
            self.tables.complete_move(slot);
        }
        self.perform(
            Request {
                now,
                tuple,
                message,
                from,
                allocation: here,
            },
            answer,
        )
    }

    /// Whether another shard is to decide. What comes over a connection cannot
    /// be given to another.
    fn is_elsewhere(&self, tuple: &FiveTuple, shard: u16) -> bool {
        shard != self.shared.shard()
            && shard < self.shared.shards()
            && tuple.socket < self.first_stream
    }

    /// Whom a nonce is for. A connection's address is not forged, and a client
    /// that opens several (RFC 6062) goes on with the nonce it was told first.
    fn proven(&self, tuple: &FiveTuple) -> ClientAddr {
        let ClientAddr(client) = tuple.client;
        if tuple.is_stream(self.first_stream) {
            ClientAddr(SocketAddr::new(client.ip(), 0))
        } else {
            tuple.client
        }
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
            self.auth.challenge(now, self.proven(tuple), answer)
        })
    }

    fn perform(&mut self, request: Request<'_, '_>, answer: &mut [u8]) -> Result<Handled, NoRoom> {
        let mut unknown = self
            .unknown_attributes(request.message, |_| false)
            .peekable();
        if unknown.peek().is_some() {
            return self
                .style
                .authenticated(
                    answer,
                    request.message,
                    Class::Error,
                    &request.from,
                    |answer| {
                        answer.push_error_code(
                            ErrorCode::UNKNOWN_ATTRIBUTE,
                            reason(ErrorCode::UNKNOWN_ATTRIBUTE),
                        )?;
                        answer.push_unknown_attributes(unknown)
                    },
                )
                .map(Handled::Answered);
        }
        let plain = |code| (code, None);
        let result = match request.message.method() {
            Method::ALLOCATE => match self.allocate(&request) {
                Err(Denied::Elsewhere(shard)) => return Ok(Handled::Elsewhere(shard)),
                Err(Denied::Listen { v6 }) => return Ok(Handled::Listen { v6 }),
                Err(Denied::With(code)) => Err((code, None)),
                Err(Denied::Sent(alternate)) => Err((ErrorCode::TRY_ALTERNATE, Some(alternate))),
                Ok(slot) => Ok(Granted::Allocated(slot)),
            },
            Method::REFRESH => self
                .refresh(&request)
                .map(Granted::Refreshed)
                .map_err(plain),
            Method::CREATE_PERMISSION => self
                .create_permission(&request)
                .map(|()| Granted::Done)
                .map_err(plain),
            Method::CONNECT => match self.connect(&request) {
                Ok(Connected::Later) => return Ok(Handled::Later),
                Ok(Connected::Already(id)) => Ok(Granted::Connected(id)),
                Err(code) => Err(plain(code)),
            },
            Method::CONNECTION_BIND => self
                .connection_bind(&request)
                .map(Granted::Bound)
                .map_err(plain),
            _ => self
                .channel_bind(&request)
                .map(|()| Granted::Done)
                .map_err(plain),
        };
        let class = if result.is_ok() {
            Class::Success
        } else {
            Class::Error
        };
        let bound = match result {
            Ok(Granted::Bound(connection)) => Some(connection),
            _ => None,
        };
        self.style
            .authenticated(
                answer,
                request.message,
                class,
                &request.from,
                |answer| match result {
                    Ok(Granted::Allocated(slot)) => self.describe(slot, request.tuple, answer),
                    Ok(Granted::Refreshed(refreshed)) => refreshed.describe(answer),
                    Ok(Granted::Connected(id)) => answer.push_u32(AttributeType::CONNECTION_ID, id),
                    Ok(Granted::Done | Granted::Bound(_)) => Ok(()),
                    Err((code, alternate)) => {
                        answer.push_error_code(code, reason(code))?;
                        alternate.map_or(Ok(()), |alternate| push_alternate(answer, &alternate))
                    }
                },
            )
            .map(|len| match bound {
                Some(connection) => Handled::Bound(len, connection),
                None => Handled::Answered(len),
            })
    }

    /// Attributes that have to be understood and are not (RFC 8489 §6.3.1);
    /// `more` are those the method knows besides.
    fn unknown_attributes<'m>(
        &self,
        message: &Message<'m>,
        more: fn(AttributeType) -> bool,
    ) -> impl Iterator<Item = AttributeType> + Clone + use<'m> {
        let dont_fragment = self.dont_fragment;
        message
            .unknown_required(move |kind| {
                understood(kind)
                    || (dont_fragment && kind == AttributeType::DONT_FRAGMENT)
                    || more(kind)
            })
            .take(UNKNOWN_LISTED)
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

/// Attributes we know, whether or not the method at hand uses them. Among
/// those we do not: DONT-FRAGMENT where the kernel cannot do it.
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
            | AttributeType::PASSWORD_ALGORITHM
            | AttributeType::USERHASH
            | AttributeType::XOR_MAPPED_ADDRESS
            | AttributeType::RESERVATION_TOKEN
            | AttributeType::CONNECTION_ID
    )
}

/// Adds ALTERNATE-SERVER, and ALTERNATE-DOMAIN for a client that is to find
/// another certificate there (RFC 8489 §10).
fn push_alternate(answer: &mut Builder<'_>, alternate: &Alternate) -> Result<(), NoRoom> {
    answer.push_address(AttributeType::ALTERNATE_SERVER, alternate.address)?;
    match &alternate.domain {
        Some(domain) => answer.push(AttributeType::ALTERNATE_DOMAIN, domain.as_bytes()),
        None => Ok(()),
    }
}

/// Adds ADDRESS-ERROR-CODE (RFC 8656 §18.12) for a family.
fn push_address_error(answer: &mut Builder<'_>, v6: bool, code: ErrorCode) -> Result<(), NoRoom> {
    let number = code.get();
    answer.push(
        AttributeType::ADDRESS_ERROR_CODE,
        &[
            if v6 { 2 } else { 1 },
            0,
            (number / 100) as u8,
            (number % 100) as u8,
        ],
    )
}
