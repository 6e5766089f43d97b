//! Who gets which tracks: sections come and go with what is published and
//! wished, offers carry them to the client, answers make them subscriptions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use forebay_ipc::media::{MediaSubscription, SubscriptionKey, SubscriptionMode, TrackKind};
use forebay_ipc::{List, Text};

use super::room::Room;
use super::subscriber::{Outstanding, Section, Sections, Subscriber};
use super::{Context, Failure, Model, Whom, kind_name};
use crate::quality::Smoothed;
use crate::rooms::ids::{ParticipantId, TrackId, random, random_ssrc};
use crate::rooms::message::{ConnectionName, ErrorCode, OfferedTrack, Said, Unavailable};
use crate::rooms::note::{self, SessionNote, SubscriberNotes, Way};
use crate::sdp::{SentTrack, SubscriberState, payload_map};

impl Model {
    /// Names tracks to be received, or no longer.
    pub fn subscribe(
        &mut self,
        whom: &Whom,
        tracks: &[TrackId],
        wanted: bool,
    ) -> Result<(), Failure> {
        self.with_room(&whom.room, |room, _| {
            let known: Vec<TrackId> = tracks
                .iter()
                .filter(|track| room.publishers.contains_key(track))
                .copied()
                .collect();
            let person = room.participant(whom.id)?;
            if !person.grants.subscribe {
                return Err(Failure::forbidden("subscribe"));
            }
            for track in known {
                if wanted {
                    person.unwanted.remove(&track);
                    person.wanted.insert(track);
                    person.unavailable.remove(&track);
                } else {
                    person.wanted.remove(&track);
                    person.unwanted.insert(track);
                }
            }
            room.stale.insert(whom.id);
            Ok(())
        })
    }

    /// Takes the answer to an offer of ours.
    pub fn answer(&mut self, whom: &Whom, revision: u64, answer: &str) -> Result<(), Failure> {
        self.with_room(&whom.room, |room, cx| {
            room.take_answer(cx, whom.id, revision, answer)
        })
    }

    /// A new offer with new ICE credentials, or of a new connection.
    pub fn restart_subscriber(&mut self, whom: &Whom, fresh: bool) -> Result<(), Failure> {
        self.with_room(&whom.room, |room, cx| {
            let person = room.participant(whom.id)?;
            if fresh {
                room.close_connection(cx, whom.id, ConnectionName::Subscriber);
            } else if let Some(subscriber) = &mut person.subscriber {
                subscriber.connection.restart()?;
                subscriber.outstanding = None;
                subscriber.needs_offer = true;
                cx.media.want_session(subscriber.connection.session.clone());
            }
            room.stale.insert(whom.id);
            Ok(())
        })
    }
}

impl Room {
    /// What a participant is to receive, audio first.
    fn wanted_tracks(&self, id: ParticipantId) -> Vec<TrackId> {
        let Some(person) = self.participants.get(&id) else {
            return Vec::new();
        };
        if !person.grants.subscribe || person.way == Way::Whip {
            return Vec::new();
        }
        let mut wanted: Vec<(TrackKind, TrackId)> = self
            .participants
            .values()
            .filter(|other| other.id != id)
            .flat_map(|other| other.tracks.values())
            .filter(|track| track.key.is_some())
            .filter(|track| {
                person.wanted.contains(&track.id)
                    || person.auto_subscribe && !person.unwanted.contains(&track.id)
            })
            .map(|track| (track.kind, track.id))
            .collect();
        wanted.sort_by_key(|(kind, id)| (*kind == TrackKind::Video, *id));
        wanted.into_iter().map(|(_, id)| id).collect()
    }

    /// Makes a participant's sections those of the tracks it is to receive.
    pub(super) fn sync_subscriptions(&mut self, cx: &mut Context, id: ParticipantId) {
        let wanted = self.wanted_tracks(id);
        let Some(person) = self.participants.get(&id) else {
            return;
        };
        if person.way == Way::Whep {
            self.sync_viewer(cx, id, &wanted);
            return;
        }
        let selected = self.select(id, &wanted, cx.limits.max_received);
        if let Some(subscriber) = &person.subscriber {
            let wanted: BTreeSet<TrackId> = selected.tracks.iter().copied().collect();
            let gone: Vec<String> = subscriber
                .sections
                .iter()
                .filter(|(_, section)| !wanted.contains(&section.track))
                .map(|(mid, _)| mid.clone())
                .collect();
            for mid in gone {
                self.clear_section(cx, id, &mid);
            }
        }
        for track in selected.tracks {
            if let Err(why) = self.give_section(cx, id, track) {
                self.unavailable(id, track, why);
            }
        }
        for track in selected.left_out {
            self.unavailable(id, track, Some(Unavailable::Limit));
        }
    }

