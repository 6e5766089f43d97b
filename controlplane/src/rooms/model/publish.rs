//! The publisher connection and its tracks.

use forebay_ipc::media::{TrackKey, TrackKind};

use super::participant::{Connection, Track};
use super::room::Room;
use super::{Context, Failure, Model, Now, Whom};
use crate::quality::Smoothed;
use crate::rooms::ids::{Identity, ParticipantId, TrackId, random};
use crate::rooms::message::{
    ConnectionName, ErrorCode, MutedBy, Published, PublishedTrack, Said, Source,
};
use crate::rooms::note::{self, SessionNote, Way};
use crate::sdp::{LocalTransport, NegotiatedPublisher, NegotiatedTrack, PublisherOffer};

impl Model {
    /// Takes a publisher's offer: the first one, or a later one with other
    /// sections or new ICE credentials. The answer, and the tracks that send.
    pub fn publish(
        &mut self,
        now: Now,
        whom: &Whom,
        offer: &str,
        described: &[Published],
        fresh: bool,
    ) -> Result<(String, Vec<PublishedTrack>), Failure> {
        let offer = PublisherOffer::parse(offer)
            .map_err(|error| Failure::new(ErrorCode::BadOffer, error.to_string()))?;
        self.with_room(&whom.room, |room, cx| {
            if !room.participant(whom.id)?.grants.publish {
                return Err(Failure::forbidden("publish"));
            }
            room.publish(cx, now, whom.id, &offer, described, fresh)
        })
    }

    /// Ends a track of one's own.
    pub fn unpublish(&mut self, whom: &Whom, track: TrackId) -> Result<(), Failure> {
        self.with_room(&whom.room, |room, cx| {
            if room.publishers.get(&track) != Some(&whom.id) {
                return Err(Failure::not_found("track"));
            }
            room.end_track(cx, whom.id, track);
            Ok(())
        })
    }

    /// Whose a connection is, and the fragments of its ends: ours, then the
    /// peer's.
    pub fn ice_session(
        &self,
        whom: &Whom,
        name: ConnectionName,
    ) -> Result<(Identity, String, String), Failure> {
        let person = self
            .rooms
            .get(&whom.room)
            .and_then(|room| room.participants.get(&whom.id))
            .ok_or_else(|| Failure::not_found("participant"))?;
        let connection = match name {
            ConnectionName::Publisher => person.publisher.as_ref(),
            ConnectionName::Subscriber => person.subscriber.as_ref().map(|s| &s.connection),
        };
        let found = connection.and_then(|connection| {
            let remote = connection.remote()?;
            Some((
                person.identity.clone(),
                connection.credentials().0,
                remote.ufrag,
            ))
        });
        found.ok_or_else(|| Failure::not_found("connection"))
    }

    /// New ICE credentials for a connection whose peer says its own by itself
    /// (WHIP and WHEP).
    pub fn restart_ice(
        &mut self,
        whom: &Whom,
        name: ConnectionName,
        remote_ufrag: &str,
    ) -> Result<LocalTransport, Failure> {
        self.with_room(&whom.room, |room, cx| {
            let person = room.participant(whom.id)?;
            let connection = person
                .connection_mut(name)
                .ok_or_else(|| Failure::not_found("connection"))?;
            let mut remote = connection
                .remote()
                .ok_or_else(|| Failure::not_found("connection"))?;
            if remote.ufrag != remote_ufrag {
                connection.restart()?;
                remote_ufrag.clone_into(&mut remote.ufrag);
                connection.set_remote(&remote);
                cx.media.want_session(connection.session.clone());
            }
            Ok(cx.local(connection))
        })
    }
}

