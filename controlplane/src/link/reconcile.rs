//! Desired sessions, tracks and subscriptions against what the data plane
//! has: commands out, answers in, until both agree. No IO.

use std::collections::{BTreeMap, BTreeSet};

use forebay_ipc::media::{
    MediaSession, MediaSubscription, MediaTrack, SessionKey, SubscriptionKey, TrackKey,
};
use forebay_ipc::{Command, Outcome};

/// Commands that may be unanswered at a time.
pub const IN_FLIGHT: usize = 256;

/// Names a command until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Sessions, tracks and subscriptions by key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Media {
    /// Sessions.
    pub sessions: BTreeMap<SessionKey, MediaSession>,
    /// Tracks.
    pub tracks: BTreeMap<TrackKey, MediaTrack>,
    /// Subscriptions.
    pub subscriptions: BTreeMap<SubscriptionKey, MediaSubscription>,
}

impl Media {
    /// Takes a session out with what depends on it, which is returned.
    pub(super) fn remove_session(&mut self, key: SessionKey) -> Vec<Item> {
        self.sessions.remove(&key);
        let tracks = self.tracks.extract_if(.., |_, track| track.session == key);
        let mut dependent: Vec<_> = tracks.map(|(track, _)| Item::Track(track)).collect();
        let subscriptions = self.subscriptions.extract_if(.., |_, subscription| {
            subscription.session == key || dependent.contains(&Item::Track(subscription.track))
        });
        let subscriptions: Vec<_> = subscriptions.map(|(s, _)| Item::Subscription(s)).collect();
        dependent.extend(subscriptions);
        dependent
    }

    fn remove_track(&mut self, key: TrackKey) -> Vec<Item> {
        self.tracks.remove(&key);
        let subscriptions = self.subscriptions.extract_if(.., |_, s| s.track == key);
        subscriptions.map(|(s, _)| Item::Subscription(s)).collect()
    }

    /// Whether the item goes when `parent` goes.
    fn depends(&self, item: Item, parent: Item) -> bool {
        match item {
            Item::Session(_) => false,
            Item::Track(key) => {
                (self.tracks.get(&key)).is_some_and(|track| Item::Session(track.session) == parent)
            }
            Item::Subscription(key) => self.subscriptions.get(&key).is_some_and(|s| {
                [Item::Session(s.session), Item::Track(s.track)].contains(&parent)
                    || self.depends(Item::Track(s.track), parent)
            }),
        }
    }
}

/// A thing that may differ. In the order in which things are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// A session.
    Session(SessionKey),
    /// A track.
    Track(TrackKey),
    /// A subscription.
    Subscription(SubscriptionKey),
}

/// What a command in flight would bring about.
#[derive(Debug, Clone)]
enum Sent {
    Session(Box<MediaSession>),
    Track(Box<MediaTrack>),
    Subscription(Box<MediaSubscription>),
    Removal(Item),
}

impl Sent {
    fn item(&self) -> Item {
        match self {
            Self::Session(s) => Item::Session(s.key),
            Self::Track(t) => Item::Track(t.key),
            Self::Subscription(s) => Item::Subscription(s.key),
            Self::Removal(item) => *item,
        }
    }
}

/// What an answer meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// As wished, or to be tried again.
    Fine,
    /// The data plane will not have it; not tried again until it is wanted
    /// differently.
    Refused(Item),
}

/// The comparison. Change what is wanted with the `want_…` and `drop_…`
/// methods, then send what [`Reconciler::next_command`] yields until it yields
/// nothing, and report every answer to [`Reconciler::on_ack`].
#[derive(Debug, Default)]
pub struct Reconciler {
    desired: Media,
    known: Media,
    /// Wanted, and perhaps not there as wanted.
    dirty: BTreeSet<Item>,
    /// Not wanted, and perhaps there.
    unwanted: BTreeSet<Item>,
    /// Wanted as the data plane will not have it.
    refused: BTreeSet<Item>,
    flying: BTreeSet<Item>,
    in_flight: BTreeMap<Token, Sent>,
    next: u64,
    live: bool,
    busy: bool,
}

