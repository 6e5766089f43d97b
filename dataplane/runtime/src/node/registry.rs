//! The live allocations, as the workers report them. Kept on the control
//! thread for whoever looks and for usage records; no packet depends on it.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use forebay_ipc::media::MediaEvent;
use forebay_ipc::{
    Allocation, AllocationId, Cursor, Deleted, Deletion, Session, SessionUuid, Text, Transport,
    Usage,
};
use forebay_wire::clock::Instant;
use uuid::Uuid;

use crate::worker::{Measured, WorkerReport};

/// Live allocations by worker and slot. A slot holds one, so the workers'
/// tables bound the registry even when reports get lost.
#[derive(Debug, Default)]
pub struct Registry {
    live: BTreeMap<Cursor, Entry>,
    kinds: Kinds,
    /// Counts the surveys.
    survey: u64,
}

#[derive(Debug)]
struct Entry {
    session: Session,
    /// The survey that saw it last, or during which it was made.
    seen: u64,
}

/// Live allocations by transport of the client and family of the relayed
/// address (IPv4, IPv6).
pub type Kinds = [[u64; 2]; 4];

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An allocation was made.
    Created(Session),
    /// An allocation ended.
    Ended(Ended),
    /// What an allocation moved so far.
    Measured(Session),
    /// Something happened to media.
    Media(MediaEvent),
}

/// An allocation that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What it was, with all it moved.
    pub session: Session,
    /// Why it ended.
    pub reason: Deletion,
    /// When, seconds since the Unix epoch.
    pub at: u64,
}

impl Ended {
    /// What connected clients are told.
    pub fn told(&self) -> Deleted {
        Deleted {
            id: self.session.id,
            username: self.session.username.clone(),
            reason: self.reason,
            lived_seconds: self.at.saturating_sub(self.session.created_at),
            usage: self.session.usage,
        }
    }
}

impl Registry {
    /// Takes a worker's report in and hands on what changed: nothing when it
    /// is about an allocation whose beginning was never reported.
    pub fn apply(&mut self, worker: u16, report: WorkerReport, mut on_change: impl FnMut(Change)) {
        match report {
            WorkerReport::Created {
                allocation,
                path,
                relayed,
                tcp,
                username,
            } => {
                let session = Session {
                    id: AllocationId {
                        worker,
                        slot: allocation.slot,
                        generation: allocation.generation,
                    },
                    uuid: SessionUuid(Uuid::now_v7().into_bytes()),
                    username: Text::truncated(&username),
                    transport: path.transport,
                    client: path.client,
                    server: path.server,
                    relayed: relayed.0,
                    created_at: unix_seconds(),
                    expires_in: None,
                    usage: Usage::default(),
                    measured_at: 0,
                    relay_transport: match tcp {
                        true => Transport::Tcp,
                        false => Transport::Udp,
                    },
                };
                let key = cursor(session.id);
                // The report of its predecessor's end was lost.
                if let Some(ended) = self.remove(key, Deletion::Unseen, None) {
                    on_change(Change::Ended(ended));
                }
                *self.kind(&session) += 1;
                let entry = Entry {
                    session: session.clone(),
                    seen: self.survey,
                };
                self.live.insert(key, entry);
                on_change(Change::Created(session));
            }
            WorkerReport::Deleted {
                allocation,
                reason,
                usage,
            } => {
                let key = Cursor {
                    worker,
                    slot: allocation.slot,
                };
                let known = self
                    .live
                    .get(&key)
                    .is_some_and(|entry| entry.session.id.generation == allocation.generation);
                let reason = match reason {
                    forebay_turn::Deletion::Expired => Deletion::Expired,
                    forebay_turn::Deletion::ClosedByClient => Deletion::ClosedByClient,
                    forebay_turn::Deletion::Administrative => Deletion::Administrative,
                    forebay_turn::Deletion::Disconnected => Deletion::Disconnected,
                };
                if known && let Some(ended) = self.remove(key, reason, Some(told(usage))) {
                    on_change(Change::Ended(ended));
                }
            }
            WorkerReport::Surveyed {
                survey,
                found,
                at,
                last,
            } => {
                for measured in found {
                    if let Some(session) = self.measure(worker, &measured, survey, at) {
                        on_change(Change::Measured(session));
                    }
                }
                if last && survey == self.survey {
                    for key in self.unseen(worker) {
                        if let Some(ended) = self.remove(key, Deletion::Unseen, None) {
                            on_change(Change::Ended(ended));
                        }
                    }
                }
            }
            WorkerReport::RefusedCredentials { .. }
            | WorkerReport::Media(_)
            | WorkerReport::Quality(_)
            | WorkerReport::Refused { .. } => {}
        }
    }