    fn unavailable(&mut self, id: ParticipantId, track: TrackId, why: Option<Unavailable>) {
        let Some(reason) = why else { return };
        if let Some(person) = self.participants.get_mut(&id)
            && person.unavailable.insert(track, reason) != Some(reason)
        {
            person.say(&Said::TrackUnavailable { track, reason });
        }
    }

    /// Puts a track into a section, unless it is in one. What the client is
    /// to be told when that cannot be.
    fn give_section(
        &mut self,
        cx: &mut Context,
        id: ParticipantId,
        track_id: TrackId,
    ) -> Result<(), Option<Unavailable>> {
        let person = self.participants.get(&id).ok_or(None)?;
        let has_section = person
            .subscriber
            .as_ref()
            .is_some_and(|s| s.mid_of(track_id).is_some());
        if has_section {
            return Ok(());
        }
        let (publisher, track) = self.track(track_id).ok_or(None)?;
        let takes: Vec<_> = match &person.subscriber {
            Some(subscriber) if !subscriber.accepted.is_empty() => subscriber.accepted.clone(),
            _ => SubscriberState::offered(),
        };
        // Before the first section of a kind is answered, nothing is known of
        // that kind.
        let kind_known = takes.iter().any(|a| a.format.kind() == track.kind);
        if kind_known && payload_map(&track.codecs, &takes).is_empty() {
            return Err(Some(Unavailable::Codec));
        }
        let ssrc = random_ssrc().map_err(|_| None)?;
        let rtx_ssrc = match track.kind {
            TrackKind::Video => Some(random_ssrc().map_err(|_| None)?),
            TrackKind::Audio => None,
        };
        let sent = SentTrack {
            kind: track.kind,
            stream: publisher.id.to_string(),
            track: track_id.to_string(),
            ssrc,
            rtx_ssrc,
        };
        if person.subscriber.is_none() {
            self.open_subscriber(cx, id).map_err(|_| None)?;
        }
        let person = self.participants.get_mut(&id).ok_or(None)?;
        let subscriber = person.subscriber.as_mut().ok_or(None)?;
        let Sections::Offered(state) = &mut subscriber.state else {
            return Ok(());
        };
        let added = state.add(sent);
        subscriber.needs_offer |= added.is_ok() || state.is_closing();
        let mid = added.map_err(|_| Some(Unavailable::Limit))?;
        person.unavailable.remove(&track_id);
        subscriber
            .sections
            .insert(mid, new_section(track_id, ssrc, rtx_ssrc));
        Ok(())
    }

    fn open_subscriber(&mut self, cx: &mut Context, id: ParticipantId) -> Result<(), Failure> {
        let connection = self.new_connection(cx)?;
        let state = SubscriberState::new(random()?, &connection.session.cname);
        let whom = self.whom(id);
        let person = self.participant(id)?;
        cx.owners
            .sessions
            .insert(connection.session.key, (whom, ConnectionName::Subscriber));
        person.subscriber = Some(Subscriber::new(
            connection,
            Sections::Offered(state),
            person.revision,
        ));
        Ok(())
    }

    /// Takes a track out of every section it is in.
    pub(super) fn withdraw(&mut self, cx: &mut Context, track: TrackId) {
        let receivers: Vec<(ParticipantId, String)> = self
            .participants
            .values()
            .filter_map(|person| {
                let mid = person.subscriber.as_ref()?.mid_of(track)?;
                Some((person.id, mid.to_owned()))
            })
            .collect();
        for (id, mid) in receivers {
            self.clear_section(cx, id, &mid);
        }
    }

    /// The section is idle from now on.
    pub(super) fn clear_section(&mut self, cx: &mut Context, id: ParticipantId, mid: &str) {
        let Some(subscriber) = self
            .participants
            .get_mut(&id)
            .and_then(|p| p.subscriber.as_mut())
        else {
            return;
        };
        let Some(section) = subscriber.sections.remove(mid) else {
            return;
        };
        if let Some(key) = section.key {
            cx.owners.subscriptions.remove(&key);
            cx.media.drop_subscription(key);
        }
        if let Sections::Offered(state) = &mut subscriber.state {
            state.remove(mid);
            subscriber.needs_offer = true;
        }
    }

