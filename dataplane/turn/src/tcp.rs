//! What the caller tells of peers' connections (RFC 6062), and is told.

use core::net::SocketAddr;

use forebay_wire::NoRoom;
use forebay_wire::clock::{Instant, Now};
use forebay_wire::stun::{AttributeType, Builder, Class, ErrorCode, Method};

use crate::answer::reason;
use crate::bandwidth::Direction;
use crate::command::Command;
use crate::ids::{FiveTuple, PeerConnection, SocketId};
use crate::requests::PATIENCE;
use crate::server::{Listening, OfferedRelay, Outcome, Server};
use crate::tables::{Stage, Tables};
use crate::verdict::Refusal;

/// A message for a client's control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToControl {
    /// The control connection.
    pub tuple: FiveTuple,
    /// Bytes of it, in the buffer that was lent.
    pub len: usize,
}

/// A peer that has connected to a relayed address and may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming {
    /// The number its connection has from now on.
    pub connection: PeerConnection,
    /// The ConnectionAttempt indication.
    pub attempt: ToControl,
}

impl Server {
    /// What comes over a client's connection from now on is a stream of bytes
    /// (TCP, TLS) or is not (DTLS). Without a word it is not.
    pub fn set_byte_stream(&mut self, socket: SocketId, bytes: bool) {
        let Some(index) = socket.0.checked_sub(self.first_stream.0) else {
            return;
        };
        let (word, bit) = (index as usize / 64, 1 << (index % 64));
        if word >= self.byte_streams.len() {
            self.byte_streams.resize(word + 1, 0);
        }
        if bytes {
            self.byte_streams[word] |= bit;
        } else {
            self.byte_streams[word] &= !bit;
        }
    }

    /// Handles the Allocate again that came to [`Outcome::Listen`], with the
    /// socket that was opened for it, or `None` where none could be. One that
    /// is not used after all comes back as [`Command::CloseRelay`].
    pub fn request_with_listener(
        &mut self,
        now: Now,
        tuple: &FiveTuple,
        datagram: &[u8],
        answer: &mut [u8],
        listener: Option<OfferedRelay>,
    ) -> Outcome {
        let free = listener
            .filter(|relay| self.tables.allocation_behind(relay.socket).is_none())
            .inspect(|relay| self.tables.reserve_relay(relay.socket));
        self.listening = match free {
            Some(relay) => Listening::Offered(relay),
            None => Listening::Unavailable,
        };
        let outcome = self.request(now, tuple, datagram, answer);
        if let Listening::Offered(relay) = core::mem::replace(&mut self.listening, Listening::Ask) {
            self.commands.push_back(Command::CloseRelay(relay.socket));
        }
        outcome
    }

