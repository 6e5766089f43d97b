//! The forwarder within a shard: its batches, timers and commands.

use core::ops::Range;
use std::collections::VecDeque;

use forebay_media::{Change, Forwarder, Path, Progress, Refusal, SessionKey, SocketId};
use forebay_wire::clock::{Instant, Now};

use crate::batch::{RxBatch, TxBatch};
use crate::client::for_each_datagram;
use crate::coalescer::Coalescer;
use crate::command::Command;
use crate::config::MediaConfig;
use crate::counters::Counters;
use crate::wheel::Wheel;

/// See the module documentation.
pub(crate) struct Forwarding {
    pub(crate) forwarder: Forwarder,
    pub(crate) coalescer: Coalescer,
    pub(crate) wheel: Wheel,
}

impl Forwarding {
    /// A tick of media's timers: 2^22 ns (4.2 ms), a fraction of the 20 ms
    /// after which a loss is reported and of the 50 ms between two transport
    /// feedbacks.
    const TICK_SHIFT: u32 = 22;
    /// Timers run in one `on_timeout`: one per session, so this many feedbacks.
    const TIMERS_PER_CALL: usize = 256;

    pub(crate) fn new(config: MediaConfig, max_segment: u16) -> Self {
        let sessions = config.forwarder.capacity.sessions as usize;
        let forwarder = Forwarder::new(config.forwarder, config.seeds);
        Self {
            coalescer: Coalescer::new(sessions, max_segment),
            wheel: Wheel::new(forwarder.timers(), Self::TICK_SHIFT),
            forwarder,
        }
    }

    pub(crate) fn handle(
        &mut self,
        now: Now,
        rx: &mut RxBatch<'_>,
        of_media: &[Range<u32>; 2],
        tx: &mut TxBatch,
        counters: &mut Counters,
    ) -> Progress {
        let before = tx.transmits.len();
        let out = &mut self.coalescer.output(tx);
        for slot in rx.slots {
            if !of_media.iter().any(|ids| ids.contains(&slot.socket.0)) {
                continue;
            }
            let path = Path {
                socket: SocketId(slot.socket.0),
                local: slot.local,
                remote: slot.source,
            };
            for_each_datagram(slot, |range| {
                self.forwarder.receive(now, &path, rx.memory, range, out);
            });
        }
        let progress = self.forwarder.forward(now, rx.memory, out);
        counters.media_transmits += (tx.transmits.len() - before) as u64;
        progress
    }

    pub(crate) fn resume(
        &mut self,
        now: Now,
        memory: &[u8],
        tx: &mut TxBatch,
        counters: &mut Counters,
    ) -> Progress {
        let progress = self
            .forwarder
            .forward(now, memory, &mut self.coalescer.output(tx));
        counters.media_transmits += tx.transmits.len() as u64;
        progress
    }

    pub(crate) fn on_timeout(&mut self, now: Now, tx: &mut TxBatch, counters: &mut Counters) {
        let before = tx.transmits.len();
        let out = &mut self.coalescer.output(tx);
        for _ in 0..Self::TIMERS_PER_CALL {
            let Some(token) = self.wheel.pop_due(now.instant) else {
                break;
            };
            self.forwarder.on_timer(now, token, out);
        }
        counters.media_transmits += (tx.transmits.len() - before) as u64;
    }

    pub(crate) fn apply(
        &mut self,
        now: Now,
        change: Change,
        tx: &mut TxBatch,
        counters: &mut Counters,
    ) -> Result<(), Refusal> {
        let before = tx.transmits.len();
        let out = &mut self.coalescer.output(tx);
        let outcome = self.forwarder.apply(now, change, out);
        counters.media_transmits += (tx.transmits.len() - before) as u64;
        outcome
    }

    pub(crate) fn send_dtls(
        &mut self,
        session: SessionKey,
        datagram: &[u8],
        tx: &mut TxBatch,
        counters: &mut Counters,
    ) {
        let before = tx.transmits.len();
        let out = &mut self.coalescer.output(tx);
        self.forwarder.send_dtls(session, datagram, out);
        counters.media_transmits += (tx.transmits.len() - before) as u64;
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    /// Takes over what the forwarder has queued, as long as there are fewer
    /// than `most` commands.
    pub(crate) fn collect(&mut self, commands: &mut VecDeque<Command>, most: usize) {
        while commands.len() < most
            && let Some(command) = self.forwarder.next_command()
        {
            commands.push_back(match command {
                forebay_media::Command::Arm { token, at } => {
                    // Cannot fail: the wheel has a node for every timer the
                    // forwarder may have armed at once.
                    let armed = self.wheel.arm(token, at);
                    debug_assert_eq!(armed, Ok(()));
                    continue;
                }
                forebay_media::Command::Dtls {
                    session,
                    source,
                    datagram,
                } => Command::Dtls {
                    session,
                    source,
                    datagram,
                },
                forebay_media::Command::Event(event) => Command::Media(event),
            });
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.forwarder.memory() + self.coalescer.memory() + self.wheel.memory() + size_of::<Self>()
    }
}