impl Room {
    fn publish(
        &mut self,
        cx: &mut Context,
        now: Now,
        id: ParticipantId,
        offer: &PublisherOffer,
        described: &[Published],
        fresh: bool,
    ) -> Result<(String, Vec<PublishedTrack>), Failure> {
        let bad =
            |error: crate::sdp::SdpError| Failure::new(ErrorCode::BadOffer, error.to_string());
        let max = cx.limits.max_tracks;
        let (audio, video) = offer.sending();
        if audio + video > max {
            return Err(Failure::new(
                ErrorCode::Limit,
                format!("more than {max} tracks"),
            ));
        }
        let remote = offer.remote().clone();
        let person = self.participant(id)?;
        let same_peer = person
            .publisher
            .as_ref()
            .and_then(Connection::remote)
            .is_some_and(|known| known.fingerprint == remote.fingerprint);
        let mut connection = match person.publisher.take() {
            Some(mut connection) if same_peer && !fresh => {
                let restarts = person
                    .publisher_note
                    .as_ref()
                    .map(|note| offer.restarts(note));
                match restarts.transpose() {
                    Ok(Some(true)) => connection.restart()?,
                    Ok(_) => {}
                    Err(error) => {
                        person.publisher = Some(connection);
                        return Err(bad(error));
                    }
                }
                connection
            }
            former => {
                let made = self.new_connection(cx);
                let person = self.participant(id)?;
                person.publisher = former;
                let made = made?;
                // Before its tracks get new keys they lose the old ones.
                self.lose_publisher(cx, now, id);
                made
            }
        };
        let local = cx.local(&connection);
        let codecs = self.codecs(cx);
        let answered = offer
            .answer_by(&local, &codecs)
            .map_err(bad)
            .and_then(|answered| {
                // Others learn of it by the answer; RFC 9725 §4.4.3 wants no
                // session of half an offer.
                let partly = answered.1.tracks.len() < audio + video;
                if partly && self.participant(id)?.way == Way::Whip {
                    return Err(Failure::new(
                        ErrorCode::Codec,
                        "the room allows no codec of a section",
                    ));
                }
                Ok(answered)
            });
        let (answer, negotiated) = match answered {
            Ok(answered) => answered,
            Err(failure) => {
                if same_peer && !fresh {
                    self.participant(id)?.publisher = Some(connection);
                }
                return Err(failure);
            }
        };
        connection.set_remote(&negotiated.remote);
        connection.session.extensions = negotiated.extensions;
        connection.session.transport_cc = negotiated.transport_cc;
        let offered = offer.note();
        self.participant(id)?.publisher_note = Some(offered.clone());
        let person = self.person_note(id)?;
        let fingerprint = super::hex(&connection.fingerprint);
        connection.session.note =
            note::write(&SessionNote::Publisher(fingerprint, person, offered)).unwrap_or_default();
        cx.media.want_session(connection.session.clone());
        cx.owners.sessions.insert(
            connection.session.key,
            (self.whom(id), ConnectionName::Publisher),
        );
        let person = self.participant(id)?;
        person.publisher = Some(connection);
        person.reconnect.remove(&ConnectionName::Publisher);
        let tracks = self.take_tracks(cx, id, negotiated, described)?;
        Ok((answer, tracks))
    }

    /// A connection on a worker of the room.
    pub(super) fn new_connection(&self, cx: &Context) -> Result<Connection, Failure> {
        let unavailable =
            |why: &str| Failure::new(ErrorCode::Unavailable, format!("{why}; try again"));
        let certificate = cx
            .node
            .certificate
            .ok_or_else(|| unavailable("no data plane forwards media"))?;
        let worker = cx
            .place(&self.workers())
            .ok_or_else(|| unavailable("every worker is full"))?;
        Connection::new(worker, certificate)
    }

    /// Makes the room's tracks those that were negotiated.
    fn take_tracks(
        &mut self,
        cx: &mut Context,
        id: ParticipantId,
        negotiated: NegotiatedPublisher,
        described: &[Published],
    ) -> Result<Vec<PublishedTrack>, Failure> {
        let gone: Vec<TrackId> = self
            .participant(id)?
            .tracks
            .values()
            .filter(|t| t.key.is_some() && !negotiated.tracks.iter().any(|n| n.mid == t.mid))
            .map(|t| t.id)
            .collect();
        for track in gone {
            self.end_track(cx, id, track);
        }
        let mut published = Vec::new();
        for section in negotiated.tracks {
            let words = described.iter().find(|d| d.mid == section.mid);
            let track = self.take_track(cx, id, section, words)?;
            published.push(track);
        }
        // What nobody brought back is over.
        let lost: Vec<TrackId> = self
            .participant(id)?
            .tracks
            .values()
            .filter(|t| t.key.is_none())
            .map(|t| t.id)
            .collect();
        for track in lost {
            self.end_track(cx, id, track);
        }
        self.all_stale();
        Ok(published)
    }

