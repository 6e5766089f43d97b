//! The second pass over a batch: STUN messages the server answers, within a
//! budget while media flows.

use forebay_turn::{ClientAddr, FiveTuple, Outcome, ReplyFrom, Server};
use forebay_wire::clock::Now;

use crate::batch::{Arena, Piece, RxBatch, TrafficClass, Transmit, TxBatch};
use crate::client::{for_each_datagram, is_request};
use crate::command::Command;
use crate::counters::DropReason;
use crate::shard::Shard;
use crate::tcp::TcpCommand;

impl Shard {
    #[cold]
    pub(crate) fn requests(&mut self, now: Now, rx: &RxBatch<'_>, tx: &mut TxBatch) {
        let mut budget = if tx.transmits.is_empty() {
            u32::MAX
        } else {
            self.requests_per_batch.into()
        };
        for (index, slot) in rx.slots.iter().enumerate() {
            let index = index % RxBatch::MAX_SLOTS;
            if self.requesting[index / 64] & (1 << (index % 64)) == 0 {
                continue;
            }
            for_each_datagram(slot, |range| {
                if let Some(datagram) = rx.memory.get(range)
                    && is_request(datagram)
                {
                    let tuple = FiveTuple {
                        socket: slot.socket,
                        client: ClientAddr(slot.source),
                        local: slot.local,
                    };
                    self.request(now, &tuple, datagram, tx, &mut budget);
                }
            });
        }
    }

    pub(crate) fn request(
        &mut self,
        now: Now,
        tuple: &FiveTuple,
        datagram: &[u8],
        tx: &mut TxBatch,
        budget: &mut u32,
    ) {
        if *budget == 0 || !self.has_room_for_commands() {
            return self.counters.drop(DropReason::RequestBudget, 1);
        }
        // Asked beforehand: what the server grants it must be able to say.
        if !Self::has_room_for_answer(tx) {
            return self.counters.drop(DropReason::BatchFull, 1);
        }
        *budget -= 1;
        self.counters.requests += 1;
        let outcome = self.server.request(now, tuple, datagram, &mut self.answer);
        self.settle(tuple, datagram, outcome, tx);
    }

    pub(crate) fn has_room_for_answer(tx: &TxBatch) -> bool {
        tx.transmits.len() < tx.transmits.capacity()
            && tx.pieces.len() < tx.pieces.capacity()
            && tx.headers.room() >= Server::MAX_ANSWER
    }

    /// Does what the server said of a request.
    pub(crate) fn settle(
        &mut self,
        tuple: &FiveTuple,
        datagram: &[u8],
        outcome: Outcome,
        tx: &mut TxBatch,
    ) {
        self.collect();
        match outcome {
            Outcome::Silent(refusal) => self.counters.drop(refusal.into(), 1),
            // Room was asked for above, and what the request itself queued
            // took less of it than there was.
            Outcome::Elsewhere(shard) => {
                self.counters.forwarded += 1;
                self.commands.push_back(Command::Forward {
                    shard,
                    tuple: *tuple,
                    request: datagram.into(),
                });
            }
            Outcome::Reply(len) => self.reply(tuple, len, tx),
            Outcome::ReplyFrom(ReplyFrom { len, tuple }) => self.reply(&tuple, len, tx),
            Outcome::Later => {}
            Outcome::Listen { v6 } => self.commands.push_back(
                TcpCommand::Listen {
                    v6,
                    tuple: *tuple,
                    request: datagram.into(),
                }
                .into(),
            ),
            Outcome::Bound { len, connection } => {
                self.reply(tuple, len, tx);
                let stream = tuple.socket;
                self.commands
                    .push_back(TcpCommand::Splice { stream, connection }.into());
            }
        }
    }

    pub(crate) fn reply(&mut self, tuple: &FiveTuple, len: usize, tx: &mut TxBatch) {
        self.counters.answers += 1;
        self.push_answer(tuple, len, tx);
    }

    /// Sends the first `len` bytes of the answer to a client. There has to be
    /// room for it.
    pub(crate) fn push_answer(&self, tuple: &FiveTuple, len: usize, tx: &mut TxBatch) {
        let first = tx.pieces.len() as u32;
        let start = tx.headers.len() as u32;
        let answer = &self.answer[..len];
        let len = len as u32;
        let _ = tx.headers.append(answer);
        tx.pieces.push(Piece {
            arena: Arena::Headers,
            start,
            len,
            next: Piece::END,
        });
        tx.transmits.push(Transmit {
            socket: tuple.socket,
            destination: tuple.client.0,
            source: Some(tuple.local),
            segment: None,
            class: TrafficClass::default(),
            dont_fragment: false,
            first,
            pieces: 1,
            len,
            datagrams: 1,
        });
    }
}
