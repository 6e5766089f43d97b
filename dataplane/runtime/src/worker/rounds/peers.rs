//! The part of a round that is about connections with peers (RFC 6062).

use std::net::SocketAddr;
use std::os::fd::AsFd;

use forebay_engine::TcpCommand;
use forebay_sys::ring::RingFailed;
use forebay_sys::{Errno, tcp};
use forebay_turn::{PeerConnection, SocketId};

use super::Worker;
use crate::worker::tag::Tag;

impl Worker {
    /// Carries out what the shard asks for.
    #[cold]
    pub(super) fn obey_tcp(&mut self, command: TcpCommand) -> Result<(), RingFailed> {
        let now = self.state.now;
        match command {
            TcpCommand::Listen { v6, tuple, request } => {
                let (ring, shard) = (&mut self.ring, &mut self.shard);
                let listener = match shard.has_room(&self.state.tx) {
                    true => self
                        .sockets
                        .listen_for_peers(ring, shard, v6, now.instant)?,
                    false => None,
                };
                self.shard
                    .allocate(now, &tuple, &request, listener, &mut self.state.tx);
                Ok(())
            }
            TcpCommand::Connect {
                connection,
                relay,
                peer,
            } => match self.open_outgoing(connection, relay, peer) {
                Ok(()) => self.streams.connect_peer(&mut self.ring, connection, peer),
                Err(errno) => {
                    tracing::debug!(%errno, "cannot open a socket for a peer");
                    self.peers.outcomes.push_back((connection, false));
                    Ok(())
                }
            },
            TcpCommand::GiveUp(connection) => self.streams.give_up(&mut self.ring, connection),
            TcpCommand::Splice { stream, connection } => {
                self.streams.splice(stream, connection);
                Ok(())
            }
        }
    }

    fn open_outgoing(
        &mut self,
        connection: PeerConnection,
        relay: SocketId,
        peer: SocketAddr,
    ) -> Result<(), Errno> {
        let local = self.sockets.local_of(relay).ok_or(Errno::EBADF)?;
        let socket = tcp::bound(local)?;
        let now = self.state.now.instant;
        let opened = self
            .streams
            .open_peer(&mut self.ring, connection, socket, peer, now);
        if opened { Ok(()) } else { Err(Errno::EMFILE) }
    }

    /// Takes over the sockets that accepts brought.
    pub(super) fn collect_arrivals(&mut self) {
        while let Some((tag, socket)) = self.ring.accepted() {
            if let Tag::Accept { slot, generation } = Tag::unpack(tag)
                && self.sockets.is_listening(slot, generation)
            {
                self.peers.arrivals.push_back((SocketId(slot), socket));
            }
        }
    }

    /// Tells the shard what became of connects, and who has connected, as far
    /// as there is room for what clients are to be told.
    pub(super) fn settle_peers(&mut self) -> Result<(), RingFailed> {
        let now = self.state.now;
        while self.shard.has_room(&self.state.tx)
            && let Some((connection, success)) = self.peers.outcomes.pop_front()
        {
            let tx = &mut self.state.tx;
            self.shard.connected(now, connection, success, tx);
        }
        for (relay, socket) in self.peers.arrivals.drain(..) {
            // Without room for the indication the peer finds itself refused.
            let Ok(source) = tcp::peer_address(socket.as_fd()) else {
                continue;
            };
            let tx = &mut self.state.tx;
            if !self.shard.has_room(tx) {
                continue;
            }
            let Some(connection) = self.shard.incoming(now, relay, source, tx) else {
                continue;
            };
            let (streams, ring) = (&mut self.streams, &mut self.ring);
            if !streams.open_peer(ring, connection, socket, source, now.instant) {
                self.shard.released(connection);
            }
        }
        Ok(())
    }

    /// Begins to close what the server wants closed.
    pub(super) fn end_peers(&mut self) {
        while let Some(connection) = self.shard.next_to_close() {
            self.streams.end_peer(&mut self.shard, connection);
        }
    }
}