    /// Sends the next offer, when one is due and none is under way.
    pub(super) fn offer(&mut self, cx: &mut Context, id: ParticipantId) {
        let Ok(person_note) = self.person_note(id) else {
            return;
        };
        let Some(person) = self.participants.get_mut(&id) else {
            return;
        };
        if person.attached.is_none() {
            return;
        }
        let Some(subscriber) = &mut person.subscriber else {
            return;
        };
        if !subscriber.needs_offer || subscriber.outstanding.is_some() {
            return;
        }
        let local = cx.local(&subscriber.connection);
        let Sections::Offered(state) = &mut subscriber.state else {
            return;
        };
        let offer = state.offer(&local);
        subscriber.needs_offer = false;
        subscriber.revision += 1;
        person.revision = subscriber.revision;
        subscriber.outstanding = Some(Outstanding {
            revision: subscriber.revision,
            tracks: subscriber
                .sections
                .iter()
                .map(|(mid, section)| (mid.clone(), section.track))
                .collect(),
            waited: 0,
        });
        remember(subscriber, person_note);
        cx.media.want_session(subscriber.connection.session.clone());
        let (revision, fresh) = (subscriber.revision, subscriber.fresh);
        subscriber.fresh = false;
        let sections: BTreeMap<String, TrackId> = subscriber
            .sections
            .iter()
            .map(|(mid, section)| (mid.clone(), section.track))
            .collect();
        let tracks = sections
            .into_iter()
            .filter_map(|(mid, track)| {
                let (publisher, found) = self.track(track)?;
                Some(OfferedTrack {
                    mid,
                    track,
                    participant: publisher.id,
                    kind: kind_name(found.kind),
                })
            })
            .collect();
        self.reply(
            id,
            &Said::Offer {
                revision,
                fresh,
                offer: &offer,
                tracks,
            },
        );
    }

    fn take_answer(
        &mut self,
        cx: &mut Context,
        id: ParticipantId,
        revision: u64,
        answer: &str,
    ) -> Result<(), Failure> {
        let person = self.participant(id)?;
        let Some(subscriber) = &mut person.subscriber else {
            return Err(Failure::not_found("connection"));
        };
        let awaited = subscriber.outstanding.as_ref().map(|o| o.revision);
        if awaited != Some(revision) {
            return Err(Failure::new(
                ErrorCode::StaleAnswer,
                "this is not the offer that waits for an answer",
            ));
        }
        let Sections::Offered(state) = &mut subscriber.state else {
            return Err(Failure::not_found("connection"));
        };
        let negotiated = state
            .apply_answer(answer)
            .map_err(|error| Failure::new(ErrorCode::BadAnswer, error.to_string()))?;
        let offered = subscriber
            .outstanding
            .take()
            .map(|o| o.tracks)
            .unwrap_or_default();
        let known = subscriber.connection.remote();
        if known.is_some_and(|known| known.fingerprint != negotiated.remote.fingerprint) {
            return Err(Failure::new(
                ErrorCode::BadAnswer,
                "another certificate on the same connection: ask for a fresh one",
            ));
        }
        subscriber.connection.set_remote(&negotiated.remote);
        subscriber.connection.session.extensions = negotiated.extensions;
        subscriber.connection.session.transport_cc = negotiated.transport_cc;
        for section in &negotiated.sections {
            for accepted in &section.accepted {
                subscriber.accepted.retain(|a| a.format != accepted.format);
                subscriber.accepted.push(*accepted);
            }
        }
        let mut receiving = Vec::new();
        for section in negotiated.sections {
            if let Some(ours) = subscriber.sections.get_mut(&section.mid)
                && offered.get(&section.mid) == Some(&ours.track)
            {
                ours.accepted = section.accepted;
                receiving.push(section.mid);
            }
        }
        // What was offered and is not received: the client stopped it.
        let refused: Vec<(String, TrackId)> = offered
            .iter()
            .filter(|(mid, track)| {
                !receiving.contains(mid)
                    && subscriber
                        .sections
                        .get(*mid)
                        .is_some_and(|s| s.track == **track)
            })
            .map(|(mid, track)| (mid.clone(), *track))
            .collect();
        person.reconnect.remove(&ConnectionName::Subscriber);
        let note = self.person_note(id)?;
        if let Some(subscriber) = self
            .participants
            .get_mut(&id)
            .and_then(|p| p.subscriber.as_mut())
        {
            remember(subscriber, note);
            cx.media.want_session(subscriber.connection.session.clone());
        }
        for (mid, track) in refused {
            self.clear_section(cx, id, &mid);
            self.unavailable(id, track, Some(Unavailable::Codec));
        }
        for mid in receiving {
            self.activate(cx, id, &mid);
        }
        self.stale.insert(id);
        Ok(())
    }

