//! Connections with peers (RFC 6062) from the socket to the end: until a client
//! binds one, nothing is read from it, so that what the peer says waits in the
//! kernel and its window closes.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use forebay_engine::Shard;
use forebay_sys::Errno;
use forebay_sys::ring::{Ring, RingFailed};
use forebay_turn::{PeerConnection, SocketId};
use forebay_wire::clock::Instant;

use super::{Entry, State, Streams};
use crate::streams::{End, Live, prepare_peer};
use crate::worker::tag::Tag;

impl Streams {
    /// The entry of a peer's connection.
    pub(super) fn index_of(&self, connection: PeerConnection) -> u32 {
        self.clients + connection.0
    }

    /// The peer's connection in an entry, if it is one.
    pub(super) fn peer_at(&self, index: u32) -> Option<PeerConnection> {
        index.checked_sub(self.clients).map(PeerConnection)
    }

    /// Takes over a socket that is, or is going to be, connected to a peer.
    /// False if it cannot be had; then it is closed.
    pub(in crate::worker) fn open_peer(
        &mut self,
        ring: &mut Ring,
        connection: PeerConnection,
        socket: OwnedFd,
        peer: SocketAddr,
        now: Instant,
    ) -> bool {
        let index = self.index_of(connection);
        let slot = self.slot(index);
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return false;
        };
        if entry.state != State::Free
            || prepare_peer(socket.as_fd()).is_err()
            || ring.install(slot, socket).is_err()
        {
            return false;
        }
        *entry = Entry {
            state: State::Open,
            live: Some(Box::new(Live::peer(SocketId(slot), peer, now))),
            ..Entry::free(entry.generation)
        };
        self.counts.peers += 1;
        true
    }

    /// Begins to connect the socket of an open entry.
    pub(in crate::worker) fn connect_peer(
        &mut self,
        ring: &mut Ring,
        connection: PeerConnection,
        peer: SocketAddr,
    ) -> Result<(), RingFailed> {
        let index = self.index_of(connection);
        let slot = self.slot(index);
        let entry = &mut self.entries[index as usize];
        entry.sending = true;
        let generation = entry.generation;
        let tag = Tag::Connected { slot, generation }.pack();
        ring.connect(index, slot, peer, tag)
    }

    /// Ends the attempt to connect; it completes as failed.
    pub(in crate::worker) fn give_up(
        &mut self,
        ring: &mut Ring,
        connection: PeerConnection,
    ) -> Result<(), RingFailed> {
        let index = self.index_of(connection);
        match self.entries.get(index as usize) {
            Some(entry) if entry.sending => ring.cancel_stream_send(index),
            _ => Ok(()),
        }
    }

    /// A connect completed: whose, and whether it succeeded, if it is still
    /// wanted.
    pub(in crate::worker) fn connect_ended(
        &mut self,
        ring: &mut Ring,
        slot: u32,
        result: Result<u32, Errno>,
    ) -> Result<Option<(PeerConnection, bool)>, RingFailed> {
        let index = slot.wrapping_sub(self.first);
        if let Some(bytes) = ring.sent(index) {
            self.keep(bytes);
        }
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return Ok(None);
        };
        entry.sending = false;
        if entry.state != State::Open {
            self.finish(ring, index)?;
            return Ok(None);
        }
        if let Err(errno) = result {
            tracing::debug!(%errno, "cannot connect to a peer");
        }
        Ok(self
            .peer_at(index)
            .map(|connection| (connection, result.is_ok())))
    }

    /// The server wants a connection closed, with the client's that it is
    /// joined to.
    pub(in crate::worker) fn end_peer(&mut self, shard: &mut Shard, connection: PeerConnection) {
        let index = self.index_of(connection);
        match self.entries.get(index as usize) {
            Some(entry) if entry.state != State::Free => self.ends.push_back((index, End::Peer)),
            // There never was a socket.
            _ => shard.released(connection),
        }
    }

    /// The next connection that is closed, so that its number is free.
    pub(in crate::worker) fn next_released(&mut self) -> Option<PeerConnection> {
        self.released.pop()
    }

    /// Peers' connections that are open.
    pub(in crate::worker) fn spliced(&self) -> usize {
        self.spliced
    }
}
