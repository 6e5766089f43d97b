//! What the data plane has when it connects: taken for ours by a fresh
//! control plane, compared with ours by one that was only cut off, and gone
//! for good when it is another run.

use std::collections::BTreeMap;

use forebay_ipc::BootId;
use forebay_ipc::media::{Fingerprint, MediaSession, MediaWorker, SubscriptionMode, TrackKind};

use super::participant::{Connection, Participant, Track};
use super::room::Room;
use super::subscribe::new_section;
use super::subscriber::{FixedSection, Sections, Subscriber};
use super::{Model, Now, Whom};
use crate::link::reconcile::Media;
use crate::quality::Smoothed;
use crate::rooms::message::{ConnectionName, ConnectionState};
use crate::rooms::note::{self, PersonNote, SessionNote, TrackNote, Way};
use crate::sdp::{NegotiatedCodec, SentTrack, SubscriberState};

/// A data plane as it introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Which run of it.
    pub boot: BootId,
    /// Where media is received.
    pub workers: Vec<MediaWorker>,
    /// Of new DTLS handshakes.
    pub certificate: Option<Fingerprint>,
    /// What it has.
    pub media: Media,
}

impl Model {
    /// A data plane is connected.
    pub fn on_connected(&mut self, now: Now, snapshot: Snapshot) {
        let former = self.cx.node.boot.replace(snapshot.boot);
        self.cx.node.workers = snapshot.workers;
        self.cx.node.certificate = snapshot.certificate;
        self.cx.node.connected = true;
        match former {
            Some(former) if former != snapshot.boot => {
                tracing::warn!("another run of the data plane: every connection is made anew");
                self.cx.metrics.dataplane_restarts.inc();
                self.lose_everything(now);
                self.cx.media.connected(snapshot.media);
            }
            Some(_) => {
                let ended = self.cx.media.connected(snapshot.media);
                for session in ended {
                    self.end_session(now, session, None);
                }
            }
            None => {
                self.cx.media.connected(snapshot.media.clone());
                self.adopt(now, snapshot.media);
            }
        }
        // Whoever came while there was no data plane can be served now.
        for room in self.rooms.values_mut() {
            room.all_stale();
            room.flush(&mut self.cx);
        }
    }

    /// The connection to the data plane is gone; the data plane goes on.
    pub fn on_disconnected(&mut self) {
        self.cx.node.connected = false;
        self.cx.media.disconnected();
    }

    /// New connections are offered another certificate.
    pub fn on_certificate(&mut self, fingerprint: Fingerprint) {
        self.cx.node.certificate = Some(fingerprint);
    }

    /// Every session is gone with the data plane that had it.
    fn lose_everything(&mut self, now: Now) {
        let all: Vec<(Whom, ConnectionName)> = self.cx.owners.sessions.values().cloned().collect();
        let mut lost: BTreeMap<_, Vec<ConnectionName>> = BTreeMap::new();
        for (whom, name) in all {
            lost.entry((whom.room, whom.id)).or_default().push(name);
        }
        let mut gone = Vec::new();
        for ((name, id), mut connections) in lost {
            connections.sort_unstable();
            let Some(room) = self.rooms.get_mut(&name) else {
                continue;
            };
            for connection in &connections {
                match connection {
                    ConnectionName::Publisher => room.lose_publisher(&mut self.cx, now, id),
                    ConnectionName::Subscriber => {
                        room.close_connection(&mut self.cx, id, ConnectionName::Subscriber);
                    }
                }
            }
            if room
                .participants
                .get(&id)
                .is_some_and(|p| p.way != Way::Web)
            {
                gone.push(room.whom(id));
            } else {
                room.ask_to_reconnect(id, &connections);
            }
        }
        for whom in gone {
            let _ = self.leave(now, &whom, crate::rooms::message::LeaveReason::Timeout);
        }
        self.cx.links = super::link::Links::default();
        self.cx.media.forget();
    }