    fn take_track(
        &mut self,
        cx: &mut Context,
        id: ParticipantId,
        section: NegotiatedTrack,
        words: Option<&Published>,
    ) -> Result<PublishedTrack, Failure> {
        let whom = self.whom(id);
        let person = self.participant(id)?;
        let source = words.and_then(|w| w.source).unwrap_or(match section.kind {
            TrackKind::Audio => Source::Microphone,
            TrackKind::Video => Source::Camera,
        });
        let name = words.map(|w| w.name.clone()).unwrap_or_default();
        let existing = person
            .tracks
            .values()
            .find(|t| t.key.is_some() && t.mid == section.mid)
            .or_else(|| {
                person.tracks.values().find(|t| {
                    t.key.is_none()
                        && t.kind == section.kind
                        && t.source == source
                        && t.name == name
                })
            })
            .map(|t| t.id);
        let is_new = existing.is_none();
        let track_id = match existing {
            Some(id) => id,
            None => TrackId(random()?),
        };
        let new_key = TrackKey(random()?);
        let Some(publisher) = &person.publisher else {
            return Err(Failure::not_found("connection"));
        };
        let track = person.tracks.entry(track_id).or_insert_with(|| Track {
            id: track_id,
            key: None,
            lost_at: None,
            mid: String::new(),
            kind: section.kind,
            codecs: Vec::new(),
            encodings: Vec::new(),
            nack: false,
            fir: false,
            source,
            name,
            muted: words.is_some_and(|w| w.muted).then_some(MutedBy::Publisher),
            width: words.and_then(|w| w.width),
            height: words.and_then(|w| w.height),
            quality: Smoothed::default(),
            loss: 0.0,
            jitter: std::time::Duration::ZERO,
            bits_per_second: 0,
            silent: 0,
        });
        track.mid = section.mid;
        track.codecs = section.codecs;
        track.encodings = section.encodings;
        track.nack = section.nack;
        track.fir = section.fir;
        track.lost_at = None;
        let key = *track.key.get_or_insert(new_key);
        let media = track.media(key, &publisher.session);
        let info = track.info();
        let mid = track.mid.clone();
        let hidden = person.grants.hidden;
        if cx.media.desired().tracks.get(&key) != Some(&media) {
            cx.media.want_track(media);
        }
        cx.owners.tracks.insert(key, (whom, track_id));
        self.publishers.insert(track_id, id);
        if is_new && !hidden {
            self.tell(
                cx,
                Some(id),
                &Said::TrackPublished {
                    participant: id,
                    track: info.clone(),
                },
            );
        }
        Ok(PublishedTrack { mid, track: info })
    }

    /// A track is over.
    pub(super) fn end_track(&mut self, cx: &mut Context, owner: ParticipantId, id: TrackId) {
        let Some(track) = self
            .participants
            .get_mut(&owner)
            .and_then(|p| p.tracks.remove(&id))
        else {
            return;
        };
        self.publishers.remove(&id);
        self.withdraw(cx, id);
        if let Some(key) = track.key {
            cx.drop_track(key);
        }
        for person in self.participants.values_mut() {
            person.wishes.remove(&id);
            person.wanted.remove(&id);
            person.unwanted.remove(&id);
            person.unavailable.remove(&id);
        }
        if !self
            .participants
            .get(&owner)
            .is_some_and(|p| p.grants.hidden)
        {
            self.tell(
                cx,
                Some(owner),
                &Said::TrackUnpublished {
                    participant: owner,
                    track: id,
                },
            );
        }
        self.all_stale();
    }

    /// The publisher's session is no more: its tracks wait for a new one.
    pub(super) fn lose_publisher(&mut self, cx: &mut Context, now: Now, id: ParticipantId) {
        let Some(person) = self.participants.get_mut(&id) else {
            return;
        };
        let mut lost = Vec::new();
        for track in person.tracks.values_mut() {
            if let Some(key) = track.key.take() {
                track.lost_at = Some(now.instant);
                cx.drop_track(key);
                lost.push(track.id);
            }
        }
        self.close_connection(cx, id, ConnectionName::Publisher);
        for track in lost {
            self.withdraw(cx, track);
        }
        self.all_stale();
    }

    /// Ends a participant's session in the data plane.
    pub(super) fn close_connection(
        &mut self,
        cx: &mut Context,
        id: ParticipantId,
        name: ConnectionName,
    ) {
        let Some(person) = self.participants.get_mut(&id) else {
            return;
        };
        let connection = match name {
            ConnectionName::Publisher => person.publisher.take(),
            ConnectionName::Subscriber => person.subscriber.take().map(|subscriber| {
                for section in subscriber.sections.values() {
                    if let Some(key) = section.key {
                        cx.owners.subscriptions.remove(&key);
                    }
                }
                subscriber.connection
            }),
        };
        if let Some(connection) = connection {
            cx.owners.sessions.remove(&connection.session.key);
            cx.media.drop_session(connection.session.key);
        }
    }
}