impl Reconciler {
    /// What is wanted.
    pub fn desired(&self) -> &Media {
        &self.desired
    }

    /// What the data plane has, as far as it said.
    pub fn known(&self) -> &Media {
        &self.known
    }

    /// Whether a data plane is connected and everything is as wanted.
    pub fn settled(&self) -> bool {
        self.live
            && self.refused.is_empty()
            && self.in_flight.is_empty()
            && self.dirty.iter().all(|item| !self.differs(*item))
            && self.unwanted.iter().all(|item| !self.differs(*item))
    }

    /// Wants a session, or wants it like this.
    pub fn want_session(&mut self, session: MediaSession) {
        self.mark(Item::Session(session.key));
        self.desired.sessions.insert(session.key, session);
    }

    /// Wants a track, or wants it like this.
    pub fn want_track(&mut self, track: MediaTrack) {
        self.mark(Item::Track(track.key));
        self.desired.tracks.insert(track.key, track);
    }

    /// Wants a subscription, or wants it like this.
    pub fn want_subscription(&mut self, subscription: MediaSubscription) {
        if self.desired.subscriptions.get(&subscription.key) == Some(&subscription) {
            return;
        }
        self.mark(Item::Subscription(subscription.key));
        self.desired
            .subscriptions
            .insert(subscription.key, subscription);
    }

    /// No longer wants a session, nor what depends on it.
    pub fn drop_session(&mut self, key: SessionKey) {
        let dependent = self.desired.remove_session(key);
        self.unwant_strays(dependent, Item::Session(key));
        self.unwant(Item::Session(key));
    }

    /// No longer wants a track, nor its subscriptions.
    pub fn drop_track(&mut self, key: TrackKey) {
        let dependent = self.desired.remove_track(key);
        self.unwant_strays(dependent, Item::Track(key));
        self.unwant(Item::Track(key));
    }

    /// No longer wants a subscription.
    pub fn drop_subscription(&mut self, key: SubscriptionKey) {
        self.desired.subscriptions.remove(&key);
        self.unwant(Item::Subscription(key));
    }

    /// The data plane ended a session by itself, with what depended on it.
    pub fn on_ended(&mut self, key: SessionKey) {
        self.gone(Item::Session(key));
    }

    /// Wants nothing any more of what was: another run of the data plane.
    pub fn forget(&mut self) {
        self.desired = Media::default();
        self.known = Media::default();
        self.dirty.clear();
        self.unwanted.clear();
        self.refused.clear();
    }

    /// A data plane is connected and has this. Returns the sessions it once
    /// had, that are still wanted, and that are gone: they ended meanwhile.
    pub fn connected(&mut self, has: Media) -> Vec<SessionKey> {
        self.disconnected();
        let ended = self
            .known
            .sessions
            .keys()
            .filter(|key| {
                self.desired.sessions.contains_key(key) && !has.sessions.contains_key(key)
            })
            .copied()
            .collect();
        self.known = has;
        self.live = true;
        self.compare();
        ended
    }

    /// Takes what the data plane has for what is wanted.
    pub fn adopt(&mut self, media: Media) {
        self.desired = media;
        self.compare();
    }

    /// The connection is gone; what was in flight may have been done or not.
    pub fn disconnected(&mut self) {
        self.live = false;
        self.busy = false;
        self.in_flight.clear();
        self.flying.clear();
    }

    /// Tries again what a busy worker refused.
    pub fn retry(&mut self) {
        self.busy = false;
    }

    fn mark(&mut self, item: Item) {
        self.refused.remove(&item);
        self.dirty.insert(item);
        if self.unwanted.remove(&item) {
            self.unwant_leftovers(item);
        }
    }

