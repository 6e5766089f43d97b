//! What a worker does for connections with peers (RFC 6062), and that each has
//! a number until it is released and none afterwards.

use core::net::SocketAddr;

use forebay_engine::TcpCommand;
use forebay_turn::{PeerConnection, SocketId};
use forebay_wire::stun::Message;

use super::places::LISTENERS;
use super::world::{World, relay_of};

/// Connections as the worker knows them.
#[derive(Default)]
pub(super) struct Peers {
    taken: Vec<PeerConnection>,
    under_way: Vec<PeerConnection>,
    /// Told to close, and not closed yet.
    closing: Vec<PeerConnection>,
    ids: Vec<u32>,
    /// Connect requests there were.
    pub(super) asked: u64,
    /// Messages that answer no request at hand, and peers that were refused.
    pub(super) told: u64,
}

impl Peers {
    fn take(&mut self, connection: PeerConnection) {
        assert!(!self.taken.contains(&connection), "one owner per number");
        self.taken.push(connection);
    }

    fn forget(&mut self, connection: PeerConnection) {
        for list in [&mut self.taken, &mut self.under_way, &mut self.closing] {
            list.retain(|other| *other != connection);
        }
    }

    fn pick(&self, nth: usize) -> Option<PeerConnection> {
        let nth = nth.checked_rem(self.taken.len())?;
        self.taken.get(nth).copied()
    }

    /// Without an allocation every connection was told to close.
    pub(super) fn check_idle(&self) {
        for connection in &self.taken {
            assert!(self.closing.contains(connection), "{connection:?} is left");
        }
    }
}

impl World {
    /// One of the ids clients were told, or none of them.
    pub(super) fn connection_id(&self, nth: usize) -> u32 {
        self.peers.ids.get(nth).copied().unwrap_or(nth as u32)
    }

    pub(super) fn obey_tcp(&mut self, command: TcpCommand) {
        match command {
            TcpCommand::Listen { v6, tuple, request } => {
                let fits = |socket: &SocketId| relay_of(*socket).local.is_ipv6() == v6;
                let index = self.closed.iter().position(fits);
                let room = self.shard.has_room(&self.tx);
                let listener = index.filter(|_| room).map(|index| {
                    let socket = self.closed.remove(index);
                    self.open.insert(socket);
                    relay_of(socket)
                });
                if room {
                    self.shard
                        .allocate(self.now, &tuple, &request, listener, &mut self.tx);
                } else {
                    // Dropped by the worker.
                    self.peers.asked += 1;
                }
            }
            TcpCommand::Connect {
                connection, relay, ..
            } => {
                assert!(self.open.contains(&relay), "from a relay that is open");
                self.peers.take(connection);
                self.peers.under_way.push(connection);
            }
            TcpCommand::GiveUp(connection) => self.settle_connect(connection, false),
            TcpCommand::Splice { connection, .. } => {
                assert!(self.peers.taken.contains(&connection));
            }
        }
    }

    /// The nth connection under way has come about, or has not.
    pub(super) fn connect_ends(&mut self, nth: usize, success: bool) {
        self.handle();
        let under_way = &self.peers.under_way;
        if let Some(nth) = nth.checked_rem(under_way.len()) {
            self.settle_connect(under_way[nth], success);
        }
        self.settle();
    }

    fn settle_connect(&mut self, connection: PeerConnection, success: bool) {
        if !self.peers.under_way.contains(&connection) || !self.shard.has_room(&self.tx) {
            return;
        }
        self.peers.under_way.retain(|other| *other != connection);
        let before = self.counted();
        self.shard
            .connected(self.now, connection, success, &mut self.tx);
        self.note(before);
    }

    /// A peer connects to one of the relay sockets.
    pub(super) fn peer_connects(&mut self, relay: usize, from: SocketAddr) {
        self.handle();
        let count = super::places::SOCKETS as usize - LISTENERS.len();
        let socket = SocketId((LISTENERS.len() + relay % count) as u32);
        let same_family = from.is_ipv4() == relay_of(socket).local.is_ipv4();
        if self.open.contains(&socket) && same_family && self.shard.has_room(&self.tx) {
            let before = self.counted();
            let come = self.shard.incoming(self.now, socket, from, &mut self.tx);
            if let Some(connection) = come {
                self.peers.take(connection);
            }
            self.note(before);
        }
        self.settle();
    }

    /// A worker hangs up, or has closed a connection.
    pub(super) fn connection_ends(&mut self, nth: usize, choice: u8) {
        self.handle();
        if let Some(connection) = self.peers.pick(nth) {
            match choice {
                9 => self.shard.hung_up(connection),
                10 => self.shard.moved(connection, 100, 10),
                _ => {
                    self.peers.forget(connection);
                    self.shard.released(connection);
                }
            }
        }
        self.settle();
    }

    pub(super) fn close_peers(&mut self) {
        while let Some(connection) = self.shard.next_to_close() {
            assert!(
                self.peers.taken.contains(&connection),
                "closes what is open"
            );
            assert!(!self.peers.closing.contains(&connection), "told once");
            self.peers.closing.push(connection);
        }
        assert_eq!(self.peers.taken.len(), self.shard.connections());
    }

    fn counted(&self) -> u64 {
        let counters = self.shard.counters();
        counters.answers + counters.dropped.iter().sum::<u64>()
    }

    /// Takes note of what a client was told beside the answers to requests.
    fn note(&mut self, before: u64) {
        self.peers.told += self.counted() - before;
        let told = self.tx.transmits.last();
        let bytes = told.and_then(|told| {
            let piece = self.tx.pieces.get(told.first as usize)?;
            let range = piece.start as usize..(piece.start + piece.len) as usize;
            self.tx.headers.get(range)
        });
        if let Some(message) = bytes.and_then(|bytes| Message::parse(bytes).ok()) {
            self.peers.ids.extend(message.connection_id());
        }
    }
}
