//! Who there is: DTLS clients by their way here, their timers, and how many
//! of them are strangers still.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::time::Instant;

use super::association::Association;
use super::datagrams::Way;
use crate::front::admission::Prefix;

/// A client's place in the table and how often the place was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClientId {
    pub(super) place: u32,
    generation: u32,
}

/// A client, at one or both ends of a handshake.
pub(super) struct Client {
    pub(super) socket: usize,
    pub(super) way: Way,
    /// A handshake under way. One that began while another association lives
    /// takes its place when it is done (RFC 6347 §4.2.8).
    pub(super) pending: Option<Pending>,
    pub(super) live: Option<Live>,
    due: Option<Instant>,
}

/// A handshake under way.
pub(super) struct Pending {
    pub(super) association: Association,
    pub(super) give_up: Instant,
    prefix: Prefix,
}

/// An association and our end of its worker's pair.
pub(super) struct Live {
    pub(super) association: Association,
    pub(super) pair: OwnedFd,
}

/// All of them.
pub(super) struct Clients {
    table: Vec<(u32, Option<Client>)>,
    free: Vec<u32>,
    by_way: HashMap<(usize, Way), ClientId>,
    timers: BTreeSet<(Instant, ClientId)>,
    most: usize,
    most_pending: usize,
    most_per_source: usize,
    pending: usize,
    sources: HashMap<Prefix, usize>,
    /// Handshakes that showed no cookie when they began, oldest first. Those
    /// that showed one since, or ended, are passed over.
    strangers: VecDeque<ClientId>,
}

impl Clients {
    /// `most` in all, `most_pending` handshakes among them.
    pub(super) fn new(most: usize, most_pending: usize, most_per_source: usize) -> Self {
        Self {
            table: Vec::new(),
            free: Vec::new(),
            by_way: HashMap::new(),
            timers: BTreeSet::new(),
            most,
            most_pending,
            most_per_source,
            pending: 0,
            sources: HashMap::new(),
            strangers: VecDeque::new(),
        }
    }

    pub(super) fn find(&self, socket: usize, way: Way) -> Option<ClientId> {
        self.by_way.get(&(socket, way)).copied()
    }

    pub(super) fn get(&mut self, id: ClientId) -> Option<&mut Client> {
        let (generation, client) = self.table.get_mut(id.place as usize)?;
        (*generation == id.generation)
            .then_some(client.as_mut())
            .flatten()
    }

    /// Who has this place now.
    pub(super) fn at(&self, place: u32) -> Option<ClientId> {
        let (generation, client) = self.table.get(place as usize)?;
        client.as_ref()?;
        Some(ClientId {
            place,
            generation: *generation,
        })
    }

    /// Begins a handshake with a known or a new client; `None` when there are
    /// too many. When all are taken, the stranger that showed no cookie for
    /// longest makes way: it lost a datagram, or is not where it says.
    pub(super) fn begin(
        &mut self,
        socket: usize,
        way: Way,
        association: Association,
        give_up: Instant,
    ) -> Option<ClientId> {
        let prefix = Prefix::of(way.client.ip());
        let of_source = self.sources.get(&prefix).copied().unwrap_or(0);
        if of_source >= self.most_per_source {
            return None;
        }
        if self.pending >= self.most_pending {
            self.evict()?;
        }
        let pending = Some(Pending {
            association,
            give_up,
            prefix,
        });
        let id = match self.find(socket, way) {
            Some(id) => {
                let client = self.get(id)?;
                if client.pending.is_some() {
                    return None;
                }
                client.pending = pending;
                id
            }
            None => self.insert(Client {
                socket,
                way,
                pending,
                live: None,
                due: None,
            })?,
        };
        self.pending += 1;
        *self.sources.entry(prefix).or_insert(0) += 1;
        if self.strangers.len() >= 2 * self.most_pending {
            let mut strangers = std::mem::take(&mut self.strangers);
            strangers.retain(|id| self.is_stranger(*id));
            self.strangers = strangers;
        }
        self.strangers.push_back(id);
        Some(id)
    }