    /// What the data plane has of an item that stays after all, and that its
    /// removal would have taken along.
    fn unwant_leftovers(&mut self, item: Item) {
        let tracks = self.known.tracks.keys().copied().map(Item::Track);
        let subscriptions = self.known.subscriptions.keys().copied();
        let leftovers: Vec<_> = tracks
            .chain(subscriptions.map(Item::Subscription))
            .filter(|left| self.known.depends(*left, item) && !self.wants(*left))
            .collect();
        self.unwanted.extend(leftovers);
    }

    /// What is not wanted any more since `parent` is not, and would survive
    /// it: the data plane has it, or is about to have it, under another parent,
    /// whose key was wanted anew meanwhile.
    fn unwant_strays(&mut self, items: Vec<Item>, parent: Item) {
        for item in items {
            if !self.known.depends(item, parent) {
                self.unwant(item);
            }
        }
    }

    fn unwant(&mut self, item: Item) {
        self.refused.remove(&item);
        self.dirty.remove(&item);
        self.unwanted.insert(item);
    }

    fn compare(&mut self) {
        let items = |media: &Media| {
            let sessions = media.sessions.keys().copied().map(Item::Session);
            let tracks = media.tracks.keys().copied().map(Item::Track);
            let subscriptions = media.subscriptions.keys().copied().map(Item::Subscription);
            sessions
                .chain(tracks)
                .chain(subscriptions)
                .collect::<BTreeSet<_>>()
        };
        self.refused.clear();
        self.dirty = items(&self.desired);
        self.unwanted = &items(&self.known) - &self.dirty;
    }

    /// The next command to send.
    pub fn next_command(&mut self) -> Option<(Token, Command)> {
        if !self.live || self.busy || self.in_flight.len() >= IN_FLIGHT {
            return None;
        }
        let (sent, command) = self.next_removal().or_else(|| self.next_making())?;
        let item = sent.item();
        self.flying.insert(item);
        let token = Token(self.next);
        self.next += 1;
        self.in_flight.insert(token, sent);
        Some((token, command))
    }

    /// Children go before their parents.
    fn next_removal(&mut self) -> Option<(Sent, Command)> {
        let mut gone = Vec::new();
        let found = self.unwanted.iter().rev().copied().find(|item| {
            if self.flying.contains(item) {
                return false;
            }
            let there = self.differs(*item);
            if !there {
                gone.push(*item);
            }
            there
        });
        for item in gone {
            self.unwanted.remove(&item);
        }
        let item = found?;
        self.unwanted.remove(&item);
        let command = match item {
            Item::Session(key) => Command::RemoveSession(key),
            Item::Track(key) => Command::RemoveTrack(key),
            Item::Subscription(key) => Command::RemoveSubscription(key),
        };
        Some((Sent::Removal(item), command))
    }

    /// Parents go before their children.
    fn next_making(&mut self) -> Option<(Sent, Command)> {
        let mut equal = Vec::new();
        let mut found = None;
        for item in &self.dirty {
            if self.flying.contains(item) {
                continue;
            }
            if !self.differs(*item) {
                equal.push(*item);
                continue;
            }
            found = self.making(*item);
            if found.is_some() {
                equal.push(*item);
                break;
            }
        }
        for item in equal {
            self.dirty.remove(&item);
        }
        found
    }

    /// The command that makes or changes the item, once what it depends on
    /// exists, and no answer about that is awaited: it may be going.
    fn making(&self, item: Item) -> Option<(Sent, Command)> {
        match item {
            Item::Session(key) => {
                let session = Box::new(self.desired.sessions.get(&key)?.clone());
                Some((Sent::Session(session.clone()), Command::SetSession(session)))
            }
            Item::Track(key) => {
                let track = self.desired.tracks.get(&key)?;
                self.settled_session(track.session)?;
                let track = Box::new(track.clone());
                Some((Sent::Track(track.clone()), Command::SetTrack(track)))
            }
            Item::Subscription(key) => {
                let subscription = self.desired.subscriptions.get(&key)?;
                self.settled_session(subscription.session)?;
                let track = self.known.tracks.get(&subscription.track)?;
                self.settled_session(track.session)?;
                if self.flying.contains(&Item::Track(track.key)) {
                    return None;
                }
                let subscription = Box::new(subscription.clone());
                Some((
                    Sent::Subscription(subscription.clone()),
                    Command::SetSubscription(subscription),
                ))
            }
        }
    }

