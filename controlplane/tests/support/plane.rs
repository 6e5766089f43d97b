//! What a data plane remembers of media.

use forebay_controlplane::link::reconcile::Media;
use forebay_controlplane::rooms::model::Snapshot;
use forebay_ipc::media::{Fingerprint, MediaWorker, SessionKey, TrackKey};
use forebay_ipc::{BootId, Command, List, Outcome};

/// Sessions, tracks and subscriptions as a data plane keeps them.
#[derive(Debug, Default)]
pub(crate) struct Plane {
    pub(crate) boot: u8,
    pub(crate) media: Media,
}

impl Plane {
    /// Carries a command out as the contract says.
    pub(crate) fn apply(&mut self, command: &Command) -> Outcome {
        let media = &mut self.media;
        match command {
            Command::SetSession(session) => {
                media.sessions.insert(session.key, (**session).clone());
            }
            Command::RemoveSession(key) => self.remove(*key),
            Command::SetTrack(track) => {
                if !media.sessions.contains_key(&track.session) {
                    return Outcome::NotFound;
                }
                media.tracks.insert(track.key, (**track).clone());
            }
            Command::RemoveTrack(key) => self.remove_track(*key),
            Command::SetSubscription(subscription) => {
                if !media.sessions.contains_key(&subscription.session)
                    || !media.tracks.contains_key(&subscription.track)
                {
                    return Outcome::NotFound;
                }
                media
                    .subscriptions
                    .insert(subscription.key, (**subscription).clone());
            }
            Command::RemoveSubscription(key) => {
                media.subscriptions.remove(key);
            }
            other => panic!("not about media: {other:?}"),
        }
        Outcome::Done
    }

    pub(crate) fn remove(&mut self, key: SessionKey) {
        self.media.sessions.remove(&key);
        let tracks: Vec<TrackKey> = self
            .media
            .tracks
            .values()
            .filter(|t| t.session == key)
            .map(|t| t.key)
            .collect();
        for track in tracks {
            self.remove_track(track);
        }
        self.media.subscriptions.retain(|_, s| s.session != key);
    }

    fn remove_track(&mut self, key: TrackKey) {
        self.media.tracks.remove(&key);
        self.media.subscriptions.retain(|_, s| s.track != key);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            boot: BootId([self.boot; 16]),
            workers: (0..2)
                .map(|worker| MediaWorker {
                    worker,
                    addresses: List::new(vec![
                        format!("203.0.113.7:{}", 7_882 + worker).parse().unwrap(),
                    ])
                    .unwrap(),
                    session_capacity: 1_000,
                    tcp: Some(7_881),
                })
                .collect(),
            certificate: Some(Fingerprint([9; 32])),
            media: self.media.clone(),
        }
    }
}