    /// Knows its rooms again by the notes it left.
    fn adopt(&mut self, now: Now, mut media: Media) {
        let mut unknown = Vec::new();
        for session in media.sessions.values() {
            let known = note::read::<SessionNote>(&session.note).is_some_and(|note| {
                matches!(note, SessionNote::Link(_))
                    || self.adopt_session(now, session, note, &media)
            });
            if !known {
                unknown.push(session.key);
            }
        }
        for key in unknown {
            media.sessions.remove(&key);
        }
        self.cx.adopt_links(&media);
        media
            .sessions
            .retain(|key, _| self.cx.owners.sessions.contains_key(key) || self.cx.is_link(*key));
        media.tracks.retain(|key, track| {
            media.sessions.contains_key(&track.session)
                && (self.cx.owners.tracks.contains_key(key) || self.cx.is_relayed(*key))
        });
        // Subscriptions name tracks of any session, so they come last.
        let keys: Vec<_> = media.sessions.keys().copied().collect();
        for key in keys {
            self.adopt_subscriptions(key, &media);
        }
        media.subscriptions.retain(|key, _| {
            self.cx.owners.subscriptions.contains_key(key) || self.cx.is_relaying(*key)
        });
        self.cx.media.adopt(media);
        let people: usize = self.rooms.values().map(|r| r.participants.len()).sum();
        if people > 0 {
            tracing::info!(
                rooms = self.rooms.len(),
                participants = people,
                "rooms go on as the data plane has them"
            );
        }
    }

    fn adopt_session(
        &mut self,
        now: Now,
        session: &MediaSession,
        note: SessionNote,
        media: &Media,
    ) -> bool {
        let (fingerprint, person) = match &note {
            SessionNote::Publisher(f, p, _)
            | SessionNote::Subscriber(f, p, _)
            | SessionNote::Viewer(f, p, _) => (f, p.clone()),
            SessionNote::Link(_) => return false,
        };
        let Some(fingerprint) = super::unhex(fingerprint) else {
            return false;
        };
        let connection = Connection {
            session: session.clone(),
            fingerprint,
            state: Some(ConnectionState::Connected),
            rtt: std::time::Duration::ZERO,
            estimate: None,
            reported: None,
        };
        let id = person.id;
        let room = self
            .rooms
            .entry(person.room.clone())
            .or_insert_with(|| Room::new(person.room.clone(), person.call, person.call_started));
        if let Some(codecs) = &person.codecs {
            self.codecs.insert(person.room.clone(), codecs.clone());
            room.codecs = Some(codecs.clone());
        }
        let whom = room.whom(id);
        let stay = room
            .participants
            .entry(id)
            .or_insert_with(|| known_again(now, person));
        let name = match note {
            SessionNote::Publisher(_, _, offered) => {
                if stay.publisher.is_some() {
                    return false;
                }
                stay.publisher = Some(connection);
                stay.publisher_note = Some(offered);
                for track in media.tracks.values().filter(|t| t.session == session.key) {
                    let Some(note) = note::read::<TrackNote>(&track.note) else {
                        continue;
                    };
                    let codecs = track
                        .codecs
                        .iter()
                        .zip(&note.formats)
                        .map(|(published, format)| NegotiatedCodec {
                            published: *published,
                            format: *format,
                        })
                        .collect();
                    stay.tracks.insert(
                        note.id,
                        Track {
                            id: note.id,
                            key: Some(track.key),
                            lost_at: None,
                            mid: track.mid.to_string(),
                            kind: track.kind,
                            codecs,
                            encodings: track.encodings.to_vec(),
                            nack: track.nack,
                            fir: track.fir,
                            source: note.source,
                            name: note.name,
                            muted: note.muted,
                            width: note.width,
                            height: note.height,
                            quality: Smoothed::default(),
                            loss: 0.0,
                            jitter: std::time::Duration::ZERO,
                            bits_per_second: 0,
                            silent: 0,
                        },
                    );
                    room.publishers.insert(note.id, id);
                    self.cx
                        .owners
                        .tracks
                        .insert(track.key, (whom.clone(), note.id));
                }
                ConnectionName::Publisher
            }
            SessionNote::Subscriber(_, _, notes) => {
                if stay.subscriber.is_some() {
                    return false;
                }
                // Its sections get their tracks once all tracks are known.
                let state = SubscriberState::restore(notes.sections, &session.cname, Vec::new());
                let mut subscriber =
                    Subscriber::new(connection, Sections::Offered(state), notes.revision);
                subscriber.accepted = notes.accepted;
                subscriber.fresh = false;
                // An offer may have been under way.
                subscriber.needs_offer = true;
                stay.revision = notes.revision;
                stay.subscriber = Some(subscriber);
                ConnectionName::Subscriber
            }
            SessionNote::Viewer(_, _, sections) => {
                if stay.subscriber.is_some() {
                    return false;
                }
                let fixed = sections
                    .into_iter()
                    .map(|section| FixedSection {
                        mid: section.mid,
                        audio: section.audio,
                        accepted: section.accepted,
                        declared: None,
                    })
                    .collect();
                let mut subscriber = Subscriber::new(connection, Sections::Fixed(fixed), 0);
                subscriber.fresh = false;
                stay.subscriber = Some(subscriber);
                ConnectionName::Subscriber
            }
            SessionNote::Link(_) => return false,
        };
        room.peak = room.peak.max(room.participants.len());
        self.cx.owners.sessions.insert(session.key, (whom, name));
        true
    }