    /// A session that is there and stays.
    fn settled_session(&self, key: SessionKey) -> Option<&MediaSession> {
        let session = self.known.sessions.get(&key)?;
        (!self.flying.contains(&Item::Session(key))).then_some(session)
    }

    /// The data plane answered.
    pub fn on_ack(&mut self, token: Token, outcome: Outcome) -> Settled {
        let Some(sent) = self.in_flight.remove(&token) else {
            return Settled::Fine;
        };
        let item = sent.item();
        self.flying.remove(&item);
        match (outcome, sent) {
            (Outcome::Done, Sent::Session(session)) => {
                self.known.sessions.insert(session.key, *session);
            }
            (Outcome::Done, Sent::Track(track)) => {
                // Its session may have ended while the answer was under way.
                if self.known.sessions.contains_key(&track.session) {
                    self.known.tracks.insert(track.key, *track);
                }
            }
            (Outcome::Done, Sent::Subscription(subscription)) => {
                if self.known.sessions.contains_key(&subscription.session)
                    && self.known.tracks.contains_key(&subscription.track)
                {
                    self.known
                        .subscriptions
                        .insert(subscription.key, *subscription);
                }
            }
            (Outcome::Done | Outcome::NotFound, Sent::Removal(item)) => self.gone(item),
            (Outcome::Busy, sent) => {
                self.busy = true;
                if matches!(sent, Sent::Removal(_)) && self.wants(item) {
                    self.unwant_leftovers(item);
                }
            }
            _ => {
                self.refused.insert(item);
                return Settled::Refused(item);
            }
        }
        // It may have been wanted anew while the command was under way.
        if self.differs(item) {
            if self.wants(item) {
                self.dirty.insert(item);
            } else {
                self.unwanted.insert(item);
            }
        }
        Settled::Fine
    }

    /// The item is no more, nor what depended on it, some of which may be
    /// wanted anew already.
    fn gone(&mut self, item: Item) {
        let subscriptions = self.desired.subscriptions.values();
        match item {
            Item::Session(key) => {
                self.known.remove_session(key);
                let tracks = self.desired.tracks.values();
                let tracks = tracks.filter(|t| t.session == key);
                self.dirty.extend(tracks.map(|t| Item::Track(t.key)));
                // Also the ones that others had of its tracks.
                let lost = subscriptions
                    .filter(|s| s.session == key || !self.known.subscriptions.contains_key(&s.key));
                self.dirty.extend(lost.map(|s| Item::Subscription(s.key)));
            }
            Item::Track(key) => {
                self.known.remove_track(key);
                let lost = subscriptions.filter(|s| s.track == key);
                self.dirty.extend(lost.map(|s| Item::Subscription(s.key)));
            }
            Item::Subscription(key) => {
                self.known.subscriptions.remove(&key);
            }
        }
    }

    fn wants(&self, item: Item) -> bool {
        match item {
            Item::Session(key) => self.desired.sessions.contains_key(&key),
            Item::Track(key) => self.desired.tracks.contains_key(&key),
            Item::Subscription(key) => self.desired.subscriptions.contains_key(&key),
        }
    }

    fn differs(&self, item: Item) -> bool {
        match item {
            Item::Session(k) => self.desired.sessions.get(&k) != self.known.sessions.get(&k),
            Item::Track(k) => self.desired.tracks.get(&k) != self.known.tracks.get(&k),
            Item::Subscription(k) => {
                self.desired.subscriptions.get(&k) != self.known.subscriptions.get(&k)
            }
        }
    }
}
