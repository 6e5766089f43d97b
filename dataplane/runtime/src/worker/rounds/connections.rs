//! The part of a round that is about connections.

use forebay_sys::ring::{RingFailed, Wait};

use super::Worker;
use crate::streams::ClientTransport;
use crate::worker::streams::ADOPTED;
use crate::worker::transmit::sends;

impl Worker {
    /// Hands what the shard sends to the kernel and stays there as `wait`
    /// says.
    pub(super) fn submit(&mut self, wait: Wait) -> Result<(), RingFailed> {
        let tx = &self.state.tx;
        self.streams
            .absorb(tx, self.ring.memory_ref(), self.state.now.instant);
        self.streams.start_sends(&mut self.ring)?;
        let packets = self.streams.packets();
        if !packets.is_empty() {
            self.ring.enter(&tx.headers, packets.sends(), Wait::Not)?;
        }
        let ids = self.streams.ids();
        self.ring
            .enter(&tx.headers, sends(tx, &self.sockets.wildcards, &ids), wait)
    }

    /// Does what completions of connections asked for.
    pub(super) fn follow_up_streams(&mut self) -> Result<(), RingFailed> {
        let reaped = &mut self.state.reaped;
        for event in reaped.streams.drain(..) {
            self.streams.received(&mut self.ring, event)?;
        }
        let now = self.state.now.instant;
        for (slot, result) in reaped.sent.drain(..) {
            self.streams.sent(&mut self.ring, slot, result, now)?;
        }
        for (slot, result) in reaped.connected.drain(..) {
            let ended = self.streams.connect_ended(&mut self.ring, slot, result)?;
            self.peers.outcomes.extend(ended);
        }
        for slot in reaped.shut.drain(..) {
            self.streams.shut_ended(&mut self.ring, slot)?;
        }
        self.collect_arrivals();
        while let Some(connection) = self.streams.next_released() {
            self.shard.released(connection);
        }
        for _ in 0..std::mem::take(&mut self.streams.gone) {
            self.control.mailbox.connection_closed();
        }
        self.streams.restart(&mut self.ring)
    }

    /// Takes over connections that wait, a few per round.
    pub(super) fn adopt(&mut self) -> Result<(), RingFailed> {
        for _ in 0..ADOPTED {
            let Some(connection) = self.control.mailbox.take_connection() else {
                return Ok(());
            };
            let now = self.state.now.instant;
            let secure = connection.transport != ClientTransport::Tcp;
            let adopted = self
                .streams
                .adopt(&mut self.ring, &mut self.shard, connection, now)?;
            if let Some(socket) = adopted {
                self.shard.client_connected(socket, secure);
            }
        }
        self.state.mail = true;
        Ok(())
    }

    /// Ends the connections that have to end, and what they held.
    pub(super) fn end_streams(&mut self) -> Result<(), RingFailed> {
        self.streams
            .pump(&mut self.ring, &mut self.shard, self.state.now)?;
        self.end_peers();
        while self.streams.end_next(&mut self.ring, &mut self.shard)? {
            self.state.dirty = true;
            self.obey()?;
            self.end_peers();
        }
        Ok(())
    }
}