    fn adopt_subscriptions(&mut self, session: forebay_ipc::media::SessionKey, media: &Media) {
        let Some((whom, ConnectionName::Subscriber)) =
            self.cx.owners.sessions.get(&session).cloned()
        else {
            return;
        };
        let mut found = Vec::new();
        for subscription in media
            .subscriptions
            .values()
            .filter(|s| s.session == session)
        {
            let origin = self.cx.origin(subscription.track);
            let Some((publisher, track)) = self.cx.owners.tracks.get(&origin) else {
                continue;
            };
            let SubscriptionMode::Select { ssrc, rtx_ssrc } = subscription.mode else {
                continue;
            };
            let Some(kind) = media.tracks.get(&subscription.track).map(|t| t.kind) else {
                continue;
            };
            found.push((subscription, publisher.id, *track, ssrc, rtx_ssrc, kind));
        }
        let Some(subscriber) = self
            .rooms
            .get_mut(&whom.room)
            .and_then(|room| room.participants.get_mut(&whom.id))
            .and_then(|person| person.subscriber.as_mut())
        else {
            return;
        };
        let mut sent = Vec::new();
        for (subscription, publisher, track, ssrc, rtx_ssrc, kind) in found {
            let mid = subscription.mid.to_string();
            let mut section = new_section(track, ssrc, rtx_ssrc);
            section.key = Some(subscription.key);
            section.accepted = subscriber.accepted.clone();
            if let Sections::Fixed(fixed) = &subscriber.state
                && let Some(fixed) = fixed.iter().find(|f| f.mid == mid)
            {
                section.accepted = fixed.accepted.clone();
            }
            subscriber.sections.insert(mid.clone(), section);
            self.cx
                .owners
                .subscriptions
                .insert(subscription.key, (whom.clone(), track));
            sent.push((
                mid,
                SentTrack {
                    kind,
                    stream: publisher.to_string(),
                    track: track.to_string(),
                    ssrc,
                    rtx_ssrc: rtx_ssrc.filter(|_| kind == TrackKind::Video),
                },
            ));
        }
        if let Sections::Offered(state) = &mut subscriber.state {
            let cname = subscriber.connection.session.cname.clone();
            *state = SubscriberState::restore(state.note(), &cname, sent);
        }
    }
}

fn known_again(now: Now, note: PersonNote) -> Participant {
    let mut person = Participant::new(
        note.id,
        note.identity,
        note.name,
        note.grants,
        note.way,
        note.joined_at,
    );
    person.auto_subscribe = note.auto_subscribe;
    person.serial = note.serial;
    person.absent_since = Some(now.instant);
    person
}
