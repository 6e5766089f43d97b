//! Sessions, tracks and subscriptions as they are wanted, notes included: what
//! a new control plane is told. No packet depends on it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use forebay_ipc::media::{
    MediaSession, MediaSubscription, MediaTrack, SessionKey, SubscriptionKey, TrackKey,
};

/// Everything that was set and has not ended.
#[derive(Debug, Default)]
pub struct MediaRegistry {
    sessions: BTreeMap<SessionKey, MediaSession>,
    tracks: BTreeMap<TrackKey, MediaTrack>,
    subscriptions: BTreeMap<SubscriptionKey, MediaSubscription>,
    tracks_of: BTreeSet<(SessionKey, TrackKey)>,
    sent_to: BTreeSet<(SessionKey, SubscriptionKey)>,
    fed_by: BTreeSet<(TrackKey, SubscriptionKey)>,
    /// Sessions, tracks and subscriptions of each worker.
    load: BTreeMap<u16, Load>,
}

/// How much a worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Sessions.
    pub sessions: u32,
    /// Published tracks.
    pub tracks: u32,
    /// Subscriptions.
    pub subscriptions: u32,
}

impl MediaRegistry {
    /// A session.
    pub fn session(&self, key: SessionKey) -> Option<&MediaSession> {
        self.sessions.get(&key)
    }

    /// A track.
    pub fn track(&self, key: TrackKey) -> Option<&MediaTrack> {
        self.tracks.get(&key)
    }

    /// A subscription.
    pub fn subscription(&self, key: SubscriptionKey) -> Option<&MediaSubscription> {
        self.subscriptions.get(&key)
    }

    /// The worker that serves a session.
    pub fn worker_of(&self, key: SessionKey) -> Option<u16> {
        Some(self.sessions.get(&key)?.worker)
    }

    /// How much a worker has.
    pub fn load(&self, worker: u16) -> Load {
        self.load.get(&worker).copied().unwrap_or_default()
    }

    /// Takes a session in; its worker is that of the one it replaces.
    pub fn set_session(&mut self, session: MediaSession) {
        let worker = session.worker;
        if self.sessions.insert(session.key, session).is_none() {
            self.load.entry(worker).or_default().sessions += 1;
        }
    }

    /// Takes a track in; its session is known, and that of the one it replaces.
    pub fn set_track(&mut self, track: MediaTrack) {
        let Some(worker) = self.worker_of(track.session) else {
            return;
        };
        self.tracks_of.insert((track.session, track.key));
        if self.tracks.insert(track.key, track).is_none() {
            self.load.entry(worker).or_default().tracks += 1;
        }
    }

    /// Takes a subscription in; its session and track are known, and those of
    /// the one it replaces.
    pub fn set_subscription(&mut self, subscription: MediaSubscription) {
        let Some(worker) = self.worker_of(subscription.session) else {
            return;
        };
        self.sent_to
            .insert((subscription.session, subscription.key));
        self.fed_by.insert((subscription.track, subscription.key));
        if self
            .subscriptions
            .insert(subscription.key, subscription)
            .is_none()
        {
            self.load.entry(worker).or_default().subscriptions += 1;
        }
    }

    /// Forgets a session with its tracks and subscriptions. False: not known.
    pub fn remove_session(&mut self, key: SessionKey) -> bool {
        for track in second_of(&self.tracks_of, key, TrackKey(0)) {
            self.remove_track(track);
        }
        for subscription in second_of(&self.sent_to, key, SubscriptionKey(0)) {
            self.remove_subscription(subscription);
        }
        let Some(session) = self.sessions.remove(&key) else {
            return false;
        };
        if let Some(load) = self.load.get_mut(&session.worker) {
            load.sessions = load.sessions.saturating_sub(1);
        }
        true
    }

    /// Forgets a track with its subscriptions. False: not known.
    pub fn remove_track(&mut self, key: TrackKey) -> bool {
        for subscription in second_of(&self.fed_by, key, SubscriptionKey(0)) {
            self.remove_subscription(subscription);
        }
        let Some(track) = self.tracks.remove(&key) else {
            return false;
        };
        self.tracks_of.remove(&(track.session, key));
        if let Some(load) = self.load_of(track.session) {
            load.tracks = load.tracks.saturating_sub(1);
        }
        true
    }

    /// Forgets a subscription. False: not known.
    pub fn remove_subscription(&mut self, key: SubscriptionKey) -> bool {
        let Some(subscription) = self.subscriptions.remove(&key) else {
            return false;
        };
        self.sent_to.remove(&(subscription.session, key));
        self.fed_by.remove(&(subscription.track, key));
        if let Some(load) = self.load_of(subscription.session) {
            load.subscriptions = load.subscriptions.saturating_sub(1);
        }
        true
    }

    /// The first session at or above a key.
    pub fn session_from(&self, from: SessionKey) -> Option<&MediaSession> {
        Some(self.sessions.range(from..).next()?.1)
    }

    /// The first track at or above a key.
    pub fn track_from(&self, from: TrackKey) -> Option<&MediaTrack> {
        Some(self.tracks.range(from..).next()?.1)
    }

    /// At most `most` subscriptions at or above a key.
    pub fn subscriptions_from(&self, from: SubscriptionKey, most: usize) -> Vec<MediaSubscription> {
        let range = self.subscriptions.range(from..);
        range.take(most).map(|(_, found)| found.clone()).collect()
    }

    fn load_of(&mut self, session: SessionKey) -> Option<&mut Load> {
        let worker = self.worker_of(session)?;
        self.load.get_mut(&worker)
    }
}

/// What stands beside `first` in an index.
fn second_of<A: Ord + Copy, B: Ord + Copy>(index: &BTreeSet<(A, B)>, first: A, least: B) -> Vec<B> {
    index
        .range((Bound::Included((first, least)), Bound::Unbounded))
        .take_while(|(found, _)| *found == first)
        .map(|&(_, second)| second)
        .collect()
}