    /// The workers are about to be asked what lives. Which of the allocations
    /// known by now their answers do not name has ended. Gives the survey's
    /// number.
    pub fn begin_survey(&mut self) -> u64 {
        self.survey += 1;
        self.survey
    }

    /// Ends everything that is left, as the process does.
    pub fn end_all(&mut self, mut on_end: impl FnMut(Ended)) {
        while let Some(key) = self.live.keys().next().copied() {
            if let Some(ended) = self.remove(key, Deletion::Stopped, None) {
                on_end(ended);
            }
        }
    }

    /// At most `most` sessions at or above `from`, and where the next page
    /// starts.
    pub fn page(&self, from: Cursor, most: usize) -> (Vec<Session>, Option<Cursor>) {
        let mut entries = self.live.range(from..);
        let page = entries
            .by_ref()
            .take(most)
            .map(|(_, entry)| entry.session.clone())
            .collect();
        (page, entries.next().map(|(&key, _)| key))
    }

    /// Whether this very allocation lives, as far as is known.
    pub fn contains(&self, id: AllocationId) -> bool {
        self.live
            .get(&cursor(id))
            .is_some_and(|entry| entry.session.id == id)
    }

    /// Live allocations known.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Live allocations known, by kind.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    fn measure(
        &mut self,
        worker: u16,
        measured: &Measured,
        survey: u64,
        at: Instant,
    ) -> Option<Session> {
        let key = Cursor {
            worker,
            slot: measured.allocation.slot,
        };
        let entry = self.live.get_mut(&key)?;
        if entry.session.id.generation != measured.allocation.generation {
            return None;
        }
        entry.seen = survey;
        let session = &mut entry.session;
        let before = session.transport;
        session.transport = measured.path.transport;
        session.client = measured.path.client;
        session.server = measured.path.server;
        session.expires_in = Some(measured.expires_in);
        session.usage = told(measured.usage);
        session.measured_at = at.as_nanos() / 1_000;
        let session = session.clone();
        if before != session.transport {
            // A client moved to another transport with its allocation.
            let family = family(&session);
            self.kinds[before as usize][family] -= 1;
            self.kinds[session.transport as usize][family] += 1;
        }
        Some(session)
    }

    /// What a completed survey of the worker did not find.
    fn unseen(&self, worker: u16) -> Vec<Cursor> {
        let first = Cursor { worker, slot: 0 };
        let last = Cursor {
            worker,
            slot: u32::MAX,
        };
        self.live
            .range(first..=last)
            .filter(|(_, entry)| entry.seen < self.survey)
            .map(|(&key, _)| key)
            .collect()
    }

    /// `usage`: all it moved, where its end was told.
    fn remove(&mut self, key: Cursor, reason: Deletion, usage: Option<Usage>) -> Option<Ended> {
        let mut session = self.live.remove(&key)?.session;
        *self.kind(&session) -= 1;
        session.usage = usage.unwrap_or(session.usage);
        Some(Ended {
            session,
            reason,
            at: unix_seconds(),
        })
    }

    fn kind(&mut self, session: &Session) -> &mut u64 {
        &mut self.kinds[session.transport as usize][family(session)]
    }
}

/// What connected clients are told of a new allocation.
pub fn announced(session: &Session) -> Allocation {
    Allocation {
        id: session.id,
        client: session.client,
        relayed: session.relayed,
        username: session.username.clone(),
        created_at: session.created_at,
    }
}

fn family(session: &Session) -> usize {
    usize::from(session.relayed.is_ipv6())
}

fn cursor(id: AllocationId) -> Cursor {
    Cursor {
        worker: id.worker,
        slot: id.slot,
    }
}

fn told(usage: forebay_turn::Usage) -> Usage {
    Usage {
        to_peer_packets: usage.to_peer_packets,
        to_peer_bytes: usage.to_peer_bytes,
        to_client_packets: usage.to_client_packets,
        to_client_bytes: usage.to_client_bytes,
    }
}

/// Wall-clock time, seconds since the Unix epoch.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