    fn insert(&mut self, client: Client) -> Option<ClientId> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.table.len() < self.most => {
                self.table.push((0, None));
                u32::try_from(self.table.len() - 1).ok()?
            }
            None => return None,
        };
        let (generation, slot) = self.table.get_mut(place as usize)?;
        let id = ClientId {
            place,
            generation: *generation,
        };
        self.by_way.insert((client.socket, client.way), id);
        *slot = Some(client);
        Some(id)
    }

    fn is_stranger(&mut self, id: ClientId) -> bool {
        self.get(id)
            .and_then(|client| client.pending.as_ref())
            .is_some_and(|pending| !pending.association.is_verified())
    }

    fn evict(&mut self) -> Option<()> {
        while let Some(id) = self.strangers.pop_front() {
            if self.is_stranger(id) {
                self.end_pending(id);
                return Some(());
            }
        }
        None
    }

    /// A handshake that is no longer under way; the client goes when it had
    /// nothing else.
    pub(super) fn end_pending(&mut self, id: ClientId) -> Option<Pending> {
        let client = self.get(id)?;
        let pending = client.pending.take()?;
        let gone = client.live.is_none();
        self.pending -= 1;
        if let Entry::Occupied(mut entry) = self.sources.entry(pending.prefix) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
        if gone {
            self.remove(id);
        } else {
            self.schedule(id);
        }
        Some(pending)
    }

    /// A handshake that is done: its association lives, and what lived before
    /// is returned.
    pub(super) fn establish(&mut self, id: ClientId, pair: OwnedFd) -> Option<Live> {
        let client = self.get(id)?;
        // So that the client stays while its handshake ends.
        let before = client.live.take();
        let Some(pending) = client.pending.take() else {
            client.live = before;
            return None;
        };
        self.pending -= 1;
        if let Entry::Occupied(mut entry) = self.sources.entry(pending.prefix) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
        if let Some(client) = self.get(id) {
            client.live = Some(Live {
                association: pending.association,
                pair,
            });
        }
        self.schedule(id);
        before
    }

    /// An association that lives no longer.
    pub(super) fn end_live(&mut self, id: ClientId) -> Option<Live> {
        let client = self.get(id)?;
        let live = client.live.take()?;
        if client.pending.is_none() {
            self.remove(id);
        } else {
            self.schedule(id);
        }
        Some(live)
    }

    fn remove(&mut self, id: ClientId) {
        let Some((generation, client)) = self.table.get_mut(id.place as usize) else {
            return;
        };
        if *generation != id.generation {
            return;
        }
        let Some(client) = client.take() else { return };
        *generation = generation.wrapping_add(1);
        self.free.push(id.place);
        self.by_way.remove(&(client.socket, client.way));
        if let Some(at) = client.due {
            self.timers.remove(&(at, id));
        }
    }

    /// Brings a client's timer up to date.
    pub(super) fn schedule(&mut self, id: ClientId) {
        let Some(client) = self.get(id) else { return };
        let pending = client.pending.as_ref();
        let due = [
            pending.and_then(|pending| pending.association.deadline()),
            pending.map(|pending| pending.give_up),
            client
                .live
                .as_ref()
                .and_then(|live| live.association.deadline()),
        ]
        .into_iter()
        .flatten()
        .min();
        let before = std::mem::replace(&mut client.due, due);
        if before == due {
            return;
        }
        if let Some(at) = before {
            self.timers.remove(&(at, id));
        }
        if let Some(at) = due {
            self.timers.insert((at, id));
        }
    }

    /// When the next timer is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Takes the timer that is due, if one is.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<ClientId> {
        let (at, id) = self.timers.first().copied()?;
        if at > now {
            return None;
        }
        self.timers.pop_first();
        if let Some(client) = self.get(id) {
            client.due = None;
        }
        Some(id)
    }
}