    /// Makes a section that the client agreed to a subscription.
    pub(super) fn activate(&mut self, cx: &mut Context, id: ParticipantId, mid: &str) {
        let whom = self.whom(id);
        let Some(track_id) = self
            .participants
            .get(&id)
            .and_then(|p| Some(p.subscriber.as_ref()?.sections.get(mid)?.track))
        else {
            return;
        };
        let Some((_, track)) = self.track(track_id) else {
            return;
        };
        let (Some(home), codecs) = (track.key, track.codecs.clone()) else {
            return;
        };
        let Some(subscriber) = self
            .participants
            .get_mut(&id)
            .and_then(|p| p.subscriber.as_mut())
        else {
            return;
        };
        let Some(section) = subscriber.sections.get_mut(mid) else {
            return;
        };
        let payload_types = payload_map(&codecs, &section.accepted);
        if payload_types.is_empty() {
            self.clear_section(cx, id, mid);
            self.unavailable(id, track_id, Some(Unavailable::Codec));
            return;
        }
        let key = match section.key {
            Some(key) => key,
            None => match random() {
                Ok(key) => SubscriptionKey(key),
                Err(_) => return,
            },
        };
        let worker = subscriber.connection.session.worker;
        let Ok(track_key) = cx.track_on(home, worker) else {
            return;
        };
        section.key = Some(key);
        cx.owners.subscriptions.insert(key, (whom, track_id));
        let rtx = payload_types.iter().any(|p| p.rtx.is_some());
        cx.media.want_subscription(MediaSubscription {
            key,
            track: track_key,
            session: subscriber.connection.session.key,
            mid: Text::truncated(mid),
            payload_types: List::truncated(payload_types),
            mode: SubscriptionMode::Select {
                ssrc: section.ssrc,
                rtx_ssrc: section.rtx_ssrc.filter(|_| rtx),
            },
            max_spatial: 3,
            max_temporal: 3,
            paused: false,
            priority: 10,
        });
        self.stale.insert(id);
    }

    /// Sections whose subscription went with a link begin anew.
    pub(super) fn renew_lost(&mut self, cx: &mut Context) {
        let lost: Vec<(ParticipantId, String)> = self
            .participants
            .values()
            .flat_map(|p| p.subscriber.iter().map(move |s| (p.id, s)))
            .flat_map(|(id, s)| {
                s.sections
                    .iter()
                    .map(move |(mid, section)| (id, mid, section))
            })
            .filter(|(_, _, section)| {
                section
                    .key
                    .is_some_and(|key| !cx.media.desired().subscriptions.contains_key(&key))
            })
            .map(|(id, mid, _)| (id, mid.clone()))
            .collect();
        for (id, mid) in lost {
            self.clear_section(cx, id, &mid);
            self.stale.insert(id);
        }
    }

    /// Offers that nobody answered for long are made again.
    pub(super) fn repeat_offers(&mut self, ticks: u32) {
        for person in self.participants.values_mut() {
            if let Some(subscriber) = &mut person.subscriber
                && let Some(outstanding) = &mut subscriber.outstanding
                && person.attached.is_some()
            {
                outstanding.waited += 1;
                if outstanding.waited > ticks {
                    subscriber.offer_again();
                    self.stale.insert(person.id);
                }
            }
        }
    }
}

/// A section before its answer.
pub(super) fn new_section(track: TrackId, ssrc: u32, rtx_ssrc: Option<u32>) -> Section {
    Section {
        track,
        ssrc,
        rtx_ssrc,
        key: None,
        accepted: Vec::new(),
        quality: Smoothed::default(),
        loss: 0.0,
        jitter: Duration::ZERO,
        bits_per_second: 0,
        layer: None,
    }
}

/// Writes the connection's note.
pub(super) fn remember(subscriber: &mut Subscriber, person: note::PersonNote) {
    let Sections::Offered(state) = &subscriber.state else {
        return;
    };
    let notes = SubscriberNotes {
        sections: state.note(),
        accepted: subscriber.accepted.clone(),
        revision: subscriber.revision,
    };
    let fingerprint = super::hex(&subscriber.connection.fingerprint);
    subscriber.connection.session.note =
        note::write(&SessionNote::Subscriber(fingerprint, person, notes)).unwrap_or_default();
}
