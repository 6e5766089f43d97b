//! The live allocations, as the workers report them. Kept on the control
//! thread for snapshots; no packet depends on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use forebay_ipc::media::MediaEvent;
use forebay_ipc::{Allocation, AllocationId, Deleted, Deletion, Text, Usage};

use crate::worker::WorkerReport;

/// Live allocations by worker and slot. A slot holds one, so the workers'
/// tables bound the registry even when reports get lost.
#[derive(Debug, Default)]
pub struct Registry {
    live: BTreeMap<(u16, u32), Entry>,
}

#[derive(Debug)]
struct Entry {
    generation: u32,
    client: SocketAddr,
    relayed: SocketAddr,
    username: Box<str>,
    created_at: u64,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An allocation was made.
    Created(Allocation),
    /// An allocation ended.
    Deleted(Deleted),
    /// Something happened to media.
    Media(MediaEvent),
}

impl Registry {
    /// Takes a worker's report in. `None` when it is about an allocation whose
    /// beginning was never reported.
    pub fn apply(&mut self, worker: u16, report: WorkerReport) -> Option<Change> {
        let now = unix_seconds();
        match report {
            WorkerReport::Created {
                allocation,
                client,
                relayed,
                username,
            } => {
                let entry = Entry {
                    generation: allocation.generation,
                    client: client.0,
                    relayed: relayed.0,
                    username,
                    created_at: now,
                };
                let told = tell(worker, allocation.slot, &entry);
                self.live.insert((worker, allocation.slot), entry);
                Some(Change::Created(told))
            }
            WorkerReport::Deleted {
                allocation,
                reason,
                usage,
            } => {
                let key = (worker, allocation.slot);
                if self.live.get(&key)?.generation != allocation.generation {
                    return None;
                }
                let entry = self.live.remove(&key)?;
                Some(Change::Deleted(Deleted {
                    id: AllocationId {
                        worker,
                        slot: allocation.slot,
                        generation: allocation.generation,
                    },
                    username: Text::truncated(&entry.username),
                    reason: match reason {
                        forebay_turn::Deletion::Expired => Deletion::Expired,
                        forebay_turn::Deletion::ClosedByClient => Deletion::ClosedByClient,
                        forebay_turn::Deletion::Administrative => Deletion::Administrative,
                        forebay_turn::Deletion::Disconnected => Deletion::Disconnected,
                    },
                    lived_seconds: now.saturating_sub(entry.created_at),
                    usage: Usage {
                        to_peer_packets: usage.to_peer_packets,
                        to_peer_bytes: usage.to_peer_bytes,
                        to_client_packets: usage.to_client_packets,
                        to_client_bytes: usage.to_client_bytes,
                    },
                }))
            }
            WorkerReport::Media(_) | WorkerReport::Quality(_) | WorkerReport::Refused { .. } => {
                None
            }
        }
    }

    /// At most `most` allocations whose worker and slot lie at or above
    /// `from`, and where the next page starts.
    pub fn page(&self, from: (u16, u32), most: usize) -> (Vec<Allocation>, Option<(u16, u32)>) {
        let mut entries = self.live.range(from..);
        let page = entries
            .by_ref()
            .take(most)
            .map(|(&(worker, slot), entry)| tell(worker, slot, entry))
            .collect();
        (page, entries.next().map(|(&key, _)| key))
    }

    /// Whether this very allocation lives, as far as is known.
    pub fn contains(&self, id: AllocationId) -> bool {
        self.live
            .get(&(id.worker, id.slot))
            .is_some_and(|entry| entry.generation == id.generation)
    }

    /// Live allocations known.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }
}

fn tell(worker: u16, slot: u32, entry: &Entry) -> Allocation {
    Allocation {
        id: AllocationId {
            worker,
            slot,
            generation: entry.generation,
        },
        client: entry.client,
        relayed: entry.relayed,
        username: Text::truncated(&entry.username),
        created_at: entry.created_at,
    }
}

/// Wall-clock time, seconds since the Unix epoch.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
