//! A helper thread: its sessions' associations, their timers and budgets.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use forebay_media::SessionKey;

use super::association::{Association, News, Reaction, Terms};
use super::registry::Registry;
use super::{Deliver, Outcome, Tally};

/// Inputs taken before timers and outcomes are looked at again.
const AT_ONCE: usize = 64;
/// When to offer an outcome again that a worker had no room for.
const AGAIN: Duration = Duration::from_millis(5);
/// The longest sleep.
const IDLE: Duration = Duration::from_secs(1);

/// What a helper is told.
pub(super) enum Input {
    /// A session's datagram.
    Datagram {
        session: SessionKey,
        source: IpAddr,
        datagram: Box<[u8]>,
    },
    /// The registry changed.
    Look,
}

/// A network that is one source for budgets: /24 or /56.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Network(u64, bool);

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(u64::from(address.to_bits() >> 8), false),
            IpAddr::V6(address) => Self((address.to_bits() >> 72) as u64, true),
        }
    }
}

struct Session {
    association: Association,
    worker: usize,
    /// Set while its handshake counts against the budgets.
    counted: Option<Network>,
    /// Its entry in the timers.
    due: Option<Instant>,
}

pub(super) struct Helper {
    inputs: Receiver<Input>,
    registry: Arc<Registry>,
    terms: Terms,
    deliver: Deliver,
    tally: Arc<Tally>,
    most: usize,
    most_per_network: usize,
    sessions: HashMap<SessionKey, Session>,
    timers: BTreeSet<(Instant, SessionKey)>,
    running: usize,
    networks: HashMap<Network, usize>,
    /// Outcomes that must not get lost; at most two per session.
    waiting: VecDeque<(usize, Outcome)>,
}

impl Helper {
    pub(super) fn new(
        inputs: Receiver<Input>,
        registry: Arc<Registry>,
        terms: Terms,
        deliver: Deliver,
        tally: Arc<Tally>,
        most: usize,
        most_per_network: usize,
    ) -> Self {
        Self {
            inputs,
            registry,
            terms,
            deliver,
            tally,
            most,
            most_per_network,
            sessions: HashMap::new(),
            timers: BTreeSet::new(),
            running: 0,
            networks: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn run(mut self) {
        loop {
            let first = match self.inputs.recv_timeout(self.sleep(Instant::now())) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.registry.is_stopped() {
                return;
            }
            self.look();
            let more = self.inputs.clone();
            for input in first.into_iter().chain(more.try_iter().take(AT_ONCE)) {
                if let Input::Datagram {
                    session,
                    source,
                    datagram,
                } = input
                {
                    self.datagram(session, source, datagram);
                }
            }
            self.expire(Instant::now());
            self.offer_again();
        }
    }

    fn sleep(&self, now: Instant) -> Duration {
        if !self.waiting.is_empty() {
            return AGAIN;
        }
        self.timers
            .first()
            .map_or(IDLE, |(at, _)| at.saturating_duration_since(now).min(IDLE))
    }

    fn look(&mut self) {
        for (key, registered) in self.registry.changes() {
            match registered {
                None => self.forget(key),
                Some(registered) => {
                    let now = Instant::now();
                    if let (Some(session), Some(expected)) =
                        (self.sessions.get_mut(&key), registered.expected)
                    {
                        let reaction = session.association.announce(now, expected);
                        self.settle(key, reaction);
                    }
                }
            }
        }
    }

    fn datagram(&mut self, key: SessionKey, source: IpAddr, datagram: Box<[u8]>) {
        let now = Instant::now();
        let session = match self.sessions.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let Some(registered) = self.registry.get(key) else {
                    return;
                };
                let network = Network::of(source);
                let with_source = self.networks.get(&network).copied().unwrap_or(0);
                if self.running >= self.most || with_source >= self.most_per_network {
                    Tally::add(&self.tally.over_budget);
                    return;
                }
                self.networks.insert(network, with_source + 1);
                self.running += 1;
                Tally::add(&self.tally.started);
                entry.insert(Session {
                    association: Association::new(
                        self.terms.clone(),
                        registered.identity,
                        registered.expected,
                    ),
                    worker: registered.worker,
                    counted: Some(network),
                    due: None,
                })
            }
        };
        let reaction = session.association.receive(now, datagram);
        self.settle(key, reaction);
    }

    fn expire(&mut self, now: Instant) {
        while let Some((at, key)) = self.timers.first().copied() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            if let Some(session) = self.sessions.get_mut(&key) {
                session.due = None;
                let reaction = session.association.timeout(now);
                self.settle(key, reaction);
            }
        }
    }

    /// Hands on what came of an input, and brings timers and budgets up to
    /// date.
    fn settle(&mut self, key: SessionKey, reaction: Reaction) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let due = session.association.deadline();
        if due != session.due {
            if let Some(at) = session.due {
                self.timers.remove(&(at, key));
            }
            if let Some(at) = due {
                self.timers.insert((at, key));
            }
            session.due = due;
        }
        let worker = session.worker;
        if !session.association.is_pending()
            && let Some(network) = session.counted.take()
        {
            self.ended(network);
        }
        if !reaction.datagrams.is_empty() {
            // Lost when the worker has no room, as the network loses some.
            let _ = (self.deliver)(
                worker,
                Outcome::Send {
                    session: key,
                    datagrams: reaction.datagrams,
                },
            );
        }
        for news in reaction.news {
            let outcome = match news {
                News::Keys(keys) => {
                    Tally::add(&self.tally.completed);
                    Outcome::Keys { session: key, keys }
                }
                News::Failed(why) => {
                    Tally::add(&self.tally.failed);
                    Outcome::Failed { session: key, why }
                }
                News::Closed => Outcome::Closed { session: key },
            };
            if let Err(outcome) = (self.deliver)(worker, outcome) {
                self.waiting.push_back((worker, outcome));
            }
        }
    }

    fn offer_again(&mut self) {
        for _ in 0..self.waiting.len() {
            let Some((worker, outcome)) = self.waiting.pop_front() else {
                return;
            };
            if let Err(outcome) = (self.deliver)(worker, outcome) {
                self.waiting.push_back((worker, outcome));
            }
        }
    }

    fn forget(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.remove(&key) else {
            return;
        };
        if let Some(at) = session.due {
            self.timers.remove(&(at, key));
        }
        if let Some(network) = session.counted {
            self.ended(network);
        }
        self.waiting.retain(|(_, outcome)| outcome.session() != key);
    }

    fn ended(&mut self, network: Network) {
        self.running -= 1;
        if let Entry::Occupied(mut entry) = self.networks.entry(network) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}