    /// The connection of [`Command::Connect`] has come about, or has not. Gives
    /// the answer to the Connect, if there is still somebody to answer.
    pub fn connected(
        &mut self,
        now: Now,
        connection: PeerConnection,
        success: bool,
        answer: &mut [u8],
    ) -> Option<ToControl> {
        let PeerConnection(slot) = connection;
        let found = self
            .connections
            .get(slot)
            .filter(|found| found.stage == Stage::Connecting)?;
        let (id, allocation) = (found.id, found.allocation);
        let outcome = if !success {
            Err(ErrorCode::CONNECTION_FAILED)
        } else if self.policy.judge_connection(found.peer).is_allowed() {
            Ok(())
        } else {
            Err(ErrorCode::FORBIDDEN)
        };
        let class = match outcome {
            Ok(()) => Class::Success,
            Err(_) => Class::Error,
        };
        let tuple = self.control_of(now.instant, allocation);
        let written = found.asked.as_ref().and_then(|asked| {
            let head = (class, Method::CONNECT, asked.transaction);
            let fill = |answer: &mut Builder<'_>| match outcome {
                Ok(()) => answer.push_u32(AttributeType::CONNECTION_ID, id),
                Err(code) => answer.push_error_code(code, reason(code)),
            };
            self.style
                .signed(answer, head, |answer| asked.sealer.seal(answer), fill)
                .ok()
        });
        match self.connections.get_mut(slot) {
            Some(found) if outcome.is_ok() && tuple.is_some() && written.is_some() => {
                found.stage = Stage::Waiting;
                found.expires = now.instant + PATIENCE;
                self.arm_connection(slot);
            }
            _ => self.connections.close(slot),
        }
        Some(ToControl {
            tuple: tuple?,
            len: written?,
        })
    }

    /// A peer has connected to a relayed address.
    ///
    /// # Errors
    /// Why it may not: the caller closes the connection.
    pub fn incoming(
        &mut self,
        now: Now,
        relay: SocketId,
        source: SocketAddr,
        answer: &mut [u8],
    ) -> Result<Incoming, Refusal> {
        let allocation = self
            .tables
            .allocation_behind(relay)
            .ok_or(Refusal::NoAllocation)?;
        let list = self
            .connections
            .list(allocation)
            .ok_or(Refusal::NoAllocation)?;
        let tuple = self
            .control_of(now.instant, allocation)
            .ok_or(Refusal::NoAllocation)?;
        let peer = self.policy.shown(source);
        let permission = self
            .tables
            .permission_of(allocation, peer.ip())
            .and_then(|found| self.tables.permissions.get(found));
        if permission.is_none_or(|found| found.expires <= now.instant) {
            return Err(Refusal::NoPermission);
        }
        if list.len >= u32::from(self.tcp.connections_per_allocation)
            || self.connections.len() == self.connections.capacity()
            || self.connections.to_peer(allocation, peer).is_some()
            || !self.has_room_for_commands()
        {
            return Err(Refusal::NoRoom);
        }
        let slot = self
            .add_connection(now.instant, allocation, peer, None)
            .ok_or(Refusal::NoRoom)?;
        match self.attempt(slot, peer, answer) {
            Ok(len) => Ok(Incoming {
                connection: PeerConnection(slot),
                attempt: ToControl { tuple, len },
            }),
            Err(NoRoom) => {
                self.connections.hung_up(slot);
                self.connections.released(slot);
                Err(Refusal::NoRoom)
            }
        }
    }

    fn attempt(&mut self, slot: u32, peer: SocketAddr, out: &mut [u8]) -> Result<usize, NoRoom> {
        let id = self.connections.get(slot).map_or(0, |found| found.id);
        let transaction = self.tickets.transaction();
        self.style.unsigned(
            out,
            (Class::Indication, Method::CONNECTION_ATTEMPT, transaction),
            |message| {
                message.push_u32(AttributeType::CONNECTION_ID, id)?;
                message.push_xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
            },
        )
    }

    /// Where the client of a live allocation is.
    fn control_of(&self, now: Instant, allocation: u32) -> Option<FiveTuple> {
        let found = self.tables.allocations.get(allocation)?;
        (now < found.expires && !Tables::is_detached(&found.tuple)).then_some(found.tuple)
    }

    /// The next connection to close, whatever it is about to do; the caller
    /// says [`Server::released`] when that is done.
    pub fn next_to_close(&mut self) -> Option<PeerConnection> {
        self.connections.next_to_close().map(PeerConnection)
    }

    /// The caller closes a connection of its own accord, because either end
    /// has: nobody is told of it any more.
    pub fn hung_up(&mut self, connection: PeerConnection) {
        self.connections.hung_up(connection.0);
    }

    /// A connection is closed, and its number may be given to another.
    pub fn released(&mut self, connection: PeerConnection) {
        self.connections.hung_up(connection.0);
        self.connections.released(connection.0);
    }

    /// Peers' connections that have a number.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Whether the bandwidth allows a bound connection to move something by
    /// now, to the peer or from it.
    pub fn may_move(&mut self, now: Now, connection: PeerConnection, to_peer: bool) -> bool {
        if !self.bandwidth.is_limited() {
            return true;
        }
        let allocation = self
            .connections
            .get(connection.0)
            .map(|found| found.allocation);
        let found = allocation.and_then(|slot| Some((slot, self.tables.allocations.get(slot)?)));
        let direction = match to_peer {
            true => Direction::ToPeer,
            false => Direction::ToClient,
        };
        found.is_none_or(|(slot, found)| {
            let account = found.account;
            self.bandwidth
                .admit(now.instant, slot, account, direction)
                .is_ok()
        })
    }

    /// Adds what a bound connection moved to its allocation's usage.
    pub fn moved(&mut self, connection: PeerConnection, to_peer: u32, to_client: u32) {
        let bound = self.connections.get(connection.0);
        let Some(bound) = bound.filter(|found| found.stage == Stage::Bound) else {
            return;
        };
        let id = self.id(bound.allocation);
        if to_peer > 0 {
            self.count_to_peer(id, 0, to_peer);
        }
        if to_client > 0 {
            self.count_to_client(id, 0, to_client);
        }
    }

    /// Closes what a new policy denies. Those under way are judged when they
    /// come about, since they have to be answered.
    pub(crate) fn close_denied(&mut self) {
        for slot in 0..self.connections.used() {
            let denied = self.connections.get(slot).is_some_and(|found| {
                matches!(found.stage, Stage::Waiting | Stage::Bound)
                    && self.policy.reach(found.peer.ip()).is_err()
            });
            if denied {
                self.connections.close(slot);
            }
        }
    }
}
