//! Connections with peers (RFC 6062): what the worker does for the server, and
//! tells it. Their bytes never come here.

use core::net::SocketAddr;

use forebay_turn::{FiveTuple, OfferedRelay, PeerConnection, SocketId};
use forebay_wire::clock::Now;

use crate::batch::TxBatch;
use crate::command::Command;
use crate::counters::DropReason;
use crate::shard::Shard;

/// Rare work for the worker that is about connections with peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TcpCommand {
    /// Open a listening socket among the relay sockets, and hand it in with the
    /// request: [`Shard::allocate`].
    Listen {
        /// IPv6 rather than IPv4.
        v6: bool,
        /// Where the request came from.
        tuple: FiveTuple,
        /// As received.
        request: Box<[u8]>,
    },
    /// Connect from the address of a listening relay; [`Shard::connected`] is
    /// told what became of it.
    Connect {
        /// The connection to be.
        connection: PeerConnection,
        /// The relay.
        relay: SocketId,
        /// Whom to.
        peer: SocketAddr,
    },
    /// End a connection that is under way; [`Shard::connected`] is told.
    GiveUp(PeerConnection),
    /// Join a client's connection, behind the message at hand and what was sent
    /// to it so far, and a peer's: each one's bytes are the other's.
    Splice {
        /// The client's.
        stream: SocketId,
        /// The peer's.
        connection: PeerConnection,
    },
}

impl Shard {
    /// See [`Server::set_byte_stream`](forebay_turn::Server::set_byte_stream).
    pub fn set_byte_stream(&mut self, socket: SocketId, bytes: bool) {
        self.server.set_byte_stream(socket, bytes);
    }

    /// Whether a batch has room for one more answer; asked before the calls
    /// that add one.
    pub fn has_room(&self, tx: &TxBatch) -> bool {
        self.has_room_for_commands() && Self::has_room_for_answer(tx)
    }

    /// Handles the request of [`TcpCommand::Listen`] with the socket that was
    /// opened for it, or none; the answer is added to `tx`.
    pub fn allocate(
        &mut self,
        now: Now,
        tuple: &FiveTuple,
        request: &[u8],
        listener: Option<OfferedRelay>,
        tx: &mut TxBatch,
    ) {
        let outcome =
            self.server
                .request_with_listener(now, tuple, request, &mut self.answer, listener);
        self.settle(tuple, request, outcome, tx);
    }

    /// A connection has come about, or has not; an answer is added to `tx`.
    pub fn connected(
        &mut self,
        now: Now,
        connection: PeerConnection,
        success: bool,
        tx: &mut TxBatch,
    ) {
        let told = self
            .server
            .connected(now, connection, success, &mut self.answer);
        self.collect();
        if let Some(told) = told {
            self.reply(&told.tuple, told.len, tx);
        }
    }

    /// A peer has connected to a listening relay: its connection's number, with
    /// what the client is told added to `tx`; `None` when it may not.
    pub fn incoming(
        &mut self,
        now: Now,
        relay: SocketId,
        source: SocketAddr,
        tx: &mut TxBatch,
    ) -> Option<PeerConnection> {
        let come = self.server.incoming(now, relay, source, &mut self.answer);
        self.collect();
        match come {
            Ok(come) => {
                self.push_answer(&come.attempt.tuple, come.attempt.len, tx);
                Some(come.connection)
            }
            Err(refusal) => {
                self.counters.drop(DropReason::from(refusal), 1);
                None
            }
        }
    }

    /// The next connection to close; fetched until there is none.
    pub fn next_to_close(&mut self) -> Option<PeerConnection> {
        self.server.next_to_close()
    }

    /// The worker closes a connection because either end has.
    pub fn hung_up(&mut self, connection: PeerConnection) {
        self.server.hung_up(connection);
    }

    /// A connection is closed, and its number may be given to another.
    pub fn released(&mut self, connection: PeerConnection) {
        self.server.released(connection);
    }

    /// Peers' connections that have a number.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Whether the bandwidth allows a joined connection to move something by
    /// now.
    pub fn may_move(&mut self, now: Now, connection: PeerConnection, to_peer: bool) -> bool {
        self.server.may_move(now, connection, to_peer)
    }

    /// Counts what a joined connection moved.
    pub fn moved(&mut self, connection: PeerConnection, to_peer: u32, to_client: u32) {
        self.counters.to_peer_bytes += u64::from(to_peer);
        self.counters.to_client_bytes += u64::from(to_client);
        self.server.moved(connection, to_peer, to_client);
    }
}

impl From<TcpCommand> for Command {
    fn from(command: TcpCommand) -> Self {
        Self::Tcp(command)
    }
}
