//! What waits becomes a batch.

use forebay_engine::{RxBatch, RxSlot, TrafficClass};
use forebay_sys::recv;
use forebay_sys::ring::Ring;

use super::{Rounds, Worker};
use crate::streams::framing::Room;
use crate::worker::publish::Counts;
use crate::worker::reaped::Waiting;
use crate::worker::sockets::Sockets;

impl Worker {
    /// Fills the batch from what waits: connections and requests up to their
    /// budget, then media.
    pub(super) fn collect_batch(&mut self) {
        let Rounds {
            reaped,
            slots,
            in_use,
            counts,
            now,
            ..
        } = &mut self.state;
        slots.clear();
        let budget = if reaped.media.is_empty() && !self.streams.busy() {
            RxBatch::MAX_SLOTS
        } else {
            self.requests_per_batch.min(RxBatch::MAX_SLOTS)
        };
        let covered = self.sockets.requests_covered(&self.shard, now.instant);
        let budget = budget.min(covered);
        // Requests over connections are not repeated, so they come first and
        // wait when there are many.
        let share = budget.div_ceil(2);
        let mut room = Room {
            slots: RxBatch::MAX_SLOTS / 2,
            requests: share,
        };
        self.streams
            .collect(&mut self.ring, now.instant, slots, in_use, &mut room);
        let requests = reaped
            .requests
            .len()
            .min(budget - (share - room.requests))
            .min(RxBatch::MAX_SLOTS - slots.len());
        for waiting in reaped.requests.drain(..requests) {
            in_use.push(waiting.buffer);
            slots.extend(slot(&self.ring, &mut self.sockets, counts, waiting));
        }
        let media = reaped.media.len().min(RxBatch::MAX_SLOTS - slots.len());
        for waiting in reaped.media.drain(..media) {
            in_use.push(waiting.buffer);
            slots.extend(slot(&self.ring, &mut self.sockets, counts, waiting));
        }
    }
}

/// Reads one waiting datagram; `None` when there is nothing to handle.
#[inline]
fn slot(
    ring: &Ring,
    sockets: &mut Sockets,
    counts: &mut Counts,
    waiting: Waiting,
) -> Option<RxSlot> {
    let origin = sockets.origin(waiting.slot, waiting.generation)?;
    let Some((start, received)) = ring.received(waiting.buffer, waiting.filled) else {
        counts.receive_errors += 1;
        return None;
    };
    if let Some(count) = received.dropped {
        sockets.dropped(waiting.slot, count);
    }
    if received.truncated {
        counts.truncated += 1;
        return None;
    }
    Some(RxSlot {
        socket: origin.socket,
        source: received.source,
        local: received.local.unwrap_or(origin.local),
        start: start as u32,
        len: received.len,
        segment: received.segment,
        headroom: recv::OFFSET as u16,
        class: TrafficClass(received.class & sockets.carried),
    })
}

const _: () = assert!(recv::OFFSET >= RxBatch::HEADROOM);
